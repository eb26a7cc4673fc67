/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/reads/units.h"

#include <stdio.h>

#include "base/buf.h"
#include "protocol/message.h"
#include "proxy/reads/catalog.h"
#include "proxy/reads/reasons.h"
#include "proxy/reads/verdicts.h"
#include "routing/classify_catalog.h"
#include "tests/unit/cost.h"

#include "tests/unit/unit.h"

static enum classify_reason
judge_text(void *arg, struct slice sql)
{
	return verdicts_get(arg, sql, NULL);
}

/* "r" is prepared, and reads; "w" is, and does not. */
static bool
judge_prepared(void *arg, struct slice name, struct slice *sql)
{
	(void)arg;
	*sql = slice_is(name, "w") ? slice_str("DELETE FROM t") : slice_str("SELECT 1");
	return slice_is(name, "r") || slice_is(name, "w");
}

static void
put(struct buf *b, char type, const char *body, size_t n)
{
	size_t at = buf_message(b, type);

	buf_put(b, body, n);
	buf_message_end(b, at);
}
#define PUT(b, type, body) put(b, type, body, sizeof(body) - 1)

/* Q, or of the extended protocol: P name text, B name, D name, E, S, H; each a letter and a word.
 */
static void
put_words(struct buf *b, const char *words)
{
	for (const char *w = words; *w != '\0'; w += 2) {
		char named[] = { w[1], '\0' };
		char bind[] = { '\0', w[1], '\0', 0, 0, 0, 0, 0, 0 };
		char target[] = { 'S', w[1], '\0' };

		switch (w[0]) {
		case 'Q':
			message_put_query(b, slice_str(*named == 'w'   ? "DELETE FROM t"
						       : *named == 'b' ? "BEGIN READ ONLY"
								       : "SELECT 1"));
			break;
		case 'P':
			if (*named == 'd')
				PUT(b, MSG_PARSE, "d\0DELETE FROM t\0\0\0");
			else
				PUT(b, MSG_PARSE, "p\0SELECT 1\0\0\0");
			break;
		case 'B':
			put(b, MSG_BIND, bind, sizeof(bind));
			break;
		case 'D':
			put(b, MSG_DESCRIBE, target, sizeof(target));
			break;
		case 'E':
			PUT(b, MSG_EXECUTE, "\0\0\0\0\0");
			break;
		default:
			put(b, w[0], "", 0);
		}
	}
}

static const struct {
	const char *first, *behind; /* what is said; the first is a unit where it reads */
	unsigned reason;
} vectors[] = {
	{ "Qr", "", CLASSIFY_READ },
	{ "Qr", "QwQr", CLASSIFY_READ },
	{ "Qb", "Qw", CLASSIFY_READ_ONLY },
	{ "Qw", "Qr", CLASSIFY_CHANGES },
	{ "S-", "", CLASSIFY_READ },
	{ "P-BpE-S-", "Qw", CLASSIFY_READ },
	{ "BrDrE-S-", "", CLASSIFY_READ },
	{ "BwE-S-", "", CLASSIFY_CHANGES },
	{ "BrE-BwE-S-", "", CLASSIFY_CHANGES },
	{ "PdBdE-S-", "", CLASSIFY_CHANGES },
	{ "BxE-S-", "", READS_PREPARED },
	{ "DxS-", "", READS_PREPARED },
	{ "P-H-", "", READS_PROTOCOL },
	{ "P-Qr", "", READS_PROTOCOL },
	{ "F-", "", READS_PROTOCOL },
	{ "X-", "", READS_PROTOCOL },
};

