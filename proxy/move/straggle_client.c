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

/* What a session can have left on its server that is lost with the server connection. */
#define EFFECTS_LEFT (EFFECT_ADVISORY | EFFECT_PREPARE | EFFECT_LOAD | EFFECT_SESSION)

/* ---- the server's part is over ---- */

static bool
text_of(void *arg, struct slice name, struct slice *sql)
{
	struct session *s = arg;

	return session_is_pooled(s) && statements_text(s->pooled->statements, name, sql);
}

void
straggle_drop_server(struct straggle *st)
{
	struct session *s = st->session;

	if (s->server == NULL)
		return;
	rehome_drop(s);
	if (session_is_pooled(s)) {
		if (!pooled_forsake(s, EFFECTS_LEFT))
			straggle_enter(st, STRAGGLE_MUST_RECONNECT);
		return;
	}
	/* the session keeps s->server: it still counts at that node */
	straggle_enter(st, STRAGGLE_MUST_RECONNECT);
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

void
straggle_end(struct straggle *st)
{
	struct session *s = st->session;
	bool must_reconnect = straggle_must_reconnect(s);

	straggle_enter(st, STRAGGLE_ENDED);
	straggle_free(st);
	if (must_reconnect) {
		tell_to_reconnect(s);
		return;
	}
	straggle_read_client(s, true);
	pooled_resume(s);
}

void
straggle_restart(struct straggle *st)
{
	struct session *s = st->session;

	exchange_restart(&s->exchange);
	sampler_restart(s->sampler);
}

/* Send the client `out`, whole. False: the session is over. */
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

void
straggle_answer(struct straggle *st)
{
	struct session *s = st->session;
	struct buf out = { .cap = STRAGGLE_HELD_MAX };
	char front[SETTINGS_HELD_MAX];
	bool over;

	straggle_enter(st,
		       straggle_must_reconnect(s) ? STRAGGLE_ANSWERING_LAST : STRAGGLE_ANSWERING);
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
		straggle_end(st);
		return;
	}
	straggle_read_client(s, true);
	if (st->rest.n > 0)
		answer_rest(st);
}

/* ---- the client ---- */

static void
relay_rest(struct straggle *st)
{
	struct session *s = st->session;
	struct buf rest = st->rest;

	st->rest = (struct buf){ 0 };
	straggle_end(st);
	if (rest.n > 0 && s->state == SESSION_RELAY)
		relay_take(s, rest.p, rest.n);
	buf_fini(&rest);
}

void
straggle_on_answer(struct session *s, bool is_ready)
{
	struct straggle *st = s->straggle;

	if (st->state != STRAGGLE_REPLAYING)
		return;
	if (session_is_pooled(s))
		pooled_answered(s, is_ready);
	if (s->straggle == st && exchange_is_idle(&s->exchange))
		relay_rest(st);
}

void
straggle_proceed(struct session *s)
{
	struct straggle *st = s->straggle;
	struct buf owed;

	if ((st->state == STRAGGLE_HOLDING_SERVER || st->state == STRAGGLE_SERVER_CLOSED) &&
	    !pause_is_frozen(s)) {
		straggle_release(st);
		return;
	}
	if (pause_is_held(s) || rehome_holds(s))
		return;
	if (st->state == STRAGGLE_MUST_RECONNECT) {
		straggle_end(st);
		return;
	}
	if (st->state != STRAGGLE_HOLDING_CLIENT)
		return;
	if (st->aborted->owed.n == 0) {
		relay_rest(st);
		return;
	}
	straggle_enter(st, STRAGGLE_REPLAYING);
	owed = st->aborted->owed;
	st->aborted->owed = (struct buf){ 0 };
	message_put_bare(&owed, MSG_SYNC);
	(void)relay_to_server(s, owed.p, owed.n);
	buf_fini(&owed);
}

/* Whether the client is read and its requests are answered. */
static bool
is_answering(const struct straggle *st)
{
	return st->state == STRAGGLE_ANSWERING || st->state == STRAGGLE_ANSWERING_LAST;
}

/* Answer as long as the client takes the answers; keep the rest until it does. */
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
		/* the client has sent `n` bytes behind the end of its transaction */
		buf_slice(&st->rest, buf_view(&st->aborted->in));
		buf_put(&st->rest, p, n);
		if (straggle_must_reconnect(s) || (st->rest.n == 0 && st->aborted->owed.n == 0)) {
			straggle_end(st);
			return;
		}
		straggle_enter(st, STRAGGLE_HOLDING_CLIENT);
		straggle_read_client(s, false);
		straggle_proceed(s);
	} else if (stream_is_blocked(&s->client)) {
		buf_put(&st->rest, p, n);
		straggle_read_client(s, false);
	}
}

/* Answer what was read of the client before. */
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

	if (!is_answering(st))
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

	if (!is_answering(st)) {
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
