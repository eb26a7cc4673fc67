/* SPDX-License-Identifier: PostgreSQL
 *
 * The kind `move`, inside: a database of plain PostgreSQL goes from a node (place "source") to one
 * in another region (place "target"), by logical replication while it is in use, and can come back.
 *
 *   prepare    fences are laid (on the source disabled, on the target in force), roles and schema
 *              copied
 *   data       publication, slot, subscription, copy, what the schema has behind the data
 *   finalize   guards, freeze, fence, decision on the target, switch; then the way back is opened
 *   reverse    the same cut-over in the other direction
 *   complete   what is not needed any more is dropped
 *
 * The fence is a trigger on every table (SQLSTATE MR001) that waits for open writers when it is put
 * in force. Which side serves the database is one row, meridian.authority, on each side: the side
 * that takes over changes its own by compare-and-set, in the transaction that lifts its fence. So
 * both may be fenced for a moment, and never are both writable.
 *
 * Source of the SQL: PostgreSQL's documentation, "Logical Replication", "Event Triggers", "System
 * Catalogs"; versions 12 to 17.
 */
#ifndef MIGRATION_MOVE_MOVE_H
#define MIGRATION_MOVE_MOVE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "migration/kind.h"

#define MOVE_SOURCE "source"
#define MOVE_TARGET "target"

/* What we make in databases has the number of the migration in its name. */
struct move_names {
	char publication[24]; /* on both sides */
	char forward[32];     /* slot on the source, subscription on the target */
	char backward[32];    /* slot on the target, subscription on the source */
};
struct move_names move_names(const struct job *j);

/* ---- move.c ---- */

bool move_is_online(const struct job *j);
/* The way back is kept open: data = online, reverse = on. */
bool move_has_way_back(const struct job *j);
/* Something is copied in the pause: large objects, unlogged tables, materialized views. */
bool move_has_rest(const struct job *j);

#define MOVE_SNAPSHOT_LOCK 78 /* class of advisory locks; the number is the try's epoch */

/* ---- run.c: statements that may take long ---- */

/* The results of a query that was sent, at most until then: the statement is cancelled, and what it
 * says last counts. */
int move_finish_until(PGconn *c, int64_t deadline_us, struct err *e);
/* A statement on every row's first column, which it names by `%s`, each a transaction of its own
 * with retries. How many; -1. */
int move_each(struct job *j, PGconn *c, const char *query, const char *statement, struct err *e);
/* The same test again and again until it is true (SQL with one column), at most so long. */
int move_wait_until(struct job *j, PGconn *c, const char *sql, int64_t usec, const char *what,
		    struct err *e);

/* ---- schema.c ---- */

/* What differs, in words (bounded), where it does. 1: differs, 0: the same, -1 and *e. */
int move_compare_schemas(PGconn *source, PGconn *target, struct buf *differences, struct err *e);
/* Adds ALTER TABLE … ENABLE/DISABLE for every fence to `sql`. */
int move_put_fences(PGconn *c, const char *verb, struct buf *sql, struct err *e);

/* Until the worker of a subscription runs, or is gone. */
int move_wait_for_worker(struct job *j, PGconn *c, const char *name, bool runs, struct err *e);

/* ---- target.c ---- */

/* Connected to the target's server, not to the database that is made there; 0 and NULL: it cannot
 * be reached and FORCE was said; a NOTICE says that `what` is left there. */
int move_server_of_undo(struct job *j, const char *what, PGconn **out, struct err *e);

/* ---- data.c ---- */

/* The connection string for the other side's server, which replicates from place `from`: directly,
 * or through Meridian. NULL and *e: it is not configured. */
char *move_peer_conninfo(struct job *j, const char *from, const char *dbname, struct err *e);
/* `c` subscribes to what place `from` publishes, at the slot of the same name. */
int move_subscribe(struct job *j, PGconn *c, const char *from, const char *name, bool copy,
		   struct err *e);

