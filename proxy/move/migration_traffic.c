/* SPDX-License-Identifier: PostgreSQL
 *
 * What migrations read of the traffic (migration/traffic.h): the fingerprints of all workers, each
 * of which copies its own.
 */
#include "config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "migration/traffic.h"
#include "proxy/move/errand.h"
#include "proxy/move/migrations_int.h"
#include "proxy/process/meridian.h"
#include "proxy/process/worker.h"
#include "proxy/sqlstate/fingerprints.h"

#define WAIT_US (2 * USEC_PER_SEC)

struct question {
	char *database;
	int64_t now_us;
	int nworkers;
	struct fingerprint_sums *sums; /* one for each worker */
};

static void
question_free(void *what)
{
	struct question *q = what;

	for (int i = 0; i < q->nworkers; i++)
		fingerprint_sums_fini(&q->sums[i]);
	free(q->sums);
	free(q->database);
	free(q);
}

static bool
ask_worker(struct errand *e, struct worker *w)
{
	struct question *q = errand_what(e);

	fingerprint_sums_add(&q->sums[worker_id(w) - 1], worker_fingerprints(w), q->database,
			     q->now_us);
	return true;
}

static double
ms(int64_t us)
{
	return us < 0 ? -1 : (double)us / 1000;
}

void
proxy_migrations_traffic(void *arg, const char *database, struct traffic *out)
{
	struct meridian *m = arg;
	struct question *q = xcalloc(1, sizeof(*q));
	struct errand *e = errand_new(m, q, question_free);

	q->database = xstrdup(database);
	q->now_us = clock_us();
	q->nworkers = m->nworkers;
	q->sums = xcalloc((size_t)m->nworkers, sizeof(*q->sums));
	errand_to_workers(e, ask_worker);
	if (errand_wait(e, q->now_us + WAIT_US)) {
		struct fingerprint_sums all = { 0 };

		for (int i = 0; i < q->nworkers; i++)
			fingerprint_sums_join(&all, &q->sums[i]);
		fingerprint_sums_sort(&all);
		for (size_t i = 0; i < all.n; i++)
			traffic_add(out, all.v[i].text, (double)all.v[i].calls,
				    ms(fingerprint_mean_us(&all.v[i])),
				    ms(fingerprint_percentile_us(&all.v[i], 99)));
		out->window_us = all.window_us;
		fingerprint_sums_fini(&all);
	}
	errand_unref(e);
}
