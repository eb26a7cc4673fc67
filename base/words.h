/* SPDX-License-Identifier: PostgreSQL
 *
 * An enum whose constants have names has one table of them, in the order of the constants and ended
 * by NULL. Its name is table[constant]; words_find() is the way back.
 */
#ifndef BASE_WORDS_H
#define BASE_WORDS_H

#include "base/slice.h"

/* The constant of a name, its letters' case aside; -1: there is none. */
int words_find(const char *const *table, struct slice word);

#endif
