/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/db.h"
#include "migration/job_int.h"
#include "migration/journal.h"

#define BATCH 500

struct copying {
	PGconn *to;
	const struct migration *m;
	struct err *e;
	int rc;
};

static void
copy_event(void *arg, const struct journal_row *row)
{
	struct copying *c = arg;
	char seq[24], id[16];
	const char *params[] = {
		c->m->uuid, seq, id, row->at, row->actor, row->event, row->detail
	};
	PGresult *r;

	snprintf(seq, sizeof(seq), "%lld", (long long)row->seq);
	snprintf(id, sizeof(id), "%d", c->m->id);
	r = db_query(
	    c->to, c->e,
	    "INSERT INTO meridian.journal (uuid, seq, mig, at, actor, event, detail) VALUES "
	    "(CAST($1 AS text), CAST($2 AS int8), CAST($3 AS int), CAST($4 AS timestamptz), "
	    "CAST($5 AS text), CAST($6 AS text), CAST($7 AS jsonb)) ON CONFLICT DO NOTHING",
	    7, params);
	if (r == NULL)
		c->rc = -1;
	PQclear(r);
}

/* Where replication brings the journal it must not be written a second time. */
static int
copy_journal(struct job *j, PGconn *from, PGconn *to, struct err *e)
{
	struct copying c = { .to = to, .m = &j->m, .e = e };
	int64_t last = 0, before;
	bool is_published;

	if (db_is(
		from, &is_published, e,
		"SELECT EXISTS (SELECT 1 FROM pg_publication_tables WHERE schemaname = 'meridian' "
		"AND tablename = 'journal')",
		0, NULL) < 0)
		return -1;
	if (is_published)
		return 0;
	do {
		before = last;
		if (journal_read(from, j->m.uuid, last, BATCH, copy_event, &c, &last, e) < 0)
			return -1;
	} while (c.rc == 0 && last > before);
	return c.rc;
}

static int
copy_steps(struct job *j, PGconn *to, struct err *e)
{
	for (size_t i = 0; i < j->plan.n; i++) {
		const struct migration_step *s = &j->plan.v[i];
		struct step_row r = step_row_of(s);

		if (store_put_step(to, &j->m, &r, CLOCK_KEEP, e) < 0)
			return -1;
	}
	return 0;
}

static int
set_home(PGconn *c, const struct migration *m, bool is_home, struct err *e)
{
	const char *params[] = { m->uuid, is_home ? "true" : "false" };
	PGresult *r =
	    db_query(c, e,
		     "UPDATE meridian.migration SET is_home = CAST($2 AS bool), rev = rev + "
		     "1 WHERE uuid = $1",
		     2, params);

	PQclear(r);
	return r != NULL ? 0 : -1;
}

/* What the commands of others have written is in the row of the old home. */
static void
refresh(struct job *j, PGconn *from)
{
	struct migration m;
	struct err e;

	if (store_load(from, j->m.uuid, &m, &e) <= 0)
		return;
	free(j->m.options);
	free(j->m.acks);
	free(j->m.checks);
	free(j->m.name);
	j->m.options = xstrdup(m.options);
	j->m.acks = xstrdup(m.acks);
	j->m.checks = xstrdup(m.checks);
	j->m.name = xstrdup(m.name);
	j->m.rev = m.rev;
	migration_fini(&m);
}

int
job_set_home(struct job *j, const char *place, struct err *e)
{
	struct place *p = job_place(j, place);
	struct err why = { .msg = "" };
	PGconn *to, *from;

	if (p == NULL || j->x == NULL)
		return err_set(e, "XX000", "%s is no place", place);
	if (p == &j->places[j->home])
		return 0;
	from = job_home(j, &why); /* may be gone for good */
	to = job_db(j, place, e);
	if (to == NULL)
		return -1;
	if (from != NULL)
		refresh(j, from);
	j->m.rev += 1000; /* what others still write to the old one does not overtake it */
	if (store_mirror(to, &j->m, e) < 0 || copy_steps(j, to, e) < 0 ||
	    (from != NULL && copy_journal(j, from, to, e) < 0) || set_home(to, &j->m, true, e) < 0)
		return -1;
	pthread_mutex_lock(&j->x->beat.lock);
	j->home = (size_t)(p - j->places);
	j->x->beat.home_moved = true;
	pthread_mutex_unlock(&j->x->beat.lock);
	j->m.is_home = true;
	migrations_note(j->ms, &p->node, p->dbname);
	return from != NULL ? set_home(from, &j->m, false, &why) : 0;
}
