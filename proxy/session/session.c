/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/session_int.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/hot.h"
#include "base/text.h"
#include "protocol/message.h"
#include "proxy/auth/credential.h"
#include "proxy/process/descriptors.h"
#include "proxy/process/meridian.h"
#include "proxy/session/login_state.h"
#include "proxy/sqlstate/prepared.h"
#include "proxy/sqlstate/statements.h"

static_assert(STATS_STATES == SESSION_STATE_COUNT, "struct stats has a row for each state");
static_assert(STATS_WHYS == WHY_COUNT, "struct stats has a row for each reason");

/* Unsent bytes kept for a client: what is left of one scratch read, or a console's chunk. */
#define CLIENT_OUT_CAP      ((size_t)4 << 20)
#define FAREWELL_TIMEOUT_US (5 * USEC_PER_SEC)
/* Who has a descriptor, when there are no more, and does not say for what. */
#define SCARCE_SILENCE_US (2 * USEC_PER_SEC)
#define NAME_SHOWN_MAX    ((size_t)200)

static HOT void
session_on_client(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	const struct session_handlers *h;

	(void)fd;
	if (s->client.interest == EV_CLOSED) { /* session_only_watch() */
		if ((what & EV_CLOSED) || stream_has_failed(&s->client))
			session_abort(s, WHY_CLIENT_GONE);
		return;
	}
	if ((what & EV_WRITE) && s->state != SESSION_TLS_HANDSHAKE && s->state != SESSION_CLOSED) {
		if (stream_flush(&s->client) != 0) {
			session_abort(s, WHY_CLIENT_ERROR);
			return;
		}
		h = &session_ops.states[s->state];
		if (!stream_is_blocked(&s->client) && h->on_drained != NULL)
			h->on_drained(s);
	}
	if ((what & EV_CLOSED) && !(s->client.interest & EV_READ)) {
		session_abort(s, WHY_CLIENT_GONE);
		return;
	}
	h = &session_ops.states[s->state];
	if ((what & EV_READ || s->state == SESSION_TLS_HANDSHAKE) && h->on_readable != NULL &&
	    s->client.interest != 0)
		h->on_readable(s);
}

HOT struct session *
session_new(struct worker *w, int take_fd, uint16_t listener, const struct addr *peer)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->worker = w;
	s->id = atomic_fetch_add(&w->process->last_session_id, 1) + 1;
	s->listener = listener;
	s->peer = s->true_addr = s->hop = *peer;
	s->connected_at_us = s->quiet_since_us = clock_us();
	s->source = SOURCE_SELF;
	stream_init(&s->client, loop_base(w->loop), take_fd, session_on_client, s);
	stream_keep_at_most(&s->client, CLIENT_OUT_CAP);
	s->slot = worker_take_slot(w, s);
	TAILQ_INSERT_TAIL(&w->states[SESSION_NEW], s, in_state);
	stat_enter(&w->stats.states[SESSION_NEW]);
	stat_add(&w->stats.clients_accepted, 1);
	session_ops.begin(s);
	worker_arm_sweep(w); /* only now is it in a state that has a deadline */
	return s;
}

HOT void
session_enter(struct session *s, enum session_state state)
{
	struct worker *w = s->worker;
	unsigned mark = s->marks % SESSION_HISTORY;

	BUG_ON(!session_state_may(s->state, state));
	TAILQ_REMOVE(&w->states[s->state], s, in_state);
	TAILQ_INSERT_TAIL(&w->states[state], s, in_state);
	stat_leave(&w->stats.states[s->state]);
	stat_enter(&w->stats.states[state]);
	s->past.at_ms[mark] = (uint32_t)((clock_us() - s->connected_at_us) / 1000);
	s->past.state[mark] = (uint8_t)state;
	s->past.why[mark] = s->why;
	/* the ring's counter wraps within it, so that old marks are never taken for new ones */
	s->marks = s->marks + 1 < 2 * SESSION_HISTORY ? (uint8_t)(s->marks + 1) : SESSION_HISTORY;
	if (log_wants(LOG_LEVEL_DEBUG))
		log_about(LOG_LEVEL_DEBUG, session_subject(s), "%s -> %s",
			  session_state_row(s->state)->label, session_state_row(state)->label);
	s->state = (uint8_t)state;
}

HOT struct slice
session_name(const struct session *s, unsigned i)
{
	const char *p = s->names;

	if (p == NULL)
		return slice_of("", 0);
	while (i-- > 0)
		p += strlen(p) + 1;
	return slice_str(p);
}

