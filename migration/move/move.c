/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/move/move.h"

#include <stdio.h>
#include <string.h>

#include "migration/db.h"
#include "migration/grammar.h"
#include "migration/move/stream.h"
#include "migration/window.h"
#include "protocol/sqlstate.h"

struct move_names
move_names(const struct job *j)
{
	struct move_names names;

	snprintf(names.publication, sizeof(names.publication), "mrd_%d", job_id(j));
	snprintf(names.forward, sizeof(names.forward), "mrd_%d_fwd", job_id(j));
	snprintf(names.backward, sizeof(names.backward), "mrd_%d_rev", job_id(j));
	return names;
}

bool
move_is_online(const struct job *j)
{
	return job_option_is(j, "data", "online");
}

bool
move_has_way_back(const struct job *j)
{
	return move_is_online(j) && job_option_is(j, "reverse", "on");
}

bool
move_has_rest(const struct job *j)
{
	return job_option_is(j, "large_objects", "freeze_copy") ||
	       job_option_is(j, "unlogged", "freeze_copy") ||
	       job_option_is(j, "matviews", "refresh_before");
}

/* ---- the plan ---- */

/* Which options a step is there for. */
enum when { ALWAYS, ONLINE, SNAPSHOT, IDENTITY, DDL, READ_ONLY, VERIFIERS };

struct planned {
	const struct step_def *def;
	const char *place;
	enum when when;
};

#define MOVE_PLANNED(step, place, when) { &step, place, when },
static const struct planned order[] = { MOVE_STEPS(MOVE_PLANNED) };

static bool
is_wanted(const struct job *j, enum when when)
{
	switch (when) {
	case ALWAYS:
		return true;
	case ONLINE:
		return move_is_online(j);
	case SNAPSHOT:
		return job_option_is(j, "data", "snapshot");
	case IDENTITY:
		return move_is_online(j) && job_option_is(j, "identity", "auto");
	case DDL:
		return !job_option_is(j, "ddl", "allow");
	case READ_ONLY:
		return job_option_is(j, "write_mode", "read_only");
	case VERIFIERS:
		return job_option_is(j, "roles", "copy");
	}
	return false;
}

static int
move_plan(struct job *j, struct plan *out, struct err *e)
{
	(void)e;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		const struct planned *p = &order[i];

		if (is_wanted(j, p->when) &&
		    plan_add(out, p->def, p->place, job_database(j), NULL) < 0)
			return -1;
	}
	return 0;
}

#define MOVE_DEF(step, place, when) &step,
static const struct step_def *const defs[] = { MOVE_STEPS(MOVE_DEF) NULL };

/* ---- the option window: the hours in which FINALIZE may freeze, by the source's clock ---- */

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
move_window_is_open(struct job *j, struct buf *opens, struct err *e)
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

static int
check_window(struct job *j, struct checks *out, struct err *e)
{
	struct buf opens = { .cap = 256 };
	int rc = move_window_is_open(j, &opens, e);

	buf_fini(&opens);
	if (rc >= 0)
		return 0;
	if (strcmp(e->sqlstate, SQLSTATE_INVALID_PARAMETER_VALUE) != 0)
		return -1;
	checks_add(out, CHECK_ERROR, "window", job_option(j, "window"), e->msg,
		   "a name of pg_timezone_names, or +hh:mm");
	return 0;
}

static int
may_begin(struct job *j, enum migration_phase phase, struct err *e)
{
	struct buf opens = { .cap = 256 };
	int rc;

	if (phase != PHASE_FINALIZE || job_is_forced(j, "window"))
		return 0;
	rc = move_window_is_open(j, &opens, e);
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

/* ---- places and checks ---- */

/* The node that takes writes there. */
static int
add_place(struct job *j, const char *place, const char *where, const char *dbname, struct err *e)
{
	struct site_node nodes[SITE_NODES_MAX];
	const struct site *site = job_site(j);
	int n = site->ops->nodes(site->arg, where, nodes, e);

	if (n < 0)
		return -1;
	if (n == 0)
		return err_set(e, SQLSTATE_UNDEFINED_OBJECT, "region \"%s\" has no node", where);
	return job_add_place(j, place, &nodes[0], dbname, e);
}

static int
move_resolve(struct job *j, struct err *e)
{
	const struct spec *spec = job_spec(j);

	if (add_place(j, MOVE_SOURCE, spec->from, spec->database, e) != 0)
		return -1;
	return add_place(j, MOVE_TARGET, spec->to,
			 spec->newdb != NULL ? spec->newdb : spec->database, e);
}

static int
move_check(struct job *j, enum migration_phase before, struct checks *out, struct err *e)
{
	PGconn *source;

	if (before == PHASE_FINALIZE || before == PHASE_REVERSE)
		return move_check_guards(j, before == PHASE_REVERSE, out, e);
	if (before == PHASE_COMPLETE)
		return 0;
	source = job_db(j, MOVE_SOURCE, e);
	if (source == NULL || check_window(j, out, e) != 0 ||
	    move_check_source(j, source, out, e) != 0 || move_check_target(j, source, out, e) != 0)
		return -1;
	return move_check_sessions(j, out);
}

const struct kind kind_move = {
	.id = KIND_MOVE,
	.defs = defs,
	.resolve = move_resolve,
	.check = move_check,
	.plan = move_plan,
	.show = move_show,
	.may_begin = may_begin,
	.verify = move_verify_tables,
	.stalled = stream_stalled,
};
