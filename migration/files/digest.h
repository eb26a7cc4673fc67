/* SPDX-License-Identifier: PostgreSQL
 *
 * What tells one version of a text from another: SHA-256 over it, line ends counted as \n however
 * they are written, so that a checkout on another system is the same file.
 */
#ifndef MIGRATION_FILES_DIGEST_H
#define MIGRATION_FILES_DIGEST_H

#include "base/slice.h"

#define DIGEST_TEXT 65 /* in hexadecimal, terminated */

void digest_text(struct slice text, char out[DIGEST_TEXT]);

#endif