/* ---- rows.c: rows that logical replication does not carry; each may be done again ---- */

/* One transaction on `to`. `table`: qualified and quoted. */
int rows_copy_table(struct job *j, PGconn *from, PGconn *to, const char *table, struct err *e);
int rows_copy_large_objects(struct job *j, PGconn *from, PGconn *to, struct err *e);
/* Every materialized view of the database. */
int rows_refresh_views(struct job *j, PGconn *c, struct err *e);

/* ---- recopy.c: tables whose initial copy cannot go on are copied anew ---- */

/* Kept between two looks: zeroed at first, `table` is the owner's to free. */
struct lost_copy {
	char *table;     /* that had no slot; NULL: none */
	int64_t next_us; /* the next look, by clock_us() */
};

/* To be called again and again while copies are waited for; it looks every two seconds, and a table
 * that had no slot twice is copied anew, one at a time. -1 and *e. */
int recopy_lost(struct job *j, PGconn *target, struct lost_copy *l, struct err *e);
/* The table that is between publication and subscription, the caller's to free; NULL: none. */
int recopy_table(struct job *j, char **table, struct err *e);
/* On with it, where this or an older executor has begun. */
int recopy_continue(struct job *j, struct err *e);

/* ---- undo.c: each may be called again, and where nothing is there ---- */

int move_drop_subscription(struct job *j, PGconn *c, const char *name, struct err *e);
/* Noted on the source: which slots there the copies of our subscription make. Nothing where there
 * is no subscription. */
int move_note_copies(struct job *j, PGconn *target, struct err *e);
/* A slot, and those of the copies that were noted. */
int move_drop_slots(struct job *j, PGconn *c, const char *name, struct err *e);
int move_drop_fences(struct job *j, PGconn *c, struct err *e);
int move_restore_identity(struct job *j, PGconn *c, struct err *e);
/* A connection to a place that may be dead for good: 0 and *out NULL where it cannot be reached (*e
 * says why), we can reach the other one, and FORCE said not to wait for it. */
int move_place_or_gone(struct job *j, const char *place, PGconn **out, struct err *e);
/* NOTICE and journal: `what` is left on a place that is gone. */
void move_report_left(struct job *j, const char *place, const char *what, const struct err *why);
/* The target for an undo; where it is gone, a NOTICE says that `what` is left there. */
int move_target_of_undo(struct job *j, const char *what, PGconn **out, struct err *e);

/* ---- the steps, in the order of the plan ---- */

