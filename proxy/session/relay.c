/* SPDX-License-Identifier: PostgreSQL
 *
 * The relay. Bytes are read into the worker's one scratch buffer, followed by their message headers
 * (protocol/exchange), and handed to the other socket from where they lie. What that socket does
 * not take is kept by its stream, and reading stops until it has drained: memory stays bounded
 * whatever a peer does. Per message: no allocation, no clock, no timer; per turn one recv and one
 * send.
 */
#include "config.h"

#include "proxy/session/session_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/hot.h"
#include "protocol/awaited.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "proxy/move/cutover.h"
#include "proxy/move/pause.h"
#include "proxy/move/rehome_int.h"
#include "proxy/move/straggle.h"
#include "proxy/pool/pooled.h"
#include "proxy/sqlstate/sampler.h"
#include "proxy/sqlstate/traces.h"
#include "proxy/worker_int.h"
#include "routing/topology.h"

static void
close_with_server(struct session *s, enum why why)
{
	char detail[400];

	snprintf(detail, sizeof(detail), "Region %s, node %s, server process %" PRIu32 ".",
		 s->server->live->region, s->server->live->name, s->server->pid);
	session_close(s, why, detail);
}

static void
server_lost(struct session *s)
{
	if (s->terminated) {
		session_end(s, WHY_CLIENT_DONE);
		return;
	}
	if (s->fatal_told) {
		session_end(s, WHY_SERVER_DIED);
		return;
	}
	stream_fini(&s->server->stream);
	close_with_server(s, WHY_SERVER_DIED);
}

/* Nobody has anything more to say when that is said. */
static HOT_INLINE bool
is_last_word(const struct session *s)
{
	return UNLIKELY(s->terminated) && s->pooled == NULL && exchange_is_idle(&s->exchange);
}

static HOT int
hand_on(struct session *s, const char *p, size_t n)
{
	if (is_last_word(s))
		return stream_send_last(&s->server->stream, p, n);
	return stream_send(&s->server->stream, p, n);
}

/* What the client said has been handed on. False: the session is over. */
static HOT bool
went_to_server(struct session *s)
{
	if (stream_is_blocked(&s->server->stream)) {
		stream_want(&s->client, s->client.interest & ~EV_READ);
	} else if (s->pooled != NULL) {
		if (exchange_pending(&s->exchange) == 0)
			pooled_settle(s);
	} else if (is_last_word(s)) {
		session_end(s, WHY_CLIENT_DONE);
		return false;
	}
	return true;
}

HOT bool
relay_to_server(struct session *s, const char *p, size_t n)
{
	struct stats *stats = &s->worker->stats;
	uint64_t queries = s->exchange.simple + s->exchange.extended;
	unsigned events;

	if (s->pooled != NULL &&
	    ((s->pooled->skips && !pooled_skip(s, &p, &n)) || !pooled_take(s, p, n)))
		return s->state == SESSION_RELAY;
	if (s->sampler != NULL)
		sampler_client(s->sampler, slice_of(p, n));
	if (s->pooled != NULL && !pooled_rewrite(s, &p, &n))
		return s->state == SESSION_RELAY;
	if (s->traces != NULL)
		traces_client(s->traces, &s->exchange, p, n);
	events = exchange_client(&s->exchange, p, n);
	if (events & (EXCHANGE_QUERY | EXCHANGE_TERMINATE | EXCHANGE_BAD)) {
		if (events & EXCHANGE_BAD) {
			session_close(s, WHY_PROTOCOL, "Invalid message length.");
			return false;
		}
		s->terminated = s->terminated || (events & EXCHANGE_TERMINATE);
		stat_add(&stats->queries, s->exchange.simple + s->exchange.extended - queries);
	}
	if (s->pooled != NULL && s->terminated && !pooled_terminate(s, n))
		return false;
	if (hand_on(s, p, n) != 0) {
		/* one read is far below the cap, but not what SHOW meridian.route makes of it */
		if (stream_is_overfull(&s->server->stream)) {
			session_close(s, WHY_PROTOCOL, "Too many statements at once.");
			return false;
		}
		/* it may have said why before it left: let its last words be read */
		stream_want(&s->client, s->client.interest & ~EV_READ);
		return true;
	}
	return went_to_server(s);
}

