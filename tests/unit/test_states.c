/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/states.h"

#include <stdio.h>

#include "tests/unit/unit.h"

static const struct session_state_row *
row(int state)
{
	return session_state_row((enum session_state)state);
}

static bool
may(int from, int to)
{
	return session_state_may((enum session_state)from, (enum session_state)to);
}

static void
every_state_can_be_closed_but_closed(void **arg)
{
	(void)arg;
	for (int s = 0; s < SESSION_STATE_COUNT; s++)
		assert_int_equal(may(s, SESSION_CLOSED), s != SESSION_CLOSED);
}

static void
a_farewell_is_said_once_and_never_by_the_dead(void **arg)
{
	(void)arg;
	for (int s = 0; s < SESSION_STATE_COUNT; s++)
		assert_int_equal(may(s, SESSION_FAREWELL),
				 s != SESSION_FAREWELL && s != SESSION_CLOSED);
	for (int to = 0; to < SESSION_STATE_COUNT; to++) {
		assert_false(may(SESSION_CLOSED, to));
		assert_int_equal(may(SESSION_FAREWELL, to), to == SESSION_CLOSED);
	}
}

static void
every_state_is_reached_from_new(void **arg)
{
	uint32_t reached = TO(NEW), before;

	(void)arg;
	do {
		before = reached;
		for (int s = 0; s < SESSION_STATE_COUNT; s++)
			if (reached & (1u << s))
				reached |= row(s)->to;
	} while (reached != before);
	reached |= TO(FAREWELL) | TO(CLOSED);
	assert_int_equal(reached, (1u << SESSION_STATE_COUNT) - 1);
}

/* … but for what begins anew behind an HTTP upgrade. */
static void
no_state_is_entered_twice(void **arg)
{
	(void)arg;
	for (int s = 0; s < SESSION_STATE_COUNT; s++) {
		uint32_t reached = row(s)->to, before;

		do {
			before = reached;
			for (int k = 0; k < SESSION_STATE_COUNT; k++)
				if (k != SESSION_HTTP && reached & (1u << k))
					reached |= row(k)->to;
		} while (reached != before);
		assert_false(s != SESSION_HTTP && reached & (1u << s));
	}
}

static void
names_and_labels_are_unique(void **arg)
{
	(void)arg;
	for (int a = 0; a < SESSION_STATE_COUNT; a++) {
		assert_int_not_equal(row(a)->label[0], '\0');
		for (int b = 0; b < a; b++) {
			assert_string_not_equal(row(a)->name, row(b)->name);
			assert_string_not_equal(row(a)->label, row(b)->label);
		}
	}
}

/* Without one, silence keeps a connection for ever. */
static void
whoever_is_not_logged_in_has_a_deadline(void **arg)
{
	(void)arg;
	for (int s = 0; s < SESSION_STATE_COUNT; s++) {
		const char *want = s == SESSION_RELAY      ? "idle"
				   : s == SESSION_SQL      ? "idle"
				   : s == SESSION_HTTP     ? "http"
				   : s == SESSION_FAREWELL ? "farewell"
				   : s == SESSION_NEW || s == SESSION_CONSOLE ||
					   s == SESSION_CLOSED || s == SESSION_PAUSED
				       ? ""
				       : "login";

		assert_string_equal(row(s)->deadline, want);
	}
}

static void
the_relay_is_reached_through_the_login_or_a_pool(void **arg)
{
	(void)arg;
	for (int s = 0; s < SESSION_STATE_COUNT; s++) {
		assert_int_equal(may(s, SESSION_RELAY),
				 s == SESSION_LOGIN || s == SESSION_ATTACHING);
		assert_int_equal(may(s, SESSION_SQL), s == SESSION_LOGIN);
		assert_int_equal(may(s, SESSION_LOGIN), s == SESSION_ATTACHING);
	}
}

/* Inside TLS that is not up yet, and before a PROXY header, an ErrorResponse would be noise. */
static void
nothing_is_said_where_nobody_would_understand_it(void **arg)
{
	static const enum session_state silent[] = { SESSION_NEW, SESSION_PROXY_HEADER,
						     SESSION_TLS_HELLO, SESSION_TLS_HANDSHAKE,
						     SESSION_CANCELLING };

	(void)arg;
	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++)
		assert_false(session_state_row(silent[i])->speaks);
	assert_true(row(SESSION_PREFACE)->speaks);
	assert_true(row(SESSION_LOOKUP)->speaks);
	assert_true(row(SESSION_AUTH)->speaks);
	assert_true(row(SESSION_ATTACHING)->speaks);
	assert_true(row(SESSION_RELAY)->speaks);
}

static void
the_graph_shows_every_edge(void **arg)
{
	struct buf b = { 0 };
	char edge[80];

	(void)arg;
	session_states_dot(&b);
	assert_non_null(strstr(buf_text(&b), "digraph session {"));
	for (int from = 0; from < SESSION_STATE_COUNT; from++) {
		for (int to = 0; to < SESSION_STATE_COUNT; to++) {
			snprintf(edge, sizeof(edge), "\t%s -> %s;\n", row(from)->name,
				 row(to)->name);
			assert_int_equal(strstr(buf_text(&b), edge) != NULL,
					 (row(from)->to & (1u << to)) != 0);
		}
	}
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_can_be_closed_but_closed),
		cmocka_unit_test(a_farewell_is_said_once_and_never_by_the_dead),
		cmocka_unit_test(every_state_is_reached_from_new),
		cmocka_unit_test(no_state_is_entered_twice),
		cmocka_unit_test(names_and_labels_are_unique),
		cmocka_unit_test(whoever_is_not_logged_in_has_a_deadline),
		cmocka_unit_test(the_relay_is_reached_through_the_login_or_a_pool),
		cmocka_unit_test(nothing_is_said_where_nobody_would_understand_it),
		cmocka_unit_test(the_graph_shows_every_edge),
	};

	return cmocka_run_group_tests_name("states", tests, NULL, NULL);
}
