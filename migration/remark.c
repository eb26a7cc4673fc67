/* SPDX-License-Identifier: PostgreSQL
 *
 * Nobody works on a migration that rests between two phases, and what it waits with may go bad
 * meanwhile. Every proxy's watcher looks; the one whose change of the row gets in tells it.
 */
#include "config.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "migration/db.h"
#include "migration/job_int.h"
#include "migration/journal.h"
#include "migration/watch_int.h"

#define DOUBTS_MAX 5 /* looks: what goes wrong for a moment is not worth a word */

static void
tell(struct watched *d, const struct migration *m, const char *remark)
{
	const char *text = *remark != '\0' ? remark : "what stood still goes on";
	char *detail = json_text(json_pack("{ss}", "text", text));
	struct err e;

	log_msg(*remark != '\0' ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "migration %d: %s", m->id,
		text);
	if (journal_add(d->c, m, "watcher", JOURNAL_NOTICE, detail, &e) < 0)
		log_msg(LOG_LEVEL_WARNING, "migration %d: that is not in its journal: %s", m->id,
			e.msg);
	free(detail);
}

/* At rest, a row has no other line than this one. */
static void
take(struct watched *d, const struct migration *m, bool is_final, const char *remark)
{
	struct err e;

	if (strcmp(m->detail, remark) == 0) {
		d->doubts = 0;
		return;
	}
	if (!is_final && ++d->doubts < DOUBTS_MAX)
		return;
	d->doubts = 0;
	if (store_set_detail(d->c, m, remark, &e) > 0)
		tell(d, m, remark);
}

static void
look_at(struct watched *d, const char *uuid)
{
	struct buf remark = { .cap = 1024 };
	const struct kind *k;
	bool is_final = false;
	struct migration m;
	struct err e;

	if (store_load(d->c, uuid, &m, &e) <= 0)
		return;
	k = migrations_kind(d->r->w->ms, m.kind);
	if (k != NULL && k->remark != NULL && k->remark(d->c, &m, &is_final, &remark, &e) == 0)
		take(d, &m, is_final, buf_text(&remark));
	buf_fini(&remark);
	migration_fini(&m);
}

void
remarks_look(struct watched *d)
{
	struct err e;
	PGresult *r = db_query(d->c, &e,
			       "SELECT uuid FROM meridian.migration WHERE is_home AND state IN"
			       " ('data-migrated', 'redirecting')",
			       0, NULL);

	for (int i = 0; r != NULL && i < PQntuples(r); i++)
		look_at(d, PQgetvalue(r, i, 0));
	PQclear(r);
}
