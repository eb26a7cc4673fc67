/* SPDX-License-Identifier: PostgreSQL
 *
 * What the databases say of the tables that files touch, for the lint: the worst of all regions.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/files/files_int.h"
#include "migration/files/lint.h"
#include "migration/traffic.h"

#include <time.h>

#define SAMPLE_US  USEC_PER_SEC
#define TABLES_MAX "20000"

/* Writes of a table until now. */
struct sample {
	uint32_t oid;
	int64_t writes;
};

struct samples {
	struct sample *v;
	size_t n;
};

struct lint_facts_of {
	struct job *j;
	const struct file_regions *regions;
	struct samples *before, *after; /* one for each region */
	double seconds;                 /* between the two; 0: not taken yet */
	struct traffic traffic;         /* what this proxy saw … */
	bool has_traffic;               /* … when it was asked for */
	struct checks *out;
	const char *file;
	unsigned line;
};

/* ---- writes ---- */

static void
sample_all(const struct file_regions *regions, struct samples *out)
{
	for (size_t i = 0; i < regions->n; i++) {
		struct samples *s = &out[i];
		struct err ignored;
		PGresult *r = NULL;

		if (region_takes_files(&regions->v[i]))
			r = db_query(
			    regions->v[i].db, &ignored,
			    "SELECT relid, n_tup_ins + n_tup_upd + n_tup_del FROM "
			    "pg_catalog.pg_stat_user_tables ORDER BY relid LIMIT " TABLES_MAX,
			    0, NULL);
		s->n = r != NULL ? (size_t)PQntuples(r) : 0;
		s->v = xcalloc(s->n + 1, sizeof(*s->v));
		for (size_t k = 0; k < s->n; k++) {
			s->v[k].oid = (uint32_t)strtoul(PQgetvalue(r, (int)k, 0), NULL, 10);
			s->v[k].writes = strtoll(PQgetvalue(r, (int)k, 1), NULL, 10);
		}
		PQclear(r);
	}
}

/* Two looks at what is counted, when the first table is asked for. */
static void
take_both(struct lint_facts_of *f)
{
	struct timespec pause = { .tv_sec = SAMPLE_US / USEC_PER_SEC };
	int64_t from = clock_us();

	if (f->seconds > 0)
		return;
	sample_all(f->regions, f->before);
	nanosleep(&pause, NULL);
	sample_all(f->regions, f->after);
	f->seconds = (double)(clock_us() - from) / (double)USEC_PER_SEC;
}

static int64_t
writes_of(const struct samples *s, uint32_t oid)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].oid == oid)
			return s->v[i].writes;
	return 0;
}

/* ---- tables and columns ---- */

static const char table_sql[] =
    "SELECT c.oid, c.relkind = 'p', CASE WHEN c.relkind = 'p' THEN (SELECT "
    "coalesce(sum(pg_catalog.pg_total_relation_size(t.relid)), 0) FROM "
    "pg_catalog.pg_partition_tree(c.oid) t) ELSE pg_catalog.pg_total_relation_size(c.oid) END FROM "
    "pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1)";

static void
know_table(void *arg, struct slice table, struct lint_table *out)
{
	struct lint_facts_of *f = arg;
	char *name = xstrndup(table.p, table.n);
	const char *const params[] = { name };

	for (size_t i = 0; i < f->regions->n; i++) {
		struct err ignored;
		PGresult *r = NULL;

		if (region_takes_files(&f->regions->v[i]))
			r = db_query(f->regions->v[i].db, &ignored, table_sql, 1, params);
		if (r != NULL && PQntuples(r) > 0) {
			uint32_t oid = (uint32_t)strtoul(PQgetvalue(r, 0, 0), NULL, 10);
			int64_t bytes = strtoll(PQgetvalue(r, 0, 2), NULL, 10), written;
			double writes;

			take_both(f);
			written = writes_of(&f->after[i], oid) - writes_of(&f->before[i], oid);
			writes = (double)written / f->seconds;
			out->exists = true;
			out->is_partitioned = PQgetvalue(r, 0, 1)[0] == 't';
			out->bytes = bytes > out->bytes ? bytes : out->bytes;
			out->writes = writes > out->writes ? writes : out->writes;
		}
		PQclear(r);
	}
	free(name);
}

/* How often statements ran that name both; -1: the server does not count. */
static int64_t
calls_of(PGconn *c, const char *table, const char *column)
{
	const char *params[] = { table, column };
	struct err ignored;
	int64_t n = 0;
	bool counts = false;

	if (db_is(c, &counts, &ignored,
		  "SELECT pg_catalog.to_regclass('pg_stat_statements') IS NOT NULL", 0, NULL) < 0 ||
	    !counts)
		return -1;
	if (db_int(c, &n, &ignored,
		   "SELECT CAST(coalesce(sum(calls), 0) AS int8) FROM pg_stat_statements WHERE "
		   "query !~* '^\\s*(alter|create|drop)' AND strpos(lower(query), "
		   "lower((pg_catalog.parse_ident($1))[array_length(pg_catalog.parse_ident($1), "
		   "1)])) > 0 AND strpos(lower(query), lower((pg_catalog.parse_ident($2))[1])) > 0",
		   2, params) < 0)
		return -1;
	return n;
}

