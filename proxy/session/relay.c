/* SPDX-License-Identifier: PostgreSQL
 *
 * The relay. Bytes are read into the worker's one scratch buffer, followed by their message headers
 * (protocol/exchange), and handed to the other socket from where they lie. What that socket does
 * not take is kept by its stream, and reading stops until it has drained: memory stays bounded
 * whatever a peer does. Per message: no allocation, no clock, no timer; per turn one recv and one
 * send.
 *
 * Features of a session see its bytes through observers.h. Here nothing is known of them but
 * whether there are any.
 */
#include "config.h"

#include "proxy/session/observers_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/hot.h"
#include "protocol/exchange_list.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/process/control.h"
#include "proxy/process/meridian.h"
#include "routing/topology.h"

static HOT_INLINE bool
has(const struct session *s, unsigned hook)
{
	return UNLIKELY(session_observers_of(s) & hook);
}

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
	control_look(s->worker->process->control, s->server->live);
	if (s->fatal_told) {
		session_end(s, WHY_SERVER_DIED);
		return;
	}
	stream_fini(&s->server->stream);
	close_with_server(s, WHY_SERVER_DIED);
}

/* The client has said Terminate and awaits no answer: its own server reads that, and ends. A pool's
 * server does not (pooled_terminate()). */
static HOT_INLINE bool
is_last_word(const struct session *s)
{
	return UNLIKELY(s->terminated) && !session_is_pooled(s) && exchange_is_idle(&s->exchange);
}

HOT bool
relay_to_server(struct session *s, const char *p, size_t n)
{
	struct stats *stats = &s->worker->stats;
	uint64_t queries = s->exchange.simple + s->exchange.extended;
	unsigned events;
	int failed;

	if (has(s, HOOK_ON_CLIENT) && !observers_client(s, &p, &n))
		return s->state == SESSION_RELAY;
	events = exchange_client(&s->exchange, p, n);
	if (events & (EXCHANGE_QUERY | EXCHANGE_TERMINATE | EXCHANGE_BAD)) {
		if (events & EXCHANGE_BAD) {
			session_close(s, WHY_PROTOCOL, "Invalid message length.");
			return false;
		}
		s->terminated = s->terminated || (events & EXCHANGE_TERMINATE);
		stat_add(&stats->queries, s->exchange.simple + s->exchange.extended - queries);
	}
	if (UNLIKELY(s->terminated) && has(s, HOOK_ON_TERMINATE) && !observers_terminate(s, n))
		return false;
	failed = is_last_word(s) ? stream_send_last(&s->server->stream, p, n)
				 : stream_send(&s->server->stream, p, n);
	if (failed != 0) {
		/* one read is far below the cap, but not what SHOW meridian.route makes of it */
		if (stream_is_overfull(&s->server->stream)) {
			session_close(s, WHY_PROTOCOL, "Too many statements at once.");
			return false;
		}
		/* it may have said why before it left: let its last words be read */
		stream_want(&s->client, s->client.interest & ~EV_READ);
		return true;
	}
	if (stream_is_blocked(&s->server->stream)) {
		stream_want(&s->client, s->client.interest & ~EV_READ);
		return true;
	}
	if (has(s, HOOK_ON_CLIENT_SENT) && exchange_pending(&s->exchange) == 0)
		observers_client_sent(s);
	if (is_last_word(s)) {
		session_end(s, WHY_CLIENT_DONE);
		return false;
	}
	return true;
}

/* The server is not what it was taken for, or not for long. */
static bool
is_doubt(struct slice sqlstate)
{
	static const char *const doubts[] = { SQLSTATE_READ_ONLY_TRANSACTION,
					      SQLSTATE_ADMIN_SHUTDOWN, SQLSTATE_CRASH_SHUTDOWN,
					      SQLSTATE_CANNOT_CONNECT_NOW };

	for (size_t i = 0; i < sizeof(doubts) / sizeof(doubts[0]); i++)
		if (slice_is(sqlstate, doubts[i]))
			return true;
	return false;
}

/* Out of line: it is rare, and what is not should not pay for its registers. */
static __attribute__((cold, noinline)) void
count_error(struct session *s, struct slice sqlstate)
{
	stats_error(&s->worker->stats, ERROR_OF_NODE, sqlstate);
	if (s->server != NULL && is_doubt(sqlstate))
		control_look(s->worker->process->control, s->server->live);
}

HOT void
relay_count(struct session *s, const struct exchange_tally *tally)
{
	stat_add(&s->worker->stats.transactions, tally->transactions);
	for (unsigned i = 0; i < tally->errors; i++) {
		bool known = i < EXCHANGE_TALLY_MAX;

		count_error(s, slice_of(known ? tally->sqlstates[i] : "", known ? 5 : 0));
	}
}

