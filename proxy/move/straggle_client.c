/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/straggle_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "protocol/aborted.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "proxy/move/pause.h"
#include "proxy/move/rehome_int.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/session_int.h"
#include "proxy/session/why.h"
#include "proxy/sqlstate/sampler.h"
#include "proxy/sqlstate/statements.h"

/* What of a session outlives the end of its transaction on its server, and would be lost with it.
 */
#define EFFECTS_LEFT (EFFECT_ADVISORY | EFFECT_PREPARE | EFFECT_LOAD | EFFECT_SESSION)

/* ---- the server's part is over ---- */

static bool
text_of(void *arg, struct slice name, struct slice *sql)
{
	struct session *s = arg;

	return session_is_pooled(s) && statements_text(s->pooled->statements, name, sql);
}

/* Give up the server connection. */
void
straggle_leave_server(struct straggle *st)
{
	struct session *s = st->session;

	if (s->server == NULL)
		return;
	rehome_drop(s);
	if (session_is_pooled(s)) {
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
void
straggle_be_done(struct straggle *st)
{
	struct session *s = st->session;
	bool doomed = st->doomed;

	straggle_free(st);
	if (doomed) {
		tell_to_reconnect(s);
		return;
	}
	straggle_read_client(s, true);
	if (session_is_pooled(s))
		pooled_resume(s);
}

void
straggle_restart(struct straggle *st)
{
	struct session *s = st->session;

	exchange_restart(&s->exchange);
	sampler_restart(s->sampler);
}

/* What was built for it, whole. False: the session is over. */
static bool
say(struct straggle *st, struct buf *out)
{
	bool told = !out->failed && (out->n == 0 || session_say(st->session, out->p, out->n));

	if (out->failed)
		tell_to_reconnect(st->session);
	buf_fini(out);
	return told;
}

static void answer_rest(struct straggle *st);

/* The server is not asked any more: what the client awaits is answered, and what it says next. */
void
straggle_answer(struct straggle *st)
{
	struct session *s = st->session;
	struct buf out = { .cap = STRAGGLE_HELD_MAX };
	char front[SETTINGS_HELD_MAX];
	bool over;

	st->stage = ANSWERING;
	st->aborted = xcalloc(1, sizeof(*st->aborted));
	st->aborted->text_of = text_of;
	st->aborted->arg = s;
	stat_add(&s->worker->stats.aborted, 1);
	log_about(LOG_LEVEL_INFO, session_subject(s),
		  "the transaction was ended: its database is being moved");
	over = aborted_begin(st->aborted, &s->exchange, &out);
	straggle_restart(st);
	if (settings_hold(s)) {
		over = false;
		buf_put(&st->rest, front, settings_put_held(s, front));
		settings_forget_held(s);
	}
	if (!say(st, &out))
		return;
	if (over) {
		straggle_be_done(st);
		return;
	}
	straggle_read_client(s, true);
	if (st->rest.n > 0)
		answer_rest(st);
}

/* ---- the client ---- */

static void
say_rest(struct straggle *st)
{
	struct session *s = st->session;
	struct buf rest = st->rest;

	st->rest = (struct buf){ 0 };
	straggle_be_done(st);
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
	if (session_is_pooled(s))
		pooled_answered(s, is_ready);
	if (s->straggle == st && exchange_is_idle(&s->exchange))
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

	if (st->stage == SEIZED && st->ready == NULL && !pause_is_frozen(s)) {
		straggle_release(st);
		return;
	}
	if (pause_is_held(s) || rehome_holds(s))
		return;
	if (st->stage == LOST)
		straggle_be_done(st);
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
		straggle_be_done(st);
		return;
	}
	st->stage = KEEPING;
	straggle_read_client(s, false);
	straggle_go_on(s);
}

/* As much as the client takes the answers of; what is left waits until it does. */
static void
answer(struct straggle *st, const char *p, size_t n)
{
	struct session *s = st->session;
	bool over = false;

	while (n > 0 && !over && !stream_is_blocked(&s->client)) {
		struct buf out = { .cap = STRAGGLE_HELD_MAX };
		size_t used;

		over = aborted_client(st->aborted, p, n, &used, &out);
		p += used;
		n -= used;
		if (!say(st, &out))
			return;
		if (st->aborted->terminated) {
			session_end(s, WHY_CLIENT_DONE);
			return;
		}
	}
	if (over) {
		on_over(st, p, n);
	} else if (stream_is_blocked(&s->client)) {
		buf_put(&st->rest, p, n);
		straggle_read_client(s, false);
	}
}

/* What had been read of it before. */
static void
answer_rest(struct straggle *st)
{
	struct buf rest = st->rest;

	st->rest = (struct buf){ .cap = STRAGGLE_HELD_MAX };
	answer(st, rest.p, rest.n);
	buf_fini(&rest);
}

void
straggle_on_client_drained(struct session *s)
{
	struct straggle *st = s->straggle;

	if (st->stage != ANSWERING)
		return;
	straggle_read_client(s, true);
	if (st->rest.n > 0)
		answer_rest(st);
}

void
straggle_on_client(struct session *s)
{
	struct straggle *st = s->straggle;
	char *scratch = s->worker->scratch;
	ssize_t n;

	if (st->stage != ANSWERING) {
		straggle_read_client(s, false);
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
