/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/sampler.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "protocol/message.h"
#include "proxy/sqlstate/fingerprints.h"
#include "proxy/sqlstate/prepared.h"
#include "tests/unit/says.h"

#include "tests/unit/unit.h"

/* ---- what a client says ---- */

static void
put_bind(struct buf *b, const char *name, size_t more)
{
	size_t at = buf_message(b, MSG_BIND);

	buf_cstr(b, "");
	buf_cstr(b, name);
	for (size_t i = 0; i < more; i++)
		buf_u8(b, 'Q'); /* as good as any value */
	buf_message_end(b, at);
}

static void
put_long(struct buf *b, const char *sql, size_t blanks)
{
	size_t at = buf_message(b, MSG_QUERY);

	buf_str(b, sql);
	for (size_t i = 0; i < blanks; i++)
		buf_u8(b, ' ');
	buf_cstr(b, "x");
	buf_message_end(b, at);
}

static void
put_copy_data(struct buf *b)
{
	size_t at = buf_message(b, MSG_COPY_DATA);

	for (int i = 0; i < 9000; i++)
		buf_str(b, "Q");
	buf_message_end(b, at);
}

static void
say_all(struct buf *b)
{
	message_put_query(b, slice_str("SELECT 1"));
	message_put_query(b, slice_str("select  2"));
	say_parse(b, "", "INSERT INTO t VALUES ($1)", 23);
	put_bind(b, "", 0);
	put_bind(b, "", 9000);
	say_parse(b, "s", "SELECT a FROM t WHERE b = $1", 23);
	put_bind(b, "s", 3);
	message_put_bare(b, MSG_SYNC);
	put_bind(b, "nobody", 3);
	message_put_query(b, slice_str("COMMIT")); /* takes the one without a name with it */
	put_bind(b, "", 0);
	put_copy_data(b);
	message_put_close_statement(b, SLICE_LITERAL("s"));
	put_bind(b, "s", 0);
	put_long(b, "SELECT long", 10000);
	message_put_bare(b, MSG_TERMINATE);
}

struct heard {
	struct fingerprints *table;
	struct fingerprint_sums sums;
};

static void
play(struct heard *h, const struct buf *b, size_t piece, unsigned one_of)
{
	struct prepared_names *names =
	    prepared_names_init(xmalloc(sizeof(struct prepared_names)), 1);
	struct sampler *s;

	h->table = fingerprints_new(clock_us());
	h->sums = (struct fingerprint_sums){ 0 };
	s = sampler_new(h->table, names, SLICE_LITERAL("shop"), one_of);
	for (size_t at = 0; at < b->n; at += piece) {
		size_t n = b->n - at < piece ? b->n - at : piece;
		/* exactly as long as what was read */
		char *copy = malloc(n);

		assert_non_null(copy);
		memcpy(copy, b->p + at, n);
		sampler_client(s, slice_of(copy, n));
		free(copy);
	}
	sampler_free(s);
	prepared_names_fini(names);
	free(names);
	fingerprint_sums_add(&h->sums, h->table, "shop", clock_us());
}

static void
heard_fini(struct heard *h)
{
	fingerprint_sums_fini(&h->sums);
	fingerprints_free(h->table);
}

static uint64_t
calls(const struct heard *h, const char *text)
{
	for (size_t i = 0; i < h->sums.n; i++)
		if (strcmp(h->sums.v[i].text, text) == 0)
			return h->sums.v[i].calls;
	return 0;
}

static void
how_the_bytes_are_cut_makes_no_difference(void **state)
{
	static const size_t pieces[] = { 1, 2, 3, 5, 7, 100, 4096, 1 << 20 };
	struct buf b = { 0 };

	(void)state;
	say_all(&b);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct heard h;

		play(&h, &b, pieces[i], 1);
		assert_int_equal(calls(&h, "select ?"), 2);
		assert_int_equal(calls(&h, "insert into t values (?)"), 2);
		assert_int_equal(calls(&h, "select a from t where b = ?"), 1);
		assert_int_equal(calls(&h, "commit"), 1);
		assert_int_equal(calls(&h, "select long ..."), 1);
		assert_int_equal(h.sums.n, 5);
		heard_fini(&h);
	}
	buf_fini(&b);
}

static void
one_of_n_stands_for_n(void **state)
{
	struct buf b = { 0 };
	struct heard h;

	(void)state;
	say_parse(&b, "s", "SELECT a", 23);
	for (int i = 0; i < 20000; i++) {
		message_put_query(&b, slice_str("SELECT 1"));
		say_parse(&b, "", "SELECT b", 23);
		put_bind(&b, "", 0);
		put_bind(&b, "s", 0);
	}
	play(&h, &b, 100000, 10);
	assert_in_range(calls(&h, "select ?"), 18000, 22000);
	assert_in_range(calls(&h, "select b"), 18000, 22000);
	assert_in_range(calls(&h, "select a"), 18000, 22000);
	assert_int_equal(calls(&h, "select ?") % 10, 0);
	heard_fini(&h);
	buf_fini(&b);
}

