/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/cancel/cancel.h"

#include <stdlib.h>
#include <sys/socket.h>

#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/hot.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "protocol/exchange.h"
#include "protocol/message.h"
#include "proxy/admin/console.h"
#include "proxy/cancel/canceler.h"
#include "proxy/cancel/cancelkeys.h"
#include "proxy/cancel/peers.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"
#include "proxy/session/session_int.h"

/* ---- keys ---- */

uint16_t
cancel_client_minor(const struct startup *st)
{
	return st->minor < STARTUP_MINOR_LATEST ? st->minor : STARTUP_MINOR_LATEST;
}

/* The node's own process id where the session stays at that connection; else a random number that
 * no client takes for a negative one. */
static uint32_t
choose_pid(struct random *r, const struct server *sv)
{
	uint32_t pid = 0;

	if (sv != NULL)
		return sv->pid;
	while (pid == 0) {
		random_take(r, &pid, sizeof(pid));
		pid &= INT32_MAX;
	}
	return pid;
}

/* The node's address and secret go into the box only where the server process ends with the
 * session: in a pool it would belong to another session by the time the box is used. */
static void
describe_server(struct fleet_box *box, const struct server *sv)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (sv == NULL || sv->pool != NULL || sv->key_len > FLEET_SECRET_MAX ||
	    getpeername(sv->stream.fd, (struct sockaddr *)&sa, &len) != 0 ||
	    !addr_from_sockaddr((struct sockaddr *)&sa, &box->addr) ||
	    (box->addr.family != ADDR_IPV4 && box->addr.family != ADDR_IPV6))
		return;
	box->secret_len = (uint8_t)sv->key_len;
	memcpy(box->secret, server_key(sv).p, sv->key_len);
	box->bound = text_copy(box->node, sizeof(box->node), slice_str(sv->live->name));
}

HOT void
cancel_give_key(struct session *s, const struct server *sv, struct buf *out)
{
	const struct config *conf = worker_world(s->worker)->config;
	bool is_long = cancel_client_minor(login_startup(s->login)) >= 2;

	s->cancel_pid = choose_pid(&s->worker->random, sv);
	if (is_long && conf->fleet_keys != NULL) {
		struct fleet_box box = { .issuer = (uint16_t)conf->main.peer_id,
					 .life = s->worker->process->life,
					 .issued_at_us = clock_wall_us() };
		struct buf sealed = { .cap = FLEET_BOX_MAX };
		uint8_t nonce[FLEET_NONCE_BYTES];

		/* the token is how this proxy finds the session; the client gets it in a box */
		random_take(&s->worker->random, nonce, sizeof(nonce));
		random_take(&s->worker->random, s->key, FLEET_TOKEN_BYTES);
		s->key_len = FLEET_TOKEN_BYTES;
		memcpy(box.token, s->key, sizeof(box.token));
		describe_server(&box, sv);
		/* clients expect a key, even one that cannot be used */
		if (fleetkey_seal(conf->fleet_keys, s->cancel_pid, nonce, &box, &sealed) != 0)
			buf_put(&sealed, nonce, sizeof(nonce));
		message_put_key(out, s->cancel_pid, buf_view(&sealed));
		OPENSSL_cleanse(&box, sizeof(box));
		buf_fini(&sealed);
	} else {
		if (is_long) {
			random_take(&s->worker->random, s->key, s->key_len = SESSION_KEY_MAX);
		} else {
			struct meridian *p = s->worker->process;
			struct fleet_short key = { .issuer = (uint16_t)conf->main.peer_id,
						   .life = p->life & FLEET_SHORT_LIFE,
						   .serial = atomic_fetch_add(&p->last_key, 1) };

			s->key_len = 4;
			if (conf->fleet_keys == NULL ||
			    !fleetkey_mask(conf->fleet_keys, s->cancel_pid, &key, s->key))
				random_take(&s->worker->random, s->key, s->key_len);
		}
		message_put_key(out, s->cancel_pid, slice_of((const char *)s->key, s->key_len));
	}
	cancelkeys_add(s->worker->keys, s->key, s->slot);
}

/* ---- requests ---- */

/* A question to one worker, which carries the answer back. */
struct cancel_letter {
	struct letter letter;
	struct cancel_job *job; /* for the worker that asked */
	struct worker *from;
	bool found;
	uint32_t pid;
	uint16_t key_len;
	uint8_t key[STARTUP_CANCEL_KEY_MAX];
};

void
cancel_finish(struct cancel_job *take_job, bool found)
{
	struct cancel_job *job = take_job;
	struct worker *w = job->worker;
	struct session *s = worker_session_at(w, job->slot);
	char answer = found ? FLEET_ANSWER_FOUND : FLEET_ANSWER_UNKNOWN;

	stat_add(found ? &w->stats.cancels : &w->stats.cancels_unknown, 1);
	if (s != NULL && s->id == job->session_id && s->state == SESSION_CANCELLING &&
	    (!job->from_peer || session_say(s, &answer, 1)))
		session_end(s, WHY_CANCEL_DONE);
	world_unref(job->world);
	w->ncancels--;
	worker_check_done(w);
	OPENSSL_cleanse(job, sizeof(*job));
	free(job);
}

