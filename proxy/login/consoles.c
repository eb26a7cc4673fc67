/* SPDX-License-Identifier: PostgreSQL
 *
 * Sessions of the console: which clients may open it, and the connection between the session's
 * socket and proxy/admin. Over the unix socket the daemon's own user is admin without a password;
 * every other client proves itself by SCRAM against auth_file (authenticate.h).
 */
#include "config.h"

#include "proxy/login/login_int.h"

#include "base/text.h"
#include "protocol/message.h"
#include "proxy/admin/console.h"
#include "proxy/cancel/cancelkeys.h"
#include "proxy/login/authenticate.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"
#include "proxy/session/session_int.h"

#define MAY_PRODUCE (64 * 1024) /* a listing waits while this much is unsent */

static bool
lists(const struct strlist *users, struct slice user)
{
	for (size_t i = 0; i < users->n; i++) {
		if (slice_is(user, users->v[i]))
			return true;
	}
	return false;
}

/* -1: the console is closed to this client. */
static int
privilege_of(const struct session *s, const struct conf_main *conf, struct slice user)
{
	if (s->local_admin || lists(&conf->admin_users, user))
		return PRIVILEGE_ADMIN;
	if (lists(&conf->migration_users, user))
		return PRIVILEGE_MIGRATION;
	return lists(&conf->stats_users, user) ? PRIVILEGE_STATS : -1;
}

static bool
port_send(void *owner, const char *p, size_t n)
{
	struct session *s = owner;

	return session_say(s, p, n) && stream_unsent(&s->client) < MAY_PRODUCE;
}

static void
port_close(void *owner)
{
	session_end(owner, WHY_CLIENT_DONE);
}

void
consoles_open(struct session *s)
{
	struct login *l = s->login;
	const struct conf_main *conf = &l->world->config->main;
	const struct startup *st = login_startup(l);
	int privilege = privilege_of(s, conf, st->user);
	struct console_port port = { s, port_send, port_close, s->id };
	struct buf b = { .cap = 16384 };
	char user[128], address[ADDR_TEXT_MAX];

	if (privilege < 0) {
		session_close(
		    s, WHY_NOT_ALLOWED,
		    "The user is in none of admin_users, migration_users and stats_users.");
		return;
	}
	(void)text_copy(user, sizeof(user), st->user);
	session_set_names(
	    s, (struct slice[]){ st->user, st->database, st->application_name, slice_str("") });
	locate_claim_console(s);
	s->key_len = 4;
	s->cancel_pid = (uint32_t)s->id & 0x7fffffff;
	random_take(&s->worker->random, s->key, s->key_len);
	cancelkeys_add(s->worker->keys, s->key, s->slot);
	auth_put_ok(l, &b);
	console_greeting(&b);
	message_put_key(&b, s->cancel_pid, slice_of((const char *)s->key, s->key_len));
	console_ready(&b);
	s->console = console_new(s->worker, &port, (enum privilege)privilege, user,
				 addr_print(&s->peer, address));
	session_enter(s, SESSION_CONSOLE);
	stat_add(&s->worker->stats.consoles, 1);
	/* from here on the session may end during a call, and its login with it */
	s->login = NULL;
	if (session_say(s, b.p, b.n) && l->inbox.n > 0)
		console_input(s->console, l->inbox.p, l->inbox.n);
	buf_fini(&b);
	login_free(l);
}

void
consoles_begin(struct session *s)
{
	if (!auth_negotiate(s))
		return;
	if (s->local_admin)
		consoles_open(s);
	else if (s->login->world->config->auth == NULL)
		session_close(s, WHY_NOT_ALLOWED,
			      "The console over the network needs auth_file and admin_users, "
			      "migration_users or stats_users.");
	else
		auth_begin_console(s);
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
