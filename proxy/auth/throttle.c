/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/throttle.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hot.h"
#include "base/mem.h"

#define SHARDS        64U
#define SHARD_ENTRIES 64U
#define IPV6_BYTES    8 /* a /64 */
#define DOUBLINGS_MAX 40U
#define SHARD_MARKS   64U
#define TRUST_US      (INT64_C(86400) * USEC_PER_SEC)
#define TURNS_MIN     4 /* so many at least can wait */

/* One pair that has failed; `pair` 0: free. */
struct entry {
	uint64_t pair, user;
	int64_t failed_at_us, until_us;
	int64_t turn_us; /* the next turn that is not taken */
	uint32_t failures;
};

/* One pair that has logged in right; `pair` 0: free. */
struct mark {
	uint64_t pair, user;
	int64_t passed_at_us;
};

struct shard {
	pthread_mutex_t lock;
	unsigned used;
	struct entry v[SHARD_ENTRIES];
	struct mark marks[SHARD_MARKS];
};

struct throttle {
	uint64_t key[2];
	atomic_uint used; /* shards that are not empty: nearly always none is, and that is all
			     that a login need know */
	struct shard shards[SHARDS];
};

/* ---- SipHash-2-4 ---- */

struct sip {
	uint64_t v[4];
};

static uint64_t
rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static void
sip_rounds(struct sip *s, unsigned n)
{
	uint64_t *v = s->v;

	while (n-- > 0) {
		v[0] += v[1];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[0] = rotate(v[0], 32);
		v[2] += v[3];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[2] = rotate(v[2], 32);
	}
}

static uint64_t
siphash(const uint64_t key[2], const uint8_t *p, size_t n)
{
	struct sip s = {
		{ key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
		  key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573) }
	};
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++) {
		word |= (uint64_t)p[i] << (8 * (i & 7));
		if ((i & 7) == 7) {
			s.v[3] ^= word;
			sip_rounds(&s, 2);
			s.v[0] ^= word;
			word = 0;
		}
	}
	word |= (uint64_t)n << 56;
	s.v[3] ^= word;
	sip_rounds(&s, 2);
	s.v[0] ^= word;
	s.v[2] ^= 0xff;
	sip_rounds(&s, 4);
	return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}

/* ---- keys ---- */

static uint64_t
hash_user(const struct throttle *t, struct slice user)
{
	uint64_t h = siphash(t->key, (const uint8_t *)user.p, user.n);

	return h != 0 ? h : 1;
}

/* The pair's key; 0 where it cannot be throttled. */
static uint64_t
hash_pair(const struct throttle *t, const struct addr *from, uint64_t user)
{
	uint8_t text[1 + sizeof(from->ip) + sizeof(user)] = { from->family };
	size_t n = from->family == ADDR_IPV4 ? 4 : IPV6_BYTES;
	uint64_t h;

	if (from->family != ADDR_IPV4 && from->family != ADDR_IPV6)
		return 0;
	memcpy(text + 1, from->ip, n);
	memcpy(text + 1 + n, &user, sizeof(user));
	h = siphash(t->key, text, 1 + n + sizeof(user));
	return h != 0 ? h : 1;
}

static bool
nobody_has_failed(const struct throttle *t)
{
	return atomic_load(&t->used) == 0;
}

static struct shard *
shard_of(struct throttle *t, uint64_t pair)
{
	return &t->shards[pair % SHARDS];
}

static struct entry *
find(struct shard *s, uint64_t pair)
{
	for (size_t i = 0; i < SHARD_ENTRIES; i++) {
		if (s->v[i].pair == pair)
			return &s->v[i];
	}
	return NULL;
}

/* What may be forgotten first: who waits least, of those who do not wait who failed least, of those
 * who failed longest ago. */
static bool
matters_less(const struct entry *a, const struct entry *b)
{
	if (a->until_us != b->until_us)
		return a->until_us < b->until_us;
	if (a->failures != b->failures)
		return a->failures < b->failures;
	return a->failed_at_us < b->failed_at_us;
}

