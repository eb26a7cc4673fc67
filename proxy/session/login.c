/* SPDX-License-Identifier: PostgreSQL
 *
 * The login, relayed: whole messages, because three of them are looked at. The mechanism list loses
 * SCRAM-SHA-256-PLUS where the client could not use it; a client that binds to our certificate
 * where the node has another is told so; BackendKeyData gets a secret of our own. Everything else
 * passes.
 */
#include "config.h"

#include "proxy/session/session_int.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/bug.h"
#include "base/clock.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/control.h"
#include "proxy/net/tlsctx.h"
#include "proxy/session/cancelkeys.h"
#include "proxy/worker_int.h"

#define LOGIN_MESSAGE_MAX (64 * 1024) /* PostgreSQL bounds authentication messages likewise */
#define PLUS              "SCRAM-SHA-256-PLUS"

static bool from_server(struct session *s);

static bool
same_certificate(const struct session *s)
{
	return tls_same_certificate(s->client.ssl, s->server->stream.ssl);
}

static int
parse_version(struct slice text)
{
	int major = 0, minor = 0;
	size_t i = 0;

	for (; i < text.n && i < 3 && text.p[i] >= '0' && text.p[i] <= '9'; i++)
		major = major * 10 + (text.p[i] - '0');
	if (i < text.n && text.p[i] == '.') {
		for (i++; i < text.n && i < 7 && text.p[i] >= '0' && text.p[i] <= '9'; i++)
			minor = minor * 10 + (text.p[i] - '0');
	}
	return major * 10000 + minor;
}

static const char *
misfit(enum access want, const struct server *sv, const struct control_lesson *lesson)
{
	if (lesson->in_hot_standby == 1 && (want == ACCESS_READ_WRITE || want == ACCESS_PRIMARY))
		return "the node is a standby";
	if (lesson->in_hot_standby == 0 && want == ACCESS_STANDBY)
		return "the node is not a standby";
	if (sv->is_primary && sv->is_writable && want == ACCESS_READ_ONLY)
		return "the node is not read-only";
	return NULL;
}

const char *
login_learn(struct login *l, struct server *sv, uint16_t node, struct slice body)
{
	const struct node *n = &l->world->topology->nodes[node];
	struct control_lesson lesson = { -1, 0, KIND_UNKNOWN };
	struct message_parameter p;
	bool news = false;

	if (message_parse_parameter(body, &p) != PARSE_DONE)
		return NULL;
	if (slice_is(p.name, "in_hot_standby")) {
		lesson.in_hot_standby = slice_is(p.value, "on");
		sv->is_primary = lesson.in_hot_standby == 0;
		news = n->role == ROLE_UNKNOWN ||
		       (n->role == ROLE_STANDBY) != (lesson.in_hot_standby == 1);
	} else if (slice_is(p.name, "default_transaction_read_only")) {
		/* may be the role's, the database's or the client's own: it says nothing of the
		 * node, and must not keep a role that only reads from being served */
		sv->is_writable = slice_is(p.value, "off");
	} else if (slice_is(p.name, "server_version")) {
		lesson.server_version = parse_version(p.value);
		news = n->server_version == 0;
	} else if (slice_is(p.name, "crdb_version")) {
		lesson.kind = KIND_COCKROACHDB;
		news = n->kind != KIND_COCKROACHDB;
	}
	if (news && !n->probed)
		control_learned(l->session->worker->process->control, n->live->id, &lesson);
	return misfit(l->access, sv, &lesson);
}

/* The secret that the client gets instead of the node's: same length, random, ours. */
static bool
swap_key(struct session *s, struct slice body, struct buf *out)
{
	struct server *sv = s->server;
	struct message_key k;

	if (message_parse_key(body, &k) != PARSE_DONE || s->key_len > 0) {
		session_close(s, WHY_SERVER_PROTOCOL, NULL);
		return false;
	}
	sv->pid = k.pid;
	sv->key = xmalloc(k.secret.n);
	sv->key_len = (uint16_t)k.secret.n;
	memcpy(sv->key, k.secret.p, k.secret.n);
	s->key_len = k.secret.n < SESSION_KEY_MAX ? (uint8_t)k.secret.n : SESSION_KEY_MAX;
	BUG_ON(getrandom(s->key, s->key_len, 0) != s->key_len);
	cancelkeys_add(s->worker->keys, s->key, s->slot);
	message_put_key(out, k.pid, slice_of((const char *)s->key, s->key_len));
	return true;
}

