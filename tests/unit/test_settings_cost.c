/* SPDX-License-Identifier: PostgreSQL
 *
 * What a session of a transaction pool costs its worker that has all the settings that are known of
 * one: behind each DO or RESET they are asked for and read, and another server connection is told
 * all of them. That is time of all other sessions of the worker, so it is bounded, by what a
 * checksum of 32 kB costs; so is a SET of one more.
 */
#include "config.h"

#include "proxy/sqlstate/session_probe.h"

#include <stdio.h>

#include "protocol/crc32c.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "proxy/sqlstate/vars.h"
#include "tests/unit/cost.h"

#include "tests/unit/unit.h"

#define ROUNDS        100 /* so that the slack is little beside them */
#define MEASURE_BYTES ((size_t)32 * 1024)
#define VALUE_BYTES   16000

/* What the values of a session are made of, and how much of it there is in each. */
struct shape {
	const char *name, *again, *escaped; /* as encode(…, 'escape') writes it */
	size_t value_bytes;
};

struct world {
	struct vars_table *t;
	struct vars *none, *full;
	struct buf answer;
	struct session_question q;
};

static void
put_again(struct buf *b, const char *again, size_t times)
{
	for (size_t i = 0; i < times; i++)
		buf_str(b, again);
}

static void
put_row(struct world *w, const char *name, const struct shape *k, size_t bytes)
{
	struct buf value = { 0 };
	size_t at = message_row_begin(&w->answer, 3);

	put_again(&value, k->escaped, bytes / strlen(k->again));
	message_row_value(&w->answer, SLICE_LITERAL("n"));
	message_row_value(&w->answer, slice_str(name));
	message_row_value(&w->answer, buf_view(&value));
	buf_message_end(&w->answer, at);
	buf_fini(&value);
}

/* As many as there may be, or a part of that: fewer, or shorter ones where they are few. */
static void
begin(struct world *w, const struct shape *k, size_t parts)
{
	struct session_findings out;
	char name[32];
	size_t n = VARS_SET_BYTES / (sizeof("app.setting_00000") + 1 + k->value_bytes);
	bool are_few = n < VARS_SET_MAX;

	n = are_few ? n : VARS_SET_MAX / parts;
	*w = (struct world){ .t = vars_table_new() };
	w->none = vars_empty(w->t);
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "app.setting_%05zu", i);
		put_row(w, name, k, are_few ? k->value_bytes / parts : k->value_bytes);
	}
	message_put_ready(&w->answer, 'I');
	w->q = (struct session_question){ .effects = EFFECT_CODE,
					  .session = w->none,
					  .startup = w->none,
					  .server = w->none,
					  .user = SLICE_LITERAL("app") };
	assert_int_equal(session_probe_read(buf_view(&w->answer), &w->q, &out), 0);
	assert_int_equal(out.pins, 0);
	w->full = vars_ref(out.session);
	assert_int_equal(vars_count(w->full), n);
	w->q.session = w->q.server = w->full;
	session_probe_fini(&out);
}

static void
end(struct world *w)
{
	vars_unref(w->full);
	vars_unref(w->none);
	buf_fini(&w->answer);
	vars_table_free(w->t);
}

static void
ask_and_replay(struct world *w)
{
	struct buf sql = { 0 };
	struct session_findings out;

	session_probe_put_query(&sql, &w->q);
	assert_false(sql.failed);
	assert_int_equal(session_probe_read(buf_view(&w->answer), &w->q, &out), 0);
	assert_ptr_equal(out.session, w->full);
	assert_ptr_equal(out.server, w->full);
	session_probe_fini(&out);
	buf_clear(&sql);
	vars_put_change(&sql, w->none, w->full, VARS_ERROR);
	assert_false(sql.failed);
	buf_fini(&sql);
}

static void
set_another(struct world *w)
{
	struct session_question q = w->q;
	struct buf answer = { 0 };
	struct session_findings out;
	size_t at = message_row_begin(&answer, 3);

	q.effects = EFFECT_SETTINGS;
	message_row_value(&answer, SLICE_LITERAL("n"));
	message_row_value(&answer, SLICE_LITERAL("app.setting_00000"));
	message_row_value(&answer, SLICE_LITERAL("another"));
	buf_message_end(&answer, at);
	message_put_ready(&answer, 'I');
	assert_int_equal(session_probe_read(buf_view(&answer), &q, &out), 0);
	assert_ptr_not_equal(out.session, w->full);
	session_probe_fini(&out);
	buf_fini(&answer);
}

static double
time_rounds(const struct shape *k, size_t parts, void (*fn)(struct world *w))
{
	struct world w;
	double ms;

	begin(&w, k, parts);
	ms = cost_ms();
	for (int i = 0; i < ROUNDS; i++)
		fn(&w);
	ms = cost_ms() - ms;
	end(&w);
	return ms;
}

static double
ask_once(const void *arg, size_t parts)
{
	return time_rounds(arg, parts, ask_and_replay);
}

static double
set_once(const void *arg, size_t parts)
{
	return time_rounds(arg, parts, set_another);
}

#ifndef COST_DISTORTED
static double
checksum_once(const void *arg, size_t rounds)
{
	struct buf b = { 0 };
	double ms;

	(void)arg;
	put_again(&b, "x", MEASURE_BYTES);
	ms = cost_ms();
	for (size_t i = 0; i < rounds; i++)
		assert_int_not_equal(crc32c(0, b.p, b.n), 0);
	ms = cost_ms() - ms;
	buf_fini(&b);
	return ms;
}
#endif

/* Where looks at bytes are dearer than sums of them an eighth of them is the measure. */
static double
measure(double (*fn)(const void *arg, size_t n), const struct shape *k)
{
#ifdef COST_DISTORTED
	return 8 * cost_least(fn, k, 8);
#else
	(void)fn;
	(void)k;
	return cost_least(checksum_once, NULL, ROUNDS);
#endif
}

static void
a_session_full_of_settings_costs_little(void **state)
{
	const struct shape *k = *state;

	/* to look at bytes costs 4 to 6 sums of them, by what the processor is busy with besides */
	print_message("# %d times %s\n", ROUNDS, k->name);
	assert_cost(cost_least(ask_once, k, 1), 2, measure(ask_once, k));
	assert_cost(cost_least(set_once, k, 1), 1, measure(set_once, k));
}

static const struct shape shapes[] = {
	{ "many_settings", "v", "v", 8 },
	{ "long_values", "v", "v", VALUE_BYTES },
	{ "values_of_quotes", "'", "'", VALUE_BYTES },
	{ "values_of_backslashes", "\\", "\\\\", VALUE_BYTES },
	{ "values_beyond_ascii", "\xc3\xa9", "\\303\\251", VALUE_BYTES },
};

#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

int
main(void)
{
	struct CMUnitTest tests[SHAPES];

	for (size_t i = 0; i < SHAPES; i++)
		tests[i] =
		    (struct CMUnitTest){ .name = shapes[i].name,
					 .test_func = a_session_full_of_settings_costs_little,
					 .initial_state = (void *)(uintptr_t)&shapes[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