/* A place for a pair that is not in the table. */
static struct entry *
make_room(struct shard *s)
{
	struct entry *least = &s->v[0];

	for (size_t i = 0; i < SHARD_ENTRIES; i++) {
		if (s->v[i].pair == 0)
			return &s->v[i];
		if (matters_less(&s->v[i], least))
			least = &s->v[i];
	}
	return least;
}

/* ---- rules ---- */

/* Each max_us without a failure, the wait itself not counted, halves what there was. */
static void
forget(struct entry *e, const struct throttle_rules *rules, int64_t now_us)
{
	int64_t since_us = e->until_us > e->failed_at_us ? e->until_us : e->failed_at_us;
	int64_t halvings = rules->max_us > 0 ? (now_us - since_us) / rules->max_us : 0;

	e->failures = halvings >= 32 ? 0 : e->failures >> (halvings > 0 ? halvings : 0);
}

static int64_t
wait_after(const struct throttle_rules *rules, unsigned failures)
{
	unsigned doublings;

	if (failures <= rules->after || rules->base_us <= 0)
		return 0;
	doublings = failures - rules->after - 1;
	if (doublings > DOUBLINGS_MAX || rules->base_us > rules->max_us >> doublings)
		return rules->max_us;
	return rules->base_us << doublings;
}

WARM int64_t
throttle_wait_us(struct throttle *t, const struct throttle_rules *rules, const struct addr *from,
		 struct slice user, int64_t now_us)
{
	const struct entry *e;
	int64_t wait_us = 0;
	struct shard *s;
	uint64_t pair;

	if (rules->base_us <= 0 || nobody_has_failed(t))
		return 0;
	pair = hash_pair(t, from, hash_user(t, user));
	if (pair == 0)
		return 0;
	s = shard_of(t, pair);
	pthread_mutex_lock(&s->lock);
	e = find(s, pair);
	if (e != NULL && e->until_us > now_us)
		wait_us = e->until_us - now_us;
	pthread_mutex_unlock(&s->lock);
	/* what was set under other rules ends with them */
	return wait_us < rules->max_us ? wait_us : rules->max_us;
}

int64_t
throttle_failed(struct throttle *t, const struct throttle_rules *rules, const struct addr *from,
		struct slice user, int64_t now_us)
{
	uint64_t user_hash = hash_user(t, user), pair = hash_pair(t, from, user_hash);
	struct shard *s = shard_of(t, pair);
	struct entry *e;
	int64_t wait_us;

	if (pair == 0 || rules->base_us <= 0)
		return 0;
	pthread_mutex_lock(&s->lock);
	e = find(s, pair);
	if (e == NULL) {
		e = make_room(s);
		if (e->pair == 0 && s->used++ == 0)
			atomic_fetch_add(&t->used, 1);
		*e = (struct entry){ .pair = pair, .user = user_hash, .failed_at_us = now_us };
	}
	forget(e, rules, now_us);
	if (e->failures < rules->after + DOUBLINGS_MAX)
		e->failures++;
	e->failed_at_us = now_us;
	wait_us = wait_after(rules, e->failures);
	e->until_us = wait_us > 0 ? now_us + wait_us : 0;
	pthread_mutex_unlock(&s->lock);
	return wait_us;
}

/* ---- turns ---- */

static int64_t
turn_length(const struct throttle_rules *rules)
{
	int64_t longest_us = rules->patience_us / TURNS_MIN;

	return rules->base_us < longest_us ? rules->base_us : longest_us;
}

int64_t
throttle_turn_us(struct throttle *t, const struct throttle_rules *rules, const struct addr *from,
		 struct slice user, int64_t now_us)
{
	uint64_t pair = hash_pair(t, from, hash_user(t, user));
	struct shard *s = shard_of(t, pair);
	int64_t wait_us = 0;
	struct entry *e;

	if (pair == 0 || rules->base_us <= 0)
		return 0;
	pthread_mutex_lock(&s->lock);
	e = find(s, pair);
	if (e != NULL && e->until_us > now_us) {
		if (e->turn_us < now_us)
			e->turn_us = now_us;
		wait_us = e->turn_us - now_us;
		if (wait_us <= rules->patience_us)
			e->turn_us += turn_length(rules);
	}
	pthread_mutex_unlock(&s->lock);
	return wait_us;
}

