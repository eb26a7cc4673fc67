/* SPDX-License-Identifier: PostgreSQL
 *
 * What EXPLAIN … FOR 'something' means, where the operator has not said whether it is a city, an
 * address, a location or a session.
 */
#ifndef PROXY_ADMIN_SUBJECT_H
#define PROXY_ADMIN_SUBJECT_H

#include <stdbool.h>

#include "base/slice.h"

/* "address", "location" (two numbers, even wrong ones), "session" (digits), "region" (where it is
 * the name of one) or "city"; NULL: none of them. */
const char *subject_guess(struct slice text, bool is_region);
/* Its article: "an", "a". */
const char *subject_article(const char *kind);

#endif
