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
#define TURNS_MIN     4 /* at least this many logins can wait */
/* a user or an address has this many times as many free failures as a pair */
#define LIMIT_TIMES 10

enum whose { WHOSE_NOBODY, WHOSE_PAIR, WHOSE_USER, WHOSE_ADDRESS };

/* A pair, a user or an address whose logins have failed. */
struct entry {
	uint64_t key;
	uint64_t user; /* 0: the entry is an address's */
	int64_t failed_at_us, until_us;
	int64_t turn_us; /* the next free turn */
	uint32_t failures;
	enum whose whose;
};

/* A pair that has logged in successfully; `pair` 0: free. */
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
	/* shards that are not empty: nearly always 0, so that a login needs to read no more */
	atomic_uint used;
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

/* Also the key of a user from any address. */
static uint64_t
hash_user(const struct throttle *t, struct slice user)
{
	uint64_t h = siphash(t->key, (const uint8_t *)user.p, user.n);

	return h != 0 ? h : 1;
}

/* The key of a pair, or with `user` 0 of an address; 0: it cannot be throttled. */
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
shard_of(struct throttle *t, uint64_t key)
{
	return &t->shards[key % SHARDS];
}

static struct entry *
find(struct shard *s, uint64_t key)
{
	for (size_t i = 0; i < SHARD_ENTRIES; i++) {
		if (s->v[i].key == key)
			return &s->v[i];
	}
	return NULL;
}

/* ---- the rules ---- */

/* How many failures still count: each max_us without one, not counting the wait itself, halves
 * them. */
static uint32_t
remembered(const struct entry *e, const struct throttle_rules *rules, int64_t now_us)
{
	int64_t since_us = e->until_us > e->failed_at_us ? e->until_us : e->failed_at_us;
	int64_t halvings = rules->max_us > 0 ? (now_us - since_us) / rules->max_us : 0;

	return halvings >= 32 ? 0 : e->failures >> (halvings > 0 ? halvings : 0);
}

static unsigned
free_failures(const struct throttle_rules *rules, enum whose whose)
{
	if (whose == WHOSE_PAIR)
		return rules->after;
	return LIMIT_TIMES * (rules->after > 0 ? rules->after : 1);
}

static int64_t
wait_after(const struct throttle_rules *rules, enum whose whose, unsigned failures)
{
	unsigned doublings, after = free_failures(rules, whose);

	if (failures <= after || rules->base_us <= 0)
		return 0;
	doublings = failures - after - 1;
	if (doublings > DOUBLINGS_MAX || rules->base_us > rules->max_us >> doublings)
		return rules->max_us;
	return rules->base_us << doublings;
}

/* Which entry is dropped first: the one with the shortest wait; without waits the one with the
 * fewest failures; of those the one whose failures are oldest. */
static bool
matters_less(const struct entry *a, const struct entry *b, const struct throttle_rules *rules,
	     int64_t now_us)
{
	int64_t a_until_us = a->until_us > now_us ? a->until_us : 0;
	int64_t b_until_us = b->until_us > now_us ? b->until_us : 0;
	uint32_t a_failures = remembered(a, rules, now_us);
	uint32_t b_failures = remembered(b, rules, now_us);

	if (a_until_us != b_until_us)
		return a_until_us < b_until_us;
	if (a_failures != b_failures)
		return a_failures < b_failures;
	return a->failed_at_us < b->failed_at_us;
}

/* A place for an entry that is not in the table. */
static struct entry *
make_room(struct shard *s, const struct throttle_rules *rules, int64_t now_us)
{
	struct entry *least = &s->v[0];

	for (size_t i = 0; i < SHARD_ENTRIES; i++) {
		if (s->v[i].whose == WHOSE_NOBODY)
			return &s->v[i];
		if (matters_less(&s->v[i], least, rules, now_us))
			least = &s->v[i];
	}
	return least;
}

