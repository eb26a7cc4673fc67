/* SPDX-License-Identifier: PostgreSQL
 *
 * What the catalog of one database says of names beside those that PostgreSQL brings along:
 * functions, operators and types that an application or an extension has defined. Made of the rows
 * that the server answers to classify_catalog_sql; immutable then, any thread.
 *
 * A name is safe where all that has it, in whatever schema, is: a function that is neither volatile
 * nor SECURITY DEFINER (an aggregate, by the functions that it is made of); an operator of such a
 * function; a type that is read, written and cast to by such. What a domain or a view does inside
 * is not looked at: what writes is refused by a standby. Names that are not ASCII are not known.
 */
#ifndef ROUTING_CLASSIFY_CATALOG_H
#define ROUTING_CLASSIFY_CATALOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

enum classify_kind { CLASSIFY_A_FUNCTION, CLASSIFY_AN_OPERATOR, CLASSIFY_A_TYPE };

/* Its rows have one column: a letter, then a name that is safe, or (a capital) one that is unsafe
 * though PostgreSQL brings it along. Right with any search_path and as any role; PostgreSQL 12 and
 * later. */
extern const char classify_catalog_sql[];

struct classify_catalog;

struct classify_catalog *classify_catalog_new(void);
void classify_catalog_free(struct classify_catalog *c); /* accepts NULL */
/* A row, in any order. */
void classify_catalog_add(struct classify_catalog *c, struct slice row);
/* All rows are there; where they are too many, nothing is known. */
void classify_catalog_finish(struct classify_catalog *c);
bool classify_catalog_equal(const struct classify_catalog *a, const struct classify_catalog *b);

bool classify_catalog_is_safe(const struct classify_catalog *c, enum classify_kind kind,
			      const char *name);
/* One of PostgreSQL's names that means something else, too, which is not safe. */
bool classify_catalog_is_unsafe(const struct classify_catalog *c, enum classify_kind kind,
				const char *name);

#endif
