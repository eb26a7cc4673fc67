/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/reads/verdicts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* the default falls through its switch, which clang warns of */
#define HASH_FUNCTION(key, n, hash) HASH_FNV(key, n, hash)
#include <uthash.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "protocol/fingerprint.h"
#include "proxy/reads/catalog.h"

#define BYTES_MAX ((size_t)4 * 1024 * 1024) /* of a table, its texts included */

#define SERIALS 8 /* so many catalogs are remembered by number */

struct verdict {
	UT_hash_handle hh;
	TAILQ_ENTRY(verdict) all;
	enum classify_reason reason;
	uint64_t serial; /* of the catalog by which it was judged; 0: by none */
	size_t n;
	char sql[];
};

struct table {
	struct verdict *by_text;
	TAILQ_HEAD(, verdict) all; /* the one that was asked for longest ago first */
	size_t bytes;
};

struct verdicts {
	struct table texts, fingerprints;
	struct buf fingerprint;    /* of the text that is looked at */
	uint64_t serials[SERIALS]; /* of catalogs, those that were asked with last in front */
	uint64_t seed;
};

/* What a verdict is kept under. */
struct key {
	struct slice text;
	uint64_t serial;
	unsigned hash;
};

/* ---- a table of them ---- */

static void
drop(struct table *t, struct verdict *d)
{
	HASH_DEL(t->by_text, d);
	TAILQ_REMOVE(&t->all, d, all);
	t->bytes -= sizeof(*d) + d->n;
	free(d);
}

static void
drop_all(struct table *t)
{
	while (!TAILQ_EMPTY(&t->all))
		drop(t, TAILQ_FIRST(&t->all));
}

static struct verdict *
look_up(const struct table *t, const struct key *k)
{
	struct verdict *d;

	HASH_FIND_BYHASHVALUE(hh, t->by_text, k->text.p, k->text.n, k->hash, d);
	return d;
}

/* NULL: it is not known by that catalog. */
static struct verdict *
find(struct table *t, const struct key *k)
{
	struct verdict *d = look_up(t, k);

	if (d == NULL)
		return NULL;
	if (d->serial != k->serial) {
		drop(t, d);
		return NULL;
	}
	TAILQ_REMOVE(&t->all, d, all);
	TAILQ_INSERT_TAIL(&t->all, d, all);
	return d;
}

static void
put(struct table *t, const struct key *k, enum classify_reason reason)
{
	struct verdict *d = find(t, k);

	if (d == NULL) {
		d = xmalloc(sizeof(*d) + k->text.n);
		d->serial = k->serial;
		d->n = k->text.n;
		memcpy(d->sql, k->text.p, k->text.n);
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->by_text, d->sql, d->n, k->hash, d);
		TAILQ_INSERT_TAIL(&t->all, d, all);
		t->bytes += sizeof(*d) + d->n;
	}
	d->reason = reason;
	while (t->bytes > BYTES_MAX && TAILQ_FIRST(&t->all) != d)
		drop(t, TAILQ_FIRST(&t->all));
}

/* ---- all of them ---- */

struct verdicts *
verdicts_new(void)
{
	struct verdicts *v = xcalloc(1, sizeof(*v));

	TAILQ_INIT(&v->texts.all);
	TAILQ_INIT(&v->fingerprints.all);
	v->seed = hash_new_seed();
	return v;
}

void
verdicts_free(struct verdicts *v)
{
	if (v == NULL)
		return;
	drop_all(&v->texts);
	drop_all(&v->fingerprints);
	buf_fini(&v->fingerprint);
	free(v);
}

/* The same text has a hash of its own for each catalog. */
static struct key
key_of(const struct verdicts *v, struct slice text, uint64_t serial)
{
	uint64_t seed = v->seed ^ serial * UINT64_C(0x9e3779b97f4a7c15);

	return (struct key){ text, serial, hash_slice(seed, text) };
}

/* False: the text has none, or one that is cut. */
static bool
key_of_fingerprint(struct verdicts *v, struct slice sql, uint64_t serial, struct key *out)
{
	bool is_whole;

	buf_clear(&v->fingerprint);
	is_whole = fingerprint_put(sql, false, &v->fingerprint);
	*out = key_of(v, buf_view(&v->fingerprint), serial);
	return is_whole;
}

static void
note_serial(struct verdicts *v, uint64_t serial)
{
	size_t i = 0;

	while (i + 1 < SERIALS && v->serials[i] != serial)
		i++;
	memmove(v->serials + 1, v->serials, i * sizeof(v->serials[0]));
	v->serials[0] = serial;
}

/* A text that is not understood may be so by its constants. */
static enum classify_reason
judge(struct verdicts *v, struct slice sql, const struct catalog *catalog)
{
	struct verdict *d;
	struct classify c;
	struct key k;
	bool has_key = key_of_fingerprint(v, sql, catalog != NULL ? catalog->serial : 0, &k);

	note_serial(v, catalog != NULL ? catalog->serial : 0);
	if (has_key && (d = find(&v->fingerprints, &k)) != NULL)
		return d->reason;
	classify(sql, catalog != NULL ? catalog->names : NULL, &c);
	if (has_key && c.reason != CLASSIFY_UNPARSABLE)
		put(&v->fingerprints, &k, c.reason);
	return c.reason;
}

enum classify_reason
verdicts_get(struct verdicts *v, struct slice sql, const struct catalog *catalog)
{
	struct key k = key_of(v, sql, catalog != NULL ? catalog->serial : 0);
	enum classify_reason reason;
	struct verdict *d;

	if (sql.n > CLASSIFY_TEXT_MAX)
		return CLASSIFY_TOO_LONG;
	d = find(&v->texts, &k);
	if (d != NULL)
		return d->reason;
	reason = judge(v, sql, catalog);
	put(&v->texts, &k, reason);
	return reason;
}

void
verdicts_refuse(struct verdicts *v, struct slice sql, uint64_t serial)
{
	struct key k = key_of(v, sql, serial);

	if (sql.n > CLASSIFY_TEXT_MAX)
		return;
	put(&v->texts, &k, CLASSIFY_MISJUDGED);
	if (key_of_fingerprint(v, sql, serial, &k))
		put(&v->fingerprints, &k, CLASSIFY_MISJUDGED);
}

bool
verdicts_know(const struct verdicts *v, struct slice fingerprint, unsigned *reason)
{
	for (size_t i = 0; i < SERIALS; i++) {
		struct key k = key_of(v, fingerprint, v->serials[i]);
		const struct verdict *d = look_up(&v->fingerprints, &k);

		if (d != NULL) {
			*reason = d->reason;
			return true;
		}
	}
	return false;
}

size_t
verdicts_count(const struct verdicts *v)
{
	return HASH_COUNT(v->texts.by_text);
}
