/* SPDX-License-Identifier: PostgreSQL
 *
 * Inside the kind `files`: what its steps, checks and plan share. A place of the job is a region,
 * by its name; the first one is the migration's home.
 */
#ifndef MIGRATION_FILES_FILES_INT_H
#define MIGRATION_FILES_FILES_INT_H

#include "migration/files/history.h"
#include "migration/files/stmt.h"
#include "migration/files/tree.h"
#include "migration/kind.h"

/* Names of steps. */
#define STEP_STORE         "store"
#define STEP_HISTORY       "history"
#define STEP_ADOPT         "adopt"
#define STEP_CANARY        "apply_canary"
#define STEP_CANARY_WINDOW "canary_window"
#define STEP_APPLY         "apply"

/* What FORCE may name. */
#define FORCE_CHANGED "changed_since_plan"
#define FORCE_REPEAT  "repeat_unknown"
#define FORCE_APPLIED "unknown_is_applied"

/* ---- files_regions.c ---- */

struct file_region {
	char *name;
	PGconn *db;      /* borrowed; NULL: it could not be asked */
	bool is_standby; /* gets what is done by replication */
	bool is_canary;
	int version;
	struct history history;
	struct strlist publishers; /* regions whose logical replication it receives */
	struct err why;            /* db NULL */
};

struct file_regions {
	struct file_region *v; /* the canary first, then as was ordered */
	size_t n;
};

/* The places of the job, in order. */
int regions_resolve(struct job *j, struct err *e);
void regions_names(struct job *j, struct strlist *out);
/* Read each region; one that cannot be reached has the reason in its .why. */
void regions_ask(struct job *j, struct file_regions *out);
void regions_fini(struct file_regions *r);
/* A region that writes, and is not only sent what others write. */
bool region_takes_files(const struct file_region *r);
bool regions_are_linked(const struct file_regions *r);
/* In which order a file visits them; `order` has n indexes. */
void regions_order(const struct file_regions *r, unsigned way, size_t *order);

/* ---- files_texts.c ---- */

/* What this process keeps of a job. */
struct files_memory {
	struct tree disk; /* the files, as they were when first looked at */
	bool is_read, is_bad;
	struct err why;
};

struct files_memory *files_memory(struct job *j);

/* As they are on disk now; borrowed from the job's memory. NULL and *e: they cannot be read. */
const struct tree *files_tree(struct job *j, struct err *e);
/* What is to be carried out under that name in that region: the file on disk, or, where there is no
 * such directory, as it was kept in meridian.file. *out is the caller's to fini. -1 and *e: 55000
 * with the difference where it is another one than has been carried out already. */
int files_text(struct job *j, const struct migration_step *s, struct sqlfile *out, struct err *e);
/* 55000: it was carried out as `row` says, and is another one now. */
int files_changed(const struct history_row *row, const char *region, const struct sqlfile *now,
		  struct err *e);
/* The directory is on another proxy's host (*why says so), and the files are kept in the home. */
bool files_are_stored(struct job *j, const struct err *why);
/* The file of a step for people: on disk, or as it was kept; false: nowhere. */
bool files_look(struct job *j, const char *name, struct sqlfile *out);

/* ---- files_run.c ---- */

enum file_mode { FILE_TRANSACTION, FILE_STATEMENTS };

/* `version`: server_version_num. */
enum file_mode files_mode(struct job *j, const struct script *s, int version);
/* Whether that server takes the statement in no transaction. */
bool files_is_alone(const struct script_statement *st, int version);
/* -1 and *e: a statement that cannot be carried out that way: it ends the transaction, cannot be in
 * one, or is psql's. */
int files_may_run(const struct script *s, enum file_mode mode, int version, struct err *e);
/* One statement, with an eye on the job; rows are dropped. */
int files_run(struct job *j, PGconn *c, struct slice sql, struct err *e);
/* BEGIN, as ourselves whatever the file has set, and with the lease in our hands. */
int files_begin(struct job *j, PGconn *c, struct err *e);
/* Our own rights in an open transaction. */
int files_ourselves(PGconn *c, struct err *e);
/* Whether a failed try is worth another one; pauses. -1 and *e: no, *e as it was (or the reason to
 * stop). */
int files_again(struct job *j, int attempt, struct err *e);
/* The end of a transaction that files_begin() began and that makes one change: COMMIT, or ROLLBACK
 * where the change has failed (rc -1, *e) or cannot be committed. */
int files_end(PGconn *c, int rc, struct err *e);
/* ROLLBACK where a transaction is open. */
void files_roll_back(PGconn *c);
/* A connection of our own for one file, with lock_timeout set. */
PGconn *files_connect(struct job *j, const char *place, struct err *e);
/* BEGIN … COMMIT around a file that is a transaction anyway. */
bool files_is_wrapper(const struct script *s, size_t i);

enum outcome { OUTCOME_NOT_DONE, OUTCOME_DONE, OUTCOME_UNKNOWN };

/* Whether a statement that was begun has been carried out. */
int outcome_ask(PGconn *c, const struct script_statement *st, enum outcome *out, struct err *e);
/* Away with what a failed one has left behind (an invalid index), and what it could not finish. */
int outcome_clean(struct job *j, PGconn *c, const struct script_statement *st, struct err *e);

/* ---- apply.c ---- */

int apply_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e);
int apply_act(struct job *j, const struct migration_step *s, struct err *e);
int apply_undo(struct job *j, const struct migration_step *s, struct err *e);
int files_may_abort(struct job *j, bool is_forced, struct err *e);

/* ---- adopt.c ---- */

int adopt_act(struct job *j, const struct migration_step *s, struct err *e);
int adopt_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e);
/* The names of files that the tool says are applied in that database. */
int adopt_list(PGconn *c, const char *tool, const struct tree *t, struct strlist *out,
	       struct err *e);

/* ---- files_check.c, lint_facts.c, files_plan.c ---- */

int files_check(struct job *j, enum migration_phase before, struct checks *out, struct err *e);
void files_lint(struct job *j, const struct tree *t, const struct file_regions *regions,
		struct checks *out);
/* Whether that region needs that file, for the plan. */
bool files_is_pending(struct job *j, const struct file_region *r, const char *file);

#endif
