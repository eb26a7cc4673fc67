/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/awaited.h"

#include <stdio.h>
#include <string.h>

#include "protocol/message.h"
#include "tests/unit/unit.h"

/* Messages by their types; a Describe of a statement is s, one of a portal D. Bodies are of no
 * concern, but for their lengths. */
static void
put_messages(struct buf *b, const char *types)
{
	for (; *types != '\0'; types++) {
		size_t at = buf_message(b, *types == 's' ? 'D' : *types);

		if (*types == 's' || *types == 'D')
			buf_u8(b, *types == 's' ? 'S' : 'P');
		if (strchr("PBEQC", *types) != NULL)
			buf_cstr(b, "some text");
		buf_message_end(b, at);
	}
}

static void
feed(struct awaited *a, void (*to)(struct awaited *a, const char *p, size_t n), const char *types,
     size_t chunk)
{
	struct buf b = { 0 };

	put_messages(&b, types);
	for (size_t at = 0; at < b.n; at += chunk)
		to(a, b.p + at, b.n - at < chunk ? b.n - at : chunk);
	buf_fini(&b);
}

static void
types_of(const struct buf *b, char *to)
{
	for (size_t at = 0; at < b->n; at += 1 + get_u32(b->p + at + 1))
		*to++ = b->p[at];
	*to = '\0';
}

static void
what_is_awaited_is_answered_as_a_commit(void **state)
{
	static const struct {
		const char *client, *server;
		const char *expect; /* NULL: it cannot be made up */
	} table[] = {
		{ "Q", "", "CZ" },
		{ "PBDES", "", "12nCZ" },
		{ "PsBES", "", "1tn2CZ" },
		{ "BES", "", "2CZ" },
		{ "BDEHS", "", "2nCZ" },
		{ "BDES", "2", "nCZ" },
		{ "BDES", "2n", "CZ" },
		{ "CPBES", "", "312CZ" },
		{ "QBES", "TDCZ", "2CZ" },
		{ "BESBES", "2CZ", "2CZ" },
		{ "PBESQ", "EZ", "CZ" },
		{ "BDES", "2TDDDD", "CZ" },
		/* the server has begun to answer the Query, perhaps in rows */
		{ "Q", "TD", "CZ" },
		/* more than one command, or none, or not to its end */
		{ "QQ", "", NULL },
		{ "BEBES", "", NULL },
		{ "BESBES", "", NULL },
		{ "PBE", "", NULL },
		{ "PBDS", "", NULL },
		{ "BES", "2C", NULL },
		{ "F", "", NULL },
		{ "", "", NULL },
		/* what is not expected */
		{ "BES", "1", NULL },
		{ "BES", "2CZZ", NULL },
		{ "Qdc", "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		for (size_t chunk = 1; chunk < 100; chunk++) {
			struct awaited a;
			struct buf out = { 0 };
			char types[64] = "";
			bool known;

			awaited_begin(&a);
			feed(&a, awaited_client, table[i].client, chunk);
			feed(&a, awaited_server, table[i].server, chunk);
			known = awaited_put_commit(&a, &out);
			types_of(&out, types);
			if (known != (table[i].expect != NULL) ||
			    (known && strcmp(types, table[i].expect) != 0))
				fail_msg("%s / %s: %s", table[i].client, table[i].server,
					 known ? types : "not known");
			buf_fini(&out);
		}
	}
}

static void
too_many_are_lost_and_not_confused(void **state)
{
	struct awaited a;
	struct buf out = { 0 };

	(void)state;
	awaited_begin(&a);
	for (int i = 0; i <= AWAITED_MAX; i++)
		feed(&a, awaited_client, "P", 100);
	assert_true(a.lost);
	for (int i = 0; i <= AWAITED_MAX; i++)
		feed(&a, awaited_server, "1", 100);
	feed(&a, awaited_client, "Q", 100);
	assert_false(awaited_put_commit(&a, &out));
	awaited_begin(&a);
	feed(&a, awaited_client, "Q", 100);
	assert_true(awaited_put_commit(&a, &out));
	buf_fini(&out);
}

static void
half_a_message_is_not_answered(void **state)
{
	struct awaited a;
	struct buf out = { 0 };

	(void)state;
	awaited_begin(&a);
	awaited_client(&a, "Q\0\0\0\10COM", 8);
	assert_false(awaited_put_commit(&a, &out));
	awaited_client(&a, "M", 1);
	assert_true(awaited_put_commit(&a, &out));
	awaited_client(&a, "Q", 1);
	assert_false(awaited_put_commit(&a, &out));
	buf_fini(&out);
}

static void
types_that_are_none_are_not_awaited(void **state)
{
	static const char known[] = { 'P', 'B', 'D', 'E', 'C', 'S', 'Q', 'F', 'H' };

	(void)state;
	for (int type = 0; type < 256; type++) {
		const char message[] = { (char)type, 0, 0, 0, 4 };
		struct awaited a;

		awaited_begin(&a);
		awaited_client(&a, message, sizeof(message));
		assert_int_equal(a.lost, memchr(known, type, sizeof(known)) == NULL);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_awaited_is_answered_as_a_commit),
		cmocka_unit_test(too_many_are_lost_and_not_confused),
		cmocka_unit_test(half_a_message_is_not_answered),
		cmocka_unit_test(types_that_are_none_are_not_awaited),
	};

	return cmocka_run_group_tests_name("awaited", tests, NULL, NULL);
}
