/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/straggle.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "migration/types.h"
#include "protocol/aborted.h"
#include "protocol/awaited.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "proxy/pool/ask.h"
#include "proxy/session/pause.h"
#include "proxy/session/pooled.h"
#include "proxy/session/rehome_int.h"
#include "proxy/session/statements.h"
#include "proxy/worker_int.h"

/* Of what a server says behind the client's back; then it is not read. */
#define HELD_MAX ((size_t)1 << 20)
#define SAID_MAX ((size_t)16 * 1024)
/* How long a ROLLBACK may take, and the end of a connection whose server process has gone. */
#define PATIENCE_US (500 * USEC_PER_MSEC)

/* What of a session outlives the end of its transaction on its server, and would be lost with it.
 */
#define EFFECTS_LEFT (EFFECT_ADVISORY | EFFECT_PREPARE | EFFECT_LOAD | EFFECT_SESSION)

enum stage {
	ROLLING,   /* our ROLLBACK is under way */
	SEIZED,    /* what the server says is kept, the client is not read */
	DELIVERED, /* … and has been followed: `said` is what the client would hear */
	ANSWERING, /* the client is answered by us */
	KEEPING,   /* its transaction is over, what it has said since waits */
	REPAYING,  /* the server is told what we have answered for it */
	LOST,      /* nothing is open, but the server has gone */
};

struct straggle {
	struct session *session;
	enum stage stage;
	bool deaf;   /* what the server says is no answer to the client */
	bool lost;   /* it has closed the connection */
	bool doomed; /* what the session had there is gone: it cannot go on without that */
	int outcome;
	struct buf held;         /* SEIZED: of the server, as it came */
	struct buf said;         /* DELIVERED: as the client is to hear it */
	struct buf rest;         /* KEEPING: of the client */
	struct aborted *aborted; /* ANSWERING */
	struct event timer;
	void (*ready)(void *arg);
	void *arg;
};

/* ---- life ---- */

static void straggle_on_timer(evutil_socket_t fd, short what, void *arg);

static struct straggle *
straggle_new(struct session *s, enum stage stage)
{
	struct straggle *st = xcalloc(1, sizeof(*st));

	st->session = s;
	st->stage = stage;
	st->held.cap = st->said.cap = HELD_MAX + WORKER_SCRATCH;
	st->rest.cap = HELD_MAX;
	evtimer_assign(&st->timer, loop_base(s->worker->loop), straggle_on_timer, st);
	s->straggle = st;
	return st;
}

static void
call_ready(struct straggle *st)
{
	void (*ready)(void *arg) = st->ready;

	st->ready = NULL;
	event_del(&st->timer);
	if (ready != NULL)
		ready(st->arg);
}

void
straggle_free(struct straggle *st)
{
	if (st == NULL)
		return;
	call_ready(st);
	st->session->straggle = NULL;
	buf_fini(&st->held);
	buf_fini(&st->said);
	buf_fini(&st->rest);
	if (st->aborted != NULL)
		aborted_fini(st->aborted);
	free(st->aborted);
	loop_defer(st->session->worker->loop, free, st);
}

static void
wait_for(struct straggle *st, void (*ready)(void *arg), void *arg)
{
	static const struct timeval patience = { .tv_usec = PATIENCE_US };

	st->ready = ready;
	st->arg = arg;
	event_add(&st->timer, &patience);
}

/* The client is read, or is not and is gone when the kernel says so. */
static void
read_client(struct session *s, bool read)
{
	short base = (short)(s->client.interest & ~(EV_READ | EV_CLOSED));

	stream_want(&s->client, (short)(base | (read ? EV_READ : EV_CLOSED)));
}

/* ---- the server's part is over ---- */

static bool
text_of(void *arg, struct slice name, struct slice *sql)
{
	struct session *s = arg;

	return s->pooled != NULL && statements_text(s->pooled->statements, name, sql);
}

