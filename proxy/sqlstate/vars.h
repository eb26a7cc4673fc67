/* SPDX-License-Identifier: PostgreSQL
 *
 * What a session has set, and what a server connection has: names and values, immutable, and
 * interned per worker, so that two are equal where their pointers are. The ordinary attachment, of
 * a session to a server that has the same settings, costs that one comparison.
 *
 * Also used for what a server has reported and what a client has been told (ParameterStatus).
 *
 * Values are UTF-8, as current_setting() says them; names of settings are lower case, those of
 * reports as the server writes them. Does not know where they come from
 * (proxy/sqlstate/session_probe.h), nor what they mean, but for the few whose order matters: role,
 * session_authorization, DateStyle.
 *
 * Ownership: functions that return a struct vars * return a reference. Everything belongs to one
 * worker's thread.
 */
#ifndef PROXY_SQLSTATE_VARS_H
#define PROXY_SQLSTATE_VARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct startup;
struct vars;
struct vars_table; /* one per worker */

struct vars_table *vars_table_new(void);
/* Only when nothing of it is referenced any more. */
void vars_table_free(struct vars_table *t);
size_t vars_table_count(const struct vars_table *t);

/* Nothing set: what a fresh server connection has. */
struct vars *vars_empty(struct vars_table *t);
/* The same, of the table that another is of. */
struct vars *vars_none(const struct vars *like);
/* The parameters of a StartupMessage but user, database, options, replication, _pq_.* and
 * meridian.*: what a client sets for its session at once. */
struct vars *vars_from_startup(struct vars_table *t, const struct startup *in);
/* With one changed or added. */
struct vars *vars_with(struct vars *base, struct slice name, struct slice value);
/* What `over` has, and what only `base` has. */
struct vars *vars_overlay(struct vars *base, struct vars *over);

struct vars *vars_ref(struct vars *v);
/* NULL is allowed. */
void vars_unref(struct vars *v);

/* False: it is not in there. Names compare without regard to case. */
bool vars_get(const struct vars *v, const char *name, struct slice *value);
size_t vars_count(const struct vars *v);
/* A number that is the same for settings under which a text means the same: see
 * sqleffects_has_meaning(). Never 0, and never used twice. */
uint64_t vars_meaning(const struct vars *v);

struct vars_item {
	struct slice name, value;
};

/* Walk them in the order of names: *at begins as 0. False: no more. */
bool vars_next(const struct vars *v, size_t *at, struct vars_item *out);
/* That order: below 0, 0, above 0. */
int vars_compare(struct slice a, struct slice b);

/* So many settings, and so many bytes of them, are known of a session: three times what PostgreSQL
 * has itself, and as much as can be said to another server in half a megabyte, whatever the bytes
 * are. All of them are read behind each DO. */
#define VARS_SET_MAX   1024
#define VARS_SET_BYTES ((size_t)64 * 1024)

/* Many changes at once, in time for one: their names stand in one text, lower case, in the order in
 * which they were said. Puts them in the order of names; of those of one name the last stays.
 * Returns how many there are. */
size_t vars_sort(struct vars_item *items, size_t n);
/* `base` with these changes, in the order of names and each name once; value.p == NULL: without
 * that name. is_bounded: what would be more than VARS_SET_* is left out. *n and `items` become what
 * has been done. A reference. */
struct vars *vars_change(struct vars *base, struct vars_item *items, size_t *n, bool is_bounded);

/* What becomes of a change that the server refuses. */
enum vars_failure {
	VARS_ERROR, /* its ErrorResponse; nothing has changed: await it before anything else is sent
		     */
	VARS_FATAL, /* the server ends the connection, so what was sent behind it never runs:
		       PostgreSQL alone can do that (exit_on_error) */
	VARS_APART, /* as VARS_ERROR, for ask_begin_apart(): NUL ends a statement */
};

/* Append the text of one Query that makes a server connection that has `from` have `to`; nothing
 * where they are equal. from == NULL: what it has is not known, everything is reset first. ASCII
 * only, and right for either standard_conforming_strings and every client_encoding. */
void vars_put_change(struct buf *sql, const struct vars *from, const struct vars *to,
		     enum vars_failure failure);

/* ---- reports ---- */

#define VARS_REPORTS_MAX   128
#define VARS_REPORTS_BYTES ((size_t)8192)

/* A ParameterStatus (its body) has passed: what has been said with it, in place of *reported.
 * Malformed ones are ignored, and those for which there is no room. */
void vars_report(struct vars **reported, struct slice body);
/* So many at once, in time for one; they stand in one text, in the order in which they were said.
 */
#define VARS_REPORTS_AT_ONCE 256
void vars_report_all(struct vars **reported, const struct vars_item *items, size_t n);
/* Append the ParameterStatus messages that a client, who was told `told`, must hear where the
 * server says `reported`. */
void vars_put_reports(struct buf *b, const struct vars *told, const struct vars *reported);
/* Add the names in which two differ to *names: see sqleffects_put_name(). */
void vars_put_changed(struct buf *names, const struct vars *a, const struct vars *b);

#endif
