/* SPDX-License-Identifier: PostgreSQL
 *
 * Texts that drop prepared statements, one or all, where the whole text is that one statement: so
 * drivers say it that have no Close message (PDO, psycopg with a libpq before 17). Comments may
 * stand around its words; a text of several statements is not recognised.
 *
 * Grammar: PostgreSQL documentation, "DEALLOCATE", "DISCARD".
 */
#ifndef PROTOCOL_DEALLOCATE_H
#define PROTOCOL_DEALLOCATE_H

#include "base/slice.h"

#define DEALLOCATE_NAME_MAX 63 /* NAMEDATALEN - 1: what is beyond does not count */

struct deallocate {
	char name[DEALLOCATE_NAME_MAX + 1]; /* folded or unquoted, as the server sees it */
	size_t n;
};

enum deallocate_what {
	DEALLOCATE_NOTHING,
	DEALLOCATE_ONE, /* the one that *out names; else *out is not touched */
	DEALLOCATE_ALL, /* also DISCARD ALL */
};

enum deallocate_what deallocate_read(struct slice sql, struct deallocate *out);

#endif