HOT struct prepared_names *
session_prepared(struct session *s)
{
	if (s->prepared.room == 0)
		(void)prepared_names_init(&s->prepared, statement_table_seed(s->worker->texts));
	return &s->prepared;
}

HOT void
session_set_names(struct session *s, const struct slice v[NAME_COUNT])
{
	size_t n[NAME_COUNT], size = 0;
	char *names, *to;

	for (unsigned i = 0; i < NAME_COUNT; i++) {
		/* names are at most 63 bytes in PostgreSQL: what is longer is cut for display */
		n[i] = v[i].n < NAME_SHOWN_MAX ? v[i].n : NAME_SHOWN_MAX;
		size += n[i] + 1;
	}
	names = to = xmalloc(size);
	for (unsigned i = 0; i < NAME_COUNT; i++) {
		if (n[i] > 0)
			memcpy(to, v[i].p, n[i]);
		to += n[i];
		*to++ = '\0';
	}
	free(s->names);
	s->names = names;
}

static void
describe_session(const void *about, struct buf *b)
{
	const struct session *s = about;
	char addr[ADDR_TEXT_MAX];
	struct session_facts f;

	session_facts(s, false, &f);
	buf_printf(b, " session=%" PRIu64 " client=%s", s->id, addr_print(&s->true_addr, addr));
	if (f.database.n > 0) {
		buf_str(b, " database=");
		text_put_safe(b, f.database, NAME_SHOWN_MAX);
		buf_str(b, " user=");
		text_put_safe(b, f.user, NAME_SHOWN_MAX);
	}
	if (f.home[0] != '\0')
		buf_printf(b, " region=%s node=%s", f.home, f.node);
	buf_printf(b, " doing=\"%s\"", f.state);
}

struct log_subject
session_subject(const struct session *s)
{
	return (struct log_subject){ describe_session, s };
}

void
session_only_watch(struct session *s)
{
	stream_want(&s->client, (short)((s->client.interest & ~EV_READ) | EV_CLOSED));
}

HOT bool
session_say(struct session *s, const char *p, size_t n)
{
	if (s->state == SESSION_CLOSED)
		return false;
	s->tx_bytes += n;
	stat_add(&s->worker->stats.tx_bytes, n);
	if (stream_send(&s->client, p, n) == 0)
		return true;
	session_abort(s, WHY_CLIENT_ERROR);
	return false;
}

static HOT void
free_session(void *arg)
{
	struct session *s = arg;

	free(s->names);
	claims_fini(&s->claims);
	prepared_names_fini(&s->prepared);
	free(s);
}

/* Read what the client sent meanwhile, so that closing does not reset the connection under the
 * error that it is about to read. Bounded. */
static void
discard_input(struct session *s)
{
	/* not the worker's: somebody else's bytes may be on their way from there */
	char nowhere[16384];

	if (!stream_is_open(&s->client))
		return;
	stream_end(&s->client);
	for (int i = 0; i < 32; i++) {
		if (recv(s->client.fd, nowhere, sizeof(nowhere), MSG_DONTWAIT) <= 0)
			break;
	}
}

static void
drop_server(struct session *s)
{
	observers_server_gone(s);
	exchange_fini(&s->exchange);
	server_free(s->server);
	s->server = NULL;
}

/* The end: everything is given back but the struct, which goes at the end of the tick. */
static HOT void
finish(struct session *s)
{
	struct worker *w = s->worker;

	if (s->state == SESSION_FAREWELL)
		discard_input(s);
	observers_end(s);
	session_enter(s, SESSION_CLOSED);
	bulk_end(&s->bulk);
	stream_fini(&s->client);
	if (s->console != NULL)
		session_ops.free_console(s);
	drop_server(s);
	observers_release(s);
	if (s->http != NULL)
		session_ops.http_free(s);
	login_free(s->login);
	s->login = NULL;
	settings_free(s);
	credential_unref(s->credential);
	s->credential = NULL;
	if (s->key_len > 0)
		session_ops.forget_key(s);
	if (s->admitted)
		atomic_fetch_sub(&w->process->clients, 1);
	TAILQ_REMOVE(&w->states[SESSION_CLOSED], s, in_state);
	stat_leave(&w->stats.states[SESSION_CLOSED]);
	worker_give_slot(w, s->slot);
	loop_defer(w->loop, free_session, s);
}