/* How long it is still throttled. */
static int64_t
wait_of(struct throttle *t, const struct throttle_rules *rules, uint64_t key, int64_t now_us)
{
	struct shard *s = shard_of(t, key);
	const struct entry *e;
	int64_t wait_us = 0;

	pthread_mutex_lock(&s->lock);
	e = find(s, key);
	if (e != NULL && e->until_us > now_us)
		wait_us = e->until_us - now_us;
	pthread_mutex_unlock(&s->lock);
	/* a longer wait was set under other rules */
	return wait_us < rules->max_us ? wait_us : rules->max_us;
}

HOT int64_t
throttle_wait_us(struct throttle *t, const struct throttle_rules *rules, const struct addr *from,
		 struct slice user, int64_t now_us)
{
	uint64_t pair;

	if (rules->base_us <= 0 || nobody_has_failed(t))
		return 0;
	pair = hash_pair(t, from, hash_user(t, user));
	return pair != 0 ? wait_of(t, rules, pair, now_us) : 0;
}

HOT int64_t
throttle_limit_us(struct throttle *t, const struct throttle_rules *rules, const struct addr *from,
		  struct slice user, int64_t now_us)
{
	uint64_t address;
	int64_t user_us, address_us;

	if (rules->base_us <= 0 || nobody_has_failed(t))
		return 0;
	address = hash_pair(t, from, 0);
	if (address == 0)
		return 0;
	user_us = wait_of(t, rules, hash_user(t, user), now_us);
	address_us = wait_of(t, rules, address, now_us);
	return user_us > address_us ? user_us : address_us;
}

static int64_t
count_failure(struct throttle *t, const struct throttle_rules *rules, const struct entry *fresh)
{
	struct shard *s = shard_of(t, fresh->key);
	int64_t now_us = fresh->failed_at_us, wait_us;
	struct entry *e;

	pthread_mutex_lock(&s->lock);
	e = find(s, fresh->key);
	if (e == NULL) {
		e = make_room(s, rules, now_us);
		if (e->whose == WHOSE_NOBODY && s->used++ == 0)
			atomic_fetch_add(&t->used, 1);
		*e = *fresh;
	}
	e->failures = remembered(e, rules, now_us);
	if (e->failures < free_failures(rules, e->whose) + DOUBLINGS_MAX)
		e->failures++;
	e->failed_at_us = now_us;
	wait_us = wait_after(rules, e->whose, e->failures);
	e->until_us = wait_us > 0 ? now_us + wait_us : 0;
	pthread_mutex_unlock(&s->lock);
	return wait_us;
}

int64_t
throttle_failed(struct throttle *t, const struct throttle_rules *rules, const struct addr *from,
		struct slice user, int64_t now_us)
{
	uint64_t h = hash_user(t, user), address = hash_pair(t, from, 0);
	struct entry fresh[] = {
		{ .whose = WHOSE_PAIR, .key = hash_pair(t, from, h), .user = h },
		{ .whose = WHOSE_USER, .key = h, .user = h },
		{ .whose = WHOSE_ADDRESS, .key = address },
	};
	int64_t wait_us[3];

	if (address == 0 || rules->base_us <= 0)
		return 0;
	for (size_t i = 0; i < 3; i++) {
		fresh[i].failed_at_us = now_us;
		wait_us[i] = count_failure(t, rules, &fresh[i]);
	}
	return wait_us[0];
}

/* ---- turns ---- */

static int64_t
turn_length(const struct throttle_rules *rules)
{
	int64_t longest_us = rules->patience_us / TURNS_MIN;

	return rules->base_us < longest_us ? rules->base_us : longest_us;
}

/* When the next turn is. If that is at most `latest_us` from now, the turn is taken: *taken. 0, and
 * none is taken: there is nothing to wait for. */
static int64_t
take_turn(struct throttle *t, uint64_t key, int64_t length_us, int64_t latest_us, int64_t now_us,
	  bool *taken)
{
	struct shard *s = shard_of(t, key);
	int64_t wait_us = 0;
	struct entry *e;

	*taken = false;
	pthread_mutex_lock(&s->lock);
	e = find(s, key);
	if (e != NULL && e->until_us > now_us) {
		if (e->turn_us < now_us)
			e->turn_us = now_us;
		wait_us = e->turn_us - now_us;
		*taken = wait_us <= latest_us;
		if (*taken)
			e->turn_us += length_us;
	}
	pthread_mutex_unlock(&s->lock);
	return wait_us;
}

