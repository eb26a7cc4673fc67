/* SPDX-License-Identifier: PostgreSQL
 *
 * The step in front of a change of a table's primary key: changefeeds that would end by it, and
 * those whose readers have to know the new format.
 */
#include "config.h"

#include "migration/regions/steps.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "migration/db.h"
#include "migration/regions/feeds.h"
#include "migration/regions/read.h"

struct guard {
	struct job *j;
	const struct regions_step *s;
	struct regions_catalog cat; /* its feeds, and the table */
};

static int
guard_read(struct guard *g, struct err *e)
{
	PGconn *c = job_db(g->j, REGIONS_PLACE, e);

	if (c == NULL)
		return -1;
	g->cat = (struct regions_catalog){ .database = xstrdup(job_dbname(g->j, REGIONS_PLACE)) };
	regions_catalog_add_table(&g->cat, g->s->schema, g->s->table, NULL);
	return regions_read_feeds(c, &g->cat, e);
}

/* The next feed of this table behind i that ends, or that goes on; cat.nfeeds: none. */
static size_t
next_feed(const struct guard *g, size_t i, bool stops)
{
	for (; i < g->cat.nfeeds; i++) {
		const struct regions_feed *f = &g->cat.feeds[i];

		if (feed_watches(f, g->cat.database, &g->cat.tables[0]) && feed_stops(f) == stops)
			break;
	}
	return i;
}

/* MR005, with every feed that is in the way. */
static int
refuse(struct guard *g, size_t first, struct err *e)
{
	const struct regions_feed *f = &g->cat.feeds[first];
	struct buf b = { .cap = sizeof(e->detail) };

	err_set(e, SQLSTATE_GUARD_FAILED, "changefeed %s would end when %s.%s becomes %s", f->id,
		g->s->schema, g->s->table, g->s->home);
	for (size_t i = first; i < g->cat.nfeeds; i = next_feed(g, i + 1, true))
		buf_printf(&b, "%schangefeed_stop: %s%s: %s", b.n > 0 ? "\n" : "",
			   g->cat.feeds[i].is_sinkless ? "changefeed without a sink " : "job ",
			   g->cat.feeds[i].id, g->cat.feeds[i].text);
	err_detail(e, "%s", buf_text(&b));
	err_hint(e,
		 "ACK MIGRATION %d changefeed_stop and RETRY lets it end; "
		 "SET MIGRATION %d (changefeeds = pause) pauses those that have a sink.",
		 job_id(g->j), job_id(g->j));
	buf_fini(&b);
	return -1;
}

static int
pause_feed(struct guard *g, const struct regions_feed *f, json_t *paused, struct err *e)
{
	PGconn *c = job_db(g->j, REGIONS_PLACE, e);
	char *note, *sql;
	int rc;

	if (c == NULL)
		return -1;
	json_array_append_new(paused, json_string(f->id));
	note = json_dumps(paused, JSON_COMPACT);
	rc = job_note_undo(g->j, note, e);
	free(note);
	if (rc < 0)
		return -1;
	sql = xasprintf("PAUSE JOB %s", f->id);
	rc = db_exec(c, e, sql);
	free(sql);
	if (rc == 0)
		job_notice(g->j,
			   "changefeed %s is paused; after this migration start a new one with "
			   "the cursor of its high-water mark, or RESUME JOB %s to see it end",
			   f->id, f->id);
	return rc;
}

/* A paused feed is listed no more when the server has done it. */
static int
wait_paused(struct guard *g, struct err *e)
{
	for (;;) {
		bool more = false;

		regions_catalog_fini(&g->cat);
		if (guard_read(g, e) < 0)
			return -1;
		for (size_t i = next_feed(g, 0, true); i < g->cat.nfeeds;
		     i = next_feed(g, i + 1, true))
			more = more || !g->cat.feeds[i].is_sinkless;
		if (!more)
			return 0;
		if (job_sleep(g->j, 200 * USEC_PER_MSEC, e) < 0)
			return -1;
	}
}

