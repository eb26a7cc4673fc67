/* SPDX-License-Identifier: PostgreSQL
 *
 * Opening the listening sockets of the configuration, before any thread runs: TCP sockets once per
 * worker (SO_REUSEPORT, so that the kernel spreads connections), unix sockets and sockets inherited
 * from systemd once for all workers.
 */
#ifndef PROXY_PROCESS_LISTENER_H
#define PROXY_PROCESS_LISTENER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct config;
struct worker;

struct listeners {
	struct strlist unlink; /* unix sockets to remove when the process ends */
	struct strlist shown;  /* "127.0.0.1:6433", for the log */
};

/* Opens everything and hands it to the workers; 0, or -1 and *e. */
int listeners_open(struct listeners *l, const struct config *config, struct worker **workers,
		   int nworkers, struct err *e);
/* Remove the files of the unix sockets. Must be called before the sockets are closed: afterwards a
 * successor may have made files of the same names. */
void listeners_unlink(struct listeners *l);
void listeners_fini(struct listeners *l);

#endif