static void
give_back(struct throttle *t, uint64_t key, int64_t length_us, bool *taken)
{
	struct shard *s = shard_of(t, key);
	struct entry *e;

	if (!*taken)
		return;
	*taken = false;
	pthread_mutex_lock(&s->lock);
	e = find(s, key);
	if (e != NULL)
		e->turn_us -= length_us;
	pthread_mutex_unlock(&s->lock);
}

int64_t
throttle_turn_us(struct throttle *t, const struct throttle_rules *rules, const struct addr *from,
		 struct slice user, int64_t now_us, struct throttle_turns *taken)
{
	uint64_t pair = hash_pair(t, from, hash_user(t, user));

	if (pair == 0 || rules->base_us <= 0)
		return 0;
	return take_turn(t, pair, turn_length(rules), rules->patience_us, now_us, &taken->of_pair);
}

bool
throttle_share(struct throttle *t, const struct throttle_rules *rules, const struct addr *from,
	       struct slice user, int64_t now_us, struct throttle_turns *taken)
{
	uint64_t h = hash_user(t, user), address = hash_pair(t, from, 0);

	if (address == 0 || rules->base_us <= 0)
		return true;
	if (take_turn(t, h, rules->base_us, 0, now_us, &taken->of_user) > 0)
		return false;
	if (take_turn(t, address, rules->base_us, 0, now_us, &taken->of_address) == 0)
		return true;
	give_back(t, h, rules->base_us, &taken->of_user);
	return false;
}

/* ---- successful logins ---- */

static struct mark *
find_mark(struct shard *s, uint64_t pair)
{
	for (size_t i = 0; i < SHARD_MARKS; i++) {
		if (s->marks[i].pair == pair)
			return &s->marks[i];
	}
	return NULL;
}

/* The pair's own mark, a free one, or the oldest. */
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

HOT void
throttle_passed(struct throttle *t, const struct throttle_rules *rules, const struct addr *from,
		struct slice user, struct throttle_turns *taken, int64_t now_us)
{
	uint64_t h = hash_user(t, user), pair = hash_pair(t, from, h);
	struct shard *s = shard_of(t, pair);

	if (pair == 0)
		return;
	pthread_mutex_lock(&s->lock);
	*place_for_mark(s, pair) = (struct mark){ pair, h, now_us };
	pthread_mutex_unlock(&s->lock);
	give_back(t, pair, turn_length(rules), &taken->of_pair);
	give_back(t, h, rules->base_us, &taken->of_user);
	if (taken->of_address)
		give_back(t, hash_pair(t, from, 0), rules->base_us, &taken->of_address);
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

/* ---- for the console and metrics ---- */

static void
count_entry(const struct entry *e, int64_t now_us, struct throttle_count *sum)
{
	bool waits = e->until_us > now_us;
	int64_t *until_us = e->whose == WHOSE_PAIR ? &sum->until_us : &sum->limited_until_us;

	if (waits && e->until_us > *until_us)
		*until_us = e->until_us;
	if (e->whose == WHOSE_PAIR) {
		sum->failures += e->failures;
		sum->throttled += waits;
	} else if (e->whose == WHOSE_USER) {
		sum->limited_users += waits;
	} else {
		sum->limited_addresses += waits;
	}
}

static struct throttle_count
count(struct throttle *t, uint64_t user, int64_t now_us)
{
	struct throttle_count sum = { 0 };

	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *s = &t->shards[i];

		pthread_mutex_lock(&s->lock);
		for (size_t k = 0; k < SHARD_ENTRIES; k++) {
			const struct entry *e = &s->v[k];

			if (e->whose != WHOSE_NOBODY && (user == 0 || e->user == user))
				count_entry(e, now_us, &sum);
		}
		for (size_t k = 0; k < SHARD_MARKS; k++) {
			const struct mark *m = &s->marks[k];

			sum.trusted += m->pair != 0 && (user == 0 || m->user == user) &&
				       now_us - m->passed_at_us <= TRUST_US;
		}
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