/* Errors are to be told as HTTP. */
static bool
speaks_http(const struct session *s)
{
	return s->http != NULL && session_ops.http_speaks(s);
}

/* The last bytes for the client are sent. A client that came by WebSocket answers a Close with its
 * own, and one in the middle of a request sends the rest of it: unless Meridian waits for that
 * before it closes, both would read a reset in place of the last message. */
void
session_on_farewell_drained(struct session *s)
{
	if (s->client.ws == NULL && !speaks_http(s)) {
		finish(s);
		return;
	}
	stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
	stream_end(&s->client);
}

void
session_on_farewell_readable(struct session *s)
{
	ssize_t n = stream_recv(&s->client, s->worker->scratch, WORKER_SCRATCH);

	/* what it still says goes nowhere; the end of file or the deadline ends it */
	if (n == 0 || n == STREAM_FAILED)
		finish(s);
}

/* Remember why, log it, count it. False where it was closed before: the first caller wins. */
static HOT bool
note_end(struct session *s, enum why why, const struct err *e)
{
	const struct why_row *row = why_get(why);
	bool ready =
	    s->state == SESSION_RELAY || s->state == SESSION_CONSOLE || s->state == SESSION_SQL;
	enum log_level level = row->level;

	if (s->why != WHY_NONE || s->state >= SESSION_FAREWELL)
		return false;
	s->why = (uint8_t)why;
	if (why == WHY_SHUTDOWN || why == WHY_DRAINED)
		websocket_set_code(&s->client, WS_CODE_GOING_AWAY);
	stat_add(&s->worker->stats.why[why], 1);
	if (!ready && s->state != SESSION_HTTP && why != WHY_CANCEL_DONE)
		stat_add(&s->worker->stats.login_failures, 1);
	/* who only looked whether somebody answers, as load balancers do, was no session */
	if (ready && why == WHY_CLIENT_DONE && s->worker->world->config->main.log_disconnections)
		level = LOG_LEVEL_INFO;
	if (e != NULL && e->msg[0] != '\0')
		log_limited(level, session_subject(s), "%s%s%s", e->msg,
			    e->detail[0] != '\0' ? ": " : "", e->detail);
	else
		log_limited(level, session_subject(s), "%s", row->text);
	return true;
}

void
session_abort(struct session *s, enum why why)
{
	const char *fault = websocket_fault(&s->client);
	struct err e;

	if (s->state == SESSION_CLOSED)
		return;
	if (fault != NULL) {
		err_set(&e, "", "%s", why_get(WHY_WEBSOCKET)->text);
		err_detail(&e, "%s", fault);
	}
	(void)note_end(s, fault != NULL ? WHY_WEBSOCKET : why, fault != NULL ? &e : NULL);
	if (s->state == SESSION_RELAY || s->state == SESSION_SQL)
		session_ops.cancel_query(s);
	finish(s);
}

HOT void
session_end(struct session *s, enum why why)
{
	if (!note_end(s, why, NULL))
		return;
	if (!stream_is_blocked(&s->client) && s->client.ws == NULL) {
		finish(s);
		return;
	}
	drop_server(s);
	session_enter(s, SESSION_FAREWELL);
	s->quiet_since_us = clock_us();
	worker_arm_sweep(s->worker);
	if (!stream_is_blocked(&s->client))
		session_on_farewell_drained(s);
}

void
session_end_unread(struct session *s, enum why why)
{
	if (!note_end(s, why, NULL))
		return;
	session_enter(s, SESSION_FAREWELL);
	s->quiet_since_us = clock_us();
	worker_arm_sweep(s->worker);
	if (!stream_is_blocked(&s->client))
		session_on_farewell_drained(s);
}

/* Whether an ErrorResponse can be put in front of the client now: not inside a message, and not
 * behind a FATAL that it already has. */
static bool
may_speak(const struct session *s)
{
	if (s->state == SESSION_HTTP || speaks_http(s))
		return s->http != NULL && session_ops.http_awaits_answer(s);
	if (s->state == SESSION_RELAY &&
	    (s->fatal_told || !exchange_at_server_boundary(&s->exchange)))
		return false;
	return session_state_row((enum session_state)s->state)->speaks;
}

