/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/states.h"

#include "base/hot.h"

static const struct session_state_row rows[] = {
#define S(id, label_, deadline_, speaks_, to_)                                                    \
	[SESSION_##id] = {                                                                        \
		.name = #id, .label = label_, .deadline = deadline_, .speaks = speaks_, .to = to_ \
	},
	SESSION_STATES(S)
#undef S
};

HOT const struct session_state_row *
session_state_row(enum session_state s)
{
	return &rows[s];
}

HOT bool
session_state_may(enum session_state from, enum session_state to)
{
	if (from == SESSION_CLOSED)
		return false;
	if (to == SESSION_FAREWELL)
		return from != SESSION_FAREWELL;
	return to == SESSION_CLOSED || (rows[from].to & (1u << to)) != 0;
}

void
session_states_dot(struct buf *out)
{
	buf_str(out, "digraph session {\n\trankdir=LR;\n");
	for (int from = 0; from < SESSION_STATE_COUNT; from++) {
		buf_printf(out, "\t%s [label=\"%s%s%s\"];\n", rows[from].name, rows[from].label,
			   rows[from].deadline[0] != '\0' ? "\\n≤ " : "", rows[from].deadline);
		for (int to = 0; to < SESSION_STATE_COUNT; to++) {
			if (rows[from].to & (1u << to))
				buf_printf(out, "\t%s -> %s;\n", rows[from].name, rows[to].name);
		}
	}
	buf_str(out, "\t// from everywhere: FAREWELL, CLOSED\n}\n");
}
