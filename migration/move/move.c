/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/move/move.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "migration/grammar.h"
#include "protocol/sqlstate.h"

void
move_names(const struct job *j, struct move_names *out)
{
	int id = job_id(j);

	snprintf(out->publication, sizeof(out->publication), "mrd_%d", id);
	snprintf(out->forward, sizeof(out->forward), "mrd_%d_fwd", id);
	snprintf(out->backward, sizeof(out->backward), "mrd_%d_rev", id);
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
enum when {
	ALWAYS,
	ONLINE,
	WAY_BACK,
	SNAPSHOT,
	IDENTITY,
	DDL,
	READ_ONLY,
	REST,
	VIEWS_AFTER,
	VERIFY
};

struct planned {
	const struct step_def *def;
	const char *place;
	enum when when;
};

static const struct planned order[] = {
	{ &move_control_source, MOVE_SOURCE, ALWAYS },
	{ &move_identity, MOVE_SOURCE, IDENTITY },
	{ &move_ddl_block, MOVE_SOURCE, DDL },
	{ &move_fence_source_disabled, MOVE_SOURCE, ALWAYS },
	{ &move_read_only, MOVE_SOURCE, READ_ONLY },
	{ &move_roles, MOVE_TARGET, ALWAYS },
	{ &move_make_database, MOVE_TARGET, ALWAYS },
	{ &move_database_settings, MOVE_TARGET, ALWAYS },
	{ &move_control_target, MOVE_TARGET, ALWAYS },
	{ &move_schema, MOVE_TARGET, ALWAYS },
	{ &move_fence_target, MOVE_TARGET, ALWAYS },

	{ &move_publication, MOVE_SOURCE, ONLINE },
	{ &move_slot, MOVE_SOURCE, ONLINE },
	{ &move_subscription, MOVE_TARGET, ONLINE },
	{ &move_copy, MOVE_TARGET, ONLINE },
	{ &move_stop_writes, MOVE_SOURCE, SNAPSHOT },
	{ &move_copy_rows, MOVE_TARGET, SNAPSHOT },
	{ &move_post_data, MOVE_TARGET, ALWAYS },
	{ &move_enable, MOVE_TARGET, ONLINE },
	{ &move_reverse_publication, MOVE_TARGET, WAY_BACK },
};

static bool
is_wanted(const struct job *j, enum when when)
{
	switch (when) {
	case ALWAYS:
		return true;
	case ONLINE:
		return move_is_online(j);
	case WAY_BACK:
		return move_has_way_back(j);
	case SNAPSHOT:
		return job_option_is(j, "data", "snapshot");
	case IDENTITY:
		return move_is_online(j) && job_option_is(j, "identity", "auto");
	case DDL:
		return !job_option_is(j, "ddl", "allow");
	case READ_ONLY:
		return job_option_is(j, "write_mode", "read_only");
	case REST:
		return job_option_is(j, "large_objects", "freeze_copy") ||
		       job_option_is(j, "unlogged", "freeze_copy") ||
		       job_option_is(j, "matviews", "refresh_before");
	case VIEWS_AFTER:
		return job_option_is(j, "matviews", "refresh_after");
	case VERIFY:
		return !job_option_is(j, "verify", "off");
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

static const struct step_def *const defs[] = {
	&move_control_source,
	&move_identity,
	&move_ddl_block,
	&move_fence_source_disabled,
	&move_read_only,
	&move_roles,
	&move_make_database,
	&move_database_settings,
	&move_control_target,
	&move_schema,
	&move_fence_target,
	&move_publication,
	&move_slot,
	&move_subscription,
	&move_copy,
	&move_stop_writes,
	&move_copy_rows,
	&move_post_data,
	&move_enable,
	&move_reverse_publication,
	NULL,
};

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

	source = job_db(j, MOVE_SOURCE, e);
	if (source == NULL)
		return -1;
	if (before != PHASE_PREPARE && before != PHASE_DATA)
		return 0;
	if (move_check_source(j, source, out, e) != 0 || move_check_target(j, source, out, e) != 0)
		return -1;
	return move_check_sessions(j, out);
}

const struct kind kind_move = {
	.id = KIND_MOVE,
	.defs = defs,
	.resolve = move_resolve,
	.check = move_check,
	.plan = move_plan,
};
