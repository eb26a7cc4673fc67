/* SPDX-License-Identifier: PostgreSQL
 *
 * What flow does not know from the bytes alone: whether a Query behind an Execute without Sync was
 * discarded or refused by itself (exception 1 of flow.c), what settles it, and what flow is told by
 * who knows better. Everything else about flow: test_flow.c.
 */
#include "config.h"

#include "protocol/flow.h"

#include "tests/unit/unit.h"

/* Exception 1 of flow.c, for who knows whose error it was. */
static void
a_query_that_was_discarded_can_be_forgiven(void **state)
{
	struct flow f;

	(void)state;
	flow_init(&f, REPLICATION_NONE);
	flow_client(&f, "E\0\0\0\x9\0\0\0\0\0Q\0\0\0\5\0S\0\0\0\4", 21);
	assert_int_equal(flow_pending(&f), 2);
	flow_server(&f, "E\0\0\0\5\0Z\0\0\0\5I", 12, NULL);
	assert_int_equal(flow_pending(&f), 1);
	flow_forgive(&f, 1, false);
	assert_true(flow_safe_point(&f));

	flow_client(&f, "E\0\0\0\x9\0\0\0\0\0Q\0\0\0\5\0", 16);
	flow_server(&f, "E\0\0\0\5\0", 6, NULL);
	flow_forgive(&f, 1, true);
	assert_false(flow_is_idle(&f));
	flow_client(&f, "Q\0\0\0\5\0", 6);
	assert_int_equal(flow_pending(&f), 0);
	flow_client(&f, "S\0\0\0\4", 5);
	assert_int_equal(flow_pending(&f), 1);
	flow_server(&f, "Z\0\0\0\5I", 6, NULL);
	assert_true(flow_safe_point(&f));

	flow_forgive(&f, 3, false);
	assert_int_equal(flow_pending(&f), 0);
}

static void
a_query_that_was_not_can_be_assured(void **state)
{
	static const char execute[] = "E\0\0\0\x9\0\0\0\0\0", query[] = "Q\0\0\0\5\0",
			  sync[] = "S\0\0\0\4", error[] = "E\0\0\0\5\0", ready[] = "Z\0\0\0\5I";
	struct flow f;

	(void)state;
	flow_init(&f, REPLICATION_NONE);
	flow_assure(&f);
	flow_client(&f, execute, sizeof(execute) - 1);
	flow_client(&f, query, sizeof(query) - 1);
	flow_server(&f, error, sizeof(error) - 1, NULL);
	assert_true(flow_is_in_doubt(&f));
	flow_assure(&f);
	assert_false(flow_is_in_doubt(&f));
	flow_client(&f, sync, sizeof(sync) - 1);
	assert_int_equal(flow_pending(&f), 2);
	flow_server(&f, ready, sizeof(ready) - 1, NULL);
	assert_false(flow_is_in_doubt(&f));
	flow_server(&f, ready, sizeof(ready) - 1, NULL);
	assert_true(flow_safe_point(&f));

	/* and what stands behind it, where it has been settled meanwhile */
	flow_client(&f, execute, sizeof(execute) - 1);
	flow_client(&f, query, sizeof(query) - 1);
	flow_client(&f, sync, sizeof(sync) - 1);
	flow_server(&f, error, sizeof(error) - 1, NULL);
	flow_server(&f, ready, sizeof(ready) - 1, NULL);
	assert_true(flow_is_in_doubt(&f));
	flow_assure(&f);
	flow_client(&f, query, sizeof(query) - 1);
	assert_int_equal(flow_pending(&f), 2);
}

/* Exception 1: Execute without Sync, a Query behind it, an error; and then what the server does. */
static void
what_may_have_been_discarded_is_not_owed_for_ever(void **state)
{
	static const char execute[] = "E\0\0\0\x9\0\0\0\0\0", query[] = "Q\0\0\0\5\0",
			  sync[] = "S\0\0\0\4", error[] = "E\0\0\0\5\0", ready[] = "Z\0\0\0\5I",
			  row[] = "C\0\0\0\5\0", copy[] = "G\0\0\0\7\0\0\0", fail[] = "f\0\0\0\5\0";
	/* > to the server, < from it; then: ReadyForQuery messages owed, in doubt, safe */
	static const struct {
		const char *what, *says;
		unsigned pending;
		bool doubt, safe;
	} table[] = {
		{ "nothing yet", ">E>Q", 1, false, false },
		{ "the error", ">E>Q<E", 1, true, false },
		{ "it was its own", ">E>Q<E<Z", 0, false, true },
		{ "discarded, a Sync later", ">E>Q<E>S", 1, false, false },
		{ "… answered", ">E>Q<E>S<Z", 0, false, false },
		{ "… and on", ">E>Q<E>S<Z>Q<C<Z>Q<C<Z", 0, false, true },
		{ "its own, a Sync on its way", ">E>Q<E>S<Z<Z", 0, false, true },
		{ "discarded, Sync in time", ">E>Q>S<E", 2, false, false },
		{ "… answered once", ">E>Q>S<E<Z", 1, true, false },
		{ "… and on", ">E>Q>S<E<Z>Q<C<Z", 0, false, false },
		{ "… and on and on", ">E>Q>S<E<Z>Q<C<Z>Q<C<Z", 0, false, true },
		{ "its own, Sync in time", ">E>Q>S<E<Z<Z", 0, false, true },
		{ "… late", ">E>Q>S<E<Z>Q<Z<C", 1, false, false },
		{ "… and answered", ">E>Q>S<E<Z>Q<Z<C<Z", 0, false, true },
		{ "no extended messages", ">Q<E", 1, false, false },
		{ "a Query that runs behind it", ">E>Q>Q<E<Z", 1, false, false },
		{ "a COPY has failed, and this is its own", ">E>S<G>f>S<E<Z>E>Q>S<E<Z<Z", 0, false,
		  false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct flow f;

		flow_init(&f, REPLICATION_NONE);
		for (const char *p = table[i].says; *p != '\0'; p += 2) {
			if (p[0] == '>' && p[1] == 'E')
				flow_client(&f, execute, sizeof(execute) - 1);
			else if (p[0] == '>' && p[1] == 'Q')
				flow_client(&f, query, sizeof(query) - 1);
			else if (p[0] == '>' && p[1] == 'f')
				flow_client(&f, fail, sizeof(fail) - 1);
			else if (p[0] == '>')
				flow_client(&f, sync, sizeof(sync) - 1);
			else if (p[1] == 'E')
				flow_server(&f, error, sizeof(error) - 1, NULL);
			else if (p[1] == 'G')
				flow_server(&f, copy, sizeof(copy) - 1, NULL);
			else if (p[1] == 'C')
				flow_server(&f, row, sizeof(row) - 1, NULL);
			else
				flow_server(&f, ready, sizeof(ready) - 1, NULL);
		}
		if (flow_pending(&f) != table[i].pending ||
		    flow_is_in_doubt(&f) != table[i].doubt || flow_safe_point(&f) != table[i].safe)
			fail_msg("%s (%s): %u owed, doubt %d, safe %d", table[i].what,
				 table[i].says, flow_pending(&f), flow_is_in_doubt(&f),
				 flow_safe_point(&f));
		assert_int_equal(flow_activity(&f) == FLOW_ACTIVE,
				 table[i].pending > 0 && !table[i].doubt);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_query_that_was_discarded_can_be_forgiven),
		cmocka_unit_test(a_query_that_was_not_can_be_assured),
		cmocka_unit_test(what_may_have_been_discarded_is_not_owed_for_ever),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
