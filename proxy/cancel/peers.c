/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/cancel/peers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

#include <openssl/crypto.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/fleetkey.h"
#include "protocol/frame.h"
#include "proxy/cancel/cancel.h"
#include "proxy/cancel/canceler.h"
#include "proxy/cancel/strikes.h"
#include "proxy/net/dial.h"
#include "proxy/net/tlsctx.h"
#include "proxy/process/fleet.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"
#include "proxy/session/session_int.h"

#define HELLO_TIMEOUT_S  3  /* to connect and get the challenge */
#define ANSWER_TIMEOUT_S 12 /* the peer waits ten seconds for its node */
#define HUNG_US          (2 * USEC_PER_SEC)
#define UNDER_WAY_MAX    1000
#define LETTER_MAX       1024

enum step { STEP_DIAL, STEP_HELLO, STEP_LETTER };

/* A request on its way to the peers that may have issued its key. Where the fleet has several keys,
 * a short secret can be opened with each of them; all results but one are random, and name a peer
 * at most by accident. */
struct courier {
	struct worker *worker;
	struct cancel_job *job;
	struct stream stream;
	struct dial dial;
	struct event timer;
	enum step step;
	enum dial_way way;
	uint8_t n, at; /* of `targets` */
	uint16_t targets[FLEET_KEYS_MAX];
	bool unreached; /* a peer that could know the key has not answered */
	size_t got;
	uint8_t inbox[1 + FLEET_CHALLENGE_BYTES];
};

static void try_next(struct courier *c);

static struct peer *
peer_of(const struct courier *c)
{
	return c->job->world->fleet->peers[c->targets[c->at]];
}

static void
courier_free(struct courier *c)
{
	struct worker *w = c->worker;

	event_del(&c->timer);
	stream_fini(&c->stream);
	c->job = NULL;
	loop_defer(w->loop, free, c);
}

static void
over(struct courier *c, bool found)
{
	struct cancel_job *job = c->job;

	if (found)
		stat_add(&c->worker->stats.cancels_handed_on, 1);
	else if (!job->boxed)
		strikes_add(c->worker->strikes, &job->source, clock_us());
	courier_free(c);
	cancel_finish(job, found);
}

/* canceler_done_fn */
static void
box_done(void *arg)
{
	cancel_finish(arg, true);
}

static void
next(struct courier *c)
{
	stream_fini(&c->stream);
	event_del(&c->timer);
	c->at++;
	c->way = DIAL_AS_CONFIGURED;
	try_next(c);
}

static void
failed(struct courier *c, const char *reason, bool hung)
{
	peer_failed(peer_of(c), reason, hung ? clock_us() : 0);
	c->unreached = true;
	next(c);
}

static void
arm(struct courier *c, int seconds)
{
	struct timeval tv = { .tv_sec = seconds };

	event_add(&c->timer, &tv);
}

static void
say(struct courier *c, const struct buf *b, enum step step)
{
	c->step = step;
	c->got = 0;
	if (b->failed || stream_send(&c->stream, b->p, b->n) != 0)
		failed(c, "connection lost", false);
}

static void
take_answer(struct courier *c)
{
	char answer = (char)c->inbox[0];

	if (answer == FLEET_ANSWER_REFUSED) {
		failed(c, "it refused our letter: its keys are others, or its peer_id is", false);
		return;
	}
	if (strchr("DUG", answer) == NULL || answer == '\0') {
		failed(c, "it answered what no peer does", false);
		return;
	}
	peer_succeeded(peer_of(c));
	c->unreached = c->unreached || answer == FLEET_ANSWER_GONE;
	if (answer == FLEET_ANSWER_FOUND)
		over(c, true);
	else
		next(c);
}

/* Read as much as the current step needs. */
static void
on_readable(struct courier *c)
{
	size_t want = c->step == STEP_HELLO ? sizeof(c->inbox) : 1;
	ssize_t n = stream_recv(&c->stream, (char *)c->inbox + c->got, want - c->got);

	if (n == STREAM_AGAIN)
		return;
	if (n <= 0) {
		failed(c, "it closed the connection", false);
		return;
	}
	c->got += (size_t)n;
	if (c->inbox[0] == 'E' && c->step == STEP_HELLO) {
		failed(c, "it has no fleet_key_file, or is no proxy", false);
	} else if (c->got == want && c->step == STEP_LETTER) {
		take_answer(c);
	} else if (c->got == want && c->inbox[0] == FLEET_ANSWER_HELLO) {
		const struct cancel_job *job = c->job;
		const struct config *conf = job->world->config;
		struct fleet_letter l = { .from = (uint16_t)conf->main.peer_id,
					  .to = peer_of(c)->id,
					  .life = job->boxed ? job->box.life : 0,
					  .pid = job->pid,
					  .secret_len = (uint8_t)job->secret_len };
		struct buf b = { .cap = LETTER_MAX };
		uint8_t nonce[FLEET_NONCE_BYTES];

		memcpy(l.secret, job->secret, job->secret_len);
		BUG_ON(getrandom(nonce, sizeof(nonce), 0) != sizeof(nonce));
		if (fleetkey_put_letter(conf->fleet_keys, nonce, c->inbox + 1, &l, &b) != 0)
			b.failed = true;
		arm(c, ANSWER_TIMEOUT_S);
		say(c, &b, STEP_LETTER);
		buf_fini(&b);
	} else if (c->got == want) {
		failed(c, "it answered what no peer does", false);
	}
}

