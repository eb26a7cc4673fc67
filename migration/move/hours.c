/* SPDX-License-Identifier: PostgreSQL
 *
 * The option window: the hours in which FINALIZE may freeze, by the source's clock.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "migration/db.h"
#include "migration/move/move.h"
#include "migration/window.h"
#include "protocol/sqlstate.h"

/* What the clocks of that zone show. Where a zone is a number it is not left to the server: it
 * counts the other way round. */
static int
local_time(PGconn *c, const struct window *w, int64_t *out, struct err *e)
{
	char minutes[16];
	const char *const params[] = { w->zone, minutes };

	snprintf(minutes, sizeof(minutes), "%d", w->offset);
	return db_int(c, out, e,
		      "SELECT floor(extract(epoch FROM CASE WHEN $1 <> '' THEN clock_timestamp() AT"
		      " TIME ZONE $1 ELSE clock_timestamp() AT TIME ZONE make_interval(mins =>"
		      " $2::int) END))::bigint",
		      2, params);
}

int
move_is_open(struct job *j, struct buf *opens, struct err *e)
{
	const char *text = job_option(j, "window");
	int64_t local = 0, then;
	struct window w;
	PGconn *c;

	/* What an older version has let in as a text is no window. */
	if (*text == '\0' || !window_parse(text, &w))
		return 1;
	c = job_db(j, MOVE_SOURCE, e);
	if (c == NULL || local_time(c, &w, &local, e) != 0)
		return -1;
	then = window_opens(&w, local);
	if (then == local)
		return 1;
	buf_str(opens, "it opens ");
	window_put_time(&w, then, opens);
	buf_str(opens, "; it is ");
	window_put_time(&w, local, opens);
	return 0;
}

int
move_check_window(struct job *j, struct checks *out, struct err *e)
{
	struct buf opens = { .cap = 256 };
	int rc = move_is_open(j, &opens, e);

	buf_fini(&opens);
	if (rc >= 0)
		return 0;
	if (strcmp(e->sqlstate, SQLSTATE_INVALID_PARAMETER_VALUE) != 0)
		return -1;
	checks_add(out, CHECK_ERROR, "window", job_option(j, "window"), e->msg,
		   "a name of pg_timezone_names, or +hh:mm");
	return 0;
}

int
move_may_begin(struct job *j, enum migration_phase phase, struct err *e)
{
	struct buf opens = { .cap = 256 };
	int rc;

	if (phase != PHASE_FINALIZE || job_is_forced(j, "window"))
		return 0;
	rc = move_is_open(j, &opens, e);
	if (rc == 0) {
		err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE,
			"FINALIZE is to freeze in its window only: %s", job_option(j, "window"));
		err_detail(e, "%s.", buf_text(&opens));
		err_hint(e, "Wait for it, or: RUN MIGRATION %d FINALIZE FORCE (window);",
			 job_id(j));
	}
	buf_fini(&opens);
	return rc == 1 ? 0 : -1;
}
