/* SPDX-License-Identifier: PostgreSQL
 *
 * The login, relayed in whole messages, because some of them are looked at. The mechanism list
 * loses SCRAM-SHA-256-PLUS where the client could not use it (INV-10). A client that binds to our
 * certificate, while the node has another, authenticates to us where we know its verifier, and is
 * told the reason where we do not. BackendKeyData gets a secret of our own (INV-9). All other
 * messages pass.
 *
 * A client that Meridian has authenticated itself (authenticate.c), or that sends its password
 * without being asked (early_password.c), does not see the node's requests: Meridian answers them
 * (ownlogin.c), and the client reads AuthenticationOk when the node has sent it.
 */
#include "config.h"

#include "proxy/session/session_int.h"

#include <stdlib.h>
#include <sys/random.h>

#include <openssl/crypto.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/hot.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/cancel/cancel.h"
#include "proxy/http/http.h"
#include "proxy/http/sql.h"
#include "proxy/login/authenticate.h"
#include "proxy/login/login_int.h"
#include "proxy/move/cutover.h"
#include "proxy/net/tlsctx.h"
#include "proxy/process/control.h"
#include "proxy/session/login_state.h"
#include "proxy/session/ownlogin.h"
#include "proxy/session/signon.h"

#define LOGIN_MESSAGE_MAX (64 * 1024) /* PostgreSQL's limit for authentication messages */
#define ANSWERS_MAX       (4 * LOGIN_MESSAGE_MAX) /* all that a node may send until it is ready */
#define OURS_MORE         64 /* our own messages are hardly ever longer than the node's by more */
#define PLUS              SCRAM_MECHANISM_PLUS

/* What became of a message of the node. */
enum step {
	STEP_NEXT,    /* look at the next one */
	STEP_HOLD,    /* it stays in the inbox until more of the client's bytes have come */
	STEP_READY,   /* it was the last of the login */
	STEP_REFUSED, /* it was the last of the session: what the node sends behind it is dropped */
	STEP_OVER,    /* the session is closed, or the login has ended */
};

static bool from_server(struct session *s);
static void server_gone(struct session *s);

/* The client gets a key of ours instead of the node's. A request over HTTP gets none. */
static enum step
swap_key(struct session *s, struct slice body, struct buf *out)
{
	struct server *sv = s->server;
	struct message_key k;

	if (message_parse_key(body, &k) != PARSE_DONE || sv->key_len > 0) {
		session_close(s, WHY_SERVER_PROTOCOL, NULL);
		return STEP_OVER;
	}
	sv->pid = k.pid;
	server_keep_key(sv, k.secret);
	if (http_speaks(s))
		return STEP_NEXT;
	cancel_give_key(s, sv, out);
	return STEP_NEXT;
}

/* An answer to the node that was computed on another thread. */
static void
on_own_answer(void *arg, struct slice reply, const struct err *failed)
{
	struct session *s = arg;

	if (s->state != SESSION_LOGIN)
		return;
	if (failed != NULL)
		session_close_err(s, WHY_AUTH_FAILED, failed);
	else if (stream_send(&s->server->stream, reply.p, reply.n) != 0)
		server_gone(s);
}

/* Answer a request of the node with the session's credential. */
static enum step
answer_self(struct session *s, const struct message_auth *auth)
{
	struct login *l = s->login;
	struct buf reply = { .cap = LOGIN_MESSAGE_MAX };
	enum step step = STEP_NEXT;
	struct err e;
	const struct world *w = l->world;
	uint16_t region = w->topology->nodes[l->node].region;
	struct ownlogin_away away = { s->worker->process->keymaker, s->worker->mail, on_own_answer,
				      s };

	ownlogin_on_channel(l->own, s->server->stream.ssl,
			    w->config->regions[region].channel_binding);
	ownlogin_may_wait(l->own, &away);
	if (ownlogin_answer(l->own, login_startup(l)->user, auth, &reply, &e) != 0) {
		session_close_err(s, WHY_AUTH_FAILED, &e);
		step = STEP_OVER;
	} else if (reply.n > 0 && stream_send(&s->server->stream, reply.p, reply.n) != 0) {
		server_gone(s);
		step = STEP_OVER;
	}
	if (reply.n > 0)
		OPENSSL_cleanse(reply.p, reply.n);
	buf_fini(&reply);
	return step;
}

