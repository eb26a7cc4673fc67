/* SPDX-License-Identifier: PostgreSQL
 *
 * What the messages of one read may cost in a pool: as much as they are, however much the session
 * has prepared and awaits. Each is measured with little of that and with much.
 */
#include "config.h"

#include "proxy/sqlstate/statements.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "protocol/exchange_list.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "proxy/sqlstate/prepared.h"
#include "tests/unit/cost.h"
#include "tests/unit/says.h"

#include "tests/unit/unit.h"

#define READ_BYTES 131072 /* WORKER_SCRATCH */

struct fixture {
	struct statement_table *table;
	struct server_statements *ss;
	struct prepared_names *names;
	struct statements *c;
	struct exchange exchange;
	struct buf said; /* by the client, and not yet given to us */
	struct buf heard;
};

static void
begin(struct fixture *f, unsigned max)
{
	*f = (struct fixture){ 0 };
	f->table = statement_table_new(max);
	f->ss = server_statements_new(f->table);
	f->names = prepared_names_init(xmalloc(sizeof(struct prepared_names)), 1);
	f->c = statements_new(f->table, f->names);
	exchange_init(&f->exchange, REPLICATION_NONE);
	statements_attach(f->c, f->ss, &f->exchange);
}

static void
end(struct fixture *f)
{
	statements_free(f->c);
	prepared_names_fini(f->names);
	free(f->names);
	server_statements_free(f->ss);
	statement_table_free(f->table);
	buf_fini(&f->said);
	buf_fini(&f->heard);
}

/* ---- messages ---- */

static void
put_sync(struct fixture *f)
{
	message_put_bare(&f->said, MSG_SYNC);
}

/* What was put, read by read. */
static void
client(struct fixture *f)
{
	struct slice left = buf_view(&f->said);
	struct buf out = { .n = 0 };

	while (left.n > 0 || statements_goes_on(f->c)) {
		struct slice some = slice_of(left.p, left.n < READ_BYTES ? left.n : READ_BYTES);
		enum statements_verdict v = statements_client(f->c, 1, some.p, some.n, &out);

		assert_int_not_equal(v, STATEMENTS_BAD);
		if (v == STATEMENTS_AS_IS)
			buf_slice(&out, some);
		(void)exchange_client(&f->exchange, out.p, out.n);
		buf_clear(&out);
		left = slice_skip(left, some.n);
	}
	buf_fini(&out);
	buf_clear(&f->said);
}

static void
hear(struct fixture *f, char type, const char *body, size_t n)
{
	size_t at = buf_message(&f->heard, type);

	buf_put(&f->heard, body, n);
	buf_message_end(&f->heard, at);
}

static void
hear_tag(struct fixture *f, const char *tag)
{
	hear(f, MSG_COMMAND_COMPLETE, tag, strlen(tag) + 1);
}

static void
server(struct fixture *f)
{
	struct exchange_tally tally = { 0 };
	size_t n = f->heard.n;

	(void)exchange_filter(&f->exchange, f->heard.p, &n, &tally);
	statements_heard(f->c);
	buf_clear(&f->heard);
}

/* n statements under names of their own, which the server has. */
static void
prepare(struct fixture *f, size_t n)
{
	char name[32], sql[48];

	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "n%zu", i);
		snprintf(sql, sizeof(sql), "SELECT %zu", i);
		say_parse(&f->said, name, sql, 0);
		hear(f, MSG_PARSE_COMPLETE, NULL, 0);
		if (i % 1000 == 999 || i + 1 == n) {
			put_sync(f);
			client(f);
			hear(f, MSG_READY, "I", 1);
			server(f);
		}
	}
	assert_true(statements_settled(f->c));
	assert_int_equal(statements_count(f->c), n);
}

/* ---- measuring ---- */

struct cost {
	const char *name; /* what holds */
	const char *what;
	unsigned max; /* statements of a server */
	size_t few, many;
	double times; /* so many times as much is asked for with many */
	void (*before)(struct fixture *f, size_t n);
	void (*run)(struct fixture *f, size_t n);
};

static double
cost_once(const void *arg, size_t n)
{
	const struct cost *k = arg;
	struct fixture f;
	double ms;

	begin(&f, k->max);
	k->before(&f, n);
	ms = cost_ms();
	k->run(&f, n);
	ms = cost_ms() - ms;
	end(&f);
	return ms;
}

static void
check(void **state)
{
	const struct cost *k = *state;
	double few = cost_least(cost_once, k, k->few);
	double many = cost_least(cost_once, k, k->many);

	print_message("# %s: %.1f ms with %zu, %.1f ms with %zu\n", k->what, few, k->few, many,
		      k->many);
	assert_cost(many, k->times, few);
}

/* ---- the costs ---- */

static void
fail_often(struct fixture *f, size_t n)
{
	(void)n;
	for (int i = 0; i < 500; i++)
		statements_error(f->c, i % 2 == 0 ? "0A000" : "XX000");
}

static void
prepare_text(struct fixture *f, struct buf *take_sql)
{
	say_parse(&f->said, "set", buf_text(take_sql), 0);
	put_sync(f);
	client(f);
	hear(f, MSG_PARSE_COMPLETE, NULL, 0);
	hear(f, MSG_READY, "I", 1);
	server(f);
	buf_fini(take_sql);
}

static void
prepare_set(struct fixture *f, size_t n)
{
	struct buf sql = { 0 };

	buf_str(&sql, "SET a.b TO 1 /*");
	while (sql.n < n)
		buf_str(&sql, " and so on");
	buf_str(&sql, "*/");
	prepare_text(f, &sql);
}

