/* SPDX-License-Identifier: PostgreSQL
 *
 * Cancel requests. A client's request names a session by its server's process id and the secret
 * that Meridian gave out; every worker is asked, the one that has the session dials its node and
 * sends the node's own key. The requester's connection is closed when all is done, as PostgreSQL
 * does it. Where a client vanishes in the middle of a query, Meridian itself asks the node to stop
 * it.
 */
#include "config.h"

#include "proxy/session/session_int.h"

#include <stdlib.h>
#include <sys/socket.h>

#include <openssl/crypto.h>

#include "base/mem.h"
#include "proxy/net/tlsctx.h"
#include "proxy/session/cancelkeys.h"
#include "proxy/session/dial.h"
#include "proxy/worker_int.h"
#include "routing/topology.h"

#define CANCEL_TIMEOUT_S 10
#define CANCEL_AGAIN_S   1
#define CANCEL_TRIES     5

/* One question to one worker, and its answer on the way back. */
struct cancel_letter {
	struct letter letter;
	struct worker *from; /* of the session that asked; NULL: nobody waits */
	uint64_t session_id;
	uint32_t slot;
	uint32_t pid;
	uint16_t key_len;
	bool found;
	uint8_t key[STARTUP_CANCEL_KEY_MAX];
};

/* A cancel request on its way to a node. One that overtakes its query is lost, for the node signals
 * a process that has not read the query yet. So the connection of a session that is over is kept
 * until the node closes it, and the request is sent again until then. */
struct canceler {
	struct worker *worker;
	struct world *world;
	struct stream stream;
	struct stream orphan; /* where there was a session; closed otherwise */
	struct dial dial;
	struct event timer; /* the request takes too long, or it is time for the next */
	struct buf packet;
	struct cancel_letter *reply; /* to be sent back when done, or NULL */
	struct node node;            /* where the session is attached: host and live are ours */
	struct dial_target to;       /* … and how it is reached */
	struct ssl_ctx_st *ctx;      /* the session's own, where the world has none, or NULL */
	uint8_t tries;
	enum dial_way way;
};

static void
on_answer(struct letter *letter, void *owner)
{
	struct cancel_letter *l = (struct cancel_letter *)letter;
	struct worker *w = owner;
	struct session *s = worker_session_at(w, l->slot);

	if (s != NULL && s->id == l->session_id && s->state == SESSION_CANCELLING) {
		s->cancel_found = s->cancel_found || l->found;
		if (--s->awaited == 0) {
			stat_add(s->cancel_found ? &w->stats.cancels : &w->stats.cancels_unknown,
				 1);
			session_end(s, WHY_CANCEL_DONE);
		}
	}
	free(l);
}

static void
answer(struct cancel_letter *take_letter)
{
	if (take_letter == NULL)
		return;
	worker_post(take_letter->from, &take_letter->letter, on_answer);
}

static void
finish(struct canceler *c)
{
	event_del(&c->timer);
	stream_fini(&c->stream);
	stream_fini(&c->orphan);
	buf_fini(&c->packet);
	answer(c->reply);
	tls_context_unref(c->ctx);
	node_live_unref(c->node.live);
	free(c->node.host);
	world_unref(c->world);
	c->worker->ncancels--;
	worker_check_done(c->worker);
	loop_defer(c->worker->loop, free, c);
}

static void
arm(struct canceler *c, int seconds)
{
	struct timeval tv = { .tv_sec = seconds };

	event_add(&c->timer, &tv);
}

/* A request has arrived, or failed to. */
static void
request_over(struct canceler *c)
{
	stream_fini(&c->stream);
	if (stream_is_open(&c->orphan) && c->tries < CANCEL_TRIES && !c->worker->draining)
		arm(c, CANCEL_AGAIN_S);
	else
		finish(c);
}

static void
advance(struct canceler *c, enum dial_step step)
{
	if (step == DIAL_FAILED ||
	    (step == DIAL_READY && stream_send(&c->stream, c->packet.p, c->packet.n) != 0))
		request_over(c);
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
		request_over(c);
		return;
	}
	/* the node closes when the signal has been sent */
	n = stream_recv(&c->stream, c->worker->scratch, WORKER_SCRATCH);
	if (n != STREAM_AGAIN)
		request_over(c);
}

static void
send_request(struct canceler *c)
{
	c->tries++;
	c->dial.tls = c->worker->tls;
	stream_init(&c->stream, loop_base(c->worker->loop), -1, canceler_on_event, c);
	arm(c, CANCEL_TIMEOUT_S);
	advance(c, dial_begin(&c->dial, &c->stream, &c->to, c->way));
}

static void
canceler_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct canceler *c = arg;

	(void)fd;
	(void)what;
	if (stream_is_open(&c->stream))
		request_over(c);
	else
		send_request(c);
}

/* What the node still says goes nowhere; when it closes, its process is gone. */
static void
orphan_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct canceler *c = arg;
	ssize_t n;

	(void)fd;
	(void)what;
	n = stream_recv(&c->orphan, c->worker->scratch, WORKER_SCRATCH);
	if (n == 0 || n == STREAM_FAILED)
		finish(c);
}

