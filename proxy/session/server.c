/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <stdlib.h>

#include "base/hot.h"
#include "base/mem.h"
#include "proxy/cancel/canceler.h"
#include "proxy/http/sql.h"
#include "proxy/login/attempt.h"
#include "proxy/move/rehome_int.h"
#include "proxy/pool/ask.h"
#include "proxy/pool/pool_int.h"
#include "proxy/session/signon.h"
#include "proxy/sqlstate/statements.h"
#include "proxy/sqlstate/vars.h"
#include "proxy/worker_int.h"
#include "routing/topology.h"

/* Unsent bytes kept for a node: what is left of one scratch read. */
#define SERVER_OUT_CAP ((size_t)1 << 20)

static HOT void
server_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct server *sv = arg;

	(void)fd;
	if (sv->attempt != NULL)
		attempt_on_event(sv->attempt, what);
	else if (sv->signon != NULL)
		signon_on_event(sv->signon, what);
	else if (sv->ask != NULL)
		ask_on_event(sv->ask, what);
	else if (sv->is_next)
		rehome_on_server(sv->session->rehome, what);
	else if (sv->session == NULL)
		keeper_on_idle(sv, what);
	else if (sv->session->state == SESSION_RELAY)
		relay_on_server(sv->session, what);
	else if (sv->session->state == SESSION_LOGIN)
		login_on_server(sv->session, what);
	else if (sv->session->state == SESSION_SQL)
		sql_on_server(sv->session, what);
}

void
server_open(struct server *sv)
{
	stream_init(&sv->stream, loop_base(sv->worker->loop), -1, server_on_event, sv);
	stream_keep_at_most(&sv->stream, SERVER_OUT_CAP);
}

WARM struct server *
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

WARM void
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

WARM void
server_free(struct server *sv)
{
	if (sv == NULL)
		return;
	canceler_forget(sv);
	if (sv->is_next)
		rehome_on_server_freed(sv->session->rehome);
	atomic_fetch_sub(&sv->live->sessions, 1);
	bulk_end(&sv->bulk);
	stream_fini(&sv->stream);
	signon_free(sv->signon);
	ask_free(sv->ask);
	if (sv->pool != NULL)
		pool_remove(sv);
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