/* Give up the server connection. */
static void
leave_server(struct straggle *st)
{
	struct session *s = st->session;

	if (s->server == NULL)
		return;
	rehome_drop(s);
	if (s->pooled != NULL) {
		st->doomed = st->doomed || !pooled_forsake(s, EFFECTS_LEFT);
		return;
	}
	/* where it was is where it is, for whoever counts */
	st->doomed = true;
	stream_fini(&s->server->stream);
}

static void
tell_to_reconnect(struct session *s)
{
	struct err e = { 0 };

	err_set(&e, why_get(WHY_MOVED)->sqlstate,
		"the server connection was ended while its database was being moved");
	err_hint(&e, "Reconnect, and try again.");
	session_close_err(s, WHY_MOVED, &e);
}

/* Nothing of the client's is open any more. */
static void
be_done(struct straggle *st)
{
	struct session *s = st->session;
	bool doomed = st->doomed;

	straggle_free(st);
	if (doomed) {
		tell_to_reconnect(s);
		return;
	}
	read_client(s, true);
	if (s->pooled != NULL)
		pooled_resume(s);
}

static void answer_rest(struct straggle *st);

/* The server is not asked any more: what the client awaits is answered, and what it says next. */
static void
begin_answering(struct straggle *st)
{
	struct session *s = st->session;
	struct buf out = { .cap = HELD_MAX };
	char front[SETTINGS_HELD_MAX];
	bool over;

	st->stage = ANSWERING;
	st->aborted = xcalloc(1, sizeof(*st->aborted));
	st->aborted->text_of = text_of;
	st->aborted->arg = s;
	stat_add(&s->worker->stats.aborted, 1);
	log_about(LOG_LEVEL_INFO, session_subject(s),
		  "the transaction was ended: its database is being moved");
	over = aborted_begin(st->aborted, &s->flow, &out);
	flow_restart(&s->flow);
	if (settings_hold(s)) {
		over = false;
		buf_put(&st->rest, front, settings_put_held(s, front));
		settings_forget_held(s);
	}
	if (out.n > 0 && !session_say(s, out.p, out.n)) {
		buf_fini(&out);
		return;
	}
	buf_fini(&out);
	if (over) {
		be_done(st);
		return;
	}
	read_client(s, true);
	if (st->rest.n > 0)
		answer_rest(st);
}

/* ---- taking hold ---- */

static bool
is_idle_in_transaction(const struct session *s)
{
	const struct flow *f = &s->flow;

	return f->pending == 0 && !f->open && !f->reopened && !f->skip &&
	       f->copy == FLOW_COPY_NONE && f->tx != 'I' && f->unsure == 0 &&
	       flow_at_server_boundary(f) && s->server->ask == NULL &&
	       (s->pooled == NULL ||
		(s->pooled->asking == QUESTION_NONE && s->pooled->held.n == 0 &&
		 statements_settled(s->pooled->statements)));
}

static void
on_rolled_back(struct server *sv, const struct ask_answer *a)
{
	struct session *s = sv->session;
	struct straggle *st = s->straggle;

	if (a->lost || a->failed || a->status != 'I') {
		/* it is over all the same: no COMMIT was ever sent */
		st->lost = a->lost;
		sv->close_needed = true;
		leave_server(st);
	}
	call_ready(st);
	begin_answering(st);
	if (s->straggle == st && s->pooled != NULL)
		pooled_settle(s);
}

static void
seize(struct straggle *st)
{
	struct session *s = st->session;
	struct server *sv = s->server;

	st->stage = SEIZED;
	if (sv->ask == NULL)
		return;
	/* a question of ours: the answer is of no use to anyone */
	st->deaf = true;
	ask_free(sv->ask);
	if (s->pooled != NULL) {
		s->pooled->asking = QUESTION_NONE;
		s->pooled->ahead = false;
	}
	stream_want(&sv->stream, (short)(sv->stream.interest | EV_READ));
}

bool
straggle_begin(struct session *s, void (*ready)(void *arg), void *arg)
{
	struct straggle *st;

	if (s->straggle != NULL || s->server == NULL || s->terminated)
		return true;
	st = straggle_new(s, SEIZED);
	read_client(s, false);
	if (!is_idle_in_transaction(s)) {
		seize(st);
		return true;
	}
	st->stage = ROLLING;
	wait_for(st, ready, arg);
	ask_begin_apart(s->server, slice_str("ROLLBACK"), on_rolled_back);
	return false;
}