/* Many names: those of long ago are not known any more, nothing else happens. */
static void
prepared_statements_are_bounded(void **state)
{
	struct buf b = { 0 };
	struct heard h;
	char name[32];

	(void)state;
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		say_parse(&b, name, "SELECT a", 23);
	}
	put_bind(&b, "s0", 0);
	put_bind(&b, "s199", 0);
	play(&h, &b, 1000, 1);
	assert_int_equal(calls(&h, "select a"), 1);
	heard_fini(&h);
	buf_fini(&b);
}

/* A name that SQL has taken away stands for nothing any more, until it is prepared anew. */
static void
prepared_statements_are_deallocated(void **state)
{
	static const struct {
		const char *sql;
		unsigned calls;
	} v[] = { { "DEALLOCATE s", 0 },
		  { "discard all", 0 },
		  { "DEALLOCATE t", 1 },
		  { "DISCARD PLANS", 1 },
		  { "DEALLOCATE ALL", 0 } };

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(v) / sizeof(v[0]); i++) {
		struct buf b = { 0 };
		struct heard h;

		say_parse(&b, "s", "SELECT a", 23);
		if (i % 2 == 0)
			message_put_query(&b, slice_str(v[i / 2].sql));
		else
			say_parse(&b, "", v[i / 2].sql, 0);
		put_bind(&b, "s", 0);
		play(&h, &b, 1000, 1);
		assert_int_equal(calls(&h, "select a"), v[i / 2].calls);
		heard_fini(&h);
		buf_fini(&b);
	}
}

static void
an_answer_is_timed_where_nothing_else_is_under_way(void **state)
{
	struct fingerprints *t = fingerprints_new(clock_us());
	struct prepared_names *names =
	    prepared_names_init(xmalloc(sizeof(struct prepared_names)), 1);
	struct sampler *s = sampler_new(t, names, SLICE_LITERAL("shop"), 1);
	struct fingerprint_sums sums = { 0 };
	struct buf b = { 0 };

	(void)state;
	message_put_query(&b, slice_str("SELECT 1"));
	sampler_client(s, buf_view(&b));
	sampler_answered(s);
	sampler_answered(s); /* of something else */
	sampler_client(s, buf_view(&b));
	sampler_client(s, buf_view(&b));
	sampler_answered(s);
	fingerprint_sums_add(&sums, t, NULL, clock_us());
	assert_int_equal(sums.n, 1);
	assert_int_equal(sums.v[0].calls, 3);
	assert_int_equal(sums.v[0].timed, 1);
	fingerprint_sums_fini(&sums);
	sampler_free(s);
	prepared_names_fini(names);
	free(names);
	sampler_free(NULL);
	fingerprints_free(t);
	buf_fini(&b);
}

/* Where a server goes with half a message, what follows of it is not said to the next one. */
static void
what_was_half_said_is_forgotten(void **state)
{
	struct fingerprints *t = fingerprints_new(clock_us());
	struct prepared_names *names =
	    prepared_names_init(xmalloc(sizeof(struct prepared_names)), 1);
	struct sampler *s = sampler_new(t, names, SLICE_LITERAL("shop"), 1);
	struct fingerprint_sums sums = { 0 };
	struct buf half = { 0 }, skipped = { 0 }, whole = { 0 };

	(void)state;
	message_put_query(&half, slice_str("SELECT half"));
	put_copy_data(&skipped);
	message_put_query(&whole, slice_str("SELECT whole"));
	sampler_client(s, slice_of(half.p, half.n - 3));
	sampler_restart(s);
	sampler_client(s, buf_view(&whole));
	sampler_answered(s);
	sampler_client(s, slice_of(skipped.p, skipped.n - 3));
	sampler_restart(s);
	sampler_client(s, buf_view(&whole));
	sampler_restart(s); /* its answer will not come */
	sampler_client(s, buf_view(&whole));
	sampler_answered(s);
	sampler_restart(NULL);
	fingerprint_sums_add(&sums, t, NULL, clock_us());
	assert_int_equal(sums.n, 1);
	assert_int_equal(sums.v[0].calls, 3);
	assert_int_equal(sums.v[0].timed, 2);
	fingerprint_sums_fini(&sums);
	sampler_free(s);
	prepared_names_fini(names);
	free(names);
	fingerprints_free(t);
	buf_fini(&half);
	buf_fini(&skipped);
	buf_fini(&whole);
}

static void
what_is_not_the_protocol_is_survived(void **state)
{
	static const char zeros[] = "Q\0\0\0\0Q\0\0\0\3B\0\0\0\4P\377\377\377\377";
	struct buf b = { 0 };
	struct heard h;

	(void)state;
	buf_put(&b, zeros, sizeof(zeros) - 1);
	for (size_t piece = 1; piece < sizeof(zeros); piece++) {
		play(&h, &b, piece, 1);
		heard_fini(&h);
	}
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(how_the_bytes_are_cut_makes_no_difference),
		cmocka_unit_test(one_of_n_stands_for_n),
		cmocka_unit_test(prepared_statements_are_bounded),
		cmocka_unit_test(prepared_statements_are_deallocated),
		cmocka_unit_test(an_answer_is_timed_where_nothing_else_is_under_way),
		cmocka_unit_test(what_was_half_said_is_forgotten),
		cmocka_unit_test(what_is_not_the_protocol_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
