/* SPDX-License-Identifier: PostgreSQL
 *
 * The life of sessions: see stage.h.
 */
#include "config.h"

#include "tests/fuzz/stage.h"

static stage_step *const steps[] = {
	stage_connect, stage_client_bytes, stage_node_bytes, stage_startup, stage_ready,
	stage_fatal, stage_bulk, stage_read, stage_turn, stage_client_leaves, stage_kill,
	stage_deadline, stage_half_close, stage_turn, stage_node_leaves, stage_new_world,
	/* as many again, so that what a step of above 15 means stays what it was */
	stage_startup_of, stage_prove, stage_node_bytes, stage_startup, stage_ready, stage_fatal,
	stage_bulk, stage_read, stage_turn, stage_client_leaves, stage_kill, stage_deadline,
	stage_half_close, stage_flood, stage_node_leaves, stage_new_world
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stage stage = { .steps = steps,
					    .nsteps = sizeof(steps) / sizeof(steps[0]) };

	stage_play(data, size, &stage);
	return 0;
}