static void dial_peer(struct courier *c);

static void
advance(struct courier *c, enum dial_step step)
{
	enum dial_way other;

	if (step == DIAL_READY) {
		struct buf b = { .cap = 64 };

		fleetkey_put_hello(&b);
		say(c, &b, STEP_HELLO);
		buf_fini(&b);
	} else if (step == DIAL_FAILED && c->dial.tls_failed && dial_other_way(&c->dial, &other)) {
		stream_fini(&c->stream);
		c->way = other;
		dial_peer(c);
	} else if (step == DIAL_FAILED) {
		failed(c, c->dial.reason, false);
	}
}

static void
courier_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct courier *c = arg;

	(void)fd;
	if (c->step == STEP_DIAL) {
		advance(c, dial_on_event(&c->dial, what));
		return;
	}
	if ((what & EV_WRITE) && stream_flush(&c->stream) != 0)
		failed(c, "connection lost", false);
	else if (what & EV_READ)
		on_readable(c);
}

static void
dial_peer(struct courier *c)
{
	const struct world *w = c->job->world;
	struct dial_target to = { .node = &w->fleet->nodes->nodes[c->targets[c->at]],
				  .conf = &w->config->main,
				  .ctx = tlsset_peers(w->tls),
				  .sslmode = SSLMODE_PREFER };

	c->step = STEP_DIAL;
	c->dial.tls = c->worker->tls;
	stream_init(&c->stream, loop_base(c->worker->loop), -1, courier_on_event, c);
	advance(c, dial_begin(&c->dial, &c->stream, &to, c->way));
}

static void
courier_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	failed(arg, "it did not answer in time", true);
}

/* A peer that did not answer a moment ago is not waited for again. */
static bool
is_hung(const struct peer *p)
{
	int64_t at = atomic_load(&p->hung_at_us);

	return at > 0 && clock_us() - at < HUNG_US;
}

static void
try_next(struct courier *c)
{
	for (; c->at < c->n && is_hung(peer_of(c)); c->at++) {
		peer_failed(peer_of(c), "it did not answer a moment ago", 0);
		c->unreached = true;
	}
	if (c->at == c->n) {
		struct cancel_job *job = c->job;
		struct worker *w = c->worker;
		struct fleet_box box;

		/* no peer is left to ask: ask the node, where the box names its connection */
		if (!c->unreached || !job->boxed || !job->box.bound) {
			over(c, false);
			return;
		}
		courier_free(c);
		box = job->box;
		/* this may end the job at once */
		if (canceler_for_box(w, job->pid, &box, box_done, job)) {
			stat_add(&w->stats.cancels_direct, 1);
			log_limited(
			    LOG_LEVEL_INFO, (struct log_subject){ 0 },
			    "a session of peer %u, which is gone or does not answer: node %s is "
			    "asked to cancel its query (the key was issued %" PRId64 " s ago)",
			    box.issuer, box.node,
			    (clock_wall_us() - box.issued_at_us) / USEC_PER_SEC);
		} else {
			cancel_finish(job, false);
		}
		OPENSSL_cleanse(&box, sizeof(box));
		return;
	}
	arm(c, HELLO_TIMEOUT_S);
	dial_peer(c);
}

static void
add_target(struct courier *c, uint16_t issuer)
{
	int i = fleet_find(c->job->world->fleet, issuer);

	if (i < 0 || issuer == c->job->world->config->main.peer_id)
		return;
	for (uint8_t k = 0; k < c->n; k++) {
		if (c->targets[k] == i)
			return;
	}
	c->targets[c->n++] = (uint16_t)i;
}

static bool
is_limited(const struct cancel_job *job)
{
	struct worker *w = job->worker;

	if (w->ncancels <= UNDER_WAY_MAX &&
	    (job->boxed || !strikes_out(w->strikes, &job->source, clock_us())))
		return false;
	stat_add(&w->stats.cancels_limited, 1);
	return true;
}

