/* SPDX-License-Identifier: PostgreSQL
 *
 * The contract between the engine and the kinds of migrations. A kind makes a plan: an ordered list
 * of steps, each of which names a row of the kind's table of definitions. The engine runs them one
 * after another on the migration's thread and keeps what was done in the control schema, so that
 * another process can go on where this one died:
 *
 *   row "running" + what `before` found, committed  →  done? (then skip)  →  act  →  row "done"
 *
 * Class T: `act` runs in a transaction on job_db(j, step->place) that the engine has opened, with
 * the lease checked in it, and the row "done" commits with it. Class I and R: `act` opens what it
 * needs; `done` (I) is asked first, also after a crash. `undo` is called for the steps of an ABORT
 * in reverse order, also for one that was only begun; it must not mind having been called before.
 * Crash points (test builds): MERIDIAN_CRASH_AT=<step's name>:before|after.
 */
#ifndef MIGRATION_KIND_H
#define MIGRATION_KIND_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "migration/site.h"
#include "migration/types.h"

struct job;
struct migration;
struct spec;
struct step_def;

struct migration_step {
	int n; /* from 1 */
	const struct step_def *def;
	char *place; /* a place of the job: see job_db() */
	char *label; /* what it is about, for people: "public.orders" */
	char *args;  /* JSON object, the kind's; NULL: none */
	enum step_state state;
	int attempt;
	char *before; /* JSON, as `before` made it; NULL */
	char *undo;   /* JSON, as the kind left it by job_note_undo(); NULL */
	char *error;
};

static inline bool
step_is_done(const struct migration_step *s)
{
	return s->state == STEP_APPLIED || s->state == STEP_SKIPPED;
}

/* What PLAN shows of a step. */
struct step_text {
	struct buf sql;      /* exact, may be several statements */
	struct buf lock;     /* "SHARE ROW EXCLUSIVE on public.orders", "none" */
	struct buf estimate; /* "12 MB, about 2 s"; "" not known */
	struct buf undo;     /* SQL or words; "": none, the step cannot be undone */
};

struct step_def {
	const char *name; /* also the crash point's */
	enum migration_phase phase;
	enum step_class class;
	bool once_decided; /* ABORT is refused when this one is done: REVERSE instead */
	/* Between the freeze and the switch: no row is written on the way. All of a run of such
	 * steps are "running" before the first begins, and "done" after the last; `done` and `undo`
	 * look at the databases, not at rows. Class I or R. When one fails, or after a crash, the
	 * engine asks `done` of the step that decides (once_decided): decided, it goes on behind
	 * that one, asking `done` of each; undecided, it calls `undo` of all of them in reverse
	 * order, also of those that were not reached, waits for the option retry_wait, and tries
	 * the whole anew, as often as the option attempts says. */
	bool in_pause;
	/* What the pause relies on may have changed since: every executor does this one anew until
	 * the pause behind it has come to its end. */
	bool each_time;
	bool has_secrets; /* what it notes for `undo` is in no server's log */
	int (*describe)(struct job *j, const struct migration_step *s, struct step_text *out,
			struct err *e);
	int (*done)(struct job *j, const struct migration_step *s, bool *is_done, struct err *e);
	/* What `undo` needs to know and `act` destroys; *json is the engine's to free. */
	int (*before)(struct job *j, const struct migration_step *s, char **json, struct err *e);
	int (*act)(struct job *j, const struct migration_step *s, struct err *e);
	int (*undo)(struct job *j, const struct migration_step *s, struct err *e);
};

/* ---- what a kind gives ---- */

enum check_severity { CHECK_INFO, CHECK_WARN, CHECK_ERROR };

/* plan_add() and checks_add() copy their strings; the number of the step is returned. */
struct plan;
int plan_add(struct plan *p, const struct step_def *def, const char *place, const char *label,
	     const char *args_json);
struct checks;
void checks_add(struct checks *c, enum check_severity severity, const char *check,
		const char *object, const char *detail, const char *fix);

/* A table for SHOW; columns: migration/topics.h. */
struct rows_sink {
	void (*row)(void *arg, const char *const *values, size_t n); /* NULL: SQL NULL */
	void *arg;
};

enum show_topic {
	SHOW_TABLES,
	SHOW_SEQUENCES,
	SHOW_LAG,
	SHOW_SESSIONS,
	SHOW_IMPACT,
	SHOW_MATRIX,
};

struct kind {
	enum migration_kind id;
	const struct step_def *const *defs; /* NULL-terminated */
	/* Name the places of the job (job_add_place()): the first is where the control schema is.
	 */
	int (*resolve)(struct job *j, struct err *e);
	/* The preflight, and the guards in front of a phase. -1 and *e: it could not be asked. */
	int (*check)(struct job *j, enum migration_phase before, struct checks *out, struct err *e);
	/* Asks catalogs; changes nothing. */
	int (*plan)(struct job *j, struct plan *out, struct err *e);
	int (*show)(struct job *j, enum show_topic topic, const struct rows_sink *out,
		    struct err *e);
	/* Asked before an ABORT takes anything back: -1 and *e where it could not be taken back,
	 * and nothing is. NULL: it always can. */
	int (*may_abort)(struct job *j, bool is_forced, struct err *e);
	/* Asked before a phase begins, and before each try of what stands between freeze and
	 * switch: -1 and *e where it is not the time. NULL: it always is. */
	int (*may_begin)(struct job *j, enum migration_phase phase, struct err *e);
	/* VERIFY; NULL: 0A000. */
	int (*verify)(struct job *j, const char *table, const struct rows_sink *out, struct err *e);
	/* Called once a second for a migration that rests behind DATA or FINALIZE, by the watcher
	 * of its home: why it cannot go on any more; nothing is put where it can. is_final: that
	 * will not come right by itself. NULL: it always can. */
	int (*stalled)(PGconn *home, const struct migration *m, bool *is_final, struct buf *out,
		       struct err *e);
};