static void
units_end_with_a_query_or_a_sync(void **state)
{
	struct verdicts *v = verdicts_new();
	const struct unit_judge judge = { judge_text, judge_prepared, v };

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		bool reads = classify_is_read((enum classify_reason)vectors[i].reason);
		struct buf b = { 0 };
		struct unit u;
		size_t n;

		put_words(&b, vectors[i].first);
		n = b.n;
		put_words(&b, vectors[i].behind);
		assert_int_equal(units_cut(buf_view(&b), &judge, &u), PARSE_DONE);
		assert_int_equal(u.reason, vectors[i].reason);
		if (reads) {
			assert_int_equal(u.n, n);
			assert_int_equal(units_length(buf_view(&b)), n);
			for (size_t cut = 0; cut < n; cut++)
				assert_int_equal(units_cut(slice_of(b.p, cut), &judge, &u),
						 PARSE_MORE);
		}
		buf_fini(&b);
	}
	verdicts_free(v);
}

static void
one_statement_is_told_from_more(void **state)
{
	static const struct {
		const char *sql;
		bool is_single, ends;
	} texts[] = {
		{ "UPDATE t SET v = 1", true, false },
		{ " UPDATE t SET v = 1 ; ", true, false },
		{ "UPDATE t SET v = 1; COPY t FROM STDIN", false, false },
		{ "SELECT ';'", false, false },
		{ "", true, false },
		{ "COMMIT", true, true },
		{ "rollback;", true, true },
		{ "END", true, true },
		{ "COMMIT WORK", true, true },
		{ "COMMIT AND CHAIN", true, false },
		{ "ROLLBACK TO s", true, false },
		{ "COMMIT; BEGIN", false, false },
		{ "BEGIN", true, false },
	};
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		buf_clear(&b);
		message_put_query(&b, slice_str(texts[i].sql));
		assert_int_equal(units_is_single(buf_view(&b)), texts[i].is_single);
		assert_int_equal(units_ends_transaction(buf_view(&b)), texts[i].ends);
		/* the same, prepared and run in one go */
		buf_clear(&b);
		message_put_statement(&b, slice_str(""), slice_str(texts[i].sql));
		put_words(&b, "S-");
		assert_int_equal(units_is_single(buf_view(&b)), texts[i].is_single);
		assert_int_equal(units_ends_transaction(buf_view(&b)), texts[i].ends);
	}
	buf_clear(&b);
	put_words(&b, "BwE-S-");
	assert_true(units_is_single(buf_view(&b)));
	buf_clear(&b);
	put_words(&b, "BwE-BwE-S-");
	assert_false(units_is_single(buf_view(&b)));
	buf_fini(&b);
}

static void
each_message_that_is_answered_by_ready_ends_a_unit(void **state)
{
	static const struct {
		const char *first, *behind;
	} all[] = { { "F-", "Qr" }, { "Qr", "F-" }, { "P-S-", "F-" }, { "P-F-", "S-" } };
	struct buf b = { 0 };
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		buf_clear(&b);
		put_words(&b, all[i].first);
		n = b.n;
		put_words(&b, all[i].behind);
		assert_int_equal(units_length(buf_view(&b)), n);
		assert_int_equal(units_length(slice_of(b.p, n - 1)), 0);
	}
	buf_fini(&b);
}

/* NULL: it is not known. */
static void
each_execution_has_its_text(void **state)
{
	static const struct {
		const char *words;
		size_t at;
		const char *sql;
	} all[] = {
		{ "Qr", 0, "SELECT 1" },
		{ "Qr", 1, "SELECT 1" },
		{ "P-BpE-S-", 0, "SELECT 1" },
		{ "PdBdE-S-", 0, "DELETE FROM t" },
		{ "BrE-BwE-S-", 0, "SELECT 1" },
		{ "BrE-BwE-S-", 1, "DELETE FROM t" },
		{ "BrE-BwE-S-", 2, NULL },
		{ "BrE-PdBdE-E-S-", 2, "DELETE FROM t" },
		{ "BrE-BxE-BwE-S-", 1, NULL },
		{ "BrE-BxE-BwE-S-", 2, "DELETE FROM t" },
		{ "E-S-", 0, NULL },
	};
	const struct unit_judge judge = { judge_text, judge_prepared, NULL };
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct slice sql;
		bool known;

		buf_clear(&b);
		put_words(&b, all[i].words);
		known = units_executed_text(buf_view(&b), &judge, all[i].at, &sql);
		assert_int_equal(known, all[i].sql != NULL);
		if (known)
			assert_true(slice_is(sql, all[i].sql));
	}
	buf_fini(&b);
}

