/* SPDX-License-Identifier: PostgreSQL
 *
 * What a body of POST /sql may cost: time as its bytes cost, and nothing but slices of it in
 * memory, whatever it is made of. Its bytes cost what a checksum of them does.
 */
#include "config.h"

#include "protocol/sqljson.h"

#include <malloc.h>

#include "protocol/crc32c.h"
#include "tests/unit/cost.h"

#include "tests/unit/unit.h"

#ifdef COST_DISTORTED
#define BODY_BYTES ((size_t)1 << 20)
#else
#define BODY_BYTES ((size_t)4 << 20)
#endif

/* How a body begins, what it is made of, and how it ends. */
struct shape {
	const char *name, *head, *again, *tail;
};

static void
put_body(struct buf *b, const struct shape *k, size_t n)
{
	buf_str(b, k->head);
	while (b->n + strlen(k->again) < n)
		buf_str(b, k->again);
	buf_str(b, k->tail);
	assert_false(b->failed);
}

/* Into messages, as proxy/http/sqlrun.c does it. */
static void
read_body(const struct buf *body, struct buf *messages)
{
	struct sqljson_request r;
	struct err e = { 0 };

	messages->cap = 2 * body->n + ((size_t)1 << 20);
	if (sqljson_parse(buf_view(body), &r, &e) != 0)
		return;
	for (size_t i = 0; i < r.nqueries; i++)
		sqljson_put_query(messages, &r, i);
	sqljson_request_fini(&r);
}

#ifndef COST_DISTORTED
static double
checksum_once(const void *arg, size_t n)
{
	struct buf body = { 0 };
	double ms;

	put_body(&body, arg, n);
	ms = cost_ms();
	assert_int_not_equal(crc32c(0, body.p, body.n), 0);
	ms = cost_ms() - ms;
	buf_fini(&body);
	return ms;
}
#endif

static double
time_once(const void *arg, size_t n)
{
	struct buf body = { 0 }, messages = { 0 };
	double ms;

	put_body(&body, arg, n);
	ms = cost_ms();
	read_body(&body, &messages);
	ms = cost_ms() - ms;
	buf_fini(&messages);
	buf_fini(&body);
	return ms;
}

/* Where looks at bytes are dearer than sums of them, an eighth of it is the measure. */
static double
cost_of_bytes(const struct shape *k)
{
#ifdef COST_DISTORTED
	return 8 * cost_least(time_once, k, BODY_BYTES / 8);
#else
	return cost_least(checksum_once, k, BODY_BYTES);
#endif
}

static void
time_is_that_of_its_bytes(void **state)
{
	const struct shape *k = *state;

	assert_cost(cost_least(time_once, k, BODY_BYTES), 1, cost_of_bytes(k));
}

#ifndef SANITIZED
/* What the request holds, beside its body. */
static void
memory_is_that_of_its_queries(void **state)
{
	const struct shape *k = *state;
	struct sqljson_request r;
	struct buf body = { 0 };
	struct err e = { 0 };
	struct mallinfo2 before;
	size_t held;

	put_body(&body, k, BODY_BYTES);
	before = mallinfo2();
	if (sqljson_parse(buf_view(&body), &r, &e) == 0) {
		struct mallinfo2 now = mallinfo2();

		held = now.uordblks + now.hblkhd - before.uordblks - before.hblkhd;
		print_message("# %zu MB of %s: %zu bytes\n", BODY_BYTES >> 20, k->again, held);
		assert_in_range(held, 0, 4096);
		sqljson_request_fini(&r);
	}
	buf_fini(&body);
}
#endif

#define PARAMS "{\"query\":\"select $1\",\"params\":["

static const struct shape shapes[] = {
	{ "objects_of_an_array", PARAMS "[{}", ",{}", "]]}" },
	{ "lists_of_an_array", PARAMS "[[]", ",[]", "]]}" },
	{ "numbers_of_an_array", PARAMS "[0", ",0", "]]}" },
	{ "numbers_with_a_point", PARAMS "[0.1", ",1.5", "]]}" },
	{ "strings_of_an_array", PARAMS "[\"\"", ",\"\"", "]]}" },
	{ "members_of_an_object", PARAMS "{\"\":0", ",\"\":0", "}]}" },
	{ "objects_of_an_object", PARAMS "{\"a\":{}", ",\"a\":{}", "}]}" },
	{ "escapes", PARAMS "\"", "\\n", "\"]}" },
	{ "escapes_of_an_array", PARAMS "[\"", "\\\\", "\"]]}" },
	{ "letters_beyond_ascii", PARAMS "\"", "\xf4\x8f\xbf\xbf", "\"]}" },
	{ "members_that_mean_nothing", "{\"query\":\"\"", ",\"\":{}", "}" },
	{ "members_that_are_said_again", "{\"query\":\"\"", ",\"query\":\"\"", "}" },
	{ "blanks", PARAMS, " ", "]}" },
	{ "too_many_parameters", PARAMS "{}", ",{}", "]}" },
	{ "too_many_queries", "{\"queries\":[{\"query\":\"\"}", ",{\"query\":\"\"}", "]}" },
	{ "nothing_but_objects", "[{}", ",{}", "]" },
	{ "brackets_without_end", PARAMS, "[", "" },
};

#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static void (*const checks[])(void **state) = {
	time_is_that_of_its_bytes,
#ifndef SANITIZED
	memory_is_that_of_its_queries,
#endif
};

#define CHECKS (sizeof(checks) / sizeof(checks[0]))

int
main(void)
{
	struct CMUnitTest tests[SHAPES * CHECKS];

	for (size_t i = 0; i < SHAPES * CHECKS; i++) {
		const struct shape *k = &shapes[i / CHECKS];

		tests[i] = (struct CMUnitTest){ .name = k->name,
						.test_func = checks[i % CHECKS],
						.initial_state = (void *)(uintptr_t)k };
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
