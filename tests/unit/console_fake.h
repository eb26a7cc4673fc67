/* SPDX-License-Identifier: PostgreSQL
 *
 * A process that is not there, for tests of the console: workers, sessions and a control thread
 * that live in one struct, with letters that are delivered when the test says so. Stands in at link
 * time for proxy/workers.c, proxy/control.c, proxy/process/world.c and proxy/session.
 */
#ifndef TESTS_UNIT_CONSOLE_FAKE_H
#define TESTS_UNIT_CONSOLE_FAKE_H

#include "base/ev/mailbox.h"
#include "proxy/admin/console.h"
#include "proxy/move/migrations.h"
#include "proxy/pool/pool.h"
#include "proxy/process/control.h"
#include "proxy/process/meridian.h"
#include "proxy/process/stats.h"
#include "proxy/process/worker.h"
#include "proxy/process/world.h"
#include "proxy/session/session.h"

#define FAKE_WORKERS 2
#define FAKE_LETTERS 64

struct fake;

struct session {
	struct session_facts facts;
	struct claims claims;
	enum why closed;
};

struct worker {
	struct fake *fake;
	int id;
	struct stats stats;
	struct session *sessions; /* by slot; id 0: free */
	unsigned nslots;
};

struct control {
	struct fake *fake;
	struct control_request last; /* as it came */
	struct err refuse;           /* msg not empty: the answer to the next request */
};

/* The last command about migrations. */
struct migration_call {
	char asked[512]; /* verb and arguments */
	struct call_item *first, **last;
	bool over, failed, dropped;
	struct err err;
	void (*wake)(void *arg);
	void *arg;
};

struct fake {
	struct migration_call call;
	struct meridian meridian;
	struct worker workers[FAKE_WORKERS];
	struct worker *pointers[FAKE_WORKERS];
	struct control control;
	struct world world;
	struct pool_list pools; /* of every worker: none */
	struct {
		struct letter *letter;
		struct worker *to;
	} letters[FAKE_LETTERS];
	unsigned nletters;

	/* the console's client */
	struct console *console;
	struct buf got;
	bool full;   /* what send() answers: !full */
	bool closed; /* the console asked for it */
	unsigned sends;
};

/* Two workers; three regions (us-east1 with two nodes, us-west1, europe-west1), a database movr. */
struct fake *fake_new(void);
void fake_free(struct fake *f);
/* `n` sessions on each worker; ids 1, 3, 5 … on the first, 2, 4, 6 … on the second. */
void fake_sessions(struct fake *f, unsigned n);
void fake_open(struct fake *f, enum privilege privilege);
/* Deliver one letter; false where there was none. */
bool fake_deliver(struct fake *f);
/* Deliver letters until there are none. */
void fake_settle(struct fake *f);
/* What the thread of a command says: values are separated by '|', "-" is NULL. */
void fake_say_row(struct fake *f, const char *values);
void fake_say_notice(struct fake *f, const char *text);
void fake_say_line(struct fake *f, const char *text);
void fake_call_ends(struct fake *f, const char *sqlstate, const char *error); /* NULL: well */
/* Messages of the console as short text, and forget them. */
void fake_print(struct fake *f, struct buf *out);
/* Only their types. */
void fake_types(struct fake *f, struct buf *out);

#endif