static void
on_answer(struct letter *letter, void *owner)
{
	struct cancel_letter *l = (struct cancel_letter *)letter;
	struct cancel_job *job = l->job;

	(void)owner;
	job->found = job->found || l->found;
	free(l);
	if (--job->awaited > 0)
		return;
	if (job->found || job->from_peer || !peers_forward(job))
		cancel_finish(job, job->found);
}

/* canceler_done_fn */
static void
answer(void *arg)
{
	struct cancel_letter *l = arg;

	worker_post(l->from, &l->letter, on_answer);
}

/* The session of this worker that the key belongs to, or NULL. Compares each candidate as a whole
 * and in constant time. */
static struct session *
find_session(struct worker *w, const struct cancel_letter *l)
{
	uint32_t slot;

	for (unsigned i = 0; (slot = cancelkeys_find(w->keys, l->key, i)) != UINT32_MAX; i++) {
		struct session *s = worker_session_at(w, slot);

		if (s != NULL && (s->state == SESSION_RELAY || s->state == SESSION_CONSOLE) &&
		    s->cancel_pid == l->pid && s->key_len == l->key_len &&
		    CRYPTO_memcmp(s->key, l->key, l->key_len) == 0)
			return s;
	}
	return NULL;
}

static void
on_question(struct letter *letter, void *owner)
{
	struct cancel_letter *l = (struct cancel_letter *)letter;
	struct session *s = find_session(owner, l);

	l->found = s != NULL;
	if (s != NULL)
		log_about(LOG_LEVEL_DEBUG, session_subject(s), "cancel requested");
	if (s != NULL && s->console != NULL)
		console_cancel(s->console);
	else if (s != NULL && s->server == NULL)
		pooled_cancel(s);
	else if (s != NULL && s->server != NULL && canceler_for_session(s, answer, l))
		return;
	answer(l);
}

static struct cancel_job *
job_new(struct session *s, uint32_t pid, const void *secret, size_t n)
{
	struct cancel_job *job = xcalloc(1, sizeof(*job));

	job->worker = s->worker;
	job->world = world_ref(worker_world(s->worker));
	job->session_id = s->id;
	job->slot = s->slot;
	job->source = s->true_addr;
	job->pid = pid;
	job->secret_len = (uint16_t)n;
	memcpy(job->secret, secret, n);
	return job;
}

static void
ask_workers(struct session *s, struct cancel_job *job)
{
	struct meridian *p = s->worker->process;

	session_enter(s, SESSION_CANCELLING);
	s->worker->ncancels++;
	job->awaited = (uint16_t)p->nworkers;
	for (int i = 0; i < p->nworkers; i++) {
		struct cancel_letter *l = xcalloc(1, sizeof(*l));

		l->job = job;
		l->from = s->worker;
		l->pid = job->pid;
		l->key_len = job->secret_len;
		memcpy(l->key, job->secret, job->secret_len);
		worker_post(p->workers[i], &l->letter, on_question);
	}
}

void
cancel_begin(struct session *s, const struct startup *request)
{
	const struct fleet_keys *keys = worker_world(s->worker)->config->fleet_keys;
	struct slice key = request->cancel_key;
	struct cancel_job *job = job_new(s, request->cancel_pid, key.p, key.n);

	job->boxed = keys != NULL && key.n > 4 &&
		     fleetkey_open(keys, job->pid, key, &job->box) == PARSE_DONE;
	if (job->boxed) {
		memcpy(job->secret, job->box.token, sizeof(job->box.token));
		job->secret_len = sizeof(job->box.token);
	}
	ask_workers(s, job);
}

void
cancel_begin_for_peer(struct session *s, const struct fleet_letter *letter)
{
	struct cancel_job *job = job_new(s, letter->pid, letter->secret, letter->secret_len);

	job->from_peer = true;
	ask_workers(s, job);
}

/* The client may close before it is answered; its request goes on. */
void
cancel_on_client(struct session *s)
{
	if (stream_recv(&s->client, s->worker->scratch, WORKER_SCRATCH) != STREAM_AGAIN)
		session_end(s, WHY_CANCEL_DONE);
}

/* ---- sessions that end ---- */

void
cancel_server(struct session *s)
{
	enum exchange_activity doing = exchange_activity(&s->exchange);

	/* a client that sent Terminate behind its query wants the query to succeed */
	if (s->server == NULL || !stream_is_open(&s->server->stream) || s->terminated)
		return;
	if (doing == EXCHANGE_ACTIVE || doing == EXCHANGE_COPYING || doing == EXCHANGE_REPLICATING)
		canceler_for_orphan(s);
}