static int
pause_feeds(struct guard *g, const char *undo, struct err *e)
{
	json_t *paused = undo != NULL ? json_loads(undo, 0, NULL) : NULL;
	int rc = 0;

	if (!json_is_array(paused)) {
		json_decref(paused);
		paused = json_array();
	}
	for (size_t i = next_feed(g, 0, true); rc == 0 && i < g->cat.nfeeds;
	     i = next_feed(g, i + 1, true)) {
		const struct regions_feed *f = &g->cat.feeds[i];

		if (!f->is_sinkless && strspn(f->id, "0123456789") == strlen(f->id))
			rc = pause_feed(g, f, paused, e);
	}
	json_decref(paused);
	return rc == 0 ? wait_paused(g, e) : -1;
}

static int
guard_stop(struct guard *g, const char *undo, struct err *e)
{
	size_t i = next_feed(g, 0, true);

	if (i == g->cat.nfeeds)
		return 0;
	if (job_option_is(g->j, "changefeeds", "allow") || job_was_acked(g->j, "changefeed_stop") ||
	    job_is_forced(g->j, "changefeed_stop")) {
		for (; i < g->cat.nfeeds; i = next_feed(g, i + 1, true))
			job_notice(g->j, "changefeed %s ends now, as was acknowledged",
				   g->cat.feeds[i].id);
		return 0;
	}
	if (job_option_is(g->j, "changefeeds", "pause")) {
		if (pause_feeds(g, undo, e) < 0)
			return -1;
		i = next_feed(g, 0, true);
	}
	return i < g->cat.nfeeds ? refuse(g, i, e) : 0;
}

static int
guard_format(struct guard *g, struct err *e)
{
	size_t i = next_feed(g, 0, false);
	char *what;
	int rc;

	if (i == g->cat.nfeeds || !job_option_is(g->j, "require_ack", "on") ||
	    job_is_forced(g->j, "changefeed_format"))
		return 0;
	what = xasprintf("changefeed %s will repeat every row of %s.%s, with the region's column "
			 "in rows and in the key: are its readers ready",
			 g->cat.feeds[i].id, g->s->schema, g->s->table);
	rc = job_wait_ack(g->j, "changefeed_format", what, e);
	free(what);
	return rc;
}

static int
feeds_act(struct job *j, const struct regions_step *s, struct err *e)
{
	struct guard g = { .j = j, .s = s };
	int rc = guard_read(&g, e);

	if (rc == 0)
		rc = guard_stop(&g, s->row->undo, e);
	if (rc == 0)
		rc = guard_format(&g, e);
	regions_catalog_fini(&g.cat);
	return rc;
}

static int
feeds_undo(struct job *j, const struct regions_step *s, struct err *e)
{
	PGconn *c = job_db(j, REGIONS_PLACE, e);
	json_t *paused = s->row->undo != NULL ? json_loads(s->row->undo, 0, NULL) : NULL, *id;
	size_t i;

	if (c == NULL) {
		json_decref(paused);
		return -1;
	}
	json_array_foreach(paused, i, id)
	{
		struct err why = { 0 };
		char *sql = xasprintf("RESUME JOB %s", json_string_value(id));

		/* One that is not paused any more needs nothing. */
		if (json_is_string(id) && db_exec(c, &why, sql) < 0)
			job_notice(j, "changefeed %s was not resumed: %s", json_string_value(id),
				   why.msg);
		free(sql);
	}
	json_decref(paused);
	return 0;
}

/* Behind the change there is nothing to guard. */
static int
feeds_done(struct job *j, const struct regions_step *s, bool *out, struct err *e)
{
	return regions_ops_locality.done(j, s, out, e);
}

static void
feeds_text(const struct regions_step *s, struct step_text *out)
{
	(void)s;
	buf_str(&out->sql, "SHOW CHANGEFEED JOBS;\n"
			   "SELECT query_id, query FROM crdb_internal.cluster_queries");
	buf_str(&out->estimate, "stops here where a changefeed of the table has "
				"schema_change_policy = 'stop'");
	buf_str(&out->undo, "RESUME JOB of those that were paused");
}

REGIONS_OPS(feeds, .done = feeds_done, .act = feeds_act, .undo = feeds_undo, .text = feeds_text);