static enum step
take_auth(struct session *s, const struct frame *f, struct slice raw, struct buf *out)
{
	struct login *l = s->login;
	struct message_auth auth;
	enum parse p;

	if (message_parse_auth(f->body, &auth) != PARSE_DONE) {
		session_close(s, WHY_SERVER_PROTOCOL, NULL);
		return STEP_OVER;
	}
	if (l->own == NULL && !l->asked) {
		p = early_password(s, auth.code != AUTH_OK);
		if (p != PARSE_DONE)
			return p == PARSE_MORE ? STEP_HOLD : STEP_OVER;
		if (l->said != NULL)
			l->own = ownlogin_new_credential(l->said);
	}
	if (l->own != NULL) {
		if (auth.code == AUTH_OK)
			auth_put_ok(l, out);
		return answer_self(s, &auth);
	}
	l->asked = true;
	l->auth_code = auth.code;
	/* a client without TLS must not see an offer that is only made over TLS */
	if (auth.code == AUTH_SASL && s->client.ssl == NULL && message_offers(auth.data, PLUS) &&
	    message_put_auth_sasl_without(out, auth.data, PLUS) > 0)
		return STEP_NEXT;
	buf_slice(out, raw);
	return STEP_NEXT;
}

/* Whether the node checks the client's own password, and Meridian has not. */
static bool
node_checks_password(const struct session *s)
{
	const struct login *l = s->login;

	return l->auth == NULL || (l->auth->method == METHOD_TRUST && l->said != NULL);
}

/* False: the session is closed, and its client must not be told what the node said. */
static bool
count_refusal(struct session *s, struct slice body)
{
	const struct ownlogin *own = s->login->own;
	struct message_report r;
	bool known = message_parse_report(body, &r) == PARSE_DONE;

	stats_error(&s->worker->stats, ERROR_OF_NODE, known ? r.sqlstate : slice_of("", 0));
	if (node_checks_password(s) && known && slice_is(r.sqlstate, SQLSTATE_INVALID_PASSWORD) &&
	    !guard_failed(s))
		return false;
	if (own != NULL && known && slice_is(r.sqlstate, SQLSTATE_INVALID_PASSWORD) &&
	    ownlogin_suspicion(own) != NULL)
		log_limited(LOG_LEVEL_WARNING, session_subject(s),
			    "the node took the client for somebody else: %s",
			    ownlogin_suspicion(own));
	return true;
}

/* The node does not speak all that the client asked for. A client that we have authenticated was
 * told already what we speak; any other is told now: the later protocol of ours (cancel.h), and the
 * options that the node does not know. If the client gets all it asked for, nothing is sent. */
static void
take_negotiate(struct login *l, struct slice body, struct slice raw, struct buf *out)
{
	const struct startup *st = login_startup(l);
	uint16_t minor = cancel_client_minor(st);
	struct slice unknown[STARTUP_EXTENSIONS_MAX];
	struct message_negotiate m;
	size_t n = 0;

	if (l->auth != NULL)
		return;
	if (message_parse_negotiate(body, &m) != PARSE_DONE) {
		buf_slice(out, raw);
		return;
	}
	while (n < STARTUP_EXTENSIONS_MAX && message_next_cstr(&m.options, &unknown[n]))
		n++;
	if (n > 0 || minor != st->minor)
		message_put_negotiate(out, minor, unknown, n);
}

/* One message of the node, on its way to the client. */
static enum step
take_server_message(struct session *s, const struct frame *f, struct slice raw, struct buf *out)
{
	struct login *l = s->login;
	const char *unfit;

	switch (f->type) {
	case MSG_AUTHENTICATION:
		return take_auth(s, f, raw, out);
	case MSG_BACKEND_KEY:
		return swap_key(s, f->body, out);
	case MSG_PARAMETER_STATUS:
		unfit = signon_learn(s->worker, &l->world->topology->nodes[l->node], l->access,
				     s->server, f->body);
		if (unfit != NULL) {
			session_close(s, WHY_WRONG_ROLE, unfit);
			return STEP_OVER;
		}
		buf_slice(out, raw);
		return STEP_NEXT;
	case MSG_ERROR:
		if (!count_refusal(s, f->body))
			return STEP_OVER;
		if (http_speaks(s)) {
			sql_on_refusal(s, f->body);
			return STEP_OVER;
		}
		buf_slice(out, raw);
		return STEP_REFUSED;
	case MSG_NEGOTIATE_VERSION:
		take_negotiate(l, f->body, raw, out);
		return STEP_NEXT;
	case MSG_READY:
		redirect_welcome(s, out);
		buf_slice(out, raw);
		return STEP_READY;
	default:
		buf_slice(out, raw);
		return STEP_NEXT;
	}
}