bool
straggle_tell(const struct session *s, struct gate_straggler *out)
{
	const struct straggle *st = s->straggle;

	if (st == NULL || st->stage != SEIZED || s->server == NULL)
		return false;
	*out = (struct gate_straggler){
		.session = s->id,
		.pid = s->server->pid,
		.in_flight = flow_activity(&s->flow) != FLOW_IN_TRANSACTION &&
			     flow_activity(&s->flow) != FLOW_IN_FAILED_TRANSACTION,
		.outcome = GATE_UNKNOWN,
	};
	out->in_commit = out->in_flight;
	out->in_block = s->flow.tx != 'I';
	return true;
}

/* ---- what became of it ---- */

/* All that the server has said goes its way, but for the last step: what the client is to hear is
 * in `said`. */
static void
deliver(struct straggle *st)
{
	struct session *s = st->session;
	struct buf all = { .cap = HELD_MAX + 2 * WORKER_SCRATCH };
	char front[64];

	st->stage = DELIVERED;
	if (st->deaf)
		return;
	if (s->pooled != NULL)
		buf_put(&all, front, pooled_put_held(s, front));
	buf_slice(&all, buf_view(&st->held));
	if (all.n > 0 && !all.failed)
		relay_from_server(s, all.p, all.n);
	buf_fini(&all);
}

/* Up to where the client may hear it: whole messages, up to the last ReadyForQuery. `rest`: bytes
 * of a message that had begun before. */
static size_t
audible(const struct buf *said, size_t rest, bool *is_ready)
{
	struct slice in = slice_skip(buf_view(said), rest);
	size_t end = rest < said->n ? rest : said->n, at = rest;
	struct frame f;

	*is_ready = false;
	while (frame_cut(in, SIZE_MAX >> 1, &f) == PARSE_DONE) {
		at += f.total;
		in = slice_skip(in, f.total);
		if (f.type == MSG_READY) {
			end = at;
			*is_ready = true;
		}
	}
	return end;
}

static void
close_unknown(struct session *s, bool committed)
{
	struct err e = { 0 };

	err_set(&e, SQLSTATE_OUTCOME_UNKNOWN,
		committed ? "the answer to a statement was lost while its database was moved"
			  : "it is not known what became of the transaction");
	err_detail(&e, "%s",
		   committed ? "It was committed."
			     : "The connection ended while its database was moved.");
	err_hint(&e, "Reconnect, and look before you try again.");
	session_close_err(s, WHY_MOVED, &e);
}

/* All that the client awaits is the answer to one command, in a transaction that was committed: so
 * it was a COMMIT. */
static bool
put_commit(const struct straggle *st, struct buf *out)
{
	const struct session *s = st->session;

	if (st->deaf || flow_pending(&s->flow) != 1)
		return false;
	if (s->awaited != NULL)
		return awaited_put_commit(s->awaited, out);
	if (!flow_awaits_query(&s->flow))
		return false;
	message_put_command_complete(out, "COMMIT");
	message_put_ready(out, 'I');
	return true;
}

static bool
tell_committed(struct straggle *st)
{
	struct session *s = st->session;
	struct buf out = { .cap = 4096 };
	bool known = put_commit(st, &out);

	if (known) {
		leave_server(st);
		flow_restart(&s->flow);
		if (session_say(s, out.p, out.n))
			be_done(st);
	}
	buf_fini(&out);
	return known;
}

static void
conclude(struct straggle *st, bool progress, bool had_begun)
{
	struct session *s = st->session;
	bool in_same = had_begun && s->flow.tx != 'I';

	/* what the migration has found may be of the one before */
	if (progress && !in_same && !flow_is_idle(&s->flow))
		st->outcome = GATE_UNKNOWN;
	if (st->outcome == GATE_ABORTED) {
		leave_server(st);
		begin_answering(st);
	} else if (st->outcome != GATE_COMMITTED || !in_same || !tell_committed(st)) {
		close_unknown(s, st->outcome == GATE_COMMITTED);
	}
}

