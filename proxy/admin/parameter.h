/* SPDX-License-Identifier: PostgreSQL
 *
 * The value of a Bind parameter as text: as it came in text format, or read from the binary form of
 * the type that the client declared.
 */
#ifndef PROXY_ADMIN_PARAMETER_H
#define PROXY_ADMIN_PARAMETER_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

#define PARAMETER_TEXT 25u /* text: the type of a parameter for which the client declared none */

/* Returns the text, which the caller frees; NULL and *e where the value cannot be read. */
char *parameter_text(uint32_t oid, int16_t format, struct slice value, struct err *e) MUST_CHECK;

#endif