static bool
take_auth(struct session *s, const struct frame *f, struct slice raw, struct buf *out)
{
	struct message_auth auth;

	if (message_parse_auth(f->body, &auth) != PARSE_DONE) {
		session_close(s, WHY_SERVER_PROTOCOL, NULL);
		return false;
	}
	s->login->auth_code = auth.code;
	/* a client without TLS must not see an offer that is only made over TLS */
	if (auth.code == AUTH_SASL && s->client.ssl == NULL && message_offers(auth.data, PLUS) &&
	    message_put_auth_sasl_without(out, auth.data, PLUS) > 0)
		return true;
	buf_slice(out, raw);
	return true;
}

static void
count_refusal(struct session *s, struct slice body)
{
	struct message_report r;
	bool known = message_parse_report(body, &r) == PARSE_DONE;

	stats_error(&s->worker->stats, ERROR_OF_NODE, known ? r.sqlstate : slice_of("", 0));
}

/* One message of the node, on its way to the client. False: the session is over, or ready. */
static bool
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
		unfit = login_learn(l, s->server, l->node, f->body);
		if (unfit != NULL) {
			session_close(s, WHY_WRONG_ROLE, unfit);
			return false;
		}
		buf_slice(out, raw);
		return true;
	case MSG_ERROR:
		l->refused = true;
		count_refusal(s, f->body);
		buf_slice(out, raw);
		return true;
	default:
		buf_slice(out, raw);
		return f->type != MSG_READY;
	}
}

static void
become_ready(struct session *s)
{
	stat_add(&s->worker->stats.logins, 1);
	histogram_observe(&s->worker->stats.login, clock_us() - s->connected_at_us);
	if (s->worker->world->config->main.log_connections)
		log_about(LOG_LEVEL_INFO, session_subject(s), "session is ready");
	relay_begin(s);
}

/* Forward what is complete. False: the login is over (ready, or closed). */
static bool
from_server(struct session *s)
{
	struct buf *in = &s->login->server_inbox, out = { .cap = 2 * LOGIN_MESSAGE_MAX };
	struct slice rest = buf_view(in);
	struct frame f = { 0 };
	bool more = true;
	enum parse p = PARSE_MORE;

	while (more && (p = frame_cut(rest, LOGIN_MESSAGE_MAX, &f)) == PARSE_DONE) {
		more = take_server_message(s, &f, slice_of(rest.p, f.total), &out);
		rest = slice_skip(rest, f.total);
	}
	if (s->state == SESSION_LOGIN && p == PARSE_BAD) {
		session_close(s, WHY_SERVER_PROTOCOL, NULL);
		more = false;
	}
	if (s->state == SESSION_LOGIN) {
		buf_drop(in, in->n - rest.n);
		if (out.n > 0)
			more = session_say(s, out.p, out.n) && more;
	}
	buf_fini(&out);
	if (s->state == SESSION_LOGIN && !more)
		become_ready(s);
	return more;
}

void
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
	if (s->login->refused)
		session_end(s, WHY_SERVER_REFUSED);
	else
		session_close(s, WHY_SERVER_DIED, "The node closed the connection during login.");
}

void
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
	if (s->login->server_inbox.failed)
		session_close(s, WHY_SERVER_PROTOCOL, NULL);
	else
		(void)from_server(s);
}

/* The client bound its proof to our certificate, and the node has another: say exactly that. */
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
		return false; /* a pipelined query: it waits for the end of the login */
	if (s->login->auth_code == AUTH_SASL &&
	    message_parse_sasl_initial(f->body, &sasl) == PARSE_DONE &&
	    slice_is(sasl.mechanism, PLUS) && !same_certificate(s)) {
		refuse_binding(s);
		return false;
	}
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
	struct frame f;
	enum parse p;

	while ((p = frame_cut(buf_view(in), LOGIN_MESSAGE_MAX, &f)) == PARSE_DONE) {
		if (!take_client_message(s, &f, slice_of(in->p, f.total)))
			return;
		buf_drop(in, f.total);
	}
	if (p == PARSE_BAD && in->n > 0 && in->p[0] == MSG_PASSWORD)
		session_close(s, WHY_PROTOCOL, "Invalid length of authentication message.");
}

void
login_on_client(struct session *s)
{
	struct buf *in = &s->login->inbox;
	size_t room = in->cap - in->n;
	ssize_t n;

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
		stream_want(&s->client, s->client.interest & ~EV_READ);
	}
	from_client(s);
}
