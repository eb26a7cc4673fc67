/* SPDX-License-Identifier: PostgreSQL
 *
 * SHOW FINGERPRINTS: which statements ran through this proxy, summed over all workers, for
 * databases with statement_sample.
 */
#include "config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "protocol/fingerprint.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/fanout.h"
#include "proxy/process/worker.h"
#include "proxy/reads/reads.h"
#include "proxy/reads/reasons.h"
#include "proxy/sqlstate/fingerprints.h"

struct tally {
	struct fingerprint_sums sums;
	int64_t now_us;
	bool sorted;
	size_t at;
};

static void
tally_free(void *arg)
{
	struct tally *t = arg;

	fingerprint_sums_fini(&t->sums);
	free(t);
}

/* Adds what one worker has counted; runs on that worker. */
static enum answer
add_worker(struct fanout *a)
{
	struct tally *t = a->tally;
	struct fingerprint_sums more = { 0 };
	unsigned reason;

	fingerprint_sums_add(&more, worker_fingerprints(a->to), a->database, t->now_us);
	for (size_t i = 0; i < more.n; i++) {
		if (reads_knows(a->to, slice_str(more.v[i].text), &reason))
			more.v[i].verdict = reason + 1;
	}
	fingerprint_sums_join(&t->sums, &more);
	return ANSWER_NEXT;
}

static int
fingerprints_begin(struct run *r)
{
	struct fanout *a = fanout_begin(r, add_worker);
	struct tally *t = xcalloc(1, sizeof(*t));

	t->now_us = clock_us();
	a->tally = t;
	a->tally_free = tally_free;
	a->database = run_arg_dup(r, "database");
	return 0;
}

static const struct column fingerprint_columns[] = {
	{ "fingerprint", COLUMN_TEXT },   { "database", COLUMN_TEXT },  { "calls", COLUMN_INT8 },
	{ "calls_per_s", COLUMN_FLOAT8 }, { "mean_ms", COLUMN_FLOAT8 }, { "p99_ms", COLUMN_FLOAT8 },
	{ "timed", COLUMN_INT8 },         { "last_seen", COLUMN_TIME }, { "reads", COLUMN_TEXT },
	{ "tables", COLUMN_TEXT },        { "statement", COLUMN_TEXT },
};

static enum step
fingerprints_row(struct run *r)
{
	struct fanout *a = r->state;
	struct tally *t = a->tally;
	const struct fingerprint_sum *s;
	struct buf tables = { 0 };
	enum step step = t->sorted ? STEP_DONE : fanout_row(r);

	if (step != STEP_DONE)
		return step;
	if (!t->sorted)
		fingerprint_sums_sort(&t->sums);
	t->sorted = true;
	if (t->at >= t->sums.n)
		return STEP_DONE;
	s = &t->sums.v[t->at++];
	fingerprint_put_tables(slice_str(s->text), &tables);
	row_begin(&r->rows);
	row_printf(&r->rows, "%016llx", (unsigned long long)s->id);
	row_str(&r->rows, s->database);
	row_count(&r->rows, s->calls);
	row_float(&r->rows, fingerprint_per_second(&t->sums, s));
	row_ms(&r->rows, fingerprint_mean_us(s));
	row_ms(&r->rows, fingerprint_percentile_us(s, 99));
	row_count(&r->rows, s->timed);
	row_time(&r->rows, clock_wall_us() + s->seen_us - t->now_us);
	row_str(&r->rows, s->verdict > 0 ? reads_reason_name(s->verdict - 1) : NULL);
	row_text(&r->rows, buf_view(&tables));
	row_lines(&r->rows, s->text);
	row_end(&r->rows);
	buf_fini(&tables);
	return STEP_MORE;
}

static const struct command commands[] = {
	{ .words = "SHOW FINGERPRINTS",
	  .args = "[DATABASE <database>]",
	  COLUMNS(fingerprint_columns),
	  .begin = fingerprints_begin,
	  .row = fingerprints_row,
	  .end = fanout_end,
	  .help = "which statements ran through this proxy in the last 24 hours, without their "
		  "constants: how often (as far as statement_sample lets one know), how long their "
		  "answers took, what reads = nearest knows of them (READ, or why they run at "
		  "home), and the tables that they seem to name; the most frequent first. "
		  "Databases by their names on the nodes",
	  .brief = "which statements ran in the last 24 hours, how often, how long",
	  .example = "SHOW FINGERPRINTS DATABASE movr",
	  .answer = "a1c4f70b29d3e856|movr|1840|2.1|0.84|3.2|184|2026-11-21 "
		    "13:18:02.770121+00|READ|rides|SELECT * FROM rides WHERE id = $1" },
};

COMMAND_TABLE(commands_fingerprints, commands);
