/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/rehome_states.h"

static const struct rehome_state_row rows[] = {
#define S(name, stage, asks, to) [MOVE_##name] = { #name, REHOME_##stage, asks, to },
	REHOME_STATES(S)
#undef S
};

const struct rehome_state_row *
rehome_state_row(enum rehome_state s)
{
	return &rows[s];
}

bool
rehome_state_may(enum rehome_state from, enum rehome_state to)
{
	return (rows[from].to & 1u << to) != 0;
}
