/* SPDX-License-Identifier: PostgreSQL
 *
 * A model of PostgreSQL's main loop, as far as prepared statements go (PostgresMain, SocketBackend,
 * exec_parse_message and its like): names, the statement without a name, portals, failed
 * transactions, what is discarded until Sync, COPY FROM STDIN. What a text does is in its first
 * letters (pg_model.c). Answers show which text they come from.
 */
#ifndef TESTS_UNIT_PG_MODEL_H
#define TESTS_UNIT_PG_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define PG_STATEMENTS_MAX 256
#define PG_PORTALS_MAX    8

struct pg_statement {
	char name[64]; /* "": free */
	char *text;
};

struct pg_model {
	struct buf in, out;
	size_t flushed; /* so much of `out` is on its way; the rest waits in the server */
	struct pg_statement statements[PG_STATEMENTS_MAX];
	struct pg_statement portals[PG_PORTALS_MAX];
	char *unnamed, *unnamed_portal; /* texts, or NULL */
	char tx;
	bool skip, extended, copying, copy_extended;
	unsigned parses, peak; /* counters: Parse messages; most names at a time */
};

void pg_init(struct pg_model *m);
void pg_fini(struct pg_model *m);
/* n bytes have come. */
void pg_read(struct pg_model *m, const char *p, size_t n);
/* Nothing is half read, half said or open. */
bool pg_is_idle(const struct pg_model *m);
unsigned pg_names(const struct pg_model *m);
bool pg_has_name(const struct pg_model *m, const char *name);

#endif