void
relay_take(struct session *s, const char *p, size_t n)
{
	s->rx_bytes += n;
	stat_add(&s->worker->stats.rx_bytes, n);
	settings_take(s, p, n);
}

/* False: the session is over. */
static HOT bool
to_client(struct session *s, char *p, size_t n)
{
	struct answer a;

	a.tally.transactions = a.tally.errors = 0;
	if (has(s, HOOK_PASSES)) {
		if (has(s, HOOK_CLIENT_PART))
			n = observers_client_part(s, p, n);
		a.before = exchange_server_framer(&s->exchange);
	}
	a.p = p;
	a.n = n;
	a.events = UNLIKELY(exchange_is_listed(&s->exchange))
		       ? exchange_filter(&s->exchange, p, &a.n, &a.tally)
		       : exchange_server(&s->exchange, p, n, &a.tally);
	if (has(s, HOOK_ON_SERVER_READ))
		observers_server_read(s, &a);
	if (a.tally.transactions + a.tally.errors > 0)
		relay_count(s, &a.tally);
	if ((a.events & EXCHANGE_READY) && UNLIKELY(s->server->bulk.bytes + s->bulk.bytes > 0)) {
		bulk_end(&s->server->bulk);
		bulk_end(&s->bulk);
	}
	if (UNLIKELY(a.events & EXCHANGE_FATAL))
		s->fatal_told = true;
	if (a.events & EXCHANGE_BAD) {
		/* what stands in front of the message that is none is the client's, and so is why
		 * it ends there; unless it has read the beginning of that message, or not all that
		 * is in front of it */
		if (a.tally.good == SIZE_MAX || session_has(s, OBSERVER_STRAGGLER))
			session_abort(s, WHY_SERVER_PROTOCOL);
		else if (a.tally.good == 0 || session_say(s, p, a.tally.good))
			close_with_server(s, WHY_SERVER_PROTOCOL);
		return false;
	}
	if (has(s, HOOK_PASSES) && !observers_pass(s, &a))
		return s->state == SESSION_RELAY;
	if (!session_say(s, p, a.n))
		return false;
	if (stream_is_blocked(&s->client))
		stream_want(&s->server->stream, s->server->stream.interest & ~EV_READ);
	if (has(s, HOOK_ON_SERVER_SENT))
		observers_server_sent(s, &a);
	return s->state == SESSION_RELAY;
}

HOT void
relay_on_client(struct session *s)
{
	char *scratch = s->worker->scratch;
	size_t held;
	ssize_t n;

	if (has(s, HOOK_HOLDS_CLIENT) && observers_hold_client(s))
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
		if (has(s, HOOK_ON_CLIENT_READ))
			observers_client_read(s, scratch + held, (size_t)n);
		s->rx_bytes += (size_t)n;
		stat_add(&s->worker->stats.rx_bytes, (size_t)n);
		settings_take(s, scratch, held + (size_t)n);
	}
}

static HOT void
read_server(struct session *s)
{
	struct stream *st = &s->server->stream;
	char *scratch = s->worker->scratch;
	size_t held = UNLIKELY(exchange_is_listed(&s->exchange))
			  ? exchange_put_held(&s->exchange, scratch)
			  : 0;
	ssize_t n = stream_recv(st, scratch + held, WORKER_SCRATCH - held);

	if (n == STREAM_AGAIN)
		return;
	if (has(s, HOOK_ON_SERVER_LOST) && (n <= 0 || scratch[held] == MSG_ERROR) &&
	    observers_server_lost(s, n <= 0))
		return;
	if (n <= 0) {
		server_lost(s);
	} else {
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
relay_on_client_drained(struct session *s)
{
	if (has(s, HOOK_ON_CLIENT_DRAINED))
		observers_client_drained(s);
	if (s->state == SESSION_RELAY && s->server != NULL &&
	    !(has(s, HOOK_HOLDS_SERVER) && observers_hold_server(s)))
		stream_want(&s->server->stream, s->server->stream.interest | EV_READ);
}

HOT void
relay_on_server(struct session *s, short what)
{
	struct stream *st = &s->server->stream;

	if (has(s, HOOK_TAKES_SERVER) && observers_take_server(s, what))
		return;
	if (what & EV_WRITE) {
		if (stream_flush(st) != 0) {
			server_lost(s);
			return;
		}
		if (!stream_is_blocked(st) &&
		    !(has(s, HOOK_ON_SERVER_DRAINED) && observers_server_drained(s)))
			stream_want(&s->client, s->client.interest | EV_READ);
	}
	if ((what & EV_READ) && s->state == SESSION_RELAY && s->server != NULL)
		read_server(s);
}
