/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/explain.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "proxy/reads/catalog.h"
#include "proxy/reads/reasons.h"
#include "proxy/session/route.h"

const struct column explain_route_columns[EXPLAIN_ROUTE_COLUMNS] = {
	{ "rank", COLUMN_INT4 },     { "region", COLUMN_TEXT },   { "node", COLUMN_TEXT },
	{ "verdict", COLUMN_TEXT },  { "reason", COLUMN_TEXT },   { "distance_km", COLUMN_FLOAT8 },
	{ "rtt_ms", COLUMN_FLOAT8 }, { "lag_ms", COLUMN_FLOAT8 }, { "load", COLUMN_FLOAT8 },
	{ "score", COLUMN_FLOAT8 },
};

const struct column explain_query_columns[EXPLAIN_QUERY_COLUMNS] = {
	{ "verdict", COLUMN_TEXT },   { "runs", COLUMN_TEXT },
	{ "reason", COLUMN_TEXT },    { "what", COLUMN_TEXT },
	{ "help", COLUMN_TEXT },      { "home_region", COLUMN_TEXT },
	{ "home_node", COLUMN_TEXT }, { "near_region", COLUMN_TEXT },
	{ "near_node", COLUMN_TEXT }, { "floor", COLUMN_TEXT },
	{ "replayed", COLUMN_TEXT },  { "lag_ms", COLUMN_FLOAT8 },
};

const struct column explain_locality_columns[EXPLAIN_LOCALITY_COLUMNS] = {
	{ "source", COLUMN_TEXT },  { "kind", COLUMN_TEXT }, { "value", COLUMN_TEXT },
	{ "trusted", COLUMN_BOOL }, { "won", COLUMN_BOOL },  { "outcome", COLUMN_TEXT },
};

void
explain_locality(const struct world *w, const struct claims *claims, const struct conf_database *db,
		 struct explained *out)
{
	struct locality_input in = {
		.claims = claims,
		.topology = w->topology,
		.gazetteer = w->gazetteer,
		.geo = w->geo,
		.order = w->config->main.locality,
		.norder = w->config->main.nlocality,
		.strict = db->residency == RESIDENCY_STRICT,
		.now_us = clock_us(),
	};

	out->nevidence = 0;
	locality_decide(&in, &out->locality, out->evidence, &out->nevidence);
}

/* Rounds to 1/steps: kilometres to one decimal and loads to three, as the rest is noise. */
static void
row_rounded(struct rows *rows, double v, double steps)
{
	if (v < 0)
		row_null(rows);
	else
		row_float(rows, round(v * steps) / steps);
}

/* Of a node that was discovered, also who has told of it. */
static void
row_reason(struct rows *rows, const char *reason, const char *origin)
{
	if (origin == NULL)
		row_str(rows, reason);
	else
		row_printf(rows, "%s%sfound by %s", reason, reason[0] != '\0' ? "; " : "", origin);
}

void
explain_route_rows(const struct world *w, const struct route *route, struct rows *rows)
{
	const struct topology *t = w->topology;
	int64_t now_us = clock_us();
	char reason[256];

	for (unsigned i = 0; i < route->nrows; i++) {
		const struct route_row *row = &route->rows[i];

		route_reason_text(t, row, now_us, reason, sizeof(reason));
		row_begin(rows);
		row_int(rows, (int64_t)i + 1);
		row_str(rows, t->regions[row->region].name);
		row_str(rows, row->node >= 0 ? t->nodes[row->node].name : NULL);
		row_str(rows, route_verdict_name(row->verdict));
		row_reason(rows, reason, row->node >= 0 ? t->nodes[row->node].origin : NULL);
		row_rounded(rows, row->distance_km, 10);
		row_ms(rows, row->rtt_us);
		row_ms(rows, row->lag_us);
		row_rounded(rows, row->load, 1000);
		row_rounded(rows, row->score, 10);
		row_end(rows);
	}
}

/* As PostgreSQL writes a pg_lsn. */
static void
row_lsn(struct rows *rows, uint64_t lsn)
{
	if (lsn == 0)
		row_null(rows);
	else
		row_printf(rows, "%X/%X", (unsigned)(lsn >> 32), (unsigned)lsn);
}

static void
row_node(struct rows *rows, const struct topology *t, const struct node *n)
{
	row_str(rows, n != NULL ? t->regions[n->region].name : NULL);
	row_str(rows, n != NULL ? n->name : NULL);
}

/* By what sessions have learnt of the names in that database. */
static void
look_at(const struct world *w, struct slice sql, struct slice database,
	const struct reads_place *place, struct classify *out)
{
	struct slice name = locate_dbname(w, database);
	char *dbname = xstrndup(name.n > 0 ? name.p : "", name.n);
	struct catalog *c =
	    place->home != NULL ? catalog_find(place->home->live->id, dbname, clock_us()) : NULL;

	classify(sql, c != NULL ? c->names : NULL, out);
	catalog_unref(c);
	free(dbname);
}

void
explain_query_row(const struct world *w, struct slice sql, struct slice database,
		  const struct reads_place *place, struct rows *rows)
{
	const struct node *near = place->near;
	struct classify c;
	unsigned reason;
	bool is_read;

	look_at(w, sql, database, place, &c);
	if (c.reason == CLASSIFY_BEGIN && place->begins_read_only)
		c.reason = CLASSIFY_READ_ONLY;
	is_read = classify_is_read(c.reason);
	reason = is_read && place->reason != CLASSIFY_READ ? place->reason : c.reason;
	row_begin(rows);
	row_str(rows, is_read ? "read" : "write");
	row_str(rows, reads_is_near(reason) && place->is_nearest ? "near" : "home");
	row_str(rows, reads_reason_name(reason));
	row_str(rows, c.what[0] != '\0' ? c.what : NULL);
	row_str(rows, reads_reason_text(reason));
	row_node(rows, w->topology, place->home);
	row_node(rows, w->topology, near);
	row_lsn(rows, place->floor);
	row_lsn(rows, near != NULL ? near->lsn : 0);
	row_ms(rows, near != NULL ? node_lag_us(near, clock_us()) : -1);
	row_end(rows);
}

void
explain_locality_rows(const struct world *w, const struct explained *x, struct rows *rows)
{
	const struct conf_main *conf = &w->config->main;
	unsigned heard = 0;

	for (size_t i = 0; i < x->nevidence; i++) {
		const struct locality_evidence *e = &x->evidence[i];

		heard |= 1U << e->source;
		row_begin(rows);
		row_str(rows, locality_source_name(e->source));
		row_str(rows, claim_kind_name(e->kind));
		row_text(rows, e->value);
		row_bool(rows, e->trusted);
		row_bool(rows, e->won);
		row_str(rows, e->outcome);
		row_end(rows);
	}
	for (size_t i = 0; i < conf->nlocality; i++) {
		if ((heard & 1U << conf->locality[i]) != 0)
			continue;
		row_begin(rows);
		row_str(rows, locality_source_name(conf->locality[i]));
		row_null(rows);
		row_null(rows);
		row_null(rows);
		row_bool(rows, false);
		row_str(rows, "says nothing");
		row_end(rows);
	}
}
