/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/classify_catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

#define ROWS_MAX  8000 /* of a database with more, nothing is known */
#define ROW_MAX   64   /* a letter, and a name of NAMEDATALEN - 1 */
#define BYTES_MAX ((size_t)(ROWS_MAX + 1) * (ROW_MAX + 1))

struct classify_catalog {
	struct buf text;   /* the rows, each ends with 0 */
	const char **rows; /* into it, sorted by byte, once it is finished */
	size_t n;
};

/* ---- the question ---- */

/* 11 is the oid of the schema pg_catalog. */
const char classify_catalog_sql[] =
    "WITH bad AS (SELECT oid FROM pg_catalog.pg_proc WHERE provolatile OPERATOR(pg_catalog.=) 'v' "
    "OR prosecdef), "
    /* what an aggregate, an operator and a type are made of, and what casts to a type */
    "part(of, made) AS (SELECT aggfnoid::pg_catalog.oid, pg_catalog.unnest(ARRAY[aggtransfn, "
    "aggfinalfn, aggmtransfn, aggminvtransfn, aggmfinalfn]::pg_catalog.oid[]) FROM "
    "pg_catalog.pg_aggregate UNION ALL SELECT oid, oprcode::pg_catalog.oid FROM "
    "pg_catalog.pg_operator UNION ALL "
    "SELECT oid, pg_catalog.unnest(ARRAY[typinput, typoutput, typreceive, typsend, "
    "typmodin]::pg_catalog.oid[]) FROM pg_catalog.pg_type UNION ALL SELECT casttarget, castfunc "
    "FROM pg_catalog.pg_cast), "
    "unsafe AS (SELECT oid FROM bad UNION SELECT of FROM part JOIN bad ON bad.oid "
    "OPERATOR(pg_catalog.=) part.made), "
    "names(kind, name, id, schema) AS ("
    "SELECT 'f'::pg_catalog.text, proname::pg_catalog.text, oid, pronamespace FROM "
    "pg_catalog.pg_proc WHERE prokind OPERATOR(pg_catalog.<>) 'p' UNION ALL SELECT 'o', oprname, "
    "oid, oprnamespace FROM pg_catalog.pg_operator UNION ALL SELECT 't', typname, t.oid, "
    "typnamespace FROM pg_catalog.pg_type AS t LEFT JOIN pg_catalog.pg_class AS c ON c.oid "
    "OPERATOR(pg_catalog.=) t.typrelid WHERE typtype OPERATOR(pg_catalog.<>) 'p' AND typcategory "
    "OPERATOR(pg_catalog.<>) 'A' AND (c.oid IS NULL OR c.relkind OPERATOR(pg_catalog.=) 'c')), "
    "words AS (SELECT kind, name, pg_catalog.bool_or(schema OPERATOR(pg_catalog.=) 11) AS own, "
    "pg_catalog.bool_and(schema OPERATOR(pg_catalog.=) 11 OR unsafe.oid IS NULL) AS safe FROM "
    "names LEFT JOIN unsafe ON unsafe.oid OPERATOR(pg_catalog.=) names.id GROUP BY kind, name) "
    "SELECT CASE WHEN safe THEN kind ELSE pg_catalog.upper(kind) END OPERATOR(pg_catalog.||) name "
    "FROM words WHERE own OPERATOR(pg_catalog.<>) safe AND name OPERATOR(pg_catalog.~) "
    "'^[!-~]+$' COLLATE pg_catalog.\"C\" LIMIT 8001";

/* ---- the answer ---- */

struct classify_catalog *
classify_catalog_new(void)
{
	struct classify_catalog *c = xcalloc(1, sizeof(*c));

	c->text.cap = BYTES_MAX;
	return c;
}

void
classify_catalog_free(struct classify_catalog *c)
{
	if (c == NULL)
		return;
	buf_fini(&c->text);
	free(c->rows);
	free(c);
}

void
classify_catalog_add(struct classify_catalog *c, struct slice row)
{
	if (row.n < 2 || row.n > ROW_MAX || memchr(row.p, '\0', row.n) != NULL)
		return;
	buf_slice(&c->text, row);
	buf_u8(&c->text, 0);
	c->n++;
}

static int
by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

void
classify_catalog_finish(struct classify_catalog *c)
{
	const char *at = c->text.p;

	if (c->text.failed || c->n > ROWS_MAX)
		c->n = 0;
	c->rows = xcalloc(c->n + 1, sizeof(*c->rows));
	for (size_t i = 0; i < c->n; i++, at += strlen(at) + 1)
		c->rows[i] = at;
	qsort(c->rows, c->n, sizeof(*c->rows), by_text);
}

bool
classify_catalog_equal(const struct classify_catalog *a, const struct classify_catalog *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (strcmp(a->rows[i], b->rows[i]) != 0)
			return false;
	}
	return true;
}

static bool
has(const struct classify_catalog *c, char letter, const char *name)
{
	char row[ROW_MAX + 1] = { letter };
	const char *key = row;
	size_t n = strlen(name);

	if (c == NULL || n >= ROW_MAX)
		return false;
	memcpy(row + 1, name, n);
	return bsearch(&key, c->rows, c->n, sizeof(*c->rows), by_text) != NULL;
}

bool
classify_catalog_is_safe(const struct classify_catalog *c, enum classify_kind kind,
			 const char *name)
{
	return has(c, "fot"[kind], name);
}

bool
classify_catalog_is_unsafe(const struct classify_catalog *c, enum classify_kind kind,
			   const char *name)
{
	return has(c, "FOT"[kind], name);
}
