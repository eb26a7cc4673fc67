/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/fingerprints.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* uthash's default hash falls through its switch, which clang warns of */
#define HASH_FUNCTION(key, n, hash) HASH_FNV(key, n, hash)
#include <uthash.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "protocol/fingerprint.h"

#define HOUR_US      (3600 * USEC_PER_SEC)
#define FIRST_BOUND  16     /* the upper bound of the first bucket, in microseconds */
#define HALF_DOUBLED 1.4143 /* the factor between two buckets */

/* The counts of one hour. */
struct hour {
	int64_t number; /* since the clock began */
	uint64_t calls, timed, sum_us;
	uint32_t buckets[FINGERPRINTS_BUCKETS];
};

struct entry {
	UT_hash_handle hh;
	TAILQ_ENTRY(entry) by_age; /* the one that was not seen for longest comes first */
	uint64_t key, id;
	int64_t seen_us;
	struct hour *hours[FINGERPRINTS_HOURS]; /* by hour number; NULL: not needed yet */
	char *database, *text;
};

struct fingerprints {
	struct entry *entries;
	TAILQ_HEAD(, entry) by_age;
	int64_t since_us;
	uint64_t forgotten;
	uint64_t random;
	uint64_t seed;
};

/* ---- the table ---- */

struct fingerprints *
fingerprints_new(int64_t now_us)
{
	struct fingerprints *t = xcalloc(1, sizeof(*t));

	TAILQ_INIT(&t->by_age);
	t->since_us = now_us;
	t->random = (uint64_t)now_us | 1;
	t->seed = hash_new_seed();
	return t;
}

static void
forget(struct fingerprints *t, struct entry *e)
{
	HASH_DEL(t->entries, e);
	TAILQ_REMOVE(&t->by_age, e, by_age);
	for (size_t i = 0; i < FINGERPRINTS_HOURS; i++)
		free(e->hours[i]);
	free(e->database);
	free(e->text);
	free(e);
}

void
fingerprints_free(struct fingerprints *t)
{
	struct entry *e;

	if (t == NULL)
		return;
	while ((e = TAILQ_FIRST(&t->by_age)) != NULL)
		forget(t, e);
	free(t);
}

/* xorshift64*: a client that guessed it would gain nothing. */
bool
fingerprints_chance(struct fingerprints *t, unsigned one_of)
{
	t->random ^= t->random >> 12;
	t->random ^= t->random << 25;
	t->random ^= t->random >> 27;
	return one_of <= 1 || ((t->random * UINT64_C(0x2545f4914f6cdd1d)) >> 32) % one_of == 0;
}

/* Keys are hashes that a client can calculate, so they are hashed with a seed. */
static uint32_t
hash_of(const struct fingerprints *t, uint64_t key)
{
	return hash_slice(t->seed, slice_of((const char *)&key, sizeof(key)));
}

static struct entry *
find(const struct fingerprints *t, uint64_t key)
{
	struct entry *e;

	HASH_FIND_BYHASHVALUE(hh, t->entries, &key, sizeof(key), hash_of(t, key), e);
	return e;
}

static void
touch(struct fingerprints *t, struct entry *e, int64_t now_us)
{
	e->seen_us = now_us;
	TAILQ_REMOVE(&t->by_age, e, by_age);
	TAILQ_INSERT_TAIL(&t->by_age, e, by_age);
}

uint64_t
fingerprints_key(struct fingerprints *t, struct slice database, struct slice text, int64_t now_us)
{
	uint64_t id = fingerprint_id(text);
	uint64_t key = fingerprint_id_from(id ^ UINT64_MAX, database);
	struct entry *e = find(t, key);

	if (e != NULL) {
		touch(t, e, now_us);
		return key;
	}
	if (HASH_COUNT(t->entries) >= FINGERPRINTS_MAX) {
		forget(t, TAILQ_FIRST(&t->by_age));
		t->forgotten++;
	}
	e = xcalloc(1, sizeof(*e));
	e->key = key;
	e->id = id;
	e->seen_us = now_us;
	e->database = xstrndup(database.p, database.n);
	e->text = xstrndup(text.p, text.n);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->entries, &e->key, sizeof(e->key), hash_of(t, key), e);
	TAILQ_INSERT_TAIL(&t->by_age, e, by_age);
	return key;
}

/* The entry of the current hour, emptied if it has just begun. */
static struct hour *
hour_of(struct entry *e, int64_t now_us)
{
	int64_t number = now_us / HOUR_US;
	struct hour **h = &e->hours[number % FINGERPRINTS_HOURS];

	if (*h == NULL)
		*h = xcalloc(1, sizeof(**h));
	else if ((*h)->number != number)
		memset(*h, 0, sizeof(**h));
	(*h)->number = number;
	return *h;
}

void
fingerprints_count(struct fingerprints *t, uint64_t key, unsigned times, int64_t now_us)
{
	struct entry *e = find(t, key);

	if (e == NULL)
		return;
	touch(t, e, now_us);
	hour_of(e, now_us)->calls += times;
}

void
fingerprints_took(struct fingerprints *t, uint64_t key, int64_t us, int64_t now_us)
{
	struct entry *e = find(t, key);
	double bound = FIRST_BOUND;
	unsigned i = 0;
	struct hour *h;

	if (e == NULL || us < 0)
		return;
	for (; i + 1 < FINGERPRINTS_BUCKETS && (double)us > bound; i++)
		bound *= HALF_DOUBLED;
	h = hour_of(e, now_us);
	h->timed++;
	h->sum_us += (uint64_t)us;
	h->buckets[i]++;
}

