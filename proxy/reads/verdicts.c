/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/reads/verdicts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* the default falls through its switch, which clang warns of */
#define HASH_FUNCTION(key, n, hash) HASH_FNV(key, n, hash)
#include <uthash.h>

#include "base/hash.h"
#include "base/mem.h"
#include "proxy/reads/catalog.h"

#define BYTES_MAX ((size_t)4 * 1024 * 1024) /* of a worker's verdicts, their texts included */

struct verdict {
	UT_hash_handle hh;
	TAILQ_ENTRY(verdict) all;
	enum classify_reason reason;
	uint64_t serial; /* of the catalog by which it was judged; 0: by none */
	size_t n;
	char sql[];
};

struct verdicts {
	struct verdict *by_text;
	TAILQ_HEAD(, verdict) all; /* the one that was asked for longest ago first */
	size_t bytes;
	uint64_t seed;
};

struct verdicts *
verdicts_new(void)
{
	struct verdicts *v = xcalloc(1, sizeof(*v));

	TAILQ_INIT(&v->all);
	v->seed = hash_new_seed();
	return v;
}

static size_t
size_of(const struct verdict *d)
{
	return sizeof(*d) + d->n;
}

static void
drop(struct verdicts *v, struct verdict *d)
{
	HASH_DEL(v->by_text, d);
	TAILQ_REMOVE(&v->all, d, all);
	v->bytes -= size_of(d);
	free(d);
}

void
verdicts_free(struct verdicts *v)
{
	if (v == NULL)
		return;
	while (!TAILQ_EMPTY(&v->all))
		drop(v, TAILQ_FIRST(&v->all));
	free(v);
}

static struct verdict *
add(struct verdicts *v, struct slice sql, uint64_t serial, unsigned hash)
{
	struct verdict *d = xmalloc(sizeof(*d) + sql.n);

	d->serial = serial;
	d->n = sql.n;
	memcpy(d->sql, sql.p, sql.n);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, v->by_text, d->sql, d->n, hash, d);
	TAILQ_INSERT_TAIL(&v->all, d, all);
	v->bytes += size_of(d);
	while (v->bytes > BYTES_MAX && TAILQ_FIRST(&v->all) != d)
		drop(v, TAILQ_FIRST(&v->all));
	return d;
}

/* The same text has a hash of its own for each catalog. */
static unsigned
hash_of(const struct verdicts *v, struct slice sql, uint64_t serial)
{
	return hash_slice(v->seed ^ serial * UINT64_C(0x9e3779b97f4a7c15), sql);
}

/* NULL: it is not known under that number. */
static struct verdict *
find(struct verdicts *v, struct slice sql, uint64_t serial, unsigned hash)
{
	struct verdict *d;

	HASH_FIND_BYHASHVALUE(hh, v->by_text, sql.p, sql.n, hash, d);
	if (d == NULL)
		return NULL;
	if (d->serial != serial) {
		drop(v, d);
		return NULL;
	}
	TAILQ_REMOVE(&v->all, d, all);
	TAILQ_INSERT_TAIL(&v->all, d, all);
	return d;
}

enum classify_reason
verdicts_get(struct verdicts *v, struct slice sql, const struct catalog *catalog)
{
	uint64_t serial = catalog != NULL ? catalog->serial : 0;
	struct verdict *d;
	struct classify c;
	unsigned hash;

	if (sql.n > CLASSIFY_TEXT_MAX)
		return CLASSIFY_TOO_LONG;
	hash = hash_of(v, sql, serial);
	d = find(v, sql, serial, hash);
	if (d == NULL) {
		classify(sql, catalog != NULL ? catalog->names : NULL, &c);
		d = add(v, sql, serial, hash);
		d->reason = c.reason;
	}
	return d->reason;
}

void
verdicts_refuse(struct verdicts *v, struct slice sql, uint64_t serial)
{
	struct verdict *d;
	unsigned hash;

	if (sql.n > CLASSIFY_TEXT_MAX)
		return;
	hash = hash_of(v, sql, serial);
	d = find(v, sql, serial, hash);
	if (d == NULL)
		d = add(v, sql, serial, hash);
	d->reason = CLASSIFY_MISJUDGED;
}

size_t
verdicts_count(const struct verdicts *v)
{
	return HASH_COUNT(v->by_text);
}