static void
become_ready(struct session *s)
{
	/* a connection that speaks HTTP has many logins */
	int64_t begin_us = http_speaks(s) ? s->quiet_since_us : s->connected_at_us;
	struct login *l = s->login;

	if (node_checks_password(s) && (l->asked || l->said != NULL))
		guard_passed(s);
	stat_add(&s->worker->stats.logins, 1);
	histogram_observe(&s->worker->stats.login, clock_us() - begin_us);
	if (s->worker->world->config->main.log_connections)
		log_about(LOG_LEVEL_INFO, session_subject(s), "session is ready");
	if (http_speaks(s)) {
		sql_run(s);
		return;
	}
	/* what either side sent beyond the login goes its way, and the login's memory back */
	exchange_init(&s->exchange, login_startup(l)->replication);
	exchange_set_query_ends(&s->exchange, s->server->is_cockroachdb);
	/* Meridian can repeat its own login, unless the secret is not kept */
	if (l->own != NULL && l->said == NULL && s->exchange.replication == REPLICATION_NONE)
		session_trace(s, buf_view(&l->packet));
	session_sample(s, l->database);
	s->login = NULL;
	session_enter(s, SESSION_RELAY);
	if (cutover_refuse_late_login(s)) {
		login_free(l);
		return;
	}
	s->quiet_since_us = clock_us(); /* the login's time does not count as idle */
	worker_arm_sweep(s->worker);
	stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
	stream_want(&s->server->stream, EV_READ | (s->server->stream.interest & EV_WRITE));
	if (l->server_inbox.n > 0)
		relay_from_server(s, l->server_inbox.p, l->server_inbox.n);
	if (s->state == SESSION_RELAY && l->inbox.n > 0)
		relay_take(s, l->inbox.p, l->inbox.n);
	login_free(l);
}

/* Forward the complete messages. False: the login is over (ready, or closed). */
static HOT bool
from_server(struct session *s)
{
	struct buf *in = &s->login->server_inbox,
		   out = { .cap = 2 * LOGIN_MESSAGE_MAX + OURS_MORE };
	struct slice rest = buf_view(in);
	struct frame f = { 0 };
	enum step step = STEP_NEXT;
	enum parse p = PARSE_MORE;

	(void)buf_reserve(&out, in->n + OURS_MORE);
	while (step == STEP_NEXT && (p = frame_cut(rest, LOGIN_MESSAGE_MAX, &f)) == PARSE_DONE) {
		step = take_server_message(s, &f, slice_of(rest.p, f.total), &out);
		if (step != STEP_HOLD)
			rest = slice_skip(rest, f.total);
	}
	if (step == STEP_NEXT && p == PARSE_BAD) {
		session_close(s, WHY_SERVER_PROTOCOL, NULL);
		step = STEP_OVER;
	}
	if (step != STEP_OVER) {
		buf_drop(in, in->n - rest.n);
		/* a request over HTTP has no client that reads the messages of a login */
		if (out.n > 0 && !http_speaks(s) && !session_say(s, out.p, out.n))
			step = STEP_OVER;
	}
	buf_fini(&out);
	if (step == STEP_READY)
		become_ready(s);
	else if (step == STEP_REFUSED)
		session_end_unread(s, WHY_SERVER_REFUSED);
	return step == STEP_NEXT || step == STEP_HOLD;
}

HOT void
login_begin(struct session *s, struct buf *take_inbox)
{
	s->login->server_inbox = *take_inbox;
	s->login->server_inbox.cap = 2 * LOGIN_MESSAGE_MAX;
	session_enter(s, SESSION_LOGIN);
	stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
	if (from_server(s) && s->login->inbox.n > 0)
		login_on_client(s);
}

static void
server_gone(struct session *s)
{
	session_close(s, WHY_SERVER_DIED, "The node closed the connection during login.");
}

HOT void
login_on_server(struct session *s, short what)
{
	struct stream *st = &s->server->stream;
	char *scratch = s->worker->scratch;
	ssize_t n;

	if ((what & EV_WRITE) && stream_flush(st) != 0) {
		server_gone(s);
		return;
	}
	if (!(what & EV_READ))
		return;
	n = stream_recv(st, scratch, LOGIN_MESSAGE_MAX);
	if (n == STREAM_AGAIN)
		return;
	if (n <= 0) {
		server_gone(s);
		return;
	}
	buf_put(&s->login->server_inbox, scratch, (size_t)n);
	s->login->heard += (size_t)n;
	if (s->login->server_inbox.failed || s->login->heard > ANSWERS_MAX)
		session_close(s, WHY_SERVER_PROTOCOL, NULL);
	else
		(void)from_server(s);
}