/* ---- right logins ---- */

static struct mark *
find_mark(struct shard *s, uint64_t pair)
{
	for (size_t i = 0; i < SHARD_MARKS; i++) {
		if (s->marks[i].pair == pair)
			return &s->marks[i];
	}
	return NULL;
}

/* Its own, a free one, or the oldest. */
static struct mark *
place_for_mark(struct shard *s, uint64_t pair)
{
	struct mark *m = find_mark(s, pair), *oldest = &s->marks[0];

	if (m == NULL)
		m = find_mark(s, 0);
	for (size_t i = 0; m == NULL && i < SHARD_MARKS; i++) {
		if (s->marks[i].passed_at_us < oldest->passed_at_us)
			oldest = &s->marks[i];
	}
	return m != NULL ? m : oldest;
}

WARM void
throttle_passed(struct throttle *t, const struct throttle_rules *rules, const struct addr *from,
		struct slice user, bool had_turn, int64_t now_us)
{
	uint64_t user_hash = hash_user(t, user), pair = hash_pair(t, from, user_hash);
	struct shard *s = shard_of(t, pair);
	struct entry *e;

	if (pair == 0)
		return;
	pthread_mutex_lock(&s->lock);
	*place_for_mark(s, pair) = (struct mark){ pair, user_hash, now_us };
	e = had_turn ? find(s, pair) : NULL;
	if (e != NULL)
		e->turn_us -= turn_length(rules);
	pthread_mutex_unlock(&s->lock);
}

bool
throttle_trusts(struct throttle *t, const struct addr *from, struct slice user, int64_t now_us)
{
	uint64_t pair = hash_pair(t, from, hash_user(t, user));
	struct shard *s = shard_of(t, pair);
	const struct mark *m;
	bool trusts;

	if (pair == 0)
		return false;
	pthread_mutex_lock(&s->lock);
	m = find_mark(s, pair);
	trusts = m != NULL && now_us - m->passed_at_us <= TRUST_US;
	pthread_mutex_unlock(&s->lock);
	return trusts;
}

/* ---- for the console, and metrics ---- */

static void
count_shard(const struct shard *s, uint64_t user, int64_t now_us, struct throttle_count *sum)
{
	for (size_t i = 0; i < SHARD_ENTRIES; i++) {
		const struct entry *e = &s->v[i];

		if (e->pair == 0 || (user != 0 && e->user != user))
			continue;
		sum->failures += e->failures;
		if (e->until_us <= now_us)
			continue;
		sum->throttled++;
		if (e->until_us > sum->until_us)
			sum->until_us = e->until_us;
	}
	for (size_t i = 0; i < SHARD_MARKS; i++) {
		const struct mark *m = &s->marks[i];

		sum->trusted += m->pair != 0 && (user == 0 || m->user == user) &&
				now_us - m->passed_at_us <= TRUST_US;
	}
}

static struct throttle_count
count(struct throttle *t, uint64_t user, int64_t now_us)
{
	struct throttle_count sum = { 0 };

	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *s = &t->shards[i];

		pthread_mutex_lock(&s->lock);
		count_shard(s, user, now_us, &sum);
		pthread_mutex_unlock(&s->lock);
	}
	return sum;
}

struct throttle_count
throttle_count(struct throttle *t, int64_t now_us)
{
	return count(t, 0, now_us);
}

struct throttle_count
throttle_count_user(struct throttle *t, struct slice user, int64_t now_us)
{
	return count(t, hash_user(t, user), now_us);
}

/* ---- life ---- */

struct throttle *
throttle_new(const uint8_t secret[THROTTLE_SECRET_BYTES])
{
	struct throttle *t = xcalloc(1, sizeof(*t));

	memcpy(t->key, secret, sizeof(t->key));
	for (size_t i = 0; i < SHARDS; i++)
		(void)pthread_mutex_init(&t->shards[i].lock, NULL);
	return t;
}

void
throttle_free(struct throttle *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < SHARDS; i++)
		(void)pthread_mutex_destroy(&t->shards[i].lock);
	free(t);
}
