/* SPDX-License-Identifier: PostgreSQL
 *
 * Which sessions have a sampler, and on which table.
 */
#include "config.h"

#include "base/clock.h"
#include "base/hot.h"
#include "proxy/fingerprints.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/sampler.h"
#include "proxy/worker_int.h"

WARM void
session_sample(struct session *s)
{
	const struct conf_database *db = s->login->database;
	struct worker *w = s->worker;

	sampler_free(s->sampler);
	s->sampler = NULL;
	if (db->statement_sample == 0 || s->exchange.replication != REPLICATION_NONE)
		return;
	if (w->fingerprints == NULL)
		w->fingerprints = fingerprints_new(clock_us());
	s->sampler =
	    sampler_new(w->fingerprints,
			db->dbname != NULL ? slice_str(db->dbname) : session_name(s, NAME_DATABASE),
			(unsigned)db->statement_sample);
}
