/* SPDX-License-Identifier: PostgreSQL
 *
 * SHOW DISCOVERY: what nodes were asked, what they have told of other nodes, and what became of
 * that.
 */
#include "config.h"

#include "base/clock.h"
#include "proxy/admin/commands.h"
#include "proxy/process/world.h"

static const struct column discovery_columns[] = {
	{ "source", COLUMN_TEXT }, { "asked", COLUMN_TEXT },   { "answer_ms", COLUMN_FLOAT8 },
	{ "nodes", COLUMN_INT4 },  { "node", COLUMN_TEXT },    { "region", COLUMN_TEXT },
	{ "said", COLUMN_TEXT },   { "verdict", COLUMN_TEXT }, { "since", COLUMN_TIME },
	{ "reason", COLUMN_TEXT },
};

/* The n-th row: a source and one of the nodes that it tells of; a source that tells of none has a
 * row without a node. */
static const struct roster_source *
row_at(const struct roster *r, size_t n, const struct told_node **told)
{
	for (size_t i = 0; r != NULL && i < r->nsources; i++) {
		const struct roster_source *s = &r->sources[i];
		size_t rows = s->ntold > 0 ? s->ntold : 1;

		if (n < rows) {
			*told = s->ntold > 0 ? &s->told[n] : NULL;
			return s;
		}
		n -= rows;
	}
	return NULL;
}

static bool
is_configured(const struct topology *t, const char *name)
{
	const struct node *n = topology_node_by_name(t, slice_str(name));

	return n != NULL && n->origin == NULL;
}

static const char *
verdict_of(const struct topology *t, const struct told_node *told, const struct found_node *f)
{
	if (told->host[0] == '\0')
		return "no address";
	if (is_configured(t, told->name))
		return "configured";
	return f != NULL ? found_state_name(f->state) : "left out";
}

static const char *
why_no_address(const struct told_node *told)
{
	if (strcmp(told->state, SIGHTING_HIDDEN) == 0)
		return "the probe's role may not see it: GRANT pg_monitor to it";
	return "its cluster does not say where it is: see address_map";
}

/* What became of a node that was told. A discovered node that cannot be used has its reason in the
 * topology: of probes, or of discovery. */
static void
put_verdict(struct rows *rows, const struct topology *t, const struct told_node *told)
{
	const struct found_node *f = roster_find(t->roster, told->name);
	const struct node *n = topology_node_by_name(t, slice_str(told->name));

	row_str(rows, told->name);
	row_str(rows, told->region);
	row_str(rows, told->state);
	row_str(rows, verdict_of(t, told, f));
	if (f != NULL)
		row_time(rows, clock_wall_us() + f->since_us - clock_us());
	else
		row_null(rows);
	row_str(rows, told->host[0] == '\0' ? why_no_address(told) : n != NULL ? n->reason : "");
}

static void
put_no_verdict(struct rows *rows, const struct roster_source *s)
{
	for (int i = 0; i < 5; i++)
		row_null(rows);
	row_str(rows, s->alarm);
}

static enum step
discovery_row(struct run *r)
{
	const struct topology *t = r->world->topology;
	const struct told_node *told = NULL;
	const struct roster_source *s = row_at(t->roster, r->at, &told);

	if (s == NULL)
		return STEP_DONE;
	r->at++;
	row_begin(&r->rows);
	row_str(&r->rows, discover_source_name(s->kind));
	row_str(&r->rows, s->node);
	row_ms(&r->rows, clock_us() - s->asked_us);
	row_int(&r->rows, (int64_t)s->ntold);
	if (told != NULL && s->alarm[0] == '\0')
		put_verdict(&r->rows, t, told);
	else
		put_no_verdict(&r->rows, s);
	row_end(&r->rows);
	return STEP_MORE;
}

static const struct command commands[] = {
	{ .words = "SHOW DISCOVERY",
	  COLUMNS(discovery_columns),
	  .row = discovery_row,
	  .help =
	      "one row per node that another node has told of (see discover in "
	      "meridian.conf(5)): who was asked and how long ago, what it said, and whether the "
	      "node is used: configured, new (not probed yet), used, missing (no longer told), "
	      "gone (no new sessions)",
	  .brief = "nodes that others have told of, and whether they are used",
	  .example = "SHOW DISCOVERY",
	  .answer = "replication|10.0.10.15:5432|4200.118|1|10.2.0.7:5432|europe-west1|streaming|"
		    "used|2026-11-21 14:16:28.070612+00|" },
};

COMMAND_TABLE(commands_discovery, commands);
