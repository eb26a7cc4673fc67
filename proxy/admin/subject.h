/* SPDX-License-Identifier: PostgreSQL
 *
 * Guesses what the operator means by EXPLAIN … FOR 'something', without a keyword that says whether
 * it is a city, an address, a location or a session.
 */
#ifndef PROXY_ADMIN_SUBJECT_H
#define PROXY_ADMIN_SUBJECT_H

#include <stdbool.h>

#include "base/slice.h"

/* "address", "location" (two numbers, even wrong ones), "session" (digits), "region" (where it is
 * the name of one) or "city"; NULL: none of them. */
const char *subject_guess(struct slice text, bool is_region);
/* The article in front of the kind: "an" or "a". */
const char *subject_article(const char *kind);

#endif
