/* SPDX-License-Identifier: PostgreSQL
 *
 * SHOW MIGRATION m TABLES and IMPACT: where tables are and where they are to be, and whose
 * changefeeds meet that.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "migration/regions/feeds.h"
#include "migration/regions/steps.h"
#include "migration/topics.h"

#define COUNT(name, type) +1
enum { NTABLES = 0 TOPIC_TABLES(COUNT), NIMPACT = 0 TOPIC_IMPACT(COUNT) };
#undef COUNT

static void
show_table(const struct rows_sink *out, const struct regions_outlook *o,
	   const struct spec_placing *p, const struct regions_table *t)
{
	char *wanted = regions_home_wanted(&o->wish, p);
	char *name = xasprintf("%s.%s", t->schema, t->name);
	char *now = xasprintf("%s%s", t->locality != NULL ? "now " : "",
			      t->locality != NULL ? t->locality : "");
	struct table_home a, b;
	char rows[24];

	home_parse(t->locality, &a);
	home_parse(wanted, &b);
	snprintf(rows, sizeof(rows), "%" PRId64, t->rows);
	const char *const values[NTABLES] = { name,
					      wanted,
					      home_is_same(&a, &b) ? "done" : "pending",
					      t->rows >= 0 ? rows : NULL,
					      NULL,
					      NULL,
					      now };
	out->row(out->arg, values, NTABLES);
	home_fini(&a);
	home_fini(&b);
	free(wanted);
	free(name);
	free(now);
}

/* The changefeeds of a table whose primary key changes. */
static void
show_feeds(const struct rows_sink *out, const struct regions_catalog *c,
	   const struct regions_table *t)
{
	char *name = xasprintf("%s.%s", t->schema, t->name);

	for (size_t i = 0; i < c->nfeeds; i++) {
		const struct regions_feed *f = &c->feeds[i];
		const char *impact =
		    feed_stops(f) ? "changefeed ends" : "changefeed repeats every row";
		char *detail = xasprintf("%s %s: %s", f->is_sinkless ? "without a sink" : "job",
					 f->id, f->text);
		const char *const values[NIMPACT] = { NULL, impact, name, NULL,  NULL,
						      NULL, NULL,   NULL, detail };

		if (feed_watches(f, c->database, t))
			out->row(out->arg, values, NIMPACT);
		free(detail);
	}
	free(name);
}

int
regions_show(struct job *j, enum show_topic topic, const struct rows_sink *out, struct err *e)
{
	struct regions_outlook o;
	int rc;

	if (topic != SHOW_TABLES && topic != SHOW_IMPACT)
		return err_set(e, "0A000", "a migration of kind regions has nothing of this");
	rc = regions_look(j, &o, e);
	if (rc == 0 && topic == SHOW_IMPACT)
		rc = regions_look_closer(j, &o, false, e);
	for (size_t i = 0; rc == 0 && i < o.wish.spec->nplacings; i++) {
		const struct spec_placing *p = &o.wish.spec->placings[i];
		const struct regions_table *t = regions_table_of(&o.cat, &p->name);

		if (t == NULL)
			continue;
		if (topic == SHOW_TABLES)
			show_table(out, &o, p, t);
		else if (regions_changes_key(p, t))
			show_feeds(out, &o.cat, t);
	}
	regions_outlook_fini(&o);
	return rc;
}
