/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/pool/pooled_states.h"

#include "base/hot.h"

static const unsigned successors[] = {
#define S(name, to) [POOLED_##name] = to,
	POOLED_STATES(S)
#undef S
};

HOT bool
pooled_state_may(enum pooled_state from, enum pooled_state to)
{
	return (successors[from] & 1u << to) != 0;
}
