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

#include <openssl/crypto.h>

#include "base/mem.h"
#include "proxy/session/cancelkeys.h"
#include "proxy/session/dial.h"
#include "proxy/worker_int.h"
#include "routing/topology.h"

#define CANCEL_TIMEOUT_S 10

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

/* A cancel request on its way to a node. */
struct canceler {
	struct worker *worker;
	struct world *world;
	struct stream stream;
	struct dial dial;
	struct event timer;
	struct buf packet;
	struct cancel_letter *reply; /* to be sent back when done, or NULL */
	struct loop_deferred free_later;
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
free_canceler(void *arg)
{
	free(arg);
}

static void
finish(struct canceler *c)
{
	event_del(&c->timer);
	stream_fini(&c->stream);
	buf_fini(&c->packet);
	answer(c->reply);
	world_unref(c->world);
	c->worker->ncancels--;
	worker_check_done(c->worker);
	loop_defer(c->worker->loop, &c->free_later, free_canceler, c);
}

static void
advance(struct canceler *c, enum dial_step step)
{
	if (step == DIAL_FAILED ||
	    (step == DIAL_READY && stream_send(&c->stream, c->packet.p, c->packet.n) != 0))
		finish(c);
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
		finish(c);
		return;
	}
	/* the node closes when the signal has been sent */
	n = stream_recv(&c->stream, c->worker->scratch, WORKER_SCRATCH);
	if (n != STREAM_AGAIN)
		finish(c);
}

static void
canceler_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish(arg);
}

/* Send the node of `sv` its own key; `take_reply` goes back when that is done. */
static void
send_cancel(struct worker *w, const struct server *sv, struct cancel_letter *take_reply)
{
	struct timeval limit = { .tv_sec = CANCEL_TIMEOUT_S };
	struct world *world = worker_world(w);
	const struct node *n = topology_node_by_live(world->topology, sv->live);
	struct canceler *c;

	if (n == NULL || sv->key_len == 0) {
		answer(take_reply);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	w->ncancels++;
	c->worker = w;
	c->world = world_ref(world);
	c->reply = take_reply;
	c->dial.tickets = w->tickets;
	startup_build_cancel(&c->packet, sv->pid, slice_of((const char *)sv->key, sv->key_len));
	stream_init(&c->stream, loop_base(w->loop), -1, canceler_on_event, c);
	evtimer_assign(&c->timer, loop_base(w->loop), canceler_on_timer, c);
	event_add(&c->timer, &limit);
	advance(c, dial_begin(&c->dial, &c->stream, world, (uint16_t)(n - world->topology->nodes),
			      sv->stream.ssl != NULL ? DIAL_WITH_TLS : DIAL_WITHOUT_TLS));
}

void
cancel_server(struct session *s)
{
	if (s->server != NULL && s->server->key_len > 0)
		send_cancel(s->worker, s->server, NULL);
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

	if (s == NULL) {
		answer(l);
		return;
	}
	l->found = true;
	log_about(LOG_LEVEL_DEBUG, session_subject(s), "cancel requested");
	send_cancel(w, s->server, l);
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
