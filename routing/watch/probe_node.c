/* SPDX-License-Identifier: PostgreSQL
 *
 * The machine that probes one node. A probe is either
 *
 *     [LOGIN] → PING (an empty query: the round trip) → FACTS → [CITUS]     with a role, or
 *     CONNECT → ANSWER                                                      without one.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/text.h"
#include "routing/watch/pgdial.h"
#include "routing/watch/probe_int.h"

/* Probes of one node begin at least this far apart, whatever asks for them. */
#define PROBE_GAP_US (200 * USEC_PER_MSEC)
/* How often the nodes of a cluster without a primary are probed, and for how long. */
#define HURRY_US     (250 * USEC_PER_MSEC)
#define HURRY_MAX_US (60 * USEC_PER_SEC)

static void watch_on_timer(evutil_socket_t fd, short what, void *arg);

void
watch_enter(struct watch *w, enum watch_state to)
{
	static const unsigned legal[] = {
#define S(id, label, next) next,
		WATCH_STATES(S)
#undef S
	};
	static const char *const labels[] = {
#define S(id, label, next) label,
		WATCH_STATES(S)
#undef S
	};

	BUG_ON((legal[w->state] & 1U << to) == 0);
	if (log_wants(LOG_LEVEL_DEBUG))
		log_about(LOG_LEVEL_DEBUG, watch_subject(w), "probe: %s -> %s", labels[w->state],
			  labels[to]);
	w->state = to;
}

static void
set_timer(struct watch *w, int64_t after_us)
{
	struct timeval tv = { after_us / USEC_PER_SEC, after_us % USEC_PER_SEC };

	event_del(&w->timer);
	event_add(&w->timer, &tv);
}

void
watch_wait_for(struct watch *w, int fd, short what, event_callback_fn fn)
{
	event_del(&w->io);
	event_assign(&w->io, loop_base(w->prober->loop), fd, what, fn, w);
	event_add(&w->io, NULL);
}

/* ---- the end of a probe ---- */

void
watch_drop_socket(struct watch *w)
{
	event_del(&w->io);
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

void
watch_drop_connection(struct watch *w)
{
	event_del(&w->io);
	PQclear(w->result);
	w->result = NULL;
	if (w->conn != NULL)
		PQfinish(w->conn);
	w->conn = NULL;
}

/* The server said something, or hung up, between two probes: only a hang-up matters, and what would
 * take memory. */
static void
watch_on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd, (void)what;
	if (pgdial_hear(w->conn, &w->heard) && PQconsumeInput(w->conn) != 0 &&
	    PQstatus(w->conn) == CONNECTION_OK) {
		(void)PQisBusy(w->conn); /* parses, so that what came does not pile up */
		watch_wait_for(w, PQsocket(w->conn), EV_READ, watch_on_idle);
		return;
	}
	watch_drop_connection(w);
	w->lost = true;
	watch_soon(w);
}

static uint32_t
roll(struct prober *p)
{
	p->dice ^= p->dice << 13;
	p->dice ^= p->dice >> 7;
	p->dice ^= p->dice << 17;
	return (uint32_t)(p->dice >> 16);
}

void
watch_hurry(struct watch *w)
{
	struct prober *p = w->prober;
	int64_t until_us = clock_us() + HURRY_MAX_US;

	for (size_t i = 0; i < p->nwatches; i++) {
		struct watch *o = p->watches[i];

		if (w->facts.system_id == 0 || o->facts.system_id != w->facts.system_id)
			continue;
		o->hurry_until_us = until_us;
		watch_soon(o);
	}
}

static int64_t
next_probe_us(struct watch *w)
{
	struct prober *p = w->prober;
	int64_t next_us = health_next_probe_us(&w->health, &p->health, roll(p));

	if (w->sample.now_us >= w->hurry_until_us || facts_has_primary(w))
		return next_us;
	return next_us < HURRY_US ? next_us : HURRY_US;
}

