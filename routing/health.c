/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/health.h"

/* What is not settled is looked at again sooner: a fifth of the interval, within these. */
#define HEALTH_SOON_MIN_US INT64_C(200000)
#define HEALTH_SOON_MAX_US INT64_C(1000000)

int64_t
health_ewma(int64_t old_us, int64_t sample_us)
{
	return old_us == 0 ? sample_us : old_us + (sample_us - old_us) / 5;
}

static unsigned
at_least_one(unsigned n)
{
	return n > 0 ? n : 1;
}

/* Where a good probe leads: out of `down` only `rise` in a row do. */
static enum node_state
after_good(const struct health *h, const struct health_conf *c)
{
	if (h->state == NODE_DOWN && h->good < at_least_one(c->rise))
		return NODE_DOWN;
	return NODE_UP;
}

/* Where a bad one leads: up stays up until `fall` in a row, since one lost packet is no outage;
 * what was never seen alive is suspect at once. */
static enum node_state
after_bad(const struct health *h, const struct health_conf *c)
{
	if (h->state == NODE_DOWN || h->bad >= at_least_one(c->fall))
		return NODE_DOWN;
	return h->state == NODE_UNKNOWN ? NODE_SUSPECT : h->state;
}

bool
health_probe(struct health *h, const struct health_conf *c, const struct health_sample *s)
{
	enum node_state was = h->state;

	if (s->ok) {
		h->good += h->good < UINT32_MAX;
		h->bad = 0;
		h->last_good_us = s->now_us;
		if (s->rtt_us > 0)
			h->rtt_us = health_ewma(h->rtt_us, s->rtt_us);
		if (s->connect_us > 0)
			h->connect_us = health_ewma(h->connect_us, s->connect_us);
		h->state = after_good(h, c);
	} else {
		h->bad += h->bad < UINT32_MAX;
		h->good = 0;
		h->state = after_bad(h, c);
	}
	if (h->state == NODE_DOWN)
		h->was_down = true;
	if (was == NODE_DOWN && h->state == NODE_UP)
		h->up_since_us = s->now_us;
	return h->state != was;
}

bool
health_evidence(struct health *h, int64_t now_us)
{
	(void)now_us;
	if (h->state != NODE_UP && h->state != NODE_UNKNOWN)
		return false;
	h->state = NODE_SUSPECT;
	h->good = 0;
	return true;
}

bool
health_reconsider(struct health *h)
{
	if (h->state != NODE_DOWN)
		return false;
	h->state = NODE_SUSPECT;
	h->good = 0;
	h->bad = 0;
	return true;
}

/* interval, 2 × interval, 4 × … with each failure after it went down, up to the limit. */
static int64_t
backed_off(const struct health *h, const struct health_conf *c)
{
	int64_t limit = c->max_backoff_us > c->interval_us ? c->max_backoff_us : c->interval_us;
	int64_t wait = c->interval_us;

	for (unsigned i = at_least_one(c->fall); i < h->bad && wait < limit; i++)
		wait *= 2;
	return wait < limit ? wait : limit;
}

static int64_t
soon(const struct health_conf *c)
{
	int64_t wait = c->interval_us / 5;

	if (wait < HEALTH_SOON_MIN_US)
		wait = HEALTH_SOON_MIN_US;
	if (wait > HEALTH_SOON_MAX_US)
		wait = HEALTH_SOON_MAX_US;
	return wait < c->interval_us ? wait : c->interval_us;
}

int64_t
health_next_probe_us(const struct health *h, const struct health_conf *c, uint32_t random)
{
	bool doubtful = h->state == NODE_SUSPECT || (h->state == NODE_UP && h->bad > 0) ||
			(h->state == NODE_DOWN && h->good > 0);
	int64_t wait = doubtful                ? soon(c)
		       : h->state == NODE_DOWN ? backed_off(h, c)
					       : c->interval_us;

	/* ±10 % in steps of a thousandth */
	return wait / 1000 * (900 + (int64_t)(random % 201));
}
