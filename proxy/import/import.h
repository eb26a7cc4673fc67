/* SPDX-License-Identifier: PostgreSQL
 *
 * meridian --import-pgbouncer FILE: a configuration of PgBouncer (pgbouncer.ini(5) up to 1.25) made
 * into one of ours, and a list of everything in it that could not be carried over, each with its
 * place and the reason. Nothing is passed over in silence: each entry of the file is either
 * written, with a comment that says where it comes from, or listed. Where a default of PgBouncer's
 * is not ours, its default is written.
 *
 * What each option becomes stands in one table (rules.c). Values are checked by our own option
 * table, so that what is written can be read: import_pgbouncer() reads it back before it hands it
 * out. Places of servers (host, port) become regions, one for each list of hosts; a host name that
 * has a known cloud region in it gives its region that name, and so its coordinates.
 */
#ifndef PROXY_IMPORT_IMPORT_H
#define PROXY_IMPORT_IMPORT_H

#include "base/buf.h"
#include "base/err.h"
#include "proxy/import/ini.h"

struct import_result {
	struct buf conf;  /* meridian.conf */
	struct buf notes; /* what was not imported: "pgbouncer.ini:12: why\n" */
	size_t nnotes;
};

/* -1 and *e: the file cannot be read, or PgBouncer would not accept it. *out must be freed in any
 * case. */
int import_pgbouncer(const char *path, const struct ini_source *from, struct import_result *out,
		     struct err *e) MUST_CHECK;
void import_result_fini(struct import_result *r);

/* The whole command: files from the disk, the result on stdout, the list on stderr. Returns the
 * exit status: 0 it was written, with or without a list; 1 it was not. */
int import_run(const char *path);

#endif