/* What runs through this proxy now says more than what a server has counted since some day; a
 * server that has counted some says more than a proxy that has seen none. */
static void
count_calls(struct lint_facts_of *f, PGconn *c, const char *const names[2], const PGresult *r,
	    struct lint_column *out)
{
	struct traffic server = { .source = TRAFFIC_OF_SERVER };
	int64_t calls = calls_of(c, names[0], names[1]);
	char source[TRAFFIC_TEXT_MAX];
	struct traffic_count seen;

	if (calls > out->calls) {
		out->calls = calls;
		snprintf(out->source, sizeof(out->source), "%s",
			 traffic_source_text(&server, source));
	}
	if (!f->has_traffic)
		traffic_of_proxy(job_site(f->j), job_database(f->j), &f->traffic);
	f->has_traffic = true;
	if (f->traffic.source == TRAFFIC_UNKNOWN)
		return;
	traffic_count(&f->traffic, PQgetvalue(r, 0, 1), PQgetvalue(r, 0, 0), &seen);
	if (seen.calls == 0 && out->calls > 0)
		return;
	out->calls = (int64_t)seen.calls;
	snprintf(out->source, sizeof(out->source), "%s", traffic_source_text(&f->traffic, source));
}

static const char column_sql[] =
    "SELECT a.attname, (SELECT t.relname FROM pg_catalog.pg_class t WHERE t.oid = a.attrelid), "
    "pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull OR EXISTS (SELECT FROM "
    "pg_catalog.pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'c' AND "
    "k.convalidated AND pg_catalog.pg_get_constraintdef(k.oid) = 'CHECK ((' || "
    "pg_catalog.quote_ident(a.attname) || ' IS NOT NULL))') FROM pg_catalog.pg_attribute a WHERE "
    "a.attrelid = pg_catalog.to_regclass($1) AND a.attname = (pg_catalog.parse_ident($2))[1] AND "
    "NOT a.attisdropped";

static void
know_column(void *arg, struct slice table, struct slice column, struct lint_column *out)
{
	struct lint_facts_of *f = arg;
	char *t = xstrndup(table.p, table.n), *name = xstrndup(column.p, column.n);
	const char *const names[] = { t, name };

	for (size_t i = 0; i < f->regions->n; i++) {
		PGconn *c = f->regions->v[i].db;
		struct err ignored;
		PGresult *r = NULL;

		if (region_takes_files(&f->regions->v[i]))
			r = db_query(c, &ignored, column_sql, 2, names);
		if (r != NULL && PQntuples(r) > 0) {
			bool is_not_null = PQgetvalue(r, 0, 3)[0] == 't';

			snprintf(out->type, sizeof(out->type), "%s", PQgetvalue(r, 0, 2));
			out->is_not_null = is_not_null && (!out->exists || out->is_not_null);
			out->exists = true;
			count_calls(f, c, names, r, out);
		}
		PQclear(r);
	}
	free(t);
	free(name);
}

/* ---- findings ---- */

static void
say(void *to, const struct lint_finding *finding)
{
	struct lint_facts_of *f = to;
	enum check_severity severity = finding->severity;
	struct buf text = finding->text;
	char object[320];

	if (severity == CHECK_ERROR && job_option_is(f->j, "lint", "warn"))
		severity = CHECK_WARN;
	snprintf(object, sizeof(object), "%s, line %u", f->file, f->line);
	checks_add(f->out, severity, finding->rule, object, buf_text(&text), finding->fix);
}

static bool
is_pending_somewhere(const struct lint_facts_of *f, const char *file)
{
	for (size_t i = 0; i < f->regions->n; i++)
		if (region_takes_files(&f->regions->v[i]) &&
		    !history_is_done(history_find(&f->regions->v[i].history, file)))
			return true;
	return false;
}

void
files_lint(struct job *j, const struct tree *t, const struct file_regions *regions,
	   struct checks *out)
{
	struct lint_facts_of f = { .j = j, .regions = regions, .out = out };
	struct lint_facts facts = { .arg = &f, .table = know_table, .column = know_column };
	struct lint l = { .facts = &facts, .found = say, .to = &f };
	bool any = false;

	for (size_t i = 0; i < t->n && !any; i++)
		any = is_pending_somewhere(&f, t->v[i].up.name);
	if (!any || job_option_is(j, "lint", "off"))
		return;
	f.before = xcalloc(regions->n + 1, sizeof(*f.before));
	f.after = xcalloc(regions->n + 1, sizeof(*f.after));
	for (size_t i = 0; i < t->n; i++) {
		const struct script *s = &t->v[i].up.script;
		bool in_transaction = files_mode(j, s, 150000) == FILE_TRANSACTION;

		if (!is_pending_somewhere(&f, t->v[i].up.name))
			continue;
		f.file = t->v[i].up.name;
		for (size_t k = 0; k < s->n; k++) {
			f.line = s->v[k].line;
			lint_statement(&l, &s->v[k], in_transaction);
		}
	}
	lint_fini(&l);
	for (size_t i = 0; i < regions->n; i++) {
		free(f.before[i].v);
		free(f.after[i].v);
	}
	free(f.before);
	free(f.after);
	traffic_fini(&f.traffic);
}
