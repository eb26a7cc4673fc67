/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/cancel/cancelkeys.h"

#include <stdbool.h>

#include "base/buf.h"
#include "tests/unit/unit.h"

#define KEYS_MAX 3000

struct model {
	struct {
		uint8_t secret[4];
		uint32_t slot;
	} v[KEYS_MAX];
	unsigned n;
	uint64_t dice;
};

/* xorshift64: the same numbers in each run. */
static uint32_t
roll(struct model *m, uint32_t below)
{
	m->dice ^= m->dice << 13;
	m->dice ^= m->dice >> 7;
	m->dice ^= m->dice << 17;
	return (uint32_t)(m->dice >> 32) % below;
}

/* `heads` different beginnings of secrets: few of them collide a lot. */
static void
add_one(struct model *m, struct cancel_keys *k, uint32_t heads)
{
	put_u32(m->v[m->n].secret, roll(m, heads) * UINT32_C(0x9e3779b1));
	m->v[m->n].slot = roll(m, UINT32_C(1) << 30);
	cancelkeys_add(k, m->v[m->n].secret, m->v[m->n].slot);
	m->n++;
}

static void
remove_one(struct model *m, struct cancel_keys *k)
{
	unsigned i = roll(m, m->n);

	cancelkeys_remove(k, m->v[i].secret, m->v[i].slot);
	m->v[i] = m->v[--m->n];
}

/* Whatever the model holds for this secret is found, and nothing else. */
static void
compare(const struct model *m, const struct cancel_keys *k, const uint8_t secret[4])
{
	unsigned want = 0, got = 0;
	uint64_t want_sum = 0, got_sum = 0;
	uint32_t slot;

	for (unsigned i = 0; i < m->n; i++) {
		if (memcmp(m->v[i].secret, secret, 4) == 0) {
			want++;
			want_sum += m->v[i].slot;
		}
	}
	for (; (slot = cancelkeys_find(k, secret, got)) != UINT32_MAX; got++)
		got_sum += slot;
	assert_int_equal(got, want);
	assert_true(got_sum == want_sum);
}

static void
compare_all(struct model *m, const struct cancel_keys *k)
{
	uint8_t stranger[4];

	for (unsigned i = 0; i < m->n; i++)
		compare(m, k, m->v[i].secret);
	for (int i = 0; i < 100; i++) {
		put_u32(stranger, roll(m, UINT32_MAX));
		compare(m, k, stranger);
	}
}

static void
run_model(uint32_t heads, unsigned seed)
{
	struct model *m = test_calloc(1, sizeof(*m));
	struct cancel_keys *k = cancelkeys_new();

	m->dice = seed;
	for (int round = 0; round < 20; round++) {
		bool grow = round % 3 != 2;

		for (int i = 0; i < 1000; i++) {
			bool add = roll(m, 100) < (grow ? 60u : 20u);

			if (add && m->n < KEYS_MAX)
				add_one(m, k, heads);
			else if (m->n > 0)
				remove_one(m, k);
		}
		if (m->n < 600 || heads > 100)
			compare_all(m, k);
	}
	while (m->n > 0)
		remove_one(m, k);
	compare_all(m, k);
	cancelkeys_free(k);
	test_free(m);
}

static void
it_holds_what_was_added_and_not_removed(void **arg)
{
	(void)arg;
	run_model(UINT32_MAX, 1);
	run_model(1000, 2);
}

static void
secrets_that_begin_alike_are_all_found(void **arg)
{
	(void)arg;
	run_model(7, 3);
	run_model(1, 4);
}

/* Sessions come and go for years: what is gone must not fill the table. */
static void
a_million_short_sessions_leave_nothing(void **arg)
{
	struct cancel_keys *k = cancelkeys_new();
	struct model m = { .dice = 5 };
	uint8_t secret[4];

	(void)arg;
	for (uint32_t i = 0; i < 1000000; i++) {
		put_u32(secret, roll(&m, UINT32_MAX));
		cancelkeys_add(k, secret, i);
		assert_int_equal(cancelkeys_find(k, secret, 0), i);
		cancelkeys_remove(k, secret, i);
		assert_int_equal(cancelkeys_find(k, secret, 0), UINT32_MAX);
	}
	cancelkeys_free(k);
}

static void
removing_what_is_not_there_does_nothing(void **arg)
{
	struct cancel_keys *k = cancelkeys_new();
	uint8_t a[4] = { 1, 2, 3, 4 }, b[4] = { 1, 2, 3, 5 };

	(void)arg;
	cancelkeys_add(k, a, 7);
	cancelkeys_remove(k, a, 8);
	cancelkeys_remove(k, b, 7);
	assert_int_equal(cancelkeys_find(k, a, 0), 7);
	assert_int_equal(cancelkeys_find(k, a, 1), UINT32_MAX);
	cancelkeys_remove(k, a, 7);
	cancelkeys_remove(k, a, 7);
	assert_int_equal(cancelkeys_find(k, a, 0), UINT32_MAX);
	cancelkeys_free(k);
	cancelkeys_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_holds_what_was_added_and_not_removed),
		cmocka_unit_test(secrets_that_begin_alike_are_all_found),
		cmocka_unit_test(a_million_short_sessions_leave_nothing),
		cmocka_unit_test(removing_what_is_not_there_does_nothing),
	};

	return cmocka_run_group_tests_name("cancelkeys", tests, NULL, NULL);
}