/* The client has bound its proof to our certificate, and the node has another: tell it exactly
 * that. */
static void
refuse_binding(struct session *s)
{
	const struct why_row *row = why_get(WHY_CHANNEL_BINDING);
	struct err e;

	err_set(&e, row->sqlstate, "%s", row->text);
	err_detail(
	    &e,
	    "The client bound its SCRAM exchange to the certificate of this proxy, and the node "
	    "has another certificate; both legs are on TLS, so the binding can neither pass nor be "
	    "taken out unnoticed.");
	err_hint(
	    &e,
	    "Let the proxy end authentication (auth = scram-sha-256 with auth_query), give proxy "
	    "and node the same certificate, or set channel_binding=disable in the client.");
	session_close_err(s, WHY_CHANNEL_BINDING, &e);
}

/* The client, bound to our certificate, has proven itself to us: the node's request, which still
 * waits, is answered with the keys that its proof has shown. */
static void
answer_bound(struct session *s)
{
	static const char mechanisms[] = PLUS "\0" SCRAM_MECHANISM "\0";
	struct message_auth request = { AUTH_SASL, slice_of(mechanisms, sizeof(mechanisms)) };

	s->login->own = ownlogin_new_credential(s->credential);
	(void)answer_self(s, &request);
}

/* One message of the client. False: no more are taken now. */
static bool
take_client_message(struct session *s, const struct frame *f, struct slice raw)
{
	struct message_sasl_initial sasl;

	if (f->type == MSG_TERMINATE) {
		session_abort(s, WHY_CLIENT_DONE);
		return false;
	}
	if (f->type != MSG_PASSWORD)
		return false; /* a pipelined query waits for the end of the login */
	if (s->login->own != NULL) {
		session_close(s, WHY_PROTOCOL, "A second password.");
		return false;
	}
	if (s->login->auth_code == AUTH_SASL &&
	    message_parse_sasl_initial(f->body, &sasl) == PARSE_DONE &&
	    slice_is(sasl.mechanism, PLUS) &&
	    !tls_same_certificate(s->client.ssl, s->server->stream.ssl)) {
		auth_begin_bound(s, answer_bound, refuse_binding);
		return false;
	}
	/* of many logins that were admitted at once only the first ones may guess */
	if (!guard_admits(s))
		return false;
	if (stream_send(&s->server->stream, raw.p, raw.n) != 0) {
		server_gone(s);
		return false;
	}
	return true;
}

static void
from_client(struct session *s)
{
	struct buf *in = &s->login->inbox;
	const struct auth *a = s->login->auth;
	struct frame f;
	enum parse p;

	if (a != NULL && a->awaits != AWAIT_NOTHING) {
		if (a->awaits != AWAIT_SECRET)
			auth_take_inbox(s);
		return;
	}
	while ((p = frame_cut(buf_view(in), LOGIN_MESSAGE_MAX, &f)) == PARSE_DONE) {
		if (!take_client_message(s, &f, slice_of(in->p, f.total)))
			return;
		buf_drop(in, f.total);
	}
	if (p == PARSE_BAD && in->n > 0 && in->p[0] == MSG_PASSWORD)
		session_close(s, WHY_PROTOCOL, "Invalid length of authentication message.");
}

HOT void
login_on_client(struct session *s)
{
	struct buf *in;
	size_t room;
	ssize_t n;

	if (http_speaks(s)) {
		http_on_readable(s);
		return;
	}
	in = &s->login->inbox;
	room = in->cap - in->n;
	if (room > 0 && stream_is_open(&s->client)) {
		n = stream_recv(&s->client, s->worker->scratch,
				room < WORKER_SCRATCH ? room : WORKER_SCRATCH);
		if (n == 0 || n == STREAM_FAILED) {
			session_abort(s, n == 0 ? WHY_CLIENT_GONE : WHY_CLIENT_ERROR);
			return;
		}
		if (n > 0)
			buf_put(in, s->worker->scratch, (size_t)n);
	} else {
		session_only_watch(s);
	}
	/* a password that was incomplete may be whole now */
	if (s->login->asked || from_server(s))
		from_client(s);
}