static void
a_length_that_is_none_goes_home(void **state)
{
	const struct unit_judge judge = { judge_text, judge_prepared, NULL };
	struct unit u;

	(void)state;
	assert_int_equal(units_cut(slice_of("Q\0\0\0\3", 5), &judge, &u), PARSE_DONE);
	assert_int_equal(u.reason, READS_PROTOCOL);
}

static void
verdicts_are_kept_and_corrected_in_bounded_memory(void **state)
{
	struct verdicts *v = verdicts_new();
	struct buf sql = { 0 };

	(void)state;
	assert_int_equal(verdicts_get(v, slice_str("SELECT 1"), NULL), CLASSIFY_READ);
	assert_int_equal(verdicts_get(v, slice_str("SELECT 1"), NULL), CLASSIFY_READ);
	assert_int_equal(verdicts_count(v), 1);
	verdicts_refuse(v, slice_str("SELECT 1"), 0);
	assert_int_equal(verdicts_get(v, slice_str("SELECT 1"), NULL), CLASSIFY_MISJUDGED);
	for (int i = 0; i < 200; i++) {
		buf_clear(&sql);
		buf_printf(&sql, "SELECT %d%50000s", i, "");
		(void)verdicts_get(v, buf_view(&sql), NULL);
	}
	assert_in_range(verdicts_count(v), 50, 90);
	assert_int_equal(verdicts_get(v, slice_str("SELECT 1"), NULL), CLASSIFY_MISJUDGED);
	for (int i = 0; i < 2000; i++) {
		buf_clear(&sql);
		buf_printf(&sql, "SELECT a%d", i);
		for (int k = 0; k < 300; k++)
			buf_str(&sql, ", column_b");
		(void)verdicts_get(v, buf_view(&sql), NULL);
	}
	assert_int_equal(verdicts_get(v, slice_str("SELECT 1"), NULL), CLASSIFY_READ);
	buf_fini(&sql);
	verdicts_free(v);
}

/* The catalog of a database that has a function f, and has it no more. */
static void
verdicts_go_with_what_the_catalog_says(void **state)
{
	struct classify_catalog *names = classify_catalog_new();
	struct classify_catalog *none = classify_catalog_new();
	struct catalog before = { .serial = 1, .names = names },
		       after = { .serial = 2, .names = none };
	struct slice sql = slice_str("SELECT f()"), other = slice_str("SELECT 1");
	struct verdicts *v = verdicts_new();

	(void)state;
	classify_catalog_add(names, slice_str("ff"));
	classify_catalog_finish(names);
	classify_catalog_finish(none);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(verdicts_get(v, sql, NULL), CLASSIFY_FUNCTION);
		assert_int_equal(verdicts_get(v, sql, &before), CLASSIFY_READ);
		assert_int_equal(verdicts_get(v, sql, &after), CLASSIFY_FUNCTION);
	}
	verdicts_refuse(v, sql, 1);
	verdicts_refuse(v, other, 2);
	assert_int_equal(verdicts_get(v, sql, &before), CLASSIFY_MISJUDGED);
	assert_int_equal(verdicts_get(v, sql, &after), CLASSIFY_FUNCTION);
	assert_int_equal(verdicts_get(v, other, NULL), CLASSIFY_READ);
	assert_int_equal(verdicts_get(v, other, &after), CLASSIFY_MISJUDGED);
	verdicts_free(v);
	classify_catalog_free(names);
	classify_catalog_free(none);
}

