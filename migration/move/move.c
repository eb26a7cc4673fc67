/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/move/move.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "migration/grammar.h"
#include "migration/move/stream.h"
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
enum when { ALWAYS, ONLINE, SNAPSHOT, IDENTITY, DDL, READ_ONLY, VERIFIERS };

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
	{ &move_role_verifiers, MOVE_TARGET, VERIFIERS },
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
	{ &move_reverse_publication, MOVE_TARGET, ONLINE },

	{ &move_guards, MOVE_SOURCE, ALWAYS },
	{ &move_prewarm, MOVE_SOURCE, ALWAYS },
	{ &move_arm, MOVE_TARGET, ALWAYS },
	{ &move_freeze, MOVE_SOURCE, ALWAYS },
	{ &move_fence, MOVE_SOURCE, ALWAYS },
	{ &move_copy_rest, MOVE_TARGET, ALWAYS },
	{ &move_decide, MOVE_TARGET, ALWAYS },
	{ &move_switch, MOVE_TARGET, ALWAYS },
	{ &move_hand_over, MOVE_TARGET, ALWAYS },
	{ &move_stop_forward, MOVE_TARGET, ONLINE },
	{ &move_reverse_subscription, MOVE_SOURCE, ONLINE },
	{ &move_reopen_source, MOVE_SOURCE, ALWAYS },
	{ &move_refresh_views, MOVE_TARGET, ALWAYS },
	{ &move_verify, MOVE_TARGET, ALWAYS },

	{ &move_reverse_guards, MOVE_TARGET, ONLINE },
	{ &move_reverse_prewarm, MOVE_TARGET, ONLINE },
	{ &move_reverse_arm, MOVE_SOURCE, ONLINE },
	{ &move_reverse_freeze, MOVE_TARGET, ONLINE },
	{ &move_reverse_fence, MOVE_TARGET, ONLINE },
	{ &move_reverse_decide, MOVE_SOURCE, ONLINE },
	{ &move_reverse_switch, MOVE_SOURCE, ONLINE },
	{ &move_reverse_hand_over, MOVE_SOURCE, ONLINE },
	{ &move_stop_backward, MOVE_SOURCE, ONLINE },
	{ &move_reopen_target, MOVE_TARGET, ONLINE },

	{ &move_drop_replication, MOVE_TARGET, ALWAYS },
	{ &move_drop_leftovers, MOVE_TARGET, ALWAYS },
};

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

static const struct step_def *const defs[] = {
	&move_control_source,
	&move_identity,
	&move_ddl_block,
	&move_fence_source_disabled,
	&move_read_only,
	&move_roles,
	&move_role_verifiers,
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
	&move_guards,
	&move_prewarm,
	&move_arm,
	&move_freeze,
	&move_fence,
	&move_copy_rest,
	&move_decide,
	&move_switch,
	&move_hand_over,
	&move_stop_forward,
	&move_reverse_subscription,
	&move_reopen_source,
	&move_refresh_views,
	&move_verify,
	&move_reverse_guards,
	&move_reverse_prewarm,
	&move_reverse_arm,
	&move_reverse_freeze,
	&move_reverse_fence,
	&move_reverse_decide,
	&move_reverse_switch,
	&move_reverse_hand_over,
	&move_stop_backward,
	&move_reopen_target,
	&move_drop_replication,
	&move_drop_leftovers,
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

	if (before == PHASE_FINALIZE || before == PHASE_REVERSE)
		return move_check_guards(j, before == PHASE_REVERSE, out, e);
	if (before == PHASE_COMPLETE)
		return 0;
	source = job_db(j, MOVE_SOURCE, e);
	if (source == NULL || move_check_window(j, out, e) != 0 ||
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
	.may_begin = move_may_begin,
	.verify = move_verify_tables,
	.stalled = stream_remark,
};
