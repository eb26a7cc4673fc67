/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "routing/watch/pgdial.h"
#include "routing/watch/probe_int.h"

PGconn *
login_start(const struct watch *w, char why[128])
{
	const struct pgdial d = {
		.application = "meridian probe",
		.conninfo = w->prober->conninfo,
		.region = w->region_words,
		.host = w->host,
		.port = w->port,
		.addrs = w->addrs,
		.naddrs = w->naddrs,
		.first = w->first_addr,
	};

	return pgdial_start(&d, why);
}

bool
login_is_refusal(const char *sqlstate)
{
	/* classes: invalid authorization, invalid catalog name, access rule violation, and the
	 * connection limits of a role or database */
	static const char *const classes[] = { "28", "3D", "42", "53300" };

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strncmp(sqlstate, classes[i], strlen(classes[i])) == 0)
			return true;
	return false;
}

/* Errors that say nothing of the node. */
static const int our_faults[] = { EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRNOTAVAIL };

bool
probe_is_our_fault(int error)
{
	for (size_t i = 0; i < sizeof(our_faults) / sizeof(our_faults[0]); i++)
		if (error == our_faults[i])
			return true;
	return false;
}

bool
login_is_our_fault(const char *why)
{
	if (strstr(why, "out of memory") != NULL)
		return true;
	for (size_t i = 0; i < sizeof(our_faults) / sizeof(our_faults[0]); i++)
		if (strcasestr(why, strerror(our_faults[i])) != NULL)
			return true;
	return false;
}