void
session_close_err(struct session *s, enum why why, const struct err *e)
{
	struct buf b = { .cap = 16384 };

	if (!note_end(s, why, e))
		return;
	if (s->state == SESSION_RELAY || s->state == SESSION_SQL)
		session_ops.cancel_query(s);
	if (e->sqlstate[0] == '\0' || !may_speak(s)) {
		finish(s);
		return;
	}
	drop_server(s);
	if (s->login != NULL)
		session_ops.attach_stop(s->login);
	session_enter(s, SESSION_FAREWELL);
	s->quiet_since_us = clock_us();
	worker_arm_sweep(s->worker);
	stats_error(&s->worker->stats, ERROR_OF_MERIDIAN, slice_str(e->sqlstate));
	if (speaks_http(s))
		session_ops.http_put_farewell(s, why, e, &b);
	else
		message_put_error(&b, "FATAL", e);
	stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
	if (session_say(s, b.p, b.n) && !stream_is_blocked(&s->client))
		session_on_farewell_drained(s);
	buf_fini(&b);
}

void
session_close(struct session *s, enum why why, const char *detail)
{
	const struct why_row *row = why_get(why);
	struct err e;

	err_set(&e, row->sqlstate, "%s", row->text);
	if (detail != NULL)
		err_detail(&e, "%s", detail);
	session_close_err(s, why, &e);
}

/* A session that is relaying: how long the client has been silent, and while doing what. The time
 * of a long query does not count as idle. */
static void
check_quiet(struct session *s, int64_t now_us)
{
	const struct conf_main *conf = &s->worker->world->config->main;
	enum exchange_activity activity = exchange_activity(&s->exchange);
	/* it goes up with each request, and with each that is done: a pipeline has the time of all
	 * its queries */
	uint32_t moved = (uint32_t)(s->rx_bytes - exchange_pending(&s->exchange));
	int64_t quiet;

	if (observers_wait(s))
		return; /* it is we who keep it waiting: query_wait_timeout */
	if (moved != s->quiet_moved || activity != (enum exchange_activity)s->quiet_activity) {
		s->quiet_moved = moved;
		s->quiet_activity = (uint8_t)activity;
		s->quiet_since_us = now_us;
		return;
	}
	quiet = now_us - s->quiet_since_us;
	switch (activity) {
	case EXCHANGE_IDLE:
		if (conf->client_idle_timeout > 0 && quiet > conf->client_idle_timeout)
			session_close(s, WHY_IDLE_TIMEOUT, NULL);
		break;
	case EXCHANGE_IN_TRANSACTION:
	case EXCHANGE_IN_FAILED_TRANSACTION:
		if (conf->idle_transaction_timeout > 0 && quiet > conf->idle_transaction_timeout)
			session_close(s, WHY_IDLE_TRANSACTION, NULL);
		break;
	case EXCHANGE_ACTIVE:
		if (conf->query_timeout > 0 && quiet > conf->query_timeout)
			session_close(s, WHY_QUERY_TIMEOUT, NULL);
		break;
	case EXCHANGE_COPYING:
	case EXCHANGE_REPLICATING:
		break;
	}
}

HOT void
session_check_deadline(struct session *s, int64_t now_us)
{
	const struct conf_main *conf = &s->worker->world->config->main;

	if (s->state == SESSION_RELAY || s->state == SESSION_SQL) {
		check_quiet(s, now_us);
	} else if (s->state == SESSION_FAREWELL) {
		if (now_us - s->quiet_since_us > FAREWELL_TIMEOUT_US)
			finish(s);
	} else if (s->state == SESSION_HTTP) {
		session_ops.http_check_deadline(s, now_us);
	} else if (s->state < SESSION_HTTP && now_us - s->quiet_since_us > SCARCE_SILENCE_US &&
		   descriptors_short(s->worker->process->descriptors)) {
		session_close(s, WHY_TOO_MANY, DESCRIPTORS_NONE_LEFT);
	} else if (s->state != SESSION_CONSOLE && s->state != SESSION_PAUSED &&
		   conf->client_login_timeout > 0 &&
		   now_us - s->quiet_since_us > conf->client_login_timeout) {
		const struct why_row *row = why_get(WHY_LOGIN_TIMEOUT);
		struct err e;

		/* one that waits for a node is told which */
		err_set(&e, row->sqlstate, "%s", row->text);
		if (s->state == SESSION_ATTACHING && !observers_explain_wait(s, &e))
			session_ops.explain_attach(s, &e);
		session_close_err(s, WHY_LOGIN_TIMEOUT, &e);
	}
}
