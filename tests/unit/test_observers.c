/* SPDX-License-Identifier: PostgreSQL
 *
 * The observers of sessions (proxy/session/observers.h): the relay asks by set, the tables answer.
 */
#include "config.h"

#include "proxy/session/observers.h"

#include "tests/unit/unit.h"

static void
each_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (unsigned i = 0; i < OBSERVERS; i++) {
		assert_non_null(session_observers[i]);
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(session_observers[i]->name,
						session_observers[k]->name);
	}
}

#define CHECK(set, hook)                                        \
	do {                                                    \
		unsigned have = 0;                              \
		for (unsigned i = 0; i < OBSERVERS; i++) {      \
			if (session_observers[i]->hook != NULL) \
				have |= 1u << i;                \
		}                                               \
		assert_int_equal(have, set);                    \
	} while (0)

static void
those_that_are_asked_have_the_function_and_no_others(void **state)
{
	(void)state;
	CHECK(HOOK_HOLDS_CLIENT, holds_client);
	CHECK(HOOK_ON_CLIENT_READ, on_client_read);
	CHECK(HOOK_ON_CLIENT, on_client);
	CHECK(HOOK_ON_TERMINATE, on_terminate);
	CHECK(HOOK_ON_CLIENT_SENT, on_client_sent);
	CHECK(HOOK_TAKES_SERVER, takes_server);
	CHECK(HOOK_ON_SERVER_LOST, on_server_lost);
	CHECK(HOOK_CLIENT_PART, client_part);
	CHECK(HOOK_ON_SERVER_READ, on_server_read);
	CHECK(HOOK_PASSES, passes);
	CHECK(HOOK_ON_SERVER_SENT, on_server_sent);
	CHECK(HOOK_ON_SERVER_DRAINED, on_server_drained);
	CHECK(HOOK_ON_CLIENT_DRAINED, on_client_drained);
	CHECK(HOOK_HOLDS_SERVER, holds_server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_a_name_of_its_own),
		cmocka_unit_test(those_that_are_asked_have_the_function_and_no_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