static void
finish(struct straggle *st)
{
	struct session *s = st->session;
	struct flow before = s->flow;
	size_t rest = s->flow.server.left, n;
	bool is_ready = false, told = false;

	call_ready(st);
	deliver(st);
	if (s->state != SESSION_RELAY)
		return;
	n = audible(&st->said, rest, &is_ready);
	s->fatal_told = false;
	if (n < rest) {
		session_abort(s, WHY_MOVED); /* in the middle of a message: nothing can be said */
		return;
	}
	if (s->awaited != NULL)
		awaited_server(s->awaited, st->said.p, n);
	told = n == 0 || session_say(s, st->said.p, n);
	buf_clear(&st->said);
	if (!told)
		return;
	/* it is between two messages now, whatever came behind */
	s->flow.server = (struct flow_side){ 0 };
	if (!is_ready)
		s->flow.skip = before.skip;
	if ((is_ready || st->deaf) && flow_is_idle(&s->flow)) {
		leave_server(st);
		be_done(st);
	} else {
		conclude(st, is_ready, before.tx != 'I');
	}
}

bool
straggle_settle(struct session *s, int outcome, void (*ready)(void *arg), void *arg)
{
	struct straggle *st = s->straggle;

	if (st == NULL || st->stage != SEIZED)
		return true;
	/* no COMMIT was ever sent */
	st->outcome = flow_owes(&s->flow) ? outcome : GATE_ABORTED;
	if (!st->lost) {
		wait_for(st, ready, arg);
		return false;
	}
	finish(st);
	return true;
}

static void
straggle_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct straggle *st = arg;

	(void)fd;
	(void)what;
	if (st->stage == ROLLING) {
		/* the migration ends it, then; it is as good as rolled back */
		seize(st);
		call_ready(st);
	} else if (st->stage == SEIZED) {
		finish(st);
	}
}

bool
straggle_is_settled(const struct session *s)
{
	return s->straggle != NULL &&
	       (s->straggle->stage == ANSWERING || s->straggle->stage == KEEPING);
}

bool
straggle_is_doomed(const struct session *s)
{
	return s->straggle != NULL && s->straggle->doomed;
}

bool
straggle_dooms(struct session *s)
{
	if (!straggle_is_settled(s))
		return false;
	s->straggle->doomed = true;
	return true;
}

/* ---- a server that goes while nothing is open ---- */

bool
straggle_may_lose(const struct session *s)
{
	return s->straggle == NULL && flow_is_idle(&s->flow) && pause_is_frozen(s);
}

void
straggle_lose(struct session *s)
{
	struct straggle *st = straggle_new(s, LOST);

	leave_server(st);
	if (st->doomed)
		read_client(s, false);
	else
		be_done(st);
}

bool
straggle_is_open(const struct session *s)
{
	return s->straggle != NULL &&
	       (s->straggle->stage == SEIZED || s->straggle->stage == ROLLING);
}

bool
straggle_has_lost(const struct session *s)
{
	return s->straggle != NULL && s->straggle->stage == LOST;
}

/* ---- the server ---- */

static void
keep_said(struct straggle *st)
{
	struct session *s = st->session;
	struct stream *stream = &s->server->stream;
	char *scratch = s->worker->scratch;
	ssize_t n = stream_recv(stream, scratch, WORKER_SCRATCH);

	if (n == STREAM_AGAIN)
		return;
	if (n > 0 && !st->deaf)
		buf_put(&st->held, scratch, (size_t)n);
	if (n > 0 && st->held.n < HELD_MAX)
		return;
	/* its end, or more than anybody will hear */
	stream_want(stream, 0);
	st->lost = n <= 0;
	if (st->lost && st->ready != NULL && st->stage == SEIZED)
		finish(st);
}

bool
straggle_relays(const struct session *s)
{
	return s->straggle->stage != SEIZED && s->straggle->stage != ROLLING;
}