/* What is known of one text holds for all that differ from it in constants and comments only. */
static void
constants_make_no_other_verdict(void **state)
{
	static const struct {
		const char *refused, *other;
		enum classify_reason reason;
	} all[] = {
		{ "SELECT a FROM v WHERE x = 1", "select a from v where x = 'two' /* c */",
		  CLASSIFY_MISJUDGED },
		{ "SELECT a FROM v WHERE x IN (1, 2)", "SELECT a FROM v WHERE x IN (1, 2, 3)",
		  CLASSIFY_MISJUDGED },
		{ "SELECT a FROM v", "SELECT a FROM w", CLASSIFY_READ },
		{ "SELECT \"a\"", "SELECT U&\"a\"", CLASSIFY_READ },
		{ "SELECT \"a\"", "SELECT \"A\"", CLASSIFY_READ },
		{ "SELECT 1 -- x\n", "DELETE FROM t WHERE x = 1", CLASSIFY_CHANGES },
		/* where the string ends hangs on a setting */
		{ "SELECT 'b\\', 'c'", "SELECT 'b\\', 'd'", CLASSIFY_READ },
		{ "SELECT 'a' 'b'", "SELECT 'a'\n'b'", CLASSIFY_MISJUDGED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct verdicts *v = verdicts_new();

		verdicts_refuse(v, slice_str(all[i].refused), 0);
		assert_int_equal(verdicts_get(v, slice_str(all[i].other), NULL), all[i].reason);
		verdicts_free(v);
	}
}

/* A fingerprint is known by whichever catalog it was last looked at with. */
static void
what_is_known_of_a_fingerprint_is_told(void **state)
{
	struct classify_catalog *names = classify_catalog_new();
	struct catalog catalog = { .serial = 7, .names = names };
	struct verdicts *v = verdicts_new();
	unsigned reason = CLASSIFY_REASON_COUNT;

	(void)state;
	classify_catalog_add(names, slice_str("ff"));
	classify_catalog_finish(names);
	assert_false(verdicts_know(v, slice_str("select f(?)"), &reason));
	(void)verdicts_get(v, slice_str("SELECT f(1)"), &catalog);
	(void)verdicts_get(v, slice_str("DELETE FROM t"), NULL);
	assert_true(verdicts_know(v, slice_str("select f(?)"), &reason));
	assert_int_equal(reason, CLASSIFY_READ);
	assert_true(verdicts_know(v, slice_str("delete from t"), &reason));
	assert_int_equal(reason, CLASSIFY_CHANGES);
	assert_false(verdicts_know(v, slice_str("SELECT f(1)"), &reason));
	verdicts_free(v);
	classify_catalog_free(names);
}

/* Of two texts of one fingerprint the first may be none that is understood. */
static void
what_is_not_understood_says_nothing_of_others(void **state)
{
	struct verdicts *v = verdicts_new();

	(void)state;
	assert_int_equal(verdicts_get(v, slice_str("SELECT 'a' 'b'"), NULL), CLASSIFY_UNPARSABLE);
	assert_int_equal(verdicts_get(v, slice_str("SELECT 'a'\n'b'"), NULL), CLASSIFY_READ);
	verdicts_free(v);
}

/* Fingerprints are cut at some length: what is behind that decides. */
static void
what_is_cut_is_judged_by_itself(void **state)
{
	struct verdicts *v = verdicts_new();
	struct buf read = { 0 }, write = { 0 };

	(void)state;
	buf_str(&read, "WITH x AS (SELECT a");
	for (int i = 0; i < 1000; i++)
		buf_printf(&read, ", column%d", i);
	buf_str(&read, " FROM t)");
	buf_slice(&write, buf_view(&read));
	buf_str(&read, " SELECT * FROM x");
	buf_str(&write, " DELETE FROM t USING x");
	assert_int_equal(verdicts_get(v, buf_view(&read), NULL), CLASSIFY_READ);
	assert_int_equal(verdicts_get(v, buf_view(&write), NULL), CLASSIFY_CHANGES);
	buf_fini(&read);
	buf_fini(&write);
	verdicts_free(v);
}

#define KEPT_TEXTS 1000

static double
ask_for_kept(const void *arg, size_t n)
{
	static const char sql[] =
	    "SELECT u.id, u.name, o.id, f(o.total) FROM users u JOIN orders o ON "
	    "o.user_id = u.id WHERE u.region = $1 AND o.created_at > now() - "
	    "interval '7 days' ORDER BY o.created_at DESC LIMIT 50 OFFSET %zu";
	static char texts[KEPT_TEXTS][sizeof(sql) + 8];
	static struct verdicts *v;
	double ms;

	if (v == NULL) {
		v = verdicts_new();
		for (size_t i = 0; i < KEPT_TEXTS; i++) {
			snprintf(texts[i], sizeof(texts[i]), sql, i);
			assert_int_equal(verdicts_get(v, slice_str(texts[i]), arg), CLASSIFY_READ);
		}
	}
	ms = cost_ms();
	for (size_t i = 0; i < n; i++)
		(void)verdicts_get(v, slice_str(texts[i % KEPT_TEXTS]), arg);
	ms = cost_ms() - ms;
	if (n == 0) {
		verdicts_free(v);
		v = NULL;
	}
	return ms;
}

/* A look at a thousand texts, in turn. */
static void
a_verdict_that_is_kept_costs_less_than_a_microsecond(void **state)
{
	struct classify_catalog *names = classify_catalog_new();
	struct catalog catalog = { .serial = 1, .names = names };
	size_t n = 200000;
	double ms;

	(void)state;
	classify_catalog_add(names, slice_str("ff"));
	classify_catalog_finish(names);
	ms = cost_least(ask_for_kept, &catalog, n);
	print_message("a verdict that is kept: %.0f ns\n", ms * 1e6 / (double)n);
#ifndef COST_DISTORTED
	assert_true(ms * 1e3 / (double)n < 1.0);
#endif
	(void)ask_for_kept(&catalog, 0);
	classify_catalog_free(names);
}

/* A look at so many texts that are all new; `arg`: verdicts, or NULL: each of them is parsed. */
static double
ask_for_new(const void *arg, size_t n)
{
	static size_t number;
	struct verdicts *v = *(struct verdicts *const *)arg;
	struct buf sql = { 0 };
	struct classify c;
	double ms = cost_ms();

	for (size_t i = 0; i < n; i++) {
		buf_clear(&sql);
		buf_printf(&sql,
			   "SELECT u.id, o.total FROM users u JOIN orders o ON o.user_id = u.id "
			   "WHERE u.id = %zu AND o.state = 'open' LIMIT 50",
			   number++);
		if (v != NULL)
			assert_int_equal(verdicts_get(v, buf_view(&sql), NULL), CLASSIFY_READ);
		else
			classify(buf_view(&sql), NULL, &c);
	}
	ms = cost_ms() - ms;
	buf_fini(&sql);
	return ms;
}

static void
another_constant_costs_a_fraction_of_parsing(void **state)
{
	struct verdicts *v = verdicts_new(), *none = NULL;
	size_t n = 1000, many = 20000;
	double parsed, known;

	(void)state;
	parsed = cost_least(ask_for_new, &none, n) * 1e6 / (double)n;
	known = cost_least(ask_for_new, &v, many) * 1e6 / (double)many;
	print_message("a text with other constants: %.0f ns, parsed: %.0f ns\n", known, parsed);
	assert_true(known * 10 < parsed);
	verdicts_free(v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_end_with_a_query_or_a_sync),
		cmocka_unit_test(one_statement_is_told_from_more),
		cmocka_unit_test(each_message_that_is_answered_by_ready_ends_a_unit),
		cmocka_unit_test(each_execution_has_its_text),
		cmocka_unit_test(a_length_that_is_none_goes_home),
		cmocka_unit_test(verdicts_are_kept_and_corrected_in_bounded_memory),
		cmocka_unit_test(verdicts_go_with_what_the_catalog_says),
		cmocka_unit_test(constants_make_no_other_verdict),
		cmocka_unit_test(what_is_not_understood_says_nothing_of_others),
		cmocka_unit_test(what_is_cut_is_judged_by_itself),
		cmocka_unit_test(what_is_known_of_a_fingerprint_is_told),
		cmocka_unit_test(another_constant_costs_a_fraction_of_parsing),
		cmocka_unit_test(a_verdict_that_is_kept_costs_less_than_a_microsecond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
