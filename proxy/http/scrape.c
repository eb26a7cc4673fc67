/* SPDX-License-Identifier: PostgreSQL
 *
 * GET /metrics: gathers what proxy/http/metrics.c tells. Counters of other workers are read where
 * they stand, so no worker is asked, and none waits.
 */
#include "config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "proxy/auth/throttle.h"
#include "proxy/http/http_int.h"
#include "proxy/http/metrics.h"
#include "proxy/process/descriptors.h"
#include "proxy/process/usage.h"
#include "proxy/process/worker_int.h"

/* An answer must fit into what may be unsent for a client. */
#define ANSWER_MAX ((size_t)3 << 20)

static void
gather(struct session *s, struct stats *sum, readtally_list *reads, struct metrics *m)
{
	const struct meridian *p = s->worker->process;
	const struct world *w = worker_world(s->worker);
	int64_t now_us = clock_us();
	struct throttle_count logins = throttle_count(p->throttle, now_us);

	for (int i = 0; i < p->nworkers; i++) {
		stats_sum(sum, worker_stats(p->workers[i]));
		readtally_sum(reads, worker_reads(p->workers[i]));
	}
	*m = (struct metrics){
		.stats = sum,
		.reads = readtally_first(reads),
		.topology = w->topology,
		.now_us = now_us,
		.started_at_s = (double)p->started_at_us / (double)USEC_PER_SEC,
		.cpu_s = (double)usage_cpu_us() / (double)USEC_PER_SEC,
		.resident_bytes = (double)usage_resident_bytes(),
		.open_fds = (double)usage_descriptors(),
		.max_fds = (double)descriptors_limit(),
		.workers = p->nworkers,
		.clients = atomic_load_explicit(&p->clients, memory_order_relaxed),
		.clients_max = w->config->main.max_client_conn,
		.streams = atomic_load_explicit(&p->streams, memory_order_relaxed),
		.throttled = logins.throttled,
		.trusted = logins.trusted,
		.limited_users = logins.limited_users,
		.limited_addresses = logins.limited_addresses,
	};
}

void
answer_metrics(struct session *s)
{
	enum exposition_format format = exposition_accept(&s->http->request->head);
	struct stats *sum = xcalloc(1, sizeof(*sum));
	struct buf out = { .cap = ANSWER_MAX };
	readtally_list reads = NULL;
	struct metrics m;

	gather(s, sum, &reads, &m);
	metrics_put(&out, format, &m);
	free(sum);
	readtally_fini(&reads);
	if (out.failed)
		http_refuse(s, 500, "", "there are too many nodes for one answer");
	else
		http_answer(s, 200, exposition_content_type(format), "Cache-Control: no-store\r\n",
			    buf_view(&out));
	buf_fini(&out);
}