void
straggle_on_server(struct session *s, short what)
{
	struct straggle *st = s->straggle;

	if ((what & EV_WRITE) && stream_flush(&s->server->stream) != 0)
		stream_want(&s->server->stream, EV_READ);
	if ((what & EV_READ) && (st->stage == SEIZED || st->stage == ROLLING))
		keep_said(st);
}

bool
straggle_passes(struct session *s, const char *p, size_t n)
{
	struct straggle *st = s->straggle;

	if (st->stage == DELIVERED)
		buf_put(&st->said, p, n);
	return st->stage != DELIVERED && st->stage != REPAYING;
}

/* ---- the client ---- */

static void
say_rest(struct straggle *st)
{
	struct session *s = st->session;
	struct buf rest = st->rest;

	st->rest = (struct buf){ 0 };
	be_done(st);
	if (rest.n > 0 && s->state == SESSION_RELAY)
		relay_take(s, rest.p, rest.n);
	buf_fini(&rest);
}

void
straggle_on_answer(struct session *s, bool is_ready)
{
	struct straggle *st = s->straggle;

	if (st->stage != REPAYING)
		return;
	if (s->pooled != NULL)
		pooled_answered(s, is_ready);
	if (s->straggle == st && flow_is_idle(&s->flow))
		say_rest(st);
}

static void
say_kept(struct straggle *st)
{
	struct session *s = st->session;
	struct buf owed;

	if (st->aborted->owed.n == 0) {
		say_rest(st);
		return;
	}
	st->stage = REPAYING;
	owed = st->aborted->owed;
	st->aborted->owed = (struct buf){ 0 };
	message_put_bare(&owed, MSG_SYNC);
	(void)relay_to_server(s, owed.p, owed.n);
	buf_fini(&owed);
}

void
straggle_go_on(struct session *s)
{
	struct straggle *st = s->straggle;

	if (pause_is_held(s) || rehome_holds(s))
		return;
	if (st->stage == LOST)
		be_done(st);
	else if (st->stage == KEEPING)
		say_kept(st);
}

/* The transaction is over; behind its end the client has said so much. */
static void
on_over(struct straggle *st, const char *p, size_t n)
{
	struct session *s = st->session;

	buf_slice(&st->rest, buf_view(&st->aborted->in));
	buf_put(&st->rest, p, n);
	if (st->doomed || (st->rest.n == 0 && st->aborted->owed.n == 0)) {
		be_done(st);
		return;
	}
	st->stage = KEEPING;
	read_client(s, false);
	straggle_go_on(s);
}

static void
answer(struct straggle *st, const char *p, size_t n)
{
	struct session *s = st->session;
	struct buf out = { .cap = HELD_MAX };
	size_t used;
	bool over = aborted_client(st->aborted, p, n, &used, &out), told;

	told = out.n == 0 || session_say(s, out.p, out.n);
	buf_fini(&out);
	if (!told)
		return;
	if (st->aborted->terminated)
		session_end(s, WHY_CLIENT_DONE);
	else if (over)
		on_over(st, p + used, n - used);
}

/* What had been read of it before. */
static void
answer_rest(struct straggle *st)
{
	struct buf rest = st->rest;

	st->rest = (struct buf){ .cap = HELD_MAX };
	answer(st, rest.p, rest.n);
	buf_fini(&rest);
}

void
straggle_on_client(struct session *s)
{
	struct straggle *st = s->straggle;
	char *scratch = s->worker->scratch;
	ssize_t n;

	if (st->stage != ANSWERING) {
		read_client(s, false);
		return;
	}
	n = stream_recv(&s->client, scratch, WORKER_SCRATCH);
	if (n == STREAM_AGAIN)
		return;
	if (n <= 0) {
		session_abort(s, n == 0 ? WHY_CLIENT_GONE : WHY_CLIENT_ERROR);
		return;
	}
	s->rx_bytes += (uint64_t)n;
	stat_add(&s->worker->stats.rx_bytes, (uint64_t)n);
	answer(st, scratch, (size_t)n);
}
