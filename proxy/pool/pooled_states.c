/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/pool/pooled_states.h"

#include "base/hot.h"

static const struct {
	const char *name;
	unsigned to;
} rows[] = {
#define S(name, to) [POOLED_##name] = { #name, to },
	POOLED_STATES(S)
#undef S
};

const char *
pooled_state_name(enum pooled_state s)
{
	return rows[s].name;
}

HOT bool
pooled_state_may(enum pooled_state from, enum pooled_state to)
{
	return (rows[from].to & 1u << to) != 0;
}
