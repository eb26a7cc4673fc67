/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "proxy/http/sql.h"
#include "proxy/session/attempt.h"
#include "proxy/worker_int.h"
#include "routing/topology.h"

/* Unsent bytes kept for a node: what is left of one scratch read. */
#define SERVER_OUT_CAP ((size_t)1 << 20)

static void
server_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct server *sv = arg;

	(void)fd;
	if (sv->attempt != NULL) {
		attempt_on_event(sv->attempt, what);
		return;
	}
	if (sv->session->state == SESSION_RELAY)
		relay_on_server(sv->session, what);
	else if (sv->session->state == SESSION_LOGIN)
		login_on_server(sv->session, what);
	else if (sv->session->state == SESSION_SQL)
		sql_on_server(sv->session, what);
}

struct server *
server_new(struct worker *w, struct session *s, struct node_live *live)
{
	struct server *sv = xcalloc(1, sizeof(*sv));

	sv->worker = w;
	sv->session = s;
	sv->live = node_live_ref(live);
	stream_init(&sv->stream, loop_base(w->loop), -1, server_on_event, sv);
	sv->stream.out.cap = SERVER_OUT_CAP;
	atomic_fetch_add(&live->sessions, 1);
	return sv;
}

void
server_free(struct server *sv)
{
	if (sv == NULL)
		return;
	atomic_fetch_sub(&sv->live->sessions, 1);
	stream_fini(&sv->stream);
	node_live_unref(sv->live);
	free(sv->key);
	sv->key = NULL;
	loop_defer(sv->worker->loop, free, sv);
}
