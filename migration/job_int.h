/* SPDX-License-Identifier: PostgreSQL
 *
 * struct job, and the executor that runs one: shared by job.c (places, options), executor_job.c
 * (what a step asks of the engine while it works), heartbeat.c (the second thread), step.c (one
 * step), group.c (the steps of the pause), executor.c (the thread) and migrations.c. A job belongs
 * to one thread; what the heartbeat's thread shares with it stands in struct heartbeat.
 */
#ifndef MIGRATION_JOB_INT_H
#define MIGRATION_JOB_INT_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "migration/engine.h"
#include "migration/grammar.h"
#include "migration/lease.h"
#include "migration/migrations_int.h"

struct place {
	char *name;
	struct site_node node;
	char *dbname;
	PGconn *c;       /* NULL: none now */
	bool is_evicted; /* the backends of older executors have been ended there */
	bool is_claimed; /* the connection has found, or made, our lease */
};

struct job {
	struct migrations *ms;
	const struct site *site;
	const struct kind *kind;
	struct migration m;
	struct spec spec;
	json_t *options; /* of m.options */
	json_t *retired; /* older ones: their strings were lent */
	struct place *places;
	size_t nplaces, home;
	struct plan plan;
	bool is_frozen;
	struct migration_step *now;      /* that runs */
	bool in_group;                   /* … between freeze and switch */
	bool in_transaction;             /* … of class T */
	bool is_read_only;               /* its connections refuse to write */
	struct executor *x;              /* NULL: of a command */
	bool (*is_cancelled)(void *arg); /* of a command; may be NULL */
	void *cancel_arg;
	int others;        /* proxies of the fleet, as they were counted … */
	int64_t others_us; /* … then; 0: never */
	void *memory;      /* the kind's: job_memory() */
	void (*memory_fini)(void *memory);
};

/* Why an executor is to stop. */
enum stop { STOP_NO, STOP_PAUSE, STOP_ABORT, STOP_SHUTDOWN, STOP_LOST, STOP_DEADLINE };

struct event {
	struct event *next;
	char *event, *detail;
};

/* A thread with a connection to the home, which writes the heartbeat and what need not be waited
 * for, and reads what others have ordered. All under the lock but the connection, which is the
 * thread's own. */
struct heartbeat {
	pthread_t thread;
	bool is_started;
	pthread_mutex_t lock, writing; /* writing: one thread writes events at a time */
	pthread_cond_t cond;
	PGconn *c;
	atomic_int pid; /* of its server process */
	bool is_over;
	bool home_moved; /* connect to the new home */
	int64_t last_us; /* the last good heartbeat, by clock_us() */
	bool is_lost;
	struct event *first, **last;
	int percent;
	char *detail; /* progress */
	char request[16];
	char *acks, *options; /* as they were read last; NULL: not yet */
	bool options_new;
};

struct executor {
	struct executor *next;
	struct job *j;
	struct lease lease;
	int64_t higher_token; /* found at another place; 0: none */
	struct heartbeat heartbeat;
	pthread_t thread;
	enum run_what what;
	enum migration_phase phase;
	int step;
	int64_t deadline_us; /* by clock_us(); 0: none */
	char *force;
	bool is_forced;
	char *actor;
	enum stop stop;   /* why job_check_stop() failed */
	bool is_decided;  /* only a lost lease stops it any more */
	atomic_int order; /* enum stop, of this process */
	/* The command that started it waits for this. */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	enum { EXECUTOR_STARTS, EXECUTOR_RUNS, EXECUTOR_FAILED } started;
	struct err why;
	atomic_bool is_over; /* the thread may be joined once no command waits for `started` */
	atomic_int waiters;
	atomic_bool force_abort;   /* of an ABORT that came later */
	struct control_db *places; /* of the job, for migrations_stop() */
	size_t nplaces;
};

/* ---- job.c ---- */
struct place *job_place(const struct job *j, const char *name);
/* On the executor's thread: the connection of the home. */
PGconn *job_home(struct job *j, struct err *e);
/* The options as a text has them from now on. */
void job_load_options(struct job *j, const char *json);
/* End every other executor's backends on each place that can be reached, and write our token there.
 */
int job_claim_places(struct job *j, struct err *e);

/* ---- heartbeat.c ---- */
int heartbeat_start(struct executor *x, PGconn *c, struct err *e);
void heartbeat_stop(struct heartbeat *b);
void heartbeat_add_event(struct heartbeat *b, const char *event, const char *detail);
/* Write the events that wait on the caller's connection. */
void heartbeat_write_events(struct executor *x, PGconn *c);

/* ---- executor_job.c ---- */
/* A row of the journal and columns of the migration's row, now. */
int job_write(struct job *j, const struct store_change *ch, struct err *e);
int job_enter(struct job *j, enum migration_state s, struct err *e);
char *json_text(json_t *take_json);

/* ---- step.c ---- */
/* Its strings are the step's. */
struct step_row step_row_of(const struct migration_step *s);
int steps_load(struct job *j, struct err *e);
int steps_freeze(struct job *j, struct err *e);
int step_run(struct job *j, struct migration_step *s, struct err *e);
int step_undo(struct job *j, struct migration_step *s, struct err *e);
/* The step's row and the migration's, with an event (NULL: none) of the step; `more`: members for
 * its detail. */
int step_write(struct job *j, struct migration_step *s, enum step_clock clock, const char *event,
	       json_t *take_more, struct err *e);
/* Whether the decision was made: the databases are asked. */
int steps_decided(struct job *j, bool *is_decided, struct err *e);
void crash_point(const struct job *j, const char *step, const char *where);

int step_undo_act(struct job *j, struct migration_step *s, struct err *e);

/* ---- group.c: the steps between freeze and switch ---- */
size_t group_end(const struct plan *p, size_t first);
/* Whether step i, which an earlier executor has finished, is to be done anew (each_time). */
bool group_repeats(const struct plan *p, size_t i);
int group_run(struct job *j, size_t first, size_t end, struct err *e);
/* What an executor that died left: forward where it was decided, else back. */
int group_recover(struct job *j, bool *is_decided, struct err *e);

/* ---- executor.c ---- */
void *executor_main(void *arg);

#endif
