/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/login/authenticate.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/hot.h"
#include "base/mem.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/credential.h"
#include "proxy/auth/hba.h"
#include "proxy/http/http.h"
#include "proxy/login/login_int.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"
#include "proxy/session/ownlogin.h"

#define PASSWORD_MESSAGE_MAX 4096
#define NAME_TOLD_MAX        ((size_t)100)

/* ---- the end ---- */

enum auth_verdict
auth_refuse(struct session *s, const char *log_why)
{
	struct slice user = login_startup(s->login)->user;
	struct err e;

	log_limited(LOG_LEVEL_INFO, session_subject(s), "login refused: %s", log_why);
	if (!guard_failed(s))
		return VERDICT_OVER;
	err_set(&e, SQLSTATE_INVALID_PASSWORD, "password authentication failed for user \"%.*s\"",
		(int)(user.n < NAME_TOLD_MAX ? user.n : NAME_TOLD_MAX), user.p);
	session_close_err(s, WHY_AUTH_FAILED, &e);
	return VERDICT_OVER;
}

/* Whether the throttle admits a client that has proven itself, or whose password the node will
 * check. Clients with a certificate, or on the unix socket, cannot have guessed. */
static bool
may_pass(struct session *s)
{
	enum auth_method method = s->login->auth->method;

	if (method == METHOD_TRUST)
		return s->login->said == NULL || guard_admits(s);
	if (auth_needs_secret(s) && !guard_admits(s))
		return false;
	guard_passed(s);
	return true;
}

HOT void
auth_pass(struct session *s)
{
	struct auth *a = s->login->auth;

	if (!may_pass(s))
		return;
	a->awaits = AWAIT_NOTHING;
	s->auth_method = (uint8_t)a->method;
	a->passed(s);
}

HOT void
auth_done(struct session *s)
{
	struct login *l = s->login;

	if (!redirect_admits(s))
		return;
	/* replication cannot share a server connection, and a request over HTTP logs in anew */
	if (l->database->pool != POOL_OFF && !http_speaks(s) &&
	    login_startup(l)->replication == REPLICATION_NONE) {
		pooled_begin(s);
		return;
	}
	l->own = ownlogin_new_credential(s->credential);
	attach_begin(s);
}

HOT void
auth_put_ok(struct login *l, struct buf *out)
{
	if (l->auth != NULL)
		buf_slice(out, buf_view(&l->auth->final));
	message_put_auth(out, AUTH_OK, slice_of(NULL, 0));
}

HOT void
auth_forget(struct login *l)
{
	if (l->auth == NULL)
		return;
	password_forget(l->auth);
	scram_server_fini(&l->auth->scram);
	buf_fini(&l->auth->final);
	free(l->auth);
	l->auth = NULL;
}

/* ---- the client's messages ---- */

HOT void
auth_take_inbox(struct session *s)
{
	struct buf *in = &s->login->inbox;
	enum auth_verdict verdict = VERDICT_MORE;
	enum parse p = PARSE_MORE;
	struct frame f;

	while (verdict == VERDICT_MORE &&
	       (p = frame_cut(buf_view(in), PASSWORD_MESSAGE_MAX, &f)) == PARSE_DONE) {
		if (f.type == MSG_TERMINATE) {
			session_abort(s, WHY_CLIENT_DONE);
			return;
		}
		if (f.type != MSG_PASSWORD)
			break;
		verdict = auth_check_answer(s, f.body);
		if (verdict == VERDICT_OVER)
			return;
		OPENSSL_cleanse(in->p, f.total);
		buf_drop(in, f.total);
	}
	if (verdict == VERDICT_PASSED)
		auth_pass(s);
	else if (verdict == VERDICT_MORE && p != PARSE_MORE)
		session_close(s, WHY_PROTOCOL, "Expected a password message.");
}

static bool
is_asking(const struct session *s)
{
	return s->state == SESSION_AUTH || s->state == SESSION_CONSOLE_LOGIN;
}

/* Ask the client, and look at what it has already sent: behind the startup packet, or while its
 * secret was looked up. */
static HOT void
ask(struct session *s)
{
	auth_ask(s);
	if (is_asking(s) && s->login->auth->awaits > AWAIT_EARLY &&
	    s->login->auth->awaits < AWAIT_KEYS && s->login->inbox.n > 0)
		auth_take_inbox(s);
}

