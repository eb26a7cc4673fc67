/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/move/verifiers.h"

#include "tests/unit/unit.h"

#define HERE  "SCRAM-SHA-256$4096:aGVyZQ==$here:here"
#define THERE "SCRAM-SHA-256$4096:dGhlcmU=$there:there"

/* unfit: sessions whose logins the target refuses with what it has, and with the source's. */
static const struct {
	const char *what, *source, *target;
	bool is_super, copies;
	unsigned unfit_target, unfit_source;
	enum role_verdict want;
} cases[] = {
	{ "the same", HERE, HERE, false, false, 0, 0, ROLE_SAME },
	{ "the same, to be copied", HERE, HERE, false, true, 0, 0, ROLE_SAME },
	{ "neither has one", "", "", false, false, 0, 0, ROLE_SAME },
	{ "only the target has one", "", THERE, false, false, 0, 0, ROLE_SAME },
	{ "only the target has one, and no session fits", "", THERE, false, true, 2, 2,
	  ROLE_CLOSES_SESSIONS },
	{ "another one, no sessions", HERE, THERE, false, false, 0, 0, ROLE_DIFFERS },
	{ "another one, sessions that fit", HERE, THERE, false, false, 0, 3, ROLE_DIFFERS },
	{ "another one, sessions", HERE, THERE, false, false, 3, 0, ROLE_CLOSES_SESSIONS },
	{ "none at the target, sessions", HERE, "", false, false, 3, 0, ROLE_CLOSES_SESSIONS },
	{ "copied", HERE, THERE, false, true, 3, 0, ROLE_WILL_BE_COPIED },
	{ "copied, no sessions", HERE, THERE, false, true, 0, 0, ROLE_WILL_BE_COPIED },
	{ "a superuser's is not", HERE, THERE, true, true, 3, 0, ROLE_CLOSES_SESSIONS },
	{ "a superuser's is not, no sessions", HERE, THERE, true, true, 0, 0, ROLE_DIFFERS },
	{ "copied it would help nobody", HERE, THERE, false, true, 3, 3, ROLE_CLOSES_SESSIONS },
	{ "the same, and no session fits", HERE, HERE, false, false, 1, 1, ROLE_CLOSES_SESSIONS },
};

static void
roles_are_judged_by_their_sessions(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct role_secrets r = { .role = "app",
						.source = cases[i].source,
						.target = cases[i].target,
						.is_super = cases[i].is_super };
		const struct gate_fit with_target = { .unfit = cases[i].unfit_target };
		const struct gate_fit with_source = { .unfit = cases[i].unfit_source };
		enum role_verdict got =
		    verifiers_verdict(&r, &with_target, &with_source, cases[i].copies);

		if (got != cases[i].want)
			fail_msg("%s: %d", cases[i].what, got);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roles_are_judged_by_their_sessions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
