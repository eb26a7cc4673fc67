/* SPDX-License-Identifier: PostgreSQL
 *
 * The prober against a server made for the test, which hangs, refuses, talks nonsense, or stands in
 * for Citus and CockroachDB: it speaks just enough of the protocol to log in and to answer one row.
 */
#ifndef TESTS_UNIT_PROBE_FAKE_H
#define TESTS_UNIT_PROBE_FAKE_H

#include <event2/bufferevent.h>
#include <event2/event_struct.h>
#include <event2/listener.h>

#include "base/clock.h"
#include "base/ev/loop.h"
#include "routing/watch/probe.h"

#define MS USEC_PER_MSEC

#define CONNINFO "user=x sslmode=disable"

enum manner { SILENT, ANSWERS, HANGS_UP, NONSENSE, SPEAKS };

/* What the server is and does; `row` answers the questions, cells separated by '|', "" is NULL. */
struct fake {
	struct loop *loop;
	struct evconnlistener *listener;
	struct bufferevent *peers[64];
	unsigned npeers, connections, queries;
	unsigned leave_after; /* hang up at the n-th question; 0: never */
	uint16_t port;
	enum manner manner;
	const char *parameter, *value; /* a ParameterStatus at login */
	const char *row;
	const char *error;       /* SQLSTATE instead of the first row */
	const char *login_error; /* SQLSTATE instead of a welcome */
	const char *citus;       /* answer to the question for metadata */
	char last_query[2000];
};

struct world {
	struct loop *loop;
	struct prober *prober;
	struct topology *t;
	struct probe_conf conf;
	struct fake fake;
	struct event timeout, poll;
	bool (*wanted)(struct world *w);
	bool timed_out;
	int changes;
};

void fake_start(struct fake *f, struct loop *l);
/* Every connection is closed. */
void fake_hang_up(struct fake *f);
/* The same, and nobody listens any more. */
void fake_stop(struct fake *f);
struct node *node(struct world *w);
/* A prober with one node, the fake server. */
void start(struct world *w, enum manner manner, const char *conninfo);
/* So many milliseconds, or until `wanted`. */
void run(struct world *w, int ms);
/* Until it is so; a failed test if it never is. */
void run_until(struct world *w, bool (*wanted)(struct world *w));
void stop(struct world *w);
bool is_up(struct world *w);
bool is_down(struct world *w);
bool is_suspect(struct world *w);
bool round_done(struct world *w);

#endif