HOT void
auth_on_client(struct session *s)
{
	struct buf *in;
	ssize_t n;

	if (http_speaks(s)) {
		http_on_readable(s);
		return;
	}
	if (s->login->auth->awaits == AWAIT_KEYS) {
		attach_on_client(s);
		return;
	}
	in = &s->login->inbox;
	n = stream_recv(&s->client, s->worker->scratch, PASSWORD_MESSAGE_MAX);
	if (n == STREAM_AGAIN)
		return;
	if (n <= 0) {
		session_abort(s, n == 0 ? WHY_CLIENT_GONE : WHY_CLIENT_ERROR);
		return;
	}
	buf_put(in, s->worker->scratch, (size_t)n);
	OPENSSL_cleanse(s->worker->scratch, (size_t)n);
	if (in->failed)
		session_close(s, WHY_PROTOCOL, "Expected a password message.");
	else if (s->login->auth->awaits == AWAIT_EARLY)
		ask(s);
	else
		auth_take_inbox(s);
}

/* ---- the secret ---- */

/* Look the user's secret up, into auth->user. Pending: auth_secret_known() is called when it is
 * known. */
static enum auth_lookup
auth_lookup(struct session *s)
{
	struct login *l = s->login;
	const struct authfile *file = l->world->config->auth;

	l->auth->user = file != NULL ? authfile_find(file, login_startup(l)->user) : NULL;
	return l->auth->user != NULL ? LOOKUP_FOUND : lookup_user(s, &l->auth->user);
}

HOT void
auth_secret_known(struct session *s)
{
	const struct auth *a = s->login->auth;
	void (*unable)(struct session * s);

	if (auth_lookup(s) == LOOKUP_PENDING) {
		if (s->state != SESSION_LOOKUP && s->state != SESSION_LOGIN)
			session_enter(s, SESSION_LOOKUP);
		return;
	}
	/* the client may have sent more than was kept */
	if (!http_speaks(s))
		stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
	if (a->unable != NULL && (a->user == NULL || a->user->kind != AUTHFILE_SCRAM)) {
		unable = a->unable;
		auth_forget(s->login);
		unable(s);
		return;
	}
	if (a->unable != NULL) {
		auth_ask_bound(s);
		auth_take_inbox(s);
		return;
	}
	/* a request over HTTP has sent its password: nothing more is awaited */
	if (!is_asking(s) && !http_speaks(s))
		session_enter(s, SESSION_AUTH);
	ask(s);
}

static void
begin(struct session *s, enum auth_method method, void (*passed)(struct session *))
{
	struct auth *a = xcalloc(1, sizeof(*a));

	a->method = method;
	a->passed = passed;
	a->awaits = AWAIT_SECRET;
	s->login->auth = a;
}

enum auth_method
auth_method_of(const struct session *s)
{
	const struct login *l = s->login;

	return config_auth(l->world->config, l->database);
}

static HOT void
begin_admitted(struct session *s)
{
	enum auth_method method = auth_method_of(s);

	s->hba_line = 0; /* it may be left from an earlier request over HTTP */
	if (method == METHOD_PASSTHROUGH) {
		if (!guard_admits(s) || !redirect_admits(s))
			return;
		if (s->login->said != NULL)
			s->login->own = ownlogin_new_credential(s->login->said);
		attach_begin(s);
		return;
	}
	if (method == METHOD_HBA || method == METHOD_CERT) {
		const struct hba_rule *rule = hbarule_enter(s, method);

		if (rule == NULL)
			return;
		method = hbarule_method(rule);
		s->hba_line = rule->line;
	}
	begin(s, method, auth_done);
	if (http_speaks(s) || auth_negotiate(s))
		auth_secret_known(s);
}

HOT void
auth_begin(struct session *s)
{
	if (guard_begin(s, begin_admitted))
		begin_admitted(s);
}

static void
begin_console_admitted(struct session *s)
{
	begin(s, METHOD_SCRAM, consoles_open);
	session_enter(s, SESSION_CONSOLE_LOGIN);
	auth_secret_known(s);
}

void
auth_begin_console(struct session *s)
{
	if (guard_begin(s, begin_console_admitted))
		begin_console_admitted(s);
}

void
auth_begin_bound(struct session *s, void (*passed)(struct session *s),
		 void (*unable)(struct session *s))
{
	begin(s, METHOD_SCRAM, passed);
	s->login->auth->unable = unable;
	auth_secret_known(s);
}

HOT bool
auth_negotiate(struct session *s)
{
	const struct startup *st = login_startup(s->login);
	struct slice unknown[STARTUP_EXTENSIONS_MAX];
	struct buf b = { .cap = 16384 };
	bool said;

	if (st->minor <= STARTUP_MINOR_LATEST && st->extensions_n == 0)
		return true;
	for (size_t i = 0; i < st->extensions_n; i++)
		unknown[i] = st->extensions[i].name;
	message_put_negotiate(&b,
			      st->minor < STARTUP_MINOR_LATEST ? st->minor : STARTUP_MINOR_LATEST,
			      unknown, st->extensions_n);
	said = session_say(s, b.p, b.n);
	buf_fini(&b);
	return said;
}
