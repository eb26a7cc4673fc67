/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/cancel/canceler.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/hot.h"
#include "base/mem.h"
#include "protocol/fleetkey.h"
#include "proxy/net/dial.h"
#include "proxy/net/tlsctx.h"
#include "proxy/pool/pool.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/session_int.h"
#include "routing/topology.h"

#define CANCEL_TIMEOUT_S 10
#define CANCEL_AGAIN_S   1
#define CANCEL_TRIES     5
#define CANCEL_ASKING_US (10 * USEC_PER_MSEC)

/* A request that overtakes its query is lost, since the node signals a process that has not read
 * the query yet. Therefore the connection of a session that has ended is kept until the node closes
 * it, and the request is sent again until then. */
struct canceler {
	LIST_ENTRY(canceler) all;
	struct worker *worker;
	struct world *world;
	/* the server connection whose query is meant, while it exists; or NULL */
	struct server *server;
	uint64_t session_id; /* … and the session that had it then */
	struct stream stream;
	struct stream orphan; /* that connection, where its session has ended; closed otherwise */
	struct dial dial;
	struct event timer; /* the request times out, or the next one is due */
	struct buf packet;
	canceler_done_fn *done;
	void *arg;
	/* the node of the session; `host` and `live` are this struct's own */
	struct node node;
	struct dial_target to;  /* … and how to dial it */
	struct ssl_ctx_st *ctx; /* the session's own, where the world has none, or NULL */
	uint8_t tries;
	enum dial_way way;
};

/* `certain` is false where the fate of the request is not known: it may still arrive, so the server
 * connection is not lent again. */
static void
finish(struct canceler *c, bool certain)
{
	canceler_done_fn *done = c->done;
	struct server *sv = c->server;

	event_del(&c->timer);
	stream_fini(&c->stream);
	stream_fini(&c->orphan);
	LIST_REMOVE(c, all);
	c->server = NULL;
	if (sv != NULL) {
		sv->close_needed = sv->close_needed || !certain;
		if (--sv->cancels == 0 && sv->pool != NULL)
			pool_cancel_done(sv);
	}
	buf_fini(&c->packet);
	if (done != NULL)
		done(c->arg);
	tls_context_unref(c->ctx);
	node_live_unref(c->node.live);
	free(c->node.host);
	world_unref(c->world);
	c->worker->ncancels--;
	worker_check_done(c->worker);
	loop_defer(c->worker->loop, free, c);
}

static void
arm(struct canceler *c, int64_t us)
{
	struct timeval tv = { .tv_sec = us / USEC_PER_SEC, .tv_usec = us % USEC_PER_SEC };

	event_add(&c->timer, &tv);
}

/* The request has arrived, or never will (`certain`); or that is not known. */
static void
request_over(struct canceler *c, bool certain)
{
	stream_fini(&c->stream);
	if (stream_is_open(&c->orphan) && c->tries < CANCEL_TRIES && !c->worker->draining)
		arm(c, CANCEL_AGAIN_S * USEC_PER_SEC);
	else
		finish(c, certain);
}

static void
advance(struct canceler *c, enum dial_step step)
{
	if (step == DIAL_FAILED)
		request_over(c, true);
	else if (step == DIAL_READY && stream_send(&c->stream, c->packet.p, c->packet.n) != 0)
		request_over(c, false);
}

static void
canceler_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct canceler *c = arg;
	ssize_t n;

	(void)fd;
	if (c->dial.step != DIAL_READY) {
		advance(c, dial_on_event(&c->dial, what));
		return;
	}
	if ((what & EV_WRITE) && stream_flush(&c->stream) != 0) {
		request_over(c, false);
		return;
	}
	/* the node closes when the signal has been sent */
	n = stream_recv(&c->stream, c->worker->scratch, WORKER_SCRATCH);
	if (n != STREAM_AGAIN)
		request_over(c, n == 0);
}

static void
send_request(struct canceler *c)
{
	c->tries++;
	c->dial.tls = c->worker->tls;
	stream_init(&c->stream, loop_base(c->worker->loop), -1, canceler_on_event, c);
	arm(c, CANCEL_TIMEOUT_S * USEC_PER_SEC);
	advance(c, dial_begin(&c->dial, &c->stream, &c->to, c->way));
}

/* The connection was given to another session, or back to its pool, while this waited. */
static bool
is_too_late(const struct canceler *c)
{
	return c->session_id != 0 && (c->server == NULL || c->server->session == NULL ||
				      c->server->session->id != c->session_id);
}

static void
begin(struct canceler *c)
{
	/* the client's query waits behind a question of ours, which the request would cancel */
	if (c->server != NULL && c->server->ask != NULL)
		arm(c, CANCEL_ASKING_US);
	else
		send_request(c);
}

