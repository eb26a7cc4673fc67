/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/traffic.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/site.h"
#include "protocol/fingerprint.h"

void
traffic_add(struct traffic *t, const char *text, double calls, double mean_ms, double p99_ms)
{
	t->v = xreallocarray(t->v, t->n + 1, sizeof(*t->v));
	t->v[t->n++] = (struct traffic_statement){ xstrdup(text), calls, mean_ms, p99_ms };
}

void
traffic_fini(struct traffic *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i].text);
	free(t->v);
	*t = (struct traffic){ 0 };
}

/* ---- sources ---- */

void
traffic_of_proxy(const struct site *site, const char *database, struct traffic *out)
{
	*out = (struct traffic){ 0 };
	if (site->ops->traffic != NULL)
		site->ops->traffic(site->arg, database, out);
	if (out->n > 0)
		out->source = TRAFFIC_OF_PROXY;
}

void
traffic_load(const struct site *site, const char *database, PGconn *c, struct traffic *out)
{
	bool is_there = false;
	struct err ignored;
	PGresult *r;

	traffic_of_proxy(site, database, out);
	if (out->source != TRAFFIC_UNKNOWN)
		return;
	/* The statements of the connection's database that take the most time, as
	 * pg_stat_statements has them. */
	*out = (struct traffic){ 0 };
	if (db_is(c, &is_there, &ignored, "SELECT to_regclass('pg_stat_statements') IS NOT NULL", 0,
		  NULL) != 0 ||
	    !is_there)
		return;
	r = db_queryf(
	    c, &ignored,
	    "SELECT left(query, 4000), calls, %s / greatest(calls, 1) FROM"
	    " pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname ="
	    " current_database()) AND query !~* 'meridian|create_distributed_table'"
	    " ORDER BY %s DESC LIMIT 1000",
	    PQserverVersion(c) >= 130000 ? "total_exec_time" : "total_time",
	    PQserverVersion(c) >= 130000 ? "total_exec_time" : "total_time");
	if (r == NULL)
		return;
	for (int i = 0; i < PQntuples(r); i++)
		traffic_add(out, PQgetvalue(r, i, 0), strtod(PQgetvalue(r, i, 1), NULL),
			    strtod(PQgetvalue(r, i, 2), NULL), -1);
	out->source = TRAFFIC_OF_SERVER;
	PQclear(r);
}

/* ---- counting ---- */

/* Changes of the schema are no use of it. */
static bool
is_use(struct slice text)
{
	static const char *const verbs[] = { "alter", "create", "drop", "comment", "grant" };
	struct slice rest = slice_trim(text);
	size_t n = 0;

	while (n < rest.n && rest.p[n] != ' ')
		n++;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (slice_is_nocase(slice_of(rest.p, n), verbs[i]))
			return false;
	return true;
}

void
traffic_count(const struct traffic *t, const char *a, const char *b, struct traffic_count *out)
{
	double total_ms = 0;

	*out = (struct traffic_count){ .p99_ms = -1 };
	for (size_t i = 0; i < t->n; i++) {
		const struct traffic_statement *s = &t->v[i];
		struct slice text = slice_str(s->text);

		if (!is_use(text) || !fingerprint_names(text, slice_str(a)) ||
		    (b != NULL && !fingerprint_names(text, slice_str(b))))
			continue;
		out->calls += s->calls;
		total_ms += s->calls * s->mean_ms;
		out->p99_ms = s->p99_ms > out->p99_ms ? s->p99_ms : out->p99_ms;
	}
	out->mean_ms = out->calls > 0 && total_ms > 0 ? total_ms / out->calls : -1;
}

double
traffic_per_second(const struct traffic *t, double calls)
{
	if (t->source != TRAFFIC_OF_PROXY || t->window_us <= 0)
		return -1;
	return calls * (double)USEC_PER_SEC / (double)t->window_us;
}

/* ---- words ---- */

const char *
traffic_source_text(const struct traffic *t, char to[TRAFFIC_TEXT_MAX])
{
	int64_t minutes;

	if (t->source == TRAFFIC_UNKNOWN)
		return "not known";
	if (t->source == TRAFFIC_OF_SERVER)
		return "pg_stat_statements since its reset";
	minutes = t->window_us / (60 * USEC_PER_SEC);
	if (minutes >= 120)
		(void)snprintf(to, TRAFFIC_TEXT_MAX, "this proxy, last %d h", (int)(minutes / 60));
	else if (minutes >= 1)
		(void)snprintf(to, TRAFFIC_TEXT_MAX, "this proxy, last %d min", (int)minutes);
	else
		(void)snprintf(to, TRAFFIC_TEXT_MAX, "this proxy, last %d s",
			       (int)(t->window_us / USEC_PER_SEC));
	return to;
}