bool
peers_forward(struct cancel_job *job)
{
	const struct config *conf = job->world->config;
	struct fleet_short means[FLEET_KEYS_MAX];
	struct courier *c;
	size_t n;

	if (conf->fleet_keys == NULL || job->secret_len > FLEET_SECRET_MAX)
		return false;
	c = xcalloc(1, sizeof(*c));
	c->worker = job->worker;
	c->job = job;
	c->stream.fd = -1;
	evtimer_assign(&c->timer, loop_base(job->worker->loop), courier_on_timer, c);
	/* the peers that may have issued the key */
	if (job->boxed) {
		add_target(c, job->box.issuer);
		/* issued by this proxy before it was restarted, or by one that is no longer in the
		 * fleet */
		c->unreached = c->n == 0 && (job->box.issuer != conf->main.peer_id ||
					     job->box.life != c->worker->process->life);
	} else if (job->secret_len == 4) {
		n = fleetkey_unmask(conf->fleet_keys, job->pid, job->secret, means);
		for (size_t i = 0; i < n; i++)
			add_target(c, means[i].issuer);
	}
	if ((c->n == 0 && !c->unreached) || is_limited(job)) {
		courier_free(c);
		return false;
	}
	try_next(c);
	return true;
}

/* ---- requests that a peer hands on ---- */

void
peers_on_hello(struct session *s, const struct err *not_ours)
{
	char answer[1 + FLEET_CHALLENGE_BYTES] = { FLEET_ANSWER_HELLO };

	if (worker_world(s->worker)->config->fleet_keys == NULL) {
		session_close_err(s, WHY_PROTOCOL, not_ours);
		return;
	}
	if (s->login->inbox.n != STARTUP_BYTES_MIN) {
		session_close(s, WHY_PROTOCOL, "A peer has said more than hello.");
		return;
	}
	login_free(s->login);
	s->login = NULL;
	BUG_ON(getrandom(s->key, FLEET_CHALLENGE_BYTES, 0) != FLEET_CHALLENGE_BYTES);
	memcpy(answer + 1, s->key, FLEET_CHALLENGE_BYTES);
	session_enter(s, SESSION_PEER);
	(void)session_say(s, answer, sizeof(answer));
}

static void
end_with(struct session *s, char answer)
{
	if (answer == FLEET_ANSWER_REFUSED)
		stat_add(&s->worker->stats.peers_refused, 1);
	if (session_say(s, &answer, 1))
		session_end(s, WHY_CANCEL_DONE);
}

static void
take_letter(struct session *s, struct slice body)
{
	const struct world *w = worker_world(s->worker);
	struct fleet_letter l;
	int from;

	if (w->config->fleet_keys == NULL ||
	    fleetkey_open_letter(w->config->fleet_keys, s->key, body, &l) != PARSE_DONE ||
	    l.to != w->config->main.peer_id || l.hops != 0 ||
	    (l.secret_len != 4 && l.secret_len != FLEET_TOKEN_BYTES)) {
		log_limited(LOG_LEVEL_WARNING, session_subject(s),
			    "a letter was refused: it is not of this fleet, or for another proxy");
		end_with(s, FLEET_ANSWER_REFUSED);
		return;
	}
	from = fleet_find(w->fleet, l.from);
	if (from >= 0)
		atomic_fetch_add(&w->fleet->peers[from]->received, 1);
	stat_add(&s->worker->stats.cancels_of_peers, 1);
	if (l.life != 0 && l.life != s->worker->process->life)
		end_with(s, FLEET_ANSWER_GONE);
	else
		cancel_begin_for_peer(s, &l);
}

void
peers_on_readable(struct session *s)
{
	struct startup *st = worker_startup(s->worker);
	ssize_t n = stream_recv(&s->client, s->worker->scratch, LETTER_MAX);
	struct slice packet;
	enum parse p;

	if (n == STREAM_AGAIN)
		return;
	if (n <= 0) {
		session_abort(s, n == 0 ? WHY_CLIENT_GONE : WHY_CLIENT_ERROR);
		return;
	}
	buf_put(&session_login(s)->inbox, s->worker->scratch, (size_t)n);
	p = frame_cut_startup(buf_view(&s->login->inbox), &packet);
	if (p == PARSE_MORE && s->login->inbox.n < LETTER_MAX)
		return;
	if (p == PARSE_DONE && startup_parse(packet, st, NULL) == PARSE_DONE &&
	    st->kind == STARTUP_FLEET_LETTER)
		take_letter(s, st->letter);
	else
		end_with(s, FLEET_ANSWER_REFUSED);
}