WARM void
relay_count(struct session *s, const struct exchange_tally *tally)
{
	struct stats *stats = &s->worker->stats;

	stat_add(&stats->transactions, tally->transactions);
	for (unsigned i = 0; i < tally->errors; i++) {
		bool known = i < EXCHANGE_TALLY_MAX;

		stats_error(stats, ERROR_OF_NODE,
			    slice_of(known ? tally->sqlstates[i] : "", known ? 5 : 0));
		if (s->pooled != NULL && known)
			pooled_on_error(s, tally->sqlstates[i]);
	}
}

void
relay_take(struct session *s, const char *p, size_t n)
{
	s->rx_bytes += n;
	stat_add(&s->worker->stats.rx_bytes, n);
	settings_take(s, p, n);
}

/* `held` bytes that were kept, and n new ones. */
static HOT void
from_client(struct session *s, const char *p, size_t held, size_t n)
{
	s->rx_bytes += n;
	stat_add(&s->worker->stats.rx_bytes, n);
	settings_take(s, p, held + n);
}

/* What stands in front of the message that is none is the client's, and so is why it ends there. */
static void
server_strayed(struct session *s, const char *p, const struct exchange_tally *tally)
{
	/* it has read the beginning of that message, or not all that is in front of it */
	if (tally->good == SIZE_MAX || s->straggle != NULL)
		session_abort(s, WHY_SERVER_PROTOCOL);
	else if (tally->good == 0 || session_say(s, p, tally->good))
		close_with_server(s, WHY_SERVER_PROTOCOL);
}

static void
note_error(struct session *s, unsigned events)
{
	if (events & EXCHANGE_FATAL)
		s->fatal_told = true;
	if ((events & EXCHANGE_ERROR) && s->traces != NULL)
		traces_error(s->traces, &s->exchange, events);
}

/* False: the session is over. */
static HOT bool
to_client(struct session *s, char *p, size_t n)
{
	struct framer before = { 0 };
	struct exchange_tally tally;
	unsigned events;

	if (s->pooled != NULL) {
		n = pooled_from_server(s, p, n);
		before = exchange_server_framer(&s->exchange);
	}
	tally.transactions = tally.errors = 0;
	events = exchange_server(&s->exchange, p, n, &tally);
	if (s->pooled != NULL) {
		if (UNLIKELY(s->pooled->judges))
			pooled_judge(s);
		if (UNLIKELY(s->pooled->effects & EFFECT_SCHEMA) && tally.transactions > 0)
			pooled_on_end(s);
	}
	if (tally.transactions + tally.errors > 0)
		relay_count(s, &tally);
	if ((events & EXCHANGE_READY) && UNLIKELY(s->server->bulk.bytes + s->bulk.bytes > 0)) {
		bulk_end(&s->server->bulk);
		bulk_end(&s->bulk);
	}
	if (UNLIKELY(events & (EXCHANGE_ERROR | EXCHANGE_FATAL)))
		note_error(s, events);
	if (events & EXCHANGE_BAD) {
		server_strayed(s, p, &tally);
		return false;
	}
	if (s->sampler != NULL && (events & EXCHANGE_READY) && exchange_pending(&s->exchange) == 0)
		sampler_answered(s->sampler);
	if (s->pooled != NULL && ((events & EXCHANGE_PARAMETER) || s->pooled->report.n > 0))
		pooled_on_reports(s, before, slice_of(p, n));
	if (s->straggle != NULL && !straggle_passes(s, p, n)) {
		straggle_on_answer(s, events & EXCHANGE_READY);
		return s->state == SESSION_RELAY;
	}
	if (!session_say(s, p, n))
		return false;
	if (stream_is_blocked(&s->client))
		stream_want(&s->server->stream, s->server->stream.interest & ~EV_READ);
	if (s->pooled != NULL)
		pooled_answered(s, events & EXCHANGE_READY);
	if (s->worker->pauses != NULL) {
		if (s->awaited != NULL)
			awaited_server(s->awaited, p, n);
		pause_on_server(s);
	}
	if (s->rehome != NULL)
		rehome_on_quiet(s);
	return s->state == SESSION_RELAY;
}

