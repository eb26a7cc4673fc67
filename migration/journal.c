/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/journal.h"

#include <stdio.h>

#include "base/text.h"
#include "migration/db.h"
#include "migration/store.h"

#define ATTEMPTS_MAX 50

int
journal_add(PGconn *c, const struct migration *m, const char *actor, const char *event,
	    const char *detail_json, struct err *e)
{
	char id[16];
	const char *params[] = { m->uuid, id, actor, event, detail_json };

	snprintf(id, sizeof(id), "%d", m->id);
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		int n = db_change(
		    c, e,
		    "INSERT INTO meridian.journal (uuid, seq, mig, at, actor, event, detail) "
		    "SELECT CAST($1 AS text), coalesce(max(seq), 0) + 1, CAST($2 AS int), "
		    "clock_timestamp(), CAST($3 AS text), CAST($4 AS text), CAST($5 AS jsonb) FROM "
		    "meridian.journal WHERE uuid = $1 ON CONFLICT DO NOTHING",
		    5, params);

		if (n != 0)
			return n < 0 ? -1 : 0;
	}
	return err_set(e, "40001", "the journal of migration %d is too busy", m->id);
}

int
journal_read(PGconn *c, const char *uuid, int64_t after, int limit,
	     void (*each)(void *to, const struct journal_row *row), void *to, int64_t *last,
	     struct err *e)
{
	char from[24], most[16];
	const char *params[] = { uuid, from, most };
	PGresult *r;

	snprintf(from, sizeof(from), "%lld", (long long)after);
	snprintf(most, sizeof(most), "%d", limit);
	r = db_query(c, e,
		     "SELECT seq, at, actor, event, detail FROM meridian.journal WHERE uuid = $1 "
		     "AND seq > CAST($2 AS int8) ORDER BY seq LIMIT CAST($3 AS int8)",
		     3, params);
	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		struct journal_row row = { .at = PQgetvalue(r, i, 1),
					   .actor = PQgetvalue(r, i, 2),
					   .event = PQgetvalue(r, i, 3) };

		if (!PQgetisnull(r, i, 4))
			row.detail = PQgetvalue(r, i, 4);
		text_to_int(slice_str(PQgetvalue(r, i, 0)), 0, INT64_MAX, &row.seq);
		each(to, &row);
		*last = row.seq;
	}
	PQclear(r);
	return 0;
}

int
journal_last(PGconn *c, const char *uuid, int64_t *out, struct err *e)
{
	const char *params[] = { uuid };

	return db_int(c, out, e,
		      "SELECT coalesce(max(seq), 0) FROM meridian.journal WHERE uuid = $1", 1,
		      params);
}