/* Aim at the very address that the session is attached to: a name may have others by now, and a
 * reload may have removed the node. */
static void
aim(struct canceler *c, const struct server *sv)
{
	const struct topology *t = c->world->topology;
	const struct node *n = topology_node_by_live(t, sv->live);
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	bool verify_host;

	c->node.live = node_live_ref(sv->live);
	c->node.host = node_name_host(sv->live->name, &c->node.port);
	if (getpeername(sv->stream.fd, (struct sockaddr *)&sa, &len) == 0 &&
	    addr_from_sockaddr((struct sockaddr *)&sa, &c->node.addrs[0]))
		c->node.naddrs = 1;
	if (n != NULL)
		c->to = dial_target(c->world, (uint16_t)(n - t->nodes));
	c->to.node = &c->node;
	c->to.conf = &c->world->config->main;
	c->way = sv->stream.ssl != NULL ? DIAL_WITH_TLS : DIAL_WITHOUT_TLS;
	if (sv->stream.ssl == NULL || c->to.ctx != NULL)
		return;
	c->to.ctx = c->ctx = tls_context_ref(sv->stream.ssl, &verify_host);
	c->to.sslmode = verify_host ? SSLMODE_VERIFY_FULL : SSLMODE_REQUIRE;
}

/* A request for the node of `sv`, with the node's own key; NULL where it gave none. */
static struct canceler *
canceler_new(struct worker *w, const struct server *sv)
{
	struct canceler *c;

	if (sv->key_len == 0)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	w->ncancels++;
	c->worker = w;
	c->world = world_ref(worker_world(w));
	aim(c, sv);
	c->stream.fd = c->orphan.fd = -1;
	startup_build_cancel(&c->packet, sv->pid, slice_of((const char *)sv->key, sv->key_len));
	evtimer_assign(&c->timer, loop_base(w->loop), canceler_on_timer, c);
	return c;
}

void
cancel_server(struct session *s)
{
	enum flow_activity doing = flow_activity(&s->flow);
	struct canceler *c;

	/* a client that said Terminate behind its query wants the query to end well */
	if (s->server == NULL || !stream_is_open(&s->server->stream) || s->terminated)
		return;
	if (doing != FLOW_ACTIVE && doing != FLOW_COPYING && doing != FLOW_REPLICATING)
		return;
	c = canceler_new(s->worker, s->server);
	if (c == NULL)
		return;
	stream_move(&s->server->stream, &c->orphan, orphan_on_event, c);
	/* it reads the end of the file behind the query */
	(void)shutdown(c->orphan.fd, SHUT_WR);
	buf_fini(&c->orphan.out);
	stream_want(&c->orphan, EV_READ);
	send_request(c);
}

/* The session of this worker that the key belongs to, or NULL. Every candidate is compared whole
 * and in constant time. */
static struct session *
find_session(struct worker *w, const struct cancel_letter *l)
{
	uint32_t slot;

	for (unsigned i = 0; (slot = cancelkeys_find(w->keys, l->key, i)) != UINT32_MAX; i++) {
		struct session *s = worker_session_at(w, slot);

		if (s != NULL && s->server != NULL && s->state == SESSION_RELAY &&
		    s->server->pid == l->pid && s->key_len == l->key_len &&
		    CRYPTO_memcmp(s->key, l->key, l->key_len) == 0)
			return s;
	}
	return NULL;
}

static void
on_question(struct letter *letter, void *owner)
{
	struct cancel_letter *l = (struct cancel_letter *)letter;
	struct worker *w = owner;
	struct session *s = find_session(w, l);
	struct canceler *c = s != NULL ? canceler_new(w, s->server) : NULL;

	l->found = s != NULL;
	if (c == NULL) {
		answer(l);
		return;
	}
	log_about(LOG_LEVEL_DEBUG, session_subject(s), "cancel requested");
	c->reply = l;
	send_request(c);
}

void
cancel_begin(struct session *s, const struct startup *request)
{
	struct meridian *p = s->worker->process;

	session_enter(s, SESSION_CANCELLING);
	s->awaited = (uint16_t)p->nworkers;
	for (int i = 0; i < p->nworkers; i++) {
		struct cancel_letter *l = xcalloc(1, sizeof(*l));

		l->from = s->worker;
		l->session_id = s->id;
		l->slot = s->slot;
		l->pid = request->cancel_pid;
		l->key_len = (uint16_t)request->cancel_key.n;
		memcpy(l->key, request->cancel_key.p, request->cancel_key.n);
		worker_post(p->workers[i], &l->letter, on_question);
	}
}

/* The requester may close before it is answered; the request goes on. */
void
cancel_on_client(struct session *s)
{
	if (stream_recv(&s->client, s->worker->scratch, WORKER_SCRATCH) != STREAM_AGAIN)
		session_end(s, WHY_CANCEL_DONE);
}
