/* SPDX-License-Identifier: PostgreSQL
 *
 * Sessions of the console: who may open it, and the port between the session's socket and
 * proxy/admin. Over the unix socket the daemon's own user is admin without a password; everyone
 * else proves himself by SCRAM against auth_file. A user that does not exist goes through the same
 * exchange.
 */
#include "config.h"

#include "proxy/session/consoles.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/scram.h"
#include "protocol/sqlstate.h"
#include "proxy/admin/console.h"
#include "proxy/auth/authfile.h"
#include "proxy/session/session_int.h"
#include "proxy/worker_int.h"

#define PASSWORD_MESSAGE_MAX 4096
#define MAY_PRODUCE          (64 * 1024) /* unsent bytes at which a listing waits */

static bool
lists(const struct strlist *users, struct slice user)
{
	for (size_t i = 0; i < users->n; i++) {
		if (slice_is(user, users->v[i]))
			return true;
	}
	return false;
}

static bool
port_send(void *owner, const char *p, size_t n)
{
	struct session *s = owner;

	return session_say(s, p, n) && s->client.out.n < MAY_PRODUCE;
}

static void
port_close(void *owner)
{
	session_end(owner, WHY_CLIENT_DONE);
}

static void
open_console(struct session *s)
{
	struct login *l = s->login;
	const struct conf_main *conf = &l->world->config->main;
	const struct startup *st = login_startup(l);
	bool admin = s->local_admin || lists(&conf->admin_users, st->user);
	struct console_port port = { s, port_send, port_close };
	struct buf b = { .cap = 16384 };
	char user[128];

	if (!admin && !lists(&conf->stats_users, st->user)) {
		session_close(s, WHY_NOT_ALLOWED,
			      "The user is in neither admin_users nor stats_users.");
		return;
	}
	(void)text_copy(user, sizeof(user), st->user);
	session_set_names(
	    s, (struct slice[]){ st->user, st->database, st->application_name, slice_str("") });
	BUG_ON(getrandom(s->key, 4, 0) != 4);
	message_put_auth(&b, AUTH_OK, slice_of(NULL, 0));
	console_greeting(&b);
	message_put_key(&b, (uint32_t)s->id & 0x7fffffff, slice_of((const char *)s->key, 4));
	console_ready(&b);
	s->console = console_new(s->worker, &port, admin ? PRIVILEGE_ADMIN : PRIVILEGE_STATS, user);
	session_enter(s, SESSION_CONSOLE);
	stat_add(&s->worker->stats.consoles, 1);
	/* from here on the session may end under our hands, and its login with it */
	s->login = NULL;
	if (session_say(s, b.p, b.n) && l->inbox.n > 0)
		console_input(s->console, l->inbox.p, l->inbox.n);
	buf_fini(&b);
	login_free(l);
}

static void
refuse(struct session *s, const char *log_why)
{
	struct slice user = login_startup(s->login)->user;
	struct err e;

	log_limited(LOG_LEVEL_INFO, session_subject(s), "console login refused: %s", log_why);
	err_set(&e, SQLSTATE_INVALID_PASSWORD, "password authentication failed for user \"%.*s\"",
		(int)(user.n < 100 ? user.n : 100), user.p);
	session_close_err(s, WHY_AUTH_FAILED, &e);
}

/* Make the machine for this user's exchange; a stranger gets one that never succeeds. */
static void
start_scram(struct session *s)
{
	struct login *l = s->login;
	struct slice user = login_startup(l)->user;
	const struct authfile_user *u = authfile_find(l->world->config->auth, user);
	uint8_t random[SCRAM_NONCE_BYTES];
	char nonce[SCRAM_NONCE_TEXT + 1];
	struct scram_verifier mock;

	BUG_ON(getrandom(random, sizeof(random), 0) != sizeof(random));
	scram_nonce(random, nonce);
	l->scram = xcalloc(1, sizeof(*l->scram));
	if (u == NULL || u->kind != AUTHFILE_SCRAM)
		scram_verifier_mock(user, s->worker->process->mock_secret, &mock);
	scram_server_init(l->scram, u != NULL && u->kind == AUTHFILE_SCRAM ? &u->scram : &mock,
			  nonce);
}