extern const struct kind kind_move, kind_regions, kind_distribute, kind_files;

/* ---- what the engine gives (migration/job.c) ---- */

/* "source", "target", a region's name …: a node and a database. */
int job_add_place(struct job *j, const char *place, const struct site_node *n, const char *dbname,
		  struct err *e);
/* A connection to it, made where there is none, with its meridian.lease held by us where the
 * schema is there already. Borrowed; lost ones are made anew. NULL and *e. */
PGconn *job_db(struct job *j, const char *place, struct err *e);
/* Another one, the caller's (PQfinish), also to another database of that node (NULL: the same). */
PGconn *job_db_new(struct job *j, const char *place, const char *dbname, struct err *e);
const struct site_node *job_node(const struct job *j, const char *place);
const char *job_dbname(const struct job *j, const char *place);
/* A connection string for a program that we start (pg_dump): with the application_name by which a
 * new executor ends what an old one left. */
char *job_conninfo(struct job *j, const char *place, const char *dbname);
/* First in each transaction of your own that changes something: -1 (MR007) where the lease is not
 * ours any more. `c` is a connection to a database with a control schema. Class T: was done. */
int job_check_lease(struct job *j, PGconn *c, struct err *e);
/* The migration's rows live in that place from now on (it has the control schema): after the
 * decision, and back after REVERSE's. */
int job_set_home(struct job *j, const char *place, struct err *e);

/* What a kind keeps between steps in this process: n zeroed bytes when first asked for, the same
 * ones afterwards. `fini` is called when the job ends (also on shutdown), then they are freed. */
void *job_memory(struct job *j, size_t n, void (*fini)(void *memory));

int job_id(const struct job *j);
const char *job_database(const struct job *j);
const struct spec *job_spec(const struct job *j); /* the CREATE as it was read */
/* The value of an option, its default where it was not given; never NULL. */
const char *job_option(const struct job *j, const char *name);
bool job_option_is(const struct job *j, const char *name, const char *value);
int64_t job_option_usec(const struct job *j, const char *name);
int64_t job_option_int(const struct job *j, const char *name); /* also bytes */
const struct site *job_site(const struct job *j);
uint64_t job_attempt(const struct job *j); /* the token of our lease: grows with each executor */
enum migration_state job_state(const struct job *j);
/* Whether that step is done, by its definition's name and label (NULL: the first). */
bool job_step_done(const struct job *j, const char *name, const char *label);

/* An event for the journal and for FOLLOW; detail is JSON or NULL. */
void job_event(struct job *j, const char *event, const char *detail_json);
/* The line that SHOW MIGRATIONS has in `detail`, and a NOTICE for commands that wait. */
void job_progress(struct job *j, int percent, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void job_notice(struct job *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Call it in long waits of `act`, at least every 100 ms: -1 and *e where the step is to stop: the
 * lease is lost, PAUSE, ABORT, shutdown, the command is cancelled. */
int job_check_stop(struct job *j, struct err *e);
/* job_check_stop() and a pause of so long. */
int job_sleep(struct job *j, int64_t usec, struct err *e);
/* One simple query that may take long: job_check_stop() meanwhile, and the statement is cancelled
 * where that says stop. */
int job_run(struct job *j, PGconn *c, const char *sql, struct err *e);
int job_runf(struct job *j, PGconn *c, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for a query that was sent: the first result with rows is *out (may be NULL), the
 * caller's to clear. `look` (may be NULL) is called every two seconds. */
int job_finish(struct job *j, PGconn *c, PGresult **out, void (*look)(void *arg), void *arg,
	       struct err *e);
/* Run with lock_timeout and come back on 55P03/40P01 with a growing pause, as often as the options
 * lock_timeout and retries say; the statements are one transaction. */
int job_exec_retry(struct job *j, PGconn *c, const char *sql, struct err *e);
/* Kept with the step's row (JSON), for `undo`; committed at once (class I, R) or with it (T). */
int job_note_undo(struct job *j, const char *json, struct err *e);
/* A gate: the step waits until ACK MIGRATION m <guard> was said; state waiting-ack meanwhile. */
int job_wait_ack(struct job *j, const char *guard, const char *what, struct err *e);
bool job_was_acked(const struct job *j, const char *guard);
/* FORCE (guard, …) of the RUN that is under way names it. */
bool job_is_forced(const struct job *j, const char *guard);
/* The state that SHOW shows while the phase waits for something outside (STATE_WAITING_NODES), and
 * back (the phase's own); and STATE_SWITCHED when it was decided. */
int job_set_state(struct job *j, enum migration_state s, struct err *e);

#endif
