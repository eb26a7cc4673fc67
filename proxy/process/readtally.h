/* SPDX-License-Identifier: PostgreSQL
 *
 * Where transactions of sessions that may read nearby went, and why, by database and region: SHOW
 * READS and /metrics. Each worker has a list of its own, which grows with the sections and regions
 * of the configuration, and loses nothing while the worker lives. Only the worker writes; any
 * thread may read.
 */
#ifndef PROXY_PROCESS_READTALLY_H
#define PROXY_PROCESS_READTALLY_H

#include <stdatomic.h>
#include <stdint.h>

#define READTALLY_REASONS 25 /* enum reads_reason (proxy/reads/reasons.h), which checks it */

struct readtally {
	struct readtally *next;
	char *database;                             /* its section */
	char *region;                               /* where they ran */
	_Atomic uint64_t n[READTALLY_REASONS];      /* by reads_reason … */
	_Atomic uint64_t waited[READTALLY_REASONS]; /* … and those of them that the standby had to
						     * replay something for */
};

typedef struct readtally *_Atomic readtally_list;

/* Found, or added. */
struct readtally *readtally_get(readtally_list *list, const char *database, const char *region);
/* The first of a list; the rest is behind its `next`. */
const struct readtally *readtally_first(const readtally_list *list);
/* Add another thread's list, as it is now, to the caller's. */
void readtally_sum(readtally_list *sum, const readtally_list *other);
void readtally_fini(readtally_list *list);

#endif
