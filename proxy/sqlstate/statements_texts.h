/* SPDX-License-Identifier: PostgreSQL
 *
 * The texts that a worker's sessions have prepared (statements_texts.c), and what of them a server
 * connection has (statements_slots.c). A text is a struct statement: counted references, immutable
 * but for being shared or not. A slot is one statement on one server connection, under a name that
 * is never used twice there.
 */
#ifndef PROXY_SQLSTATE_STATEMENTS_TEXTS_H
#define PROXY_SQLSTATE_STATEMENTS_TEXTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/slice.h"
#include "proxy/sqlstate/prepared.h"

struct server_statements;
struct statement_table;

/* ---- texts ---- */

struct statement {
	UT_hash_handle hh;
	struct statement_table *table;
	uint64_t meaning;
	uint32_t refs;
	uint32_t era;     /* one client's: prepared where temporary tables were; 0: elsewhere */
	unsigned effects; /* enum sqleffect */
	uint16_t names_n;
	bool shared : 1;     /* others may find it */
	bool repeatable : 1; /* its text is here */
	bool drops_all : 1;  /* DEALLOCATE ALL, DISCARD ALL */
	char *names;         /* of settings: sqleffects_names(); or NULL */
	uint64_t noted;      /* walk in which it was said to have run */
	struct slice sql;
	uint32_t n;
	char tail[]; /* of its Parse: all behind the name */
};

struct statement_table {
	struct statement *texts;
	uint64_t walks; /* through clients' bytes, so far */
	uint64_t seed;
	unsigned max;
};

uint32_t statement_hash(const struct statement_table *t, struct slice s);
/* A reference to the statement with this text, found or made. `sql` lies in `tail`. */
struct statement *statement_get(struct statement_table *t, uint64_t meaning, struct slice tail,
				struct slice sql);
/* One whose text is too long to be kept. */
struct statement *statement_of_length(struct statement_table *t);
struct statement *statement_ref(struct statement *st);
void statement_unref(struct statement *st);
/* Take it out of the table: statement_get() does not find it any more. */
void statement_withdraw(struct statement *st);

/* ---- what a server has ---- */

struct slot {
	UT_hash_handle hh; /* by statement */
	TAILQ_ENTRY(slot) all;
	struct statement *st; /* one reference; NULL: it is only there to be closed */
	uint32_t seq;         /* until confirmed: the sequence that its Parse is in */
	uint64_t shape;       /* what Describe says of it there, as a hash; 0: not known */
	bool asked;           /* … but asked for */
	bool confirmed;
	bool displaced; /* before it was confirmed: it is only in its act */
	uint8_t n;
	char name[30];
};

TAILQ_HEAD(slots, slot);

struct server_statements {
	struct statement_table *table;
	struct slot *by_statement;
	struct slots used;    /* those found by statement; least recently used first … */
	struct slots staying; /* … but for those that are not there yet, or cannot be repeated */
	struct slots surplus; /* on the server for nothing: to be closed */
	uint64_t serial;
};

struct slot *slot_new(struct server_statements *ss, struct statement *st);
/* Another of the same name. */
struct slot *slot_like(const struct slot *other);
void slot_stands_for(struct slot *slot, struct statement *st);
void slot_free(struct slot *slot);
struct slot *slot_find(struct server_statements *ss, const struct statement *st);
void slot_touch(struct server_statements *ss, struct slot *slot);
/* Let it be found; what was found in its place comes back if it is confirmed, or NULL. */
struct slot *slot_link(struct server_statements *ss, struct slot *slot);
void slot_unlink(struct server_statements *ss, struct slot *slot);
/* Its Parse is done: it is there. */
void slot_confirm(struct server_statements *ss, struct slot *slot);
/* It is on the server after all: to be found, or to be closed. NULL is nothing. */
void slot_restore(struct server_statements *ss, struct slot *slot);
void slot_discard(struct server_statements *ss, struct slot *slot);
/* What to close before one more statement goes there; NULL: nothing (more). Belongs to the caller.
 */
struct slot *slot_take_victim(struct server_statements *ss);

#endif
