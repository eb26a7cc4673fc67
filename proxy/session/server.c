/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/server.h"

#include <stdlib.h>

#include "base/hot.h"
#include "base/mem.h"
#include "proxy/session/ask.h"
#include "proxy/session/session_int.h"
#include "proxy/session/signon.h"
#include "proxy/sqlstate/statements.h"
#include "proxy/sqlstate/vars.h"
#include "routing/topology.h"

/* Unsent bytes kept for a node: what is left of one scratch read. */
#define SERVER_OUT_CAP ((size_t)1 << 20)

static HOT void
server_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct server *sv = arg;

	(void)fd;
	if (sv->attempt != NULL)
		session_ops.attempt_on_server(sv, what);
	else if (sv->signon != NULL)
		signon_on_event(sv->signon, what);
	else if (sv->ask != NULL)
		ask_on_event(sv->ask, what);
	else if (sv->is_next)
		session_ops.next_on_server(sv, what);
	else if (sv->session == NULL)
		session_ops.idle_on_server(sv, what);
	else if (sv->session->state == SESSION_RELAY)
		relay_on_server(sv->session, what);
	else if (sv->session->state == SESSION_LOGIN)
		session_ops.login_on_server(sv->session, what);
	else if (sv->session->state == SESSION_SQL)
		session_ops.sql_on_server(sv->session, what);
}

void
server_open(struct server *sv)
{
	stream_init(&sv->stream, loop_base(sv->worker->loop), -1, server_on_event, sv);
	stream_keep_at_most(&sv->stream, SERVER_OUT_CAP);
}

HOT struct server *
server_new(struct worker *w, struct session *s, struct node_live *live)
{
	struct server *sv = xcalloc(1, sizeof(*sv));

	sv->worker = w;
	sv->session = s;
	sv->live = node_live_ref(live);
	server_open(sv);
	atomic_fetch_add(&live->sessions, 1);
	return sv;
}

HOT void
server_keep_key(struct server *sv, struct slice key)
{
	uint8_t *to = sv->key.here;

	if (key.n > sizeof(sv->key.here))
		to = sv->key.apart = xmalloc(key.n);
	memcpy(to, key.p, key.n);
	sv->key_len = (uint16_t)key.n;
}

struct slice
server_key(const struct server *sv)
{
	const uint8_t *key = sv->key_len > sizeof(sv->key.here) ? sv->key.apart : sv->key.here;

	return slice_of((const char *)key, sv->key_len);
}

HOT void
server_free(struct server *sv)
{
	if (sv == NULL)
		return;
	if (sv->cancels > 0)
		session_ops.server_forget_cancels(sv);
	if (sv->is_next)
		session_ops.server_next_freed(sv);
	atomic_fetch_sub(&sv->live->sessions, 1);
	bulk_end(&sv->bulk);
	stream_fini(&sv->stream);
	signon_free(sv->signon);
	ask_free(sv->ask);
	ask_free(sv->ask_behind);
	if (sv->pool != NULL)
		session_ops.server_leave_pool(sv);
	node_live_unref(sv->live);
	server_statements_free(sv->statements);
	sv->statements = NULL;
	vars_unref(sv->vars);
	vars_unref(sv->reported);
	vars_unref(sv->settled);
	sv->vars = NULL;
	if (sv->key_len > sizeof(sv->key.here))
		free(sv->key.apart);
	sv->key_len = 0;
	loop_defer(sv->worker->loop, free, sv);
}