static void
canceler_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct canceler *c = arg;

	(void)fd;
	(void)what;
	if (stream_is_open(&c->stream))
		request_over(c, c->dial.step != DIAL_READY);
	else if (c->tries == 0 && is_too_late(c))
		finish(c, true);
	else
		begin(c);
}

/* Drop what the node still sends; when it closes, the server process has ended. */
static void
orphan_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct canceler *c = arg;
	ssize_t n;

	(void)fd;
	(void)what;
	n = stream_recv(&c->orphan, c->worker->scratch, WORKER_SCRATCH);
	if (n == 0 || n == STREAM_FAILED)
		finish(c, true);
}

static struct canceler *
canceler_new(struct worker *w, canceler_done_fn *done, void *arg)
{
	struct canceler *c = xcalloc(1, sizeof(*c));

	w->ncancels++;
	c->worker = w;
	c->world = world_ref(worker_world(w));
	c->done = done;
	c->arg = arg;
	c->stream.fd = c->orphan.fd = -1;
	LIST_INSERT_HEAD(&w->cancelers, c, all);
	evtimer_assign(&c->timer, loop_base(w->loop), canceler_on_timer, c);
	return c;
}

/* A canceler for the server connection, with the node's own key; NULL: the node gave none. It dials
 * the very address that the session is attached to: its name may have others by now, and a reload
 * may have removed the node. */
static struct canceler *
canceler_of(struct server *sv, canceler_done_fn *done, void *arg)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	const struct topology *t;
	const struct node *n;
	struct canceler *c;
	bool verify_host;

	if (sv->key_len == 0)
		return NULL;
	c = canceler_new(sv->worker, done, arg);
	t = c->world->topology;
	n = topology_node_by_live(t, sv->live);
	c->node.live = node_live_ref(sv->live);
	c->node.host = node_name_host(sv->live->name, &c->node.port);
	if (getpeername(sv->stream.fd, (struct sockaddr *)&sa, &len) == 0 &&
	    addr_from_sockaddr((struct sockaddr *)&sa, &c->node.addrs[0]))
		c->node.naddrs = 1;
	if (n != NULL)
		c->to = world_dial_target(c->world, (uint16_t)(n - t->nodes));
	c->to.node = &c->node;
	c->to.conf = &c->world->config->main;
	c->way = sv->stream.ssl != NULL ? DIAL_WITH_TLS : DIAL_WITHOUT_TLS;
	if (sv->stream.ssl != NULL && c->to.ctx == NULL) {
		c->to.ctx = c->ctx = tls_context_ref(sv->stream.ssl, &verify_host);
		c->to.sslmode = verify_host ? SSLMODE_VERIFY_FULL : SSLMODE_REQUIRE;
	}
	startup_build_cancel(&c->packet, sv->pid, server_key(sv));
	return c;
}

bool
canceler_for_session(struct session *s, canceler_done_fn *done, void *arg)
{
	struct canceler *c = canceler_of(s->server, done, arg);

	if (c == NULL)
		return false;
	c->server = s->server;
	c->session_id = s->id;
	c->server->cancels++;
	begin(c);
	return true;
}

void
canceler_for_orphan(struct session *s)
{
	struct canceler *c = canceler_of(s->server, NULL, NULL);

	if (c == NULL)
		return;
	bulk_end(&s->server->bulk);
	stream_move(&s->server->stream, &c->orphan, orphan_on_event, c);
	/* the server process reads the end of the file behind the query */
	(void)shutdown(c->orphan.fd, SHUT_WR);
	stream_drop_unsent(&c->orphan);
	stream_want(&c->orphan, EV_READ);
	send_request(c);
}

bool
canceler_for_box(struct worker *w, uint32_t pid, const struct fleet_box *box,
		 canceler_done_fn *done, void *arg)
{
	const struct topology *t = worker_world(w)->topology;
	const struct node *n = topology_node_by_name(t, slice_str(box->node));
	struct canceler *c;

	if (n == NULL)
		return false;
	c = canceler_new(w, done, arg);
	c->to = world_dial_target(c->world, (uint16_t)(n - t->nodes));
	c->node.live = node_live_ref(n->live);
	c->node.host = xstrdup(n->host);
	c->node.port = n->port;
	c->node.addrs[0] = box->addr;
	c->node.naddrs = 1;
	c->to.node = &c->node;
	startup_build_cancel(&c->packet, pid, slice_of((const char *)box->secret, box->secret_len));
	send_request(c);
	return true;
}

HOT void
canceler_forget(struct server *sv)
{
	struct canceler *c;

	if (sv->cancels == 0)
		return;
	LIST_FOREACH (c, &sv->worker->cancelers, all) {
		if (c->server == sv)
			c->server = NULL;
	}
	sv->cancels = 0;
}
