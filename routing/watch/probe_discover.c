/* SPDX-License-Identifier: PostgreSQL
 *
 * What a node says of the other nodes of its cluster: asked behind its facts, on the connection
 * that the prober has anyway, one source after the other.
 */
#include "config.h"

#include "base/clock.h"
#include "routing/watch/pgdial.h"
#include "routing/watch/probe_int.h"

/* What a node of that kind can be asked, of what the operator wants it to be. */
static unsigned
sources_of(const struct watch *w)
{
	bool cockroachdb = w->facts.kind == KIND_COCKROACHDB;
	unsigned natural = DISCOVER_BIT(cockroachdb ? DISCOVER_COCKROACHDB : DISCOVER_REPLICATION);

	if (w->facts.kind == KIND_CITUS && !w->facts.recovery)
		natural |= DISCOVER_BIT(DISCOVER_CITUS);
	if ((w->discover & DISCOVER_AUTO) != 0)
		return w->discover | natural;
	return w->discover;
}

static bool
is_due(const struct watch *w, int64_t now_us)
{
	return w->discovered_us == 0 ||
	       now_us - w->discovered_us >= w->prober->discover_interval_us ||
	       facts_role(w, now_us) != w->role_asked;
}

void
watch_discover(struct watch *w)
{
	int64_t now_us = clock_us();

	if (w->state != WATCH_DISCOVER) {
		w->sources_left = 0;
		if (w->discover != 0 && w->prober->discovered != NULL && is_due(w, now_us)) {
			w->sources_left = sources_of(w) & DISCOVER_QUERIES;
			w->discovered_us = now_us;
			w->role_asked = facts_role(w, now_us);
		}
	}
	for (unsigned s = 0; s < DISCOVER_SOURCES; s++) {
		if ((w->sources_left & DISCOVER_BIT(s)) == 0)
			continue;
		w->sources_left &= ~DISCOVER_BIT(s);
		w->source = (enum discover_source)s;
		watch_ask(w, WATCH_DISCOVER, discover_sql(w->source));
		return;
	}
	watch_finish(w, true);
}

static int
read_rows(const PGresult *res, struct sightings *seen, struct err *e)
{
	struct slice columns[SIGHTING_COLUMNS];

	if (PQnfields(res) != SIGHTING_COLUMNS)
		return err_set(e, "08P01", "the answer has %d columns", PQnfields(res));
	for (int i = 0; i < PQntuples(res); i++) {
		for (int c = 0; c < SIGHTING_COLUMNS; c++)
			columns[c] = PQgetisnull(res, i, c) ? slice_of(NULL, 0)
							    : slice_str(PQgetvalue(res, i, c));
		if (sightings_add(seen, columns, e) != 0)
			return -1;
	}
	return 0;
}

void
discover_take(struct watch *w, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	struct sightings seen = { 0 };
	struct err e = { 0 };
	int r = -1;

	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		r = read_rows(res, &seen, &e);
	else
		(void)err_set(&e, state != NULL ? state : "08P01", "%s",
			      message != NULL ? message : "no answer");
	w->heard = 0;
	w->prober->discovered(w->prober->arg, w->id, w->source, w->facts.system_id,
			      r == 0 ? &seen : NULL, &e);
	sightings_fini(&seen);
	watch_discover(w);
}
