/* SPDX-License-Identifier: PostgreSQL
 *
 * The numbers of migrations: 1, 2, 3 … over all regions. While a region cannot be asked which of
 * them are in use there, a new migration takes its number from the block of its home's region, from
 * which no migration of another region ever has one: what is in use where one cannot look is
 * another number. Names of slots, of subscriptions and of advisory locks are made of it. Pure.
 */
#ifndef MIGRATION_NUMBER_H
#define MIGRATION_NUMBER_H

#include <stddef.h>

#define NUMBER_FIRST  1
#define NUMBER_BLOCKS 10000000 /* from here on blocks; the same for all regions below */
#define NUMBER_BLOCK  10000    /* numbers of a block */

/* The first of a region's block. Two regions may have the same one: ask. */
int number_block(const char *region);
/* The one behind the highest that is used of those that begin with `first` (NUMBER_FIRST or a
 * block's); 0: there is none left. */
int number_next(int first, const int *used, size_t n);

#endif
