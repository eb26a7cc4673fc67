/* SPDX-License-Identifier: PostgreSQL
 *
 * "Did you mean": how many typing mistakes lie between two words.
 */
#ifndef PROXY_ADMIN_NEAREST_H
#define PROXY_ADMIN_NEAREST_H

#include "base/slice.h"

#define NEAREST_NONE 1000u

/* Insertions, deletions and replacements from one to the other, case ignored; NEAREST_NONE where
 * that is more than a third of the letters, or either is empty or over 40 bytes. */
unsigned nearest_distance(struct slice a, struct slice b);

#endif
