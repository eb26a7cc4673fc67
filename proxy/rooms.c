/* SPDX-License-Identifier: PostgreSQL
 *
 * The tables through which rooms are called that their callers may not include (doc/decisions,
 * 0043): here, at the top, all of them are known. Constant, and resolved by the linker. The
 * functions here only say which field of a session the one that is called wants to have.
 */
#include "config.h"

#include "base/hot.h"
#include "proxy/admin/console.h"
#include "proxy/cancel/cancel.h"
#include "proxy/cancel/canceler.h"
#include "proxy/cancel/cancelkeys.h"
#include "proxy/cancel/peers.h"
#include "proxy/http/http.h"
#include "proxy/http/http_int.h"
#include "proxy/http/sql.h"
#include "proxy/login/attempt.h"
#include "proxy/login/authenticate.h"
#include "proxy/login/login_int.h"
#include "proxy/move/pause.h"
#include "proxy/move/rehome_int.h"
#include "proxy/move/straggle.h"
#include "proxy/pool/pool_int.h"
#include "proxy/pool/pooled.h"
#include "proxy/reads/reads.h"
#include "proxy/session/observers.h"
#include "proxy/session/session_int.h"

/* ---- what sees a session's traffic, in order ---- */

const struct observer *const session_observers[OBSERVERS] = {
	[OBSERVER_READS] = &reads_observer,     [OBSERVER_POOL] = &pool_observer,
	[OBSERVER_SAMPLER] = &sampler_observer, [OBSERVER_STATEMENTS] = &statements_observer,
	[OBSERVER_TRACES] = &traces_observer,   [OBSERVER_STRAGGLER] = &straggler_observer,
	[OBSERVER_PAUSE] = &pause_observer,     [OBSERVER_REHOME] = &rehome_observer,
};

/* ---- sessions ---- */

static HOT void
login_ends(struct login *l)
{
	attach_stop(l);
	auth_forget(l);
	lookup_forget(l);
	guard_forget(l);
}

static void
free_console(struct session *s)
{
	console_free(s->console);
	s->console = NULL;
}

static HOT void
forget_key(struct session *s)
{
	cancelkeys_remove(s->worker->keys, s->key, s->slot);
}

static const char *
transport(const struct session *s)
{
	enum transport t = http_transport(s);

	return t != TRANSPORT_PLAIN ? transport_name(t) : NULL;
}

static HOT void
attempt_on_server(struct server *sv, short what)
{
	attempt_on_event(sv->attempt, what);
}

static void
next_on_server(struct server *sv, short what)
{
	rehome_on_server(sv->session->rehome, what);
}

static void
next_freed(struct server *sv)
{
	rehome_on_server_freed(sv->session->rehome);
}

const struct session_ops session_ops = {
	.states = {
		[SESSION_PROXY_HEADER] = { preface_on_proxy_header, NULL },
		[SESSION_PREFACE] = { preface_on_readable, NULL },
		[SESSION_TLS_HELLO] = { preface_on_tls_hello, NULL },
		[SESSION_TLS_HANDSHAKE] = { preface_on_tls_handshake, NULL },
		[SESSION_STARTUP] = { preface_on_readable, NULL },
		[SESSION_HTTP] = { http_on_readable, http_go_on },
		[SESSION_THROTTLED] = { attach_on_client, NULL },
		[SESSION_LOOKUP] = { attach_on_client, NULL },
		[SESSION_AUTH] = { auth_on_client, NULL },
		[SESSION_PAUSED] = { attach_on_client, NULL },
		[SESSION_ATTACHING] = { attach_on_client, NULL },
		[SESSION_LOGIN] = { login_on_client, NULL },
		[SESSION_SQL] = { http_on_readable, NULL },
		[SESSION_RELAY] = { relay_on_client, relay_on_client_drained },
		[SESSION_PEER] = { peers_on_readable, NULL },
		[SESSION_CANCELLING] = { cancel_on_client, NULL },
		[SESSION_CONSOLE_LOGIN] = { auth_on_client, NULL },
		[SESSION_CONSOLE] = { consoles_on_readable, consoles_on_drained },
		[SESSION_FAREWELL] = { session_on_farewell_readable, session_on_farewell_drained },
	},
	.begin = preface_begin,
	.attach = attach_begin,
	.login_ends = login_ends,
	.attach_stop = attach_stop,
	.explain_attach = attach_explain_wait,
	.free_console = free_console,
	.forget_key = forget_key,
	.cancel_query = cancel_server,
	.http_speaks = http_speaks,
	.http_awaits_answer = http_awaits_answer,
	.http_put_farewell = http_put_farewell,
	.http_check_deadline = http_check_deadline,
	.http_free = http_free,
	.http_transport = transport,
	.http_target = http_target,
	.can_move = rehome_can,
	.pool_moved_locality = pooled_moved_locality,
	.set = reads_set,
	.reset_all = reads_reset_all,
	.show = reads_show,
	.attempt_on_server = attempt_on_server,
	.next_on_server = next_on_server,
	.idle_on_server = keeper_on_idle,
	.login_on_server = login_on_server,
	.sql_on_server = sql_on_server,
	.server_forget_cancels = canceler_forget,
	.server_next_freed = next_freed,
	.server_leave_pool = pool_remove,
};

/* ---- pools ---- */

static HOT bool
is_paused(const struct pool *p)
{
	return pause_covers(p->worker, slice_str(p->database), p->live);
}

static HOT void
put_authenticated(struct session *s, struct buf *out)
{
	auth_put_ok(s->login, out);
}

/* There is no server that it would be the key of. */
static HOT void
put_key(struct session *s, struct buf *out)
{
	cancel_give_key(s, NULL, out);
}

const struct pool_ops pool_ops = {
	.is_paused = is_paused,
	.put_authenticated = put_authenticated,
	.put_key = put_key,
	.put_welcome = redirect_welcome,
	.on_quiet = rehome_on_quiet,
	.begin_reads = reads_begin,
	.on_parked = reads_on_parked,
	.on_position = reads_on_position,
	.on_heard = reads_on_heard,
	.on_refused_nearby = reads_on_refused,
	.on_names = reads_on_names,
	.on_pinned_nearby = reads_on_pinned,
	.free_reads = reads_free,
	.next_on_lent = rehome_logged_in,
	.next_on_refused = rehome_fail,
};

/* ---- HTTP ---- */

const struct http_ops http_ops = {
	.claim_headers = locate_claim_headers,
	.on_inbox = preface_on_inbox,
	.admit = session_admit,
};