/* ---- sums ---- */

/* Make room for n more. */
static void
make_room(struct fingerprint_sums *sums, size_t n)
{
	sums->v = xreallocarray(sums->v, sums->n + n + 1, sizeof(*sums->v));
}

static int
by_id(const void *a, const void *b)
{
	const struct fingerprint_sum *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return strcmp(x->database, y->database);
}

static void
absorb(struct fingerprint_sum *s, struct fingerprint_sum *take_other)
{
	s->calls += take_other->calls;
	s->timed += take_other->timed;
	s->sum_us += take_other->sum_us;
	for (size_t i = 0; i < FINGERPRINTS_BUCKETS; i++)
		s->buckets[i] += take_other->buckets[i];
	if (take_other->seen_us > s->seen_us)
		s->seen_us = take_other->seen_us;
	if (take_other->verdict > s->verdict)
		s->verdict = take_other->verdict;
	free(take_other->database);
	free(take_other->text);
}

/* Add up those that are the same; they lie beside each other. */
static void
unite(struct fingerprint_sums *sums)
{
	size_t n = 0;

	for (size_t i = 0; i < sums->n; i++) {
		if (n > 0 && by_id(&sums->v[n - 1], &sums->v[i]) == 0)
			absorb(&sums->v[n - 1], &sums->v[i]);
		else
			sums->v[n++] = sums->v[i];
	}
	sums->n = n;
}

void
fingerprint_sums_join(struct fingerprint_sums *sums, struct fingerprint_sums *take_other)
{
	make_room(sums, take_other->n);
	if (take_other->n > 0)
		memcpy(sums->v + sums->n, take_other->v, take_other->n * sizeof(*sums->v));
	sums->n += take_other->n;
	if (sums->n > 1)
		qsort(sums->v, sums->n, sizeof(*sums->v), by_id);
	unite(sums);
	if (take_other->window_us > sums->window_us)
		sums->window_us = take_other->window_us;
	sums->forgotten += take_other->forgotten;
	free(take_other->v);
	*take_other = (struct fingerprint_sums){ 0 };
}

static void
add_entry(struct fingerprint_sums *sums, const struct entry *e, int64_t number)
{
	struct fingerprint_sum s = { .id = e->id, .seen_us = e->seen_us };

	for (size_t i = 0; i < FINGERPRINTS_HOURS; i++) {
		const struct hour *h = e->hours[i];

		if (h == NULL || h->number <= number - FINGERPRINTS_HOURS)
			continue;
		s.calls += h->calls;
		s.timed += h->timed;
		s.sum_us += h->sum_us;
		for (size_t k = 0; k < FINGERPRINTS_BUCKETS; k++)
			s.buckets[k] += h->buckets[k];
	}
	if (s.calls == 0)
		return;
	s.database = xstrdup(e->database);
	s.text = xstrdup(e->text);
	sums->v[sums->n++] = s;
}

void
fingerprint_sums_add(struct fingerprint_sums *sums, const struct fingerprints *t,
		     const char *database, int64_t now_us)
{
	struct fingerprint_sums more = { 0 };
	int64_t number = now_us / HOUR_US;
	int64_t from = (number - FINGERPRINTS_HOURS + 1) * HOUR_US;
	const struct entry *e;

	if (t == NULL)
		return;
	make_room(&more, HASH_COUNT(t->entries));
	TAILQ_FOREACH (e, &t->by_age, by_age) {
		if (database == NULL || strcmp(database, e->database) == 0)
			add_entry(&more, e, number);
	}
	more.window_us = now_us - (from > t->since_us ? from : t->since_us);
	more.forgotten = t->forgotten;
	fingerprint_sums_join(sums, &more);
}

static int
by_calls(const void *a, const void *b)
{
	const struct fingerprint_sum *x = a, *y = b;

	if (x->calls != y->calls)
		return x->calls < y->calls ? 1 : -1;
	return strcmp(x->text, y->text);
}

void
fingerprint_sums_sort(struct fingerprint_sums *sums)
{
	if (sums->n > 1)
		qsort(sums->v, sums->n, sizeof(*sums->v), by_calls);
}

void
fingerprint_sums_fini(struct fingerprint_sums *sums)
{
	for (size_t i = 0; i < sums->n; i++) {
		free(sums->v[i].database);
		free(sums->v[i].text);
	}
	free(sums->v);
	*sums = (struct fingerprint_sums){ 0 };
}

double
fingerprint_per_second(const struct fingerprint_sums *sums, const struct fingerprint_sum *s)
{
	/* in less than a second a rate has no meaning */
	int64_t window_us = sums->window_us > USEC_PER_SEC ? sums->window_us : USEC_PER_SEC;

	return (double)s->calls * (double)USEC_PER_SEC / (double)window_us;
}

int64_t
fingerprint_percentile_us(const struct fingerprint_sum *s, unsigned percent)
{
	uint64_t seen = 0, wanted = (s->timed * percent + 99) / 100;
	double bound = FIRST_BOUND;

	if (s->timed == 0)
		return -1;
	for (size_t i = 0; i < FINGERPRINTS_BUCKETS; i++, bound *= HALF_DOUBLED) {
		seen += s->buckets[i];
		if (seen >= wanted)
			break;
	}
	return (int64_t)bound;
}

int64_t
fingerprint_mean_us(const struct fingerprint_sum *s)
{
	return s->timed > 0 ? (int64_t)(s->sum_us / s->timed) : -1;
}
