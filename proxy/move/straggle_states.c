/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/move/straggle_states.h"

static const struct straggle_state_row rows[] = {
#define S(name, keeps, answers, reconnects, to) \
	[STRAGGLE_##name] = { #name, keeps, answers, reconnects, to },
	STRAGGLE_STATES(S)
#undef S
};

const struct straggle_state_row *
straggle_state_row(enum straggle_state s)
{
	return &rows[s];
}

bool
straggle_state_may(enum straggle_state from, enum straggle_state to)
{
	return (rows[from].to & 1u << to) != 0;
}