/* A protocol newer than ours, or options that we do not have: say what we do speak, and go on. */
static void
negotiate(struct session *s)
{
	const struct startup *st = login_startup(s->login);
	struct slice unknown[STARTUP_EXTENSIONS_MAX];
	struct buf b = { .cap = 16384 };

	if (st->minor <= STARTUP_MINOR_LATEST && st->extensions_n == 0)
		return;
	for (size_t i = 0; i < st->extensions_n; i++)
		unknown[i] = st->extensions[i].name;
	message_put_negotiate(&b,
			      st->minor < STARTUP_MINOR_LATEST ? st->minor : STARTUP_MINOR_LATEST,
			      unknown, st->extensions_n);
	(void)session_say(s, b.p, b.n);
	buf_fini(&b);
}

void
consoles_begin(struct session *s)
{
	static const char *const mechanisms[] = { SCRAM_MECHANISM };
	struct buf b = { .cap = 256 };

	negotiate(s);
	if (s->state == SESSION_CLOSED)
		return;
	if (s->local_admin) {
		open_console(s);
		return;
	}
	if (s->login->world->config->auth == NULL) {
		session_close(
		    s, WHY_NOT_ALLOWED,
		    "The console over the network needs auth_file and admin_users or stats_users.");
		return;
	}
	start_scram(s);
	session_enter(s, SESSION_CONSOLE_LOGIN);
	message_put_auth_sasl(&b, mechanisms, 1);
	(void)session_say(s, b.p, b.n);
	buf_fini(&b);
}

void
consoles_forget(struct login *l)
{
	if (l->scram == NULL)
		return;
	scram_server_fini(l->scram);
	free(l->scram);
	l->scram = NULL;
}

/* One message of the exchange. False: the session is over, or the console open. */
static bool
scram_step(struct session *s, struct slice body)
{
	struct scram_server *scram = s->login->scram;
	struct message_sasl_initial first;
	struct buf data = { .cap = SCRAM_MESSAGE_MAX }, out = { .cap = 2 * SCRAM_MESSAGE_MAX };
	bool initial = scram->step == SCRAM_START;
	struct err e;
	int r;

	if (initial) {
		if (message_parse_sasl_initial(body, &first) != PARSE_DONE) {
			session_close(s, WHY_PROTOCOL, "Expected SCRAM-SHA-256.");
			return false;
		}
		r = scram_server_first(scram, first.mechanism, first.data, &data, &e);
	} else {
		r = scram_server_final(scram, body, &data, &e);
	}
	if (r != 0) {
		buf_fini(&data);
		refuse(s, e.msg);
		return false;
	}
	message_put_auth(&out, initial ? AUTH_SASL_CONTINUE : AUTH_SASL_FINAL, buf_view(&data));
	initial = session_say(s, out.p, out.n) && initial;
	buf_fini(&data);
	buf_fini(&out);
	if (!initial && s->state == SESSION_CONSOLE_LOGIN)
		open_console(s);
	return initial;
}

void
consoles_on_login(struct session *s)
{
	struct buf *in = &s->login->inbox;
	ssize_t n = stream_recv(&s->client, s->worker->scratch, PASSWORD_MESSAGE_MAX);
	struct frame f;
	enum parse p;

	if (n == STREAM_AGAIN)
		return;
	if (n <= 0) {
		session_abort(s, WHY_CLIENT_GONE);
		return;
	}
	buf_put(in, s->worker->scratch, (size_t)n);
	do {
		p = frame_cut(buf_view(in), PASSWORD_MESSAGE_MAX, &f);
		if (p == PARSE_BAD || (p == PARSE_DONE && f.type != MSG_PASSWORD)) {
			session_close(s, WHY_PROTOCOL, "Expected a password message.");
			return;
		}
		if (p == PARSE_DONE) {
			struct buf whole = { .cap = PASSWORD_MESSAGE_MAX };

			buf_slice(&whole, f.body);
			buf_drop(in, f.total);
			if (!scram_step(s, buf_view(&whole)))
				p = PARSE_MORE;
			buf_fini(&whole);
		}
	} while (p == PARSE_DONE);
}

void
consoles_on_readable(struct session *s)
{
	ssize_t n = stream_recv(&s->client, s->worker->scratch, WORKER_SCRATCH);

	if (n == STREAM_AGAIN)
		return;
	if (n <= 0) {
		session_abort(s, WHY_CLIENT_DONE);
		return;
	}
	s->rx_bytes += (uint64_t)n;
	console_input(s->console, s->worker->scratch, (size_t)n);
}

void
consoles_on_drained(struct session *s)
{
	console_drained(s->console);
}