/* X(step, place, which options it is there for: enum when in move.c) */
/* clang-format off */
#define MOVE_STEPS(X) \
	X(move_control_source, MOVE_SOURCE, ALWAYS) \
	X(move_identity, MOVE_SOURCE, IDENTITY) \
	X(move_ddl_block, MOVE_SOURCE, DDL) \
	X(move_fence_source_disabled, MOVE_SOURCE, ALWAYS) \
	X(move_read_only, MOVE_SOURCE, READ_ONLY) \
	X(move_roles, MOVE_TARGET, ALWAYS) \
	X(move_role_verifiers, MOVE_TARGET, VERIFIERS) \
	X(move_make_database, MOVE_TARGET, ALWAYS) \
	X(move_database_settings, MOVE_TARGET, ALWAYS) \
	X(move_control_target, MOVE_TARGET, ALWAYS) \
	X(move_schema, MOVE_TARGET, ALWAYS) \
	X(move_fence_target, MOVE_TARGET, ALWAYS) \
	X(move_publication, MOVE_SOURCE, ONLINE) \
	X(move_slot, MOVE_SOURCE, ONLINE) \
	X(move_subscription, MOVE_TARGET, ONLINE) \
	X(move_copy, MOVE_TARGET, ONLINE) \
	X(move_stop_writes, MOVE_SOURCE, SNAPSHOT) \
	X(move_copy_rows, MOVE_TARGET, SNAPSHOT) \
	X(move_post_data, MOVE_TARGET, ALWAYS) \
	X(move_enable, MOVE_TARGET, ONLINE) \
	X(move_reverse_publication, MOVE_TARGET, ONLINE) \
	X(move_guards, MOVE_SOURCE, ALWAYS) \
	X(move_prewarm, MOVE_SOURCE, ALWAYS) \
	X(move_arm, MOVE_TARGET, ALWAYS) \
	X(move_freeze, MOVE_SOURCE, ALWAYS) \
	X(move_fence, MOVE_SOURCE, ALWAYS) \
	X(move_copy_rest, MOVE_TARGET, ALWAYS) \
	X(move_decide, MOVE_TARGET, ALWAYS) \
	X(move_switch, MOVE_TARGET, ALWAYS) \
	X(move_hand_over, MOVE_TARGET, ALWAYS) \
	X(move_stop_forward, MOVE_TARGET, ONLINE) \
	X(move_reverse_subscription, MOVE_SOURCE, ONLINE) \
	X(move_reopen_source, MOVE_SOURCE, ALWAYS) \
	X(move_refresh_views, MOVE_TARGET, ALWAYS) \
	X(move_verify, MOVE_TARGET, ALWAYS) \
	X(move_reverse_guards, MOVE_TARGET, ONLINE) \
	X(move_reverse_prewarm, MOVE_TARGET, ONLINE) \
	X(move_reverse_arm, MOVE_SOURCE, ONLINE) \
	X(move_reverse_freeze, MOVE_TARGET, ONLINE) \
	X(move_reverse_fence, MOVE_TARGET, ONLINE) \
	X(move_reverse_decide, MOVE_SOURCE, ONLINE) \
	X(move_reverse_switch, MOVE_SOURCE, ONLINE) \
	X(move_reverse_hand_over, MOVE_SOURCE, ONLINE) \
	X(move_stop_backward, MOVE_SOURCE, ONLINE) \
	X(move_reopen_target, MOVE_TARGET, ONLINE) \
	X(move_drop_replication, MOVE_TARGET, ALWAYS) \
	X(move_drop_leftovers, MOVE_TARGET, ALWAYS)
/* clang-format on */

#define MOVE_EXTERN(step, place, when) extern const struct step_def step;
MOVE_STEPS(MOVE_EXTERN)
#undef MOVE_EXTERN

#define MOVE_STEP(step, text, of_phase, of_class, ...)            \
	const struct step_def step = { .name = text,              \
				       .phase = of_phase,         \
				       .class = of_class,         \
				       .describe = move_describe, \
				       __VA_ARGS__ }

/* What PLAN shows of each of them, by its name (describe.c). */
int move_describe(struct job *j, const struct migration_step *s, struct step_text *out,
		  struct err *e);

/* ---- what the kind answers ---- */

int move_check_source(struct job *j, PGconn *c, struct checks *out, struct err *e);
int move_check_target(struct job *j, PGconn *source, struct checks *out, struct err *e);
int move_check_sessions(struct job *j, struct checks *out);
/* The guards of FINALIZE (backward: of REVERSE) as checks; nothing waits. */
int move_check_guards(struct job *j, bool backward, struct checks *out, struct err *e);
/* Whether FINALIZE may freeze now (option window): 1; 0 and when it opens next; -1 and *e, 22023
 * where the server does not know the time zone. */
int move_window_is_open(struct job *j, struct buf *opens, struct err *e);
/* ddl = record: NOTICE and journal for the changes that were not reported yet. */
int move_report_changes(struct job *j, struct err *e);
/* All that was recorded: an error each while both sides differ. */
int move_check_changes(struct job *j, PGconn *source, bool differ, struct checks *out,
		       struct err *e);
int move_show(struct job *j, enum show_topic topic, const struct rows_sink *out, struct err *e);
int move_verify_tables(struct job *j, const char *table, const struct rows_sink *out,
		       struct err *e);

#endif