void
watch_finish(struct watch *w, bool ok)
{
	struct prober *p = w->prober;
	bool changed;

	w->sample.ok = ok;
	w->sample.now_us = clock_us();
	if (w->facts.at_us >= w->began_us) /* both are of this probe */
		w->facts.at_us = w->sample.now_us;
	/* losing a connection that stood, and getting no new one, is no lost packet */
	changed = !ok && w->lost && health_evidence(&w->health, w->sample.now_us);
	w->lost = false;
	changed = health_probe(&w->health, &p->health, &w->sample) || changed;
	if (w->health.state == NODE_UP)
		w->reason[0] = '\0';
	if (w->health.state == NODE_DOWN)
		w->said_at_us = 0; /* it may come back as something else */
	if (!ok)
		w->first_addr++;
	w->heard = 0;
	w->answered = true;
	watch_enter(w, WATCH_WAITING);
	if (changed) {
		static const struct {
			enum log_level level;
			const char *text;
		} lines[] = {
			[NODE_UNKNOWN] = { LOG_LEVEL_INFO, "node is not known" },
			[NODE_UP] = { LOG_LEVEL_INFO, "node is up" },
			[NODE_SUSPECT] = { LOG_LEVEL_WARNING, "node is suspect" },
			[NODE_DOWN] = { LOG_LEVEL_WARNING, "node is down" },
		};

		log_about(lines[w->health.state].level, watch_subject(w), "%s",
			  lines[w->health.state].text);
	}
	if (w->conn != NULL)
		watch_wait_for(w, PQsocket(w->conn), EV_READ, watch_on_idle);
	if (changed && w->health.state != NODE_UP && facts_is_primary(w))
		watch_hurry(w);
	set_timer(w, next_probe_us(w));
	prober_note(p, changed ? NEWS_CHANGE : NEWS_SAMPLE);
}

void
watch_fail(struct watch *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->reason, sizeof(w->reason), fmt, ap);
	va_end(ap);
	watch_drop_socket(w);
	watch_drop_connection(w);
	watch_finish(w, false);
}

bool
watch_hear(struct watch *w)
{
	if (pgdial_hear(w->conn, &w->heard))
		return true;
	watch_fail(w, "it says more than it was asked");
	return false;
}

void
watch_skip(struct watch *w, const char *why)
{
	log_limited(LOG_LEVEL_WARNING, watch_subject(w), "could not probe: %s", why);
	watch_drop_socket(w);
	watch_drop_connection(w);
	w->answered = true;
	watch_enter(w, WATCH_WAITING);
	set_timer(w, health_next_probe_us(&w->health, &w->prober->health, roll(w->prober)));
	prober_note(w->prober, NEWS_SAMPLE);
}

/* ---- the beginning of a probe ---- */

static bool
has_target(const struct watch *w)
{
	return w->naddrs > 0 || w->host[0] == '/';
}

static void
begin(struct watch *w)
{
	w->began_us = clock_us();
	w->sample = (struct health_sample){ 0 };
	w->kept = false;
	w->heard = 0;
	w->pings = 0;
	set_timer(w, w->prober->timeout_us);
	if (!has_target(w)) {
		watch_enter(w, WATCH_ADDRESS);
	} else if (w->prober->conninfo == NULL || clock_us() < w->login_after_us) {
		watch_handshake(w);
	} else if (w->conn == NULL) {
		watch_log_in(w);
	} else {
		w->kept = true;
		watch_ping(w);
	}
}

static void
watch_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd, (void)what;
	if (w->state == WATCH_WAITING)
		begin(w);
	else if (w->state == WATCH_ADDRESS)
		watch_fail(w, "the host name has no address");
	else
		watch_fail(w, "no answer within %lld ms",
			   (long long)(w->prober->timeout_us / USEC_PER_MSEC));
}

void
watch_soon(struct watch *w)
{
	int64_t gap_us = w->began_us + PROBE_GAP_US - clock_us();

	if (w->state == WATCH_WAITING)
		set_timer(w, gap_us > 0 ? gap_us : 0);
}

void
watch_resume(struct watch *w)
{
	if (w->state != WATCH_ADDRESS || !has_target(w))
		return;
	watch_enter(w, WATCH_WAITING);
	set_timer(w, 0);
}

void
watch_forget_connection(struct watch *w)
{
	bool busy = w->state != WATCH_WAITING && w->state != WATCH_ADDRESS;

	watch_drop_socket(w);
	watch_drop_connection(w);
	w->login_after_us = 0;
	w->first_addr = 0;
	if (health_reconsider(&w->health))
		prober_note(w->prober, NEWS_CHANGE);
	if (busy)
		watch_enter(w, WATCH_WAITING);
	if (w->state == WATCH_WAITING)
		set_timer(w, 0);
}

struct watch *
watch_new(struct prober *p, const struct node *n)
{
	struct watch *w = xcalloc(1, sizeof(*w));

	w->prober = p;
	w->id = n->live->id;
	w->name = xstrdup(n->name);
	w->host = xstrdup(n->host);
	w->port = n->port;
	w->fd = -1;
	w->lag = (struct lag){ -1, -1 };
	w->said = (struct probe_learned){ -1, -1, 0, KIND_UNKNOWN };
	event_assign(&w->timer, loop_base(p->loop), -1, 0, watch_on_timer, w);
	event_assign(&w->io, loop_base(p->loop), -1, EV_READ, watch_on_idle, w);
	set_timer(w, 0);
	return w;
}

void
watch_free(struct watch *w)
{
	watch_drop_socket(w);
	watch_drop_connection(w);
	event_del(&w->timer);
	free(w->name);
	free(w->host);
	free(w->region_words);
	free(w);
}
