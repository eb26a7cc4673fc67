/* SPDX-License-Identifier: PostgreSQL
 *
 * The control schema `meridian` in the databases that a migration concerns: what was ordered, the
 * steps and what became of them. Rows of a migration are identified by its uuid; the number is for
 *people (and the advisory lock). The first place of the job is the migration's home; other places
 *have copies (is_home false), of which the one with the highest rev is the newest. Plain SQL, so
 *that CockroachDB takes it too. Functions wait, on a connection of migration/db.h.
 *
 *	meridian.version    (version)
 *	meridian.migration  (uuid, id, name, …: struct migration)
 *	meridian.step       (uuid, n, mig, name, phase, class, place, label, args, state, attempt,
 *			     before, undo, started, ended, error)
 *	meridian.journal    (uuid, seq, mig, at, actor, event, detail)       migration/journal.h
 *	meridian.lease      (uuid, mig, token, owner, proxy, heartbeat)      migration/lease.h
 *	meridian.marker     (mig, kind, at, payload)                         move's; published
 *	meridian.authority  (db, epoch, writable, decision, serves, newdb)   one truth per node
 *	meridian.proxy      (id, addr, region, heartbeat, frozen_for, …)     migration/watch.h
 *	meridian.freeze, meridian.freeze_ack, meridian.straggler             migration/fleet.h
 *	meridian.redirect   (uuid, proxy, addr, usr, application, …)         migration/redirect.h
 *	meridian.history, meridian.file                                      files/history.h
 */
#ifndef MIGRATION_STORE_H
#define MIGRATION_STORE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "migration/kind.h"
#include "migration/types.h"

/* Grows with every change of a table: the schema of another version is refused, not guessed at. */
#define STORE_VERSION 2
#define UUID_SIZE     37

/* One row. Strings are its own, never NULL ("" where there is none) unless it says so. */
struct migration {
	char uuid[UUID_SIZE];
	int id;
	char *name;
	enum migration_kind kind;
	char *database;
	char *src, *dst, *newdb; /* move; "" else */
	char *spec;              /* all that stood behind CREATE MIGRATION */
	char *options;           /* JSON object of what WITH and SET said */
	enum migration_state state;
	int phase;       /* enum migration_phase that runs or ran last; -1: none yet */
	int step_n;      /* the step under way or the last one; 0: none yet */
	char *step;      /* its name and label */
	int progress;    /* percent; -1: not known */
	char *detail;    /* what is going on, one line */
	char *error;     /* of the state `error`, with its SQLSTATE in front: "55P03: …" */
	char *checks;    /* JSON array of {severity, check, object, detail, fix} */
	char *plan_hash; /* of the frozen plan; "": there is none */
	char *run;       /* JSON: what RUN asked for last (migration/engine.h) */
	char *acks;      /* JSON object: guard -> what was said */
	char *request;   /* for the executor, wherever it is: "", "pause", "abort" */
	bool is_home;
	int64_t rev;
	char *created_by, *created_at, *finished_at; /* times as text of the server, "" */
};

/* All strings "", state created, progress -1, a new uuid. */
void migration_init(struct migration *m);
void migration_fini(struct migration *m);
void migration_copy(struct migration *to, const struct migration *from);

/* Whether this database has a control schema (a half made one is none). -1 and *e (0A000): one of
 * another version. */
int store_exists(PGconn *c, bool *out, struct err *e);
/* Make it, or what is missing of it; harmless when it is there. */
int store_create(PGconn *c, struct err *e);

/* A new row (the caller chose id and uuid); 42710 where the id or the name of one that is not over
 * is taken. */
int store_insert(PGconn *c, const struct migration *m, struct err *e);
/* 1, 0: there is none; -1 and *e. */
int store_load(PGconn *c, const char *uuid, struct migration *out, struct err *e);
/* Each migration of this database, by number. */
int store_list(PGconn *c, void (*each)(void *to, const struct migration *m), void *to,
	       struct err *e);
/* The copy of another place: everything of the row, inserted or replaced where rev is older. */
int store_mirror(PGconn *c, const struct migration *m, struct err *e);

/* Columns of the row; each makes rev grow. The console may call these for itself. */
int store_set_state(PGconn *c, const char *uuid, enum migration_state s, const char *error,
		    struct err *e);
int store_set_options(PGconn *c, const char *uuid, const char *options_json, struct err *e);
int store_set_checks(PGconn *c, const char *uuid, const char *checks_json, struct err *e);
int store_set_request(PGconn *c, const char *uuid, const char *request, struct err *e);
/* The line of what is going on, of a row that is as it was read: 1; 0: it has changed since. */
int store_set_detail(PGconn *c, const struct migration *m, const char *detail, struct err *e);
int store_ack(PGconn *c, const char *uuid, const char *guard, const char *text, struct err *e);

/* ---- steps ---- */

/* A row of meridian.step as it is, without the kind's definition; for SHOW … STEPS. */
struct step_row {
	int n;
	char *name, *phase, *class, *place, *label;
	char *args; /* NULL: none */
	enum step_state state;
	int attempt;
	char *before, *undo;           /* NULL: none */
	bool has_secrets;              /* as struct step_def; not read */
	char *started, *ended, *error; /* "" */
};

struct step_rows {
	struct step_row *v;
	size_t n;
};

void step_rows_fini(struct step_rows *rows);
int store_steps(PGconn *c, const char *uuid, struct step_rows *out, struct err *e);
/* One row: 1, 0 there is none, -1. */
int store_step(PGconn *c, const char *uuid, int n, struct step_row *out, struct err *e);
void step_row_fini(struct step_row *r);
/* The frozen plan, and its hash in the migration's row; one transaction. Only where there is none.
 */
int store_freeze_plan(PGconn *c, const struct migration *m, const struct step_rows *rows,
		      const char *hash, struct err *e);
/* Away with it: nothing of it was begun, and another one is to be made. */
int store_thaw_plan(PGconn *c, const struct migration *m, struct err *e);

/* ---- the executor's writes: one statement each, refused (LEASE_LOST) without the lease ---- */

struct lease;

enum step_clock { CLOCK_KEEP, CLOCK_STARTS, CLOCK_ENDS };

struct store_change {
	const struct step_row *step; /* upserted; NULL: none */
	enum step_clock clock;       /* of the step */
	/* Columns state, phase, step_n, step, progress, detail, error, run and is_home of the row.
	 */
	bool row;
	const char *actor, *event, *detail; /* the journal's; event NULL: none */
};

int store_write(PGconn *c, const struct migration *m, const struct lease *l,
		const struct store_change *ch, struct err *e);
/* The step's row alone, in a transaction that has checked the lease, or at a place that is not the
 * home. */
int store_put_step(PGconn *c, const struct migration *m, const struct step_row *r,
		   enum step_clock clock, struct err *e);

#endif
