/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/process/descriptors.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/hot.h"
#include "base/log.h"
#include "base/mem.h"
#include "proxy/config/config.h"
#include "proxy/process/usage.h"

/* The prober's, and that of other questions to the node. */
#define PER_NODE 2

struct descriptors {
	pthread_mutex_t lock;
	int fds[DESCRIPTORS_RESERVE];
	unsigned wanted;  /* how many it should be */
	atomic_uint held; /* written under the lock */
	int64_t own;
};

int64_t
descriptors_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT32_MAX)
		return INT32_MAX;
	return (int64_t)limit.rlim_cur;
}

HOT bool
descriptors_short(const struct descriptors *d)
{
	return d != NULL && descriptors_held(d) < d->wanted;
}

unsigned
descriptors_held(const struct descriptors *d)
{
	return d == NULL ? 0 : atomic_load_explicit(&d->held, memory_order_relaxed);
}

/* Each opens the file anew, since the system's table of open files may be full as well. */
static void
take_all(struct descriptors *d)
{
	unsigned n = descriptors_held(d);

	while (n < d->wanted && (d->fds[n] = eventfd(0, EFD_CLOEXEC)) >= 0)
		n++;
	atomic_store_explicit(&d->held, n, memory_order_relaxed);
}

HOT void
descriptors_refill(struct descriptors *d)
{
	if (!descriptors_short(d))
		return;
	(void)pthread_mutex_lock(&d->lock);
	take_all(d);
	(void)pthread_mutex_unlock(&d->lock);
}

bool
descriptors_spend(struct descriptors *d, bool privileged)
{
	unsigned n, left;

	if (d == NULL)
		return false;
	left = privileged ? 0 : (d->wanted + 3) / 4;
	(void)pthread_mutex_lock(&d->lock);
	n = descriptors_held(d);
	if (n > left)
		close(d->fds[n - 1]);
	atomic_store_explicit(&d->held, n > left ? n - 1 : n, memory_order_relaxed);
	(void)pthread_mutex_unlock(&d->lock);
	return n > left;
}

void
descriptors_make_room(struct descriptors *d)
{
	int fds[2] = { eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC) };

	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		else
			(void)descriptors_spend(d, true);
	}
}

struct descriptors *
descriptors_new(void)
{
	struct descriptors *d = xcalloc(1, sizeof(*d));
	int64_t eighth = descriptors_limit() / 8;

	(void)pthread_mutex_init(&d->lock, NULL);
	d->wanted = eighth < DESCRIPTORS_RESERVE ? (unsigned)eighth : DESCRIPTORS_RESERVE;
	take_all(d);
	d->wanted = descriptors_held(d);
	return d;
}

void
descriptors_free(struct descriptors *d)
{
	if (d == NULL)
		return;
	for (unsigned i = 0; i < descriptors_held(d); i++)
		close(d->fds[i]);
	(void)pthread_mutex_destroy(&d->lock);
	free(d);
}

void
descriptors_settle(struct descriptors *d)
{
	d->own = usage_descriptors();
}

int64_t
descriptors_needed(const struct descriptors *d, const struct config *config)
{
	int64_t nodes = 0;

	for (size_t i = 0; i < config->nregions; i++)
		nodes += (int64_t)config->regions[i].nodes.n;
	return 2 * (int64_t)config->main.max_client_conn + PER_NODE * nodes +
	       (d != NULL && d->own > 0 ? d->own : 0);
}

void
descriptors_warn(const struct descriptors *d, const struct config *config)
{
	int64_t needed = descriptors_needed(d, config), limit = descriptors_limit();

	if (limit >= needed)
		return;
	log_msg(LOG_LEVEL_WARNING,
		"max_client_conn = %d may need %" PRId64
		" descriptors, a server connection for each session included: the limit is %" PRId64
		" (ulimit -n, LimitNOFILE=)",
		config->main.max_client_conn, needed, limit);
}
