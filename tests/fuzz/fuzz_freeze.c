/* SPDX-License-Identifier: PostgreSQL
 *
 * The life of sessions while migrations move their databases from one region to another
 * (migration/gate.h): the steps of stage.h, and what a migration asks for, in any order. Whoever is
 * told later is told once.
 */
#include "config.h"

#include "tests/fuzz/stage.h"

#include "protocol/message.h"
#include "proxy/move/cutover.h"
#include "proxy/move/errand.h"
#include "proxy/move/pause.h"
#include "proxy/move/pauses.h"
#include "proxy/move/straggle_int.h"
#include "proxy/session/session_int.h"

/* What the databases of stage.c are, each with its migration: trust, SCRAM, and pools. */
static const char *const databases[] = { "t", "s", "p", "q" };

enum { NDATABASES = sizeof(databases) / sizeof(databases[0]), TOLD_MAX = 8 };

static struct cutover cutovers[NDATABASES];
static unsigned later;             /* calls of ready() that are owed */
static bool switching[NDATABASES]; /* over() is owed */
static struct gate_counts counts[NDATABASES];
static int64_t epoch;

static unsigned
take(struct play *y, unsigned n)
{
	unsigned value = y->rest.n > 0 ? (uint8_t)y->rest.p[0] % n : 0;

	y->rest = slice_skip(y->rest, 1);
	return value;
}

/* The next byte says which database's. */
static unsigned
which(struct play *y)
{
	unsigned i = take(y, NDATABASES);
	const struct gate_move m = {
		.migration = (int)i + 1, .database = databases[i], .from = "near", .to = "far"
	};

	cutover_init(&cutovers[i], &m);
	return i;
}

static void
ready(void *arg)
{
	(void)arg;
	FUZZ_ASSERT(later > 0);
	later--;
}

static void
over(void *arg)
{
	bool *is_under_way = arg;

	FUZZ_ASSERT(*is_under_way);
	*is_under_way = false;
}

/* ---- what a migration asks for ---- */

static bool
freeze_here(struct errand *e, struct control *c)
{
	const struct cutover *to = errand_what(e);

	return !paused_freeze(&c->paused, &to->from, 0, e);
}

static void
do_freeze(struct play *y)
{
	struct cutover *c = &cutovers[which(y)];
	struct errand *e = errand_new(&y->p->process, c, NULL);

	errand_to_control(e, freeze_here);
	errand_unref(e);
	stage_turn(y);
}

static void
do_warm(struct play *y)
{
	cutover_warm(y->p->worker, &cutovers[which(y)]);
}

static void
do_carry(struct play *y)
{
	const struct cutover *c = &cutovers[which(y)];
	struct gate_counts n = { 0 };

	cutover_count(y->p->worker, c, &n);
	FUZZ_ASSERT(n.open <= n.sessions);
	cutover_carry(y->p->worker, c);
	(void)cutover_is_carrying(y->p->worker, c);
}

static void
do_seize(struct play *y)
{
	unsigned n;

	later += 1000; /* one may be ready before all were counted */
	n = cutover_seize(y->p->worker, &cutovers[which(y)], ready, NULL);
	later += n - 1000;
}

static void
do_settle(struct play *y)
{
	struct gate_straggler v[TOLD_MAX];
	size_t n = cutover_list_stragglers(y->p->worker, &cutovers[which(y)], v, TOLD_MAX);
	unsigned waiting;

	FUZZ_ASSERT(n <= TOLD_MAX);
	for (size_t i = 0; i < n; i++)
		v[i].outcome = (int)take(y, 3);
	later += 1000;
	waiting = cutover_settle(y->p->worker, v, n, ready, NULL);
	later += waiting - 1000;
}

static void
serve(struct play *y, const char *database, const char *place)
{
	struct control *c = y->p->process.control;

	FUZZ_ASSERT(steer_serve(&c->steer, database, place, "", ++epoch));
	control_publish(c, true);
}

static void
do_serve(struct play *y)
{
	unsigned i = which(y);

	serve(y, databases[i], take(y, 2) != 0 ? "near" : "far");
	stage_turn(y);
	if (!paused_is_frozen(&y->p->process.control->paused, databases[i]))
		cutover_follow(y->p->worker, &cutovers[i]);
}

static void
do_switch(struct play *y)
{
	unsigned i = which(y);

	if (switching[i])
		return;
	switching[i] = true;
	counts[i] = (struct gate_counts){ 0 };
	if (cutover_switch(y->p->worker, &cutovers[i], &counts[i], over, &switching[i]))
		switching[i] = false;
}

static void
do_thaw(struct play *y)
{
	const struct cutover *c = &cutovers[which(y)];

	cutover_forget(y->p->worker, c);
	paused_thaw(&y->p->process.control->paused, &c->from, "over");
}

/* Half a second for a ROLLBACK, and for the end of a server process, is over. */
static void
do_lose_patience(struct play *y)
{
	struct worker *w = y->p->worker;

	for (unsigned i = 0; i < worker_nslots(w); i++) {
		struct session *s = worker_session_at(w, i);

		if (s != NULL && s->straggle != NULL && evtimer_pending(&s->straggle->timer, NULL))
			event_active(&s->straggle->timer, EV_TIMEOUT, 0);
	}
	stage_turn(y);
}

/* ---- what a client and its node say, in short ---- */

static void
do_query(struct play *y)
{
	static const char *const texts[] = { "BEGIN",       "COMMIT",   "ROLLBACK", "SELECT 1",
					     "SET a.b = 1", "LISTEN x", "" };
	struct buf b = { .cap = 256 };

	message_put_query(&b, slice_str(texts[take(y, sizeof(texts) / sizeof(texts[0]))]));
	stage_put(y->client, b.p, b.n);
	buf_fini(&b);
}

static void
do_answer(struct play *y)
{
	struct buf b = { .cap = 256 };

	message_put_command_complete(&b, "SELECT 1");
	message_put_ready(&b, "ITE"[take(y, 3)]);
	stage_put(*stage_newest_node(y), b.p, b.n);
	buf_fini(&b);
}

static void
clear(struct play *y)
{
	for (unsigned i = 0; i < NDATABASES; i++) {
		y->rest = slice_of((const char[]){ (char)i }, 1);
		do_thaw(y);
		serve(y, databases[i], "");
	}
	y->rest = slice_of("", 0);
	stage_turn(y);
	FUZZ_ASSERT(!paused_any(&y->p->process.control->paused) && pause_count(y->p->worker) == 0);
}

static stage_step *const steps[] = {
	stage_connect,    stage_client_bytes, stage_node_bytes,    stage_startup_of, stage_ready,
	stage_prove,      stage_turn,         stage_read,          do_freeze,        do_warm,
	do_carry,         do_seize,           do_settle,           do_serve,         do_switch,
	do_thaw,          do_query,           do_answer,           do_query,         do_answer,
	do_query,         do_answer,          stage_fatal,         stage_kill,       stage_deadline,
	stage_half_close, stage_node_leaves,  stage_client_leaves, stage_new_world,  stage_ready,
	stage_flood,      stage_startup_of,
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stage stage = { .steps = steps,
					    .nsteps = sizeof(steps) / sizeof(steps[0]),
					    .has_far = true,
					    .clear = clear,
					    .no_patience = do_lose_patience };

	stage_play(data, size, &stage);
	FUZZ_ASSERT(later == 0);
	for (unsigned i = 0; i < NDATABASES; i++)
		FUZZ_ASSERT(!switching[i]);
	return 0;
}
