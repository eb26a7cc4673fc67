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

#define BYTES_MAX ((size_t)4 * 1024 * 1024) /* of a worker's verdicts, their texts included */

struct verdict {
	UT_hash_handle hh;
	TAILQ_ENTRY(verdict) all;
	enum classify_reason reason;
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
add(struct verdicts *v, struct slice sql, unsigned hash)
{
	struct verdict *d = xmalloc(sizeof(*d) + sql.n);
	struct classify c;

	classify(sql, &c);
	d->reason = c.reason;
	d->n = sql.n;
	memcpy(d->sql, sql.p, sql.n);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, v->by_text, d->sql, d->n, hash, d);
	TAILQ_INSERT_TAIL(&v->all, d, all);
	v->bytes += size_of(d);
	while (v->bytes > BYTES_MAX && TAILQ_FIRST(&v->all) != d)
		drop(v, TAILQ_FIRST(&v->all));
	return d;
}

static struct verdict *
find_or_add(struct verdicts *v, struct slice sql)
{
	unsigned hash = hash_slice(v->seed, sql);
	struct verdict *d;

	HASH_FIND_BYHASHVALUE(hh, v->by_text, sql.p, sql.n, hash, d);
	if (d == NULL)
		return add(v, sql, hash);
	TAILQ_REMOVE(&v->all, d, all);
	TAILQ_INSERT_TAIL(&v->all, d, all);
	return d;
}

enum classify_reason
verdicts_get(struct verdicts *v, struct slice sql)
{
	return sql.n > CLASSIFY_TEXT_MAX ? CLASSIFY_TOO_LONG : find_or_add(v, sql)->reason;
}

void
verdicts_refuse(struct verdicts *v, struct slice sql)
{
	if (sql.n <= CLASSIFY_TEXT_MAX)
		find_or_add(v, sql)->reason = CLASSIFY_MISJUDGED;
}

size_t
verdicts_count(const struct verdicts *v)
{
	return HASH_COUNT(v->by_text);
}