HOT void
relay_on_client(struct session *s)
{
	char *scratch = s->worker->scratch;
	size_t held;
	ssize_t n;

	if ((s->worker->pauses != NULL || s->rehome != NULL || s->straggle != NULL) &&
	    pause_on_client(s))
		return;
	held = s->settings != NULL ? settings_put_held(s, scratch) : 0;
	n = stream_recv(&s->client, scratch + held, WORKER_SCRATCH - held);
	if (n == STREAM_AGAIN)
		return;
	if (n <= 0)
		session_abort(s, s->terminated ? WHY_CLIENT_DONE
				 : n == 0      ? WHY_CLIENT_GONE
					       : WHY_CLIENT_ERROR);
	else {
		bulk_heard(&s->bulk, (size_t)n, WORKER_SCRATCH - held, &s->client, s->worker->loop);
		if (s->worker->pauses != NULL)
			pause_take_note(s, scratch + held, (size_t)n);
		from_client(s, scratch, held, (size_t)n);
	}
}

static HOT void
read_server(struct session *s)
{
	struct stream *st = &s->server->stream;
	char *scratch = s->worker->scratch;
	size_t held = s->pooled != NULL ? pooled_put_held(s, scratch) : 0;
	ssize_t n = stream_recv(st, scratch + held, WORKER_SCRATCH - held);

	if (n == STREAM_AGAIN)
		return;
	/* why it goes is no business of a client that is frozen */
	if (s->worker->pauses != NULL && (n <= 0 || scratch[held] == MSG_ERROR) &&
	    straggle_may_lose(s))
		straggle_lose(s);
	else if (n <= 0)
		server_lost(s);
	else {
		bulk_heard(&s->server->bulk, (size_t)n, WORKER_SCRATCH - held, st, s->worker->loop);
		(void)to_client(s, scratch, held + (size_t)n);
	}
}

void
relay_from_server(struct session *s, char *p, size_t n)
{
	(void)to_client(s, p, n);
}

void
relay_end_notification(struct session *s)
{
	struct stream *st = &s->server->stream;
	struct exchange *f = &s->exchange;
	size_t left;
	ssize_t n;

	if (!stream_is_blocked(&s->client) || s->straggle != NULL || s->server->ask != NULL ||
	    rehome_stage(s) == REHOME_READY || exchange_is_busy(f) || exchange_tx_status(f) != 'I')
		return;
	while ((left = exchange_server_left(f)) > 0 && left <= WORKER_SCRATCH &&
	       (n = stream_recv(st, s->worker->scratch, left)) > 0) {
		if (!to_client(s, s->worker->scratch, (size_t)n))
			return;
	}
}

void
relay_on_client_drained(struct session *s)
{
	if (s->straggle != NULL)
		straggle_on_client_drained(s);
	/* what a server says that is to be left waits (rehome.c) */
	if (s->state == SESSION_RELAY && s->server != NULL && rehome_stage(s) != REHOME_READY)
		stream_want(&s->server->stream, s->server->stream.interest | EV_READ);
}

HOT void
relay_on_server(struct session *s, short what)
{
	struct stream *st = &s->server->stream;

	if (s->straggle != NULL && !straggle_relays(s)) {
		straggle_on_server(s, what);
		return;
	}
	if (what & EV_WRITE) {
		if (stream_flush(st) != 0) {
			server_lost(s);
			return;
		}
		if (!stream_is_blocked(st) && s->pooled != NULL)
			pooled_on_server_drained(s);
		else if (!stream_is_blocked(st))
			stream_want(&s->client, s->client.interest | EV_READ);
	}
	if ((what & EV_READ) && s->state == SESSION_RELAY && s->server != NULL)
		read_server(s);
}

/* The login is over: what either side sent beyond it goes its way, and the login's memory back. */
WARM void
relay_begin(struct session *s)
{
	struct login *l = s->login;
	bool open = true;

	exchange_init(&s->exchange, login_startup(l)->replication);
	if (s->server->is_cockroachdb)
		exchange_be_told(&s->exchange);
	/* whoever has logged in for it can do so again, unless with what is not kept */
	if (l->own != NULL && l->said == NULL && s->exchange.replication == REPLICATION_NONE)
		s->traces = traces_new(buf_view(&l->packet));
	session_sample(s);
	s->login = NULL;
	session_enter(s, SESSION_RELAY);
	if (cutover_is_late(s)) {
		login_free(l);
		return;
	}
	s->quiet_since_us = clock_us(); /* the login's time does not count as idle */
	worker_arm_sweep(s->worker);
	stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
	stream_want(&s->server->stream, EV_READ | (s->server->stream.interest & EV_WRITE));
	if (l->server_inbox.n > 0)
		open = to_client(s, l->server_inbox.p, l->server_inbox.n);
	if (open && l->inbox.n > 0)
		from_client(s, l->inbox.p, 0, l->inbox.n);
	login_free(l);
}