static void
run_often(struct fixture *f, size_t n)
{
	struct buf names = { 0 };

	(void)n;
	for (int i = 0; i < 2000; i++) {
		say_bind(&f->said, "", "set", NULL, 0);
		say_execute(&f->said, "");
	}
	put_sync(f);
	client(f);
	assert_true(statements_effects(f->c, &names) & EFFECT_SETTINGS);
	assert_string_equal(buf_text(&names), "a.b");
	buf_fini(&names);
}

static void
prepare_set_of_many(struct fixture *f, size_t n)
{
	struct buf sql = { 0 };

	buf_str(&sql, "SELECT 1");
	for (size_t i = 0; i < n; i++)
		buf_printf(&sql, ", set_config('a.%zu','',$1)", i);
	prepare_text(f, &sql);
}

static void
run_set_of_many(struct fixture *f, size_t n)
{
	struct buf names = { 0 };

	(void)n;
	for (int i = 0; i < 2000; i++)
		say_bind(&f->said, "", "set", NULL, 0);
	put_sync(f);
	client(f);
	(void)statements_effects(f->c, &names);
	assert_false(names.failed);
	buf_fini(&names);
}

static void
nothing(struct fixture *f, size_t n)
{
	(void)f;
	(void)n;
}

static void
parse_many(struct fixture *f, size_t n)
{
	char name[32], sql[48];

	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "n%zu", i);
		snprintf(sql, sizeof(sql), "SELECT %zu", i);
		say_parse(&f->said, name, sql, 0);
	}
	client(f);
}

/* A DEALLOCATE ALL that runs again and again, and so much behind it. */
static void
deallocate_often(struct fixture *f, size_t n)
{
	say_parse(&f->said, "", "DEALLOCATE ALL", 0);
	say_bind(&f->said, "", "", NULL, 0);
	for (int i = 0; i < 3000; i++)
		say_execute(&f->said, "");
	parse_many(f, n);
	for (size_t i = 0; i < n; i++)
		say_target(&f->said, MSG_CLOSE, 'S', "");
	put_sync(f);
	client(f);
}

static void
hear_deallocated(struct fixture *f, size_t n)
{
	(void)n;
	hear(f, MSG_PARSE_COMPLETE, NULL, 0);
	hear(f, MSG_BIND_COMPLETE, NULL, 0);
	for (int i = 0; i < 3000; i++)
		hear_tag(f, "DEALLOCATE ALL");
	server(f);
}

/* A name, and all is gone, in one sequence. */
static void
forget_often(struct fixture *f, size_t n)
{
	(void)n;
	for (int i = 0; i < 1000; i++) {
		say_parse(&f->said, "again", "SELECT 1", 0);
		say_parse(&f->said, "", "DEALLOCATE ALL", 0);
		say_bind(&f->said, "", "", NULL, 0);
		say_execute(&f->said, "");
	}
	client(f);
}

/* Much is awaited of a server that says what it likes. */
static void
await_much(struct fixture *f, size_t n)
{
	say_parse(&f->said, "a", "SELECT 1", 0);
	for (size_t i = 0; i < n; i++)
		say_execute(&f->said, "");
	client(f);
	hear(f, MSG_PARSE_COMPLETE, NULL, 0);
	server(f);
}

static void
hear_nonsense(struct fixture *f, size_t n)
{
	(void)n;
	for (int i = 0; i < 10000; i++) {
		hear(f, MSG_PARSE_COMPLETE, NULL, 0);
		hear(f, MSG_CLOSE_COMPLETE, NULL, 0);
	}
	server(f);
}

static void
await_copies(struct fixture *f, size_t n)
{
	say_parse(&f->said, "a", "SELECT 1", 0);
	say_execute(&f->said, "");
	for (size_t i = 0; i < n; i++)
		message_put_bare(&f->said, MSG_COPY_DONE);
	client(f);
	hear(f, MSG_PARSE_COMPLETE, NULL, 0);
	server(f);
}

static void
hear_copies(struct fixture *f, size_t n)
{
	(void)n;
	for (int i = 0; i < 40000; i++)
		hear(f, 'G', "\0\0", 3);
	server(f);
}

static struct cost costs[] = {
	{ "an_error_does_not_look_at_all_names_again", "500 errors, names", 100000, 1000, 30000, 1,
	  prepare, fail_often },
	{ "a_text_is_not_read_again_when_it_runs", "2000 runs of SET, bytes", 200, 100, 60000, 1,
	  prepare_set, run_often },
	{ "its_names_are_not_gathered_again", "2000 runs of set_config(), names", 200, 5, 500, 1,
	  prepare_set_of_many, run_set_of_many },
	{ "what_is_under_way_is_not_looked_at_for_room", "Parses under way", 100, 2000, 30000, 15,
	  nothing, parse_many },
	{ "what_is_gone_is_not_looked_for", "3000 times all is gone, with so much to come", 100000,
	  500, 25000, 1, deallocate_often, hear_deallocated },
	{ "what_is_to_be_gone_is_not_looked_at_again", "1000 times all is to be gone, names",
	  100000, 500, 30000, 1, prepare, forget_often },
	{ "nonsense_of_a_server_is_passed_over", "20,000 replies to nothing, awaited", 200, 100,
	  60000, 1, await_much, hear_nonsense },
	{ "copies_of_a_server_move_nothing", "40,000 CopyInResponses, CopyDones", 200, 100, 60000,
	  1, await_copies, hear_copies },
};

#define COSTS (sizeof(costs) / sizeof(costs[0]))

int
main(void)
{
	struct CMUnitTest tests[COSTS];

	for (size_t i = 0; i < COSTS; i++)
		tests[i] = (struct CMUnitTest){ .name = costs[i].name,
						.test_func = check,
						.initial_state = &costs[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
