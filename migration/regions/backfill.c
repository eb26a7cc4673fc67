/* SPDX-License-Identifier: PostgreSQL
 *
 * The rows that were there before the table was REGIONAL BY ROW get the region of their city, in
 * small statements: each changed row moves to its region's range, an insert and a delete.
 */
#include "config.h"

#include "migration/regions/steps.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "migration/db.h"

#define TRIES 100

static int
backfill_left(struct job *j, const struct regions_step *s, int64_t *out, struct err *e)
{
	PGconn *c = job_db(j, REGIONS_PLACE, e);
	struct buf b = { 0 };
	int rc;

	if (c == NULL)
		return -1;
	ddl_backfill_left(&b, s->schema, s->table, s->column, &s->cities);
	rc = db_int(c, out, e, buf_text(&b), 0, NULL);
	buf_fini(&b);
	return rc;
}

struct filling {
	struct job *j;
	const struct regions_step *s;
	int64_t batch, rate; /* rows in one statement; rows in a second, 0: no bound */
	int64_t total, filled;
};

/* One statement; the number of rows, -1 and *e. 40001 and a lost connection are tried again. */
static int64_t
fill_some(struct filling *f, const char *sql, struct err *e)
{
	for (int i = 0; i < TRIES; i++) {
		PGconn *c = job_db(f->j, REGIONS_PLACE, e);
		PGresult *r = c != NULL ? db_query(c, e, sql, 0, NULL) : NULL;

		if (r != NULL) {
			int64_t n = 0;

			(void)text_to_int(slice_str(PQcmdTuples(r)), 0, INT64_MAX, &n);
			PQclear(r);
			return n;
		}
		if (!db_is_retryable(e) && strncmp(e->sqlstate, "08", 2) != 0)
			return -1;
		if (job_sleep(f->j, 50 * USEC_PER_MSEC * (i < 20 ? i + 1 : 20), e) < 0)
			return -1;
	}
	return -1;
}

static int
fill_region(struct filling *f, const char *region, struct err *e)
{
	struct buf sql = { 0 };
	int rc = 0;

	ddl_backfill(&sql, f->s->schema, f->s->table, f->s->column, &f->s->cities, region,
		     f->batch);
	for (;;) {
		int64_t began = clock_us(), n = fill_some(f, buf_text(&sql), e);
		int64_t took = clock_us() - began, pause;

		if (n <= 0) {
			rc = (int)n;
			break;
		}
		f->filled += n;
		job_progress(
		    f->j,
		    f->total > 0 && f->filled < f->total ? (int)(f->filled * 100 / f->total) : 99,
		    "%s.%s: %" PRId64 " of %" PRId64 " rows have their region", f->s->schema,
		    f->s->table, f->filled, f->total);
		/* As long as the statement itself took, and so that `rate` is kept: half of the
		 * time is others'. */
		pause = took < USEC_PER_SEC ? took : USEC_PER_SEC;
		if (f->rate > 0 && n * USEC_PER_SEC / f->rate > pause + took)
			pause = n * USEC_PER_SEC / f->rate - took;
		if (job_sleep(f->j, pause, e) < 0) {
			rc = -1;
			break;
		}
	}
	buf_fini(&sql);
	return rc;
}

static int
backfill_act(struct job *j, const struct regions_step *s, struct err *e)
{
	struct filling f = { .j = j,
			     .s = s,
			     .batch = job_option_int(j, "backfill_batch"),
			     .rate = job_option_int(j, "backfill_rate") };

	if (backfill_left(j, s, &f.total, e) < 0)
		return -1;
	for (size_t i = 0; i < s->cities.n; i++) {
		const char *region = s->cities.v[i].region;
		bool is_first = true;

		for (size_t k = 0; k < i; k++)
			is_first = is_first && strcmp(s->cities.v[k].region, region) != 0;
		if (is_first && fill_region(&f, region, e) < 0)
			return -1;
	}
	return 0;
}

static int
backfill_done(struct job *j, const struct regions_step *s, bool *out, struct err *e)
{
	int64_t left;

	if (backfill_left(j, s, &left, e) < 0)
		return -1;
	*out = left == 0;
	return 0;
}

static void
backfill_text(const struct regions_step *s, struct step_text *out)
{
	struct strlist seen = { 0 };

	for (size_t i = 0; i < s->cities.n; i++) {
		const char *region = s->cities.v[i].region;

		if (strlist_has(&seen, region))
			continue;
		strlist_add(&seen, region);
		buf_str(&out->sql, seen.n > 1 ? ";\n" : "");
		ddl_backfill(&out->sql, s->schema, s->table, s->column, &s->cities, region, 1000);
	}
	strlist_fini(&seen);
	buf_clear(&out->lock);
	buf_str(&out->lock, "rows of one batch");
	buf_str(&out->estimate, "repeated until no row is left; each row that changes its region "
				"is an insert and a delete for a changefeed");
	buf_str(&out->undo, "nothing to undo: the data stay");
}

REGIONS_OPS(backfill, .done = backfill_done, .act = backfill_act, .text = backfill_text);
