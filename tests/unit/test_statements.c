/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "tests/unit/statements_play.h"

#include "tests/unit/unit.h"

#define SEEDS 100

static void
clients_read_what_a_server_of_their_own_would_say(void **state)
{
	static const unsigned limits[] = { 1, 3, 200 };
	unsigned attachments = 0, waited = 0, rewritten = 0, errors = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct play_result r = statements_play_random(seed, limits[seed % 3]);

		if (r.wrong != NULL)
			fail_msg("seed %u: %s", (unsigned)seed, r.wrong);
		attachments += r.attachments;
		waited += r.waited;
		rewritten += r.rewritten;
		errors += r.errors;
	}
	/* there was something to be seen */
	assert_true(attachments > 5 * SEEDS);
	assert_true(waited > SEEDS && rewritten > SEEDS && errors > SEEDS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_read_what_a_server_of_their_own_would_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
