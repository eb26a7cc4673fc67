/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/prepared.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "protocol/exchange_list.h"
#include "protocol/message.h"
#include "proxy/sqlstate/statements.h"
#include "tests/unit/says.h"

#include "tests/unit/unit.h"

#define TEXTS_MAX 3

struct fixture {
	struct prepared_names *names;
	struct prepared_notes texts, keys;
};

static void
begin(struct fixture *f)
{
	f->names = prepared_names_init(xmalloc(sizeof(struct prepared_names)), 7);
	prepared_notes_init(&f->texts, f->names, PREPARED_TEXTS, TEXTS_MAX);
	prepared_notes_init(&f->keys, f->names, PREPARED_KEYS, 100);
}

/* Nothing is left over, whatever was noted. */
static void
end(struct fixture *f)
{
	prepared_notes_fini(&f->texts);
	prepared_notes_fini(&f->keys);
	assert_null(f->names->by_name);
	prepared_names_fini(f->names);
	free(f->names);
}

static void
note(struct fixture *f, const char *name, const char *text, uint64_t key)
{
	prepared_note_text(&f->texts, slice_str(name), slice_str(text));
	prepared_note_key(&f->keys, slice_str(name), key);
}

static bool
text_is(const struct fixture *f, const char *name, const char *text)
{
	struct slice found;

	return prepared_text(&f->texts, slice_str(name), &found) && slice_is(found, text);
}

static bool
has_text(const struct fixture *f, const char *name)
{
	struct slice found;

	return prepared_text(&f->texts, slice_str(name), &found);
}

static uint64_t
key_of(const struct fixture *f, const char *name)
{
	return prepared_key(&f->keys, slice_str(name));
}

/* Both hear one message, of which the last `less` bytes are not there yet. */
static void
hear(struct fixture *f, const struct buf *b, size_t less)
{
	struct slice body = slice_of(b->p + FRAME_HEAD_BYTES, b->n - FRAME_HEAD_BYTES - less);

	prepared_heard(&f->texts, b->p[0], body);
	prepared_heard(&f->keys, b->p[0], body);
}

/* ---- notes ---- */

static void
a_name_has_what_each_has_noted_last(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	assert_false(has_text(&f, "s"));
	assert_int_equal(key_of(&f, "s"), 0);
	note(&f, "s", "SET a = 1", 11);
	note(&f, "", "SET b = 2", 22);
	prepared_note_key(&f.keys, SLICE_LITERAL("t"), 33);
	assert_true(text_is(&f, "s", "SET a = 1"));
	assert_true(text_is(&f, "", "SET b = 2"));
	assert_false(has_text(&f, "t"));
	assert_int_equal(key_of(&f, "s"), 11);
	assert_int_equal(key_of(&f, ""), 22);
	assert_int_equal(key_of(&f, "t"), 33);
	note(&f, "s", "SET c = 3", 44);
	assert_true(text_is(&f, "s", "SET c = 3"));
	assert_int_equal(key_of(&f, "s"), 44);
	prepared_note_key(&f.keys, slice_of(NULL, 0), 55); /* no name is no name */
	assert_int_equal(key_of(&f, ""), 55);
	assert_int_equal(f.texts.n, 2);
	assert_int_equal(HASH_COUNT(f.names->by_name), 3);
	end(&f);
}

/* What is beyond 63 bytes does not count: so it is in the server. */
static void
a_name_is_as_long_as_the_server_has_it(void **state)
{
	char name[101], same[81];
	struct fixture f;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	memset(same, 'n', sizeof(same) - 1);
	name[100] = same[80] = '\0';
	begin(&f);
	note(&f, name, "SET a = 1", 1);
	same[62] = 'x';
	assert_false(has_text(&f, same));
	same[62] = 'n';
	same[63] = 'x';
	assert_true(text_is(&f, same, "SET a = 1"));
	assert_int_equal(key_of(&f, same), 1);
	end(&f);
}

static void
the_oldest_note_gives_way(void **state)
{
	struct fixture f;
	char name[8];

	(void)state;
	begin(&f);
	note(&f, "a", "SET a = 1", 1);
	note(&f, "b", "SET b = 1", 2);
	note(&f, "c", "SET c = 1", 3);
	note(&f, "a", "SET a = 2", 4); /* it is the newest now */
	note(&f, "d", "SET d = 1", 5);
	assert_false(has_text(&f, "b"));
	assert_true(text_is(&f, "a", "SET a = 2"));
	assert_true(text_is(&f, "c", "SET c = 1"));
	assert_true(text_is(&f, "d", "SET d = 1"));
	assert_int_equal(key_of(&f, "b"), 2); /* the other kind has room */
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		note(&f, name, "SET n = 1", 1000 + i);
		assert_in_range(f.texts.n, 1, TEXTS_MAX);
		assert_in_range(HASH_COUNT(f.names->by_name), 1, 100);
	}
	assert_int_equal(key_of(&f, "n899"), 0);
	assert_int_equal(key_of(&f, "n900"), 1900);
	assert_int_equal(key_of(&f, "n999"), 1999);
	end(&f);
}

/* ---- what takes them away ---- */

static void
a_message_takes_away_what_its_name_stood_for(void **state)
{
	static const struct {
		char type;
		const char *name; /* of a Query: its text */
		bool s, none;     /* what is there behind it, of "s" and of "" */
	} v[] = {
		{ MSG_PARSE, "s", false, true },   { MSG_PARSE, "", true, false },
		{ MSG_PARSE, "so", true, true },   { MSG_CLOSE, "s", false, true },
		{ MSG_CLOSE, "", true, false },    { MSG_CLOSE, "so", true, true },
		{ MSG_QUERY, "", true, false },    { MSG_QUERY, "s", true, false },
		{ MSG_DESCRIBE, "s", true, true }, { MSG_BIND, "s", true, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct buf b = { 0 };
		struct fixture f;

		begin(&f);
		note(&f, "s", "SET a = 1", 1);
		note(&f, "", "SET b = 1", 2);
		if (v[i].type == MSG_PARSE)
			say_parse(&b, v[i].name, "SELECT 1", 0);
		else if (v[i].type == MSG_CLOSE)
			message_put_close_statement(&b, slice_str(v[i].name));
		else if (v[i].type == MSG_QUERY)
			message_put_query(&b, slice_str(v[i].name));
		else
			say_target(&b, v[i].type, 'S', v[i].name);
		hear(&f, &b, 0);
		assert_int_equal(has_text(&f, "s"), v[i].s);
		assert_int_equal(key_of(&f, "s"), v[i].s ? 1 : 0);
		assert_int_equal(has_text(&f, ""), v[i].none);
		assert_int_equal(key_of(&f, ""), v[i].none ? 2 : 0);
		buf_fini(&b);
		end(&f);
	}
}

/* A long one is heard by its beginning; a portal is no statement; nothing is nothing. */
static void
the_beginning_of_a_message_is_enough(void **state)
{
	struct buf parse = { 0 }, portal = { 0 };
	struct fixture f;

	(void)state;
	say_parse(&parse, "s", "SELECT 1", 0);
	say_target(&portal, MSG_CLOSE, 'P', "t");
	begin(&f);
	note(&f, "s", "SET a = 1", 1);
	note(&f, "t", "SET a = 1", 1);
	hear(&f, &portal, 0);
	hear(&f, &portal, portal.n - FRAME_HEAD_BYTES);
	assert_true(has_text(&f, "t"));
	hear(&f, &parse, sizeof("SELECT 1") + 2);
	assert_false(has_text(&f, "s"));
	assert_true(has_text(&f, "t"));
	buf_fini(&parse);
	buf_fini(&portal);
	end(&f);
}

static void
sql_takes_names_away(void **state)
{
	static const struct {
		const char *sql;
		bool s, t;
	} v[] = {
		{ "DEALLOCATE s", false, true },
		{ "deallocate PREPARE S;", false, true },
		{ "DEALLOCATE \"S\"", true, true },
		{ "/* all */ DEALLOCATE ALL", false, false },
		{ "DISCARD ALL", false, false },
		{ "DISCARD PLANS", true, true },
		{ "SELECT 1; DISCARD ALL", true, true }, /* not in a block: it fails */
		{ "", true, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct fixture f;

		begin(&f);
		note(&f, "s", "SET a = 1", 1);
		note(&f, "", "SET b = 1", 2);
		note(&f, "t", "SET c = 1", 3);
		prepared_ran(&f.texts, slice_str(v[i].sql));
		prepared_ran(&f.keys, slice_str(v[i].sql));
		assert_int_equal(has_text(&f, "s"), v[i].s);
		assert_int_equal(key_of(&f, "s"), v[i].s ? 1 : 0);
		assert_int_equal(has_text(&f, "t"), v[i].t);
		assert_int_equal(key_of(&f, "t"), v[i].t ? 3 : 0);
		/* it is dropped by what comes in its place, not by these */
		assert_true(text_is(&f, "", "SET b = 1"));
		assert_int_equal(key_of(&f, ""), 2);
		end(&f);
	}
}

/* ---- beside a pool's ---- */

/* One table; what one of them forgets the other keeps. */
static void
a_pools_statements_and_notes_share_a_name(void **state)
{
	struct statement_table *t = statement_table_new(10);
	struct server_statements *ss = server_statements_new(t);
	struct exchange_tally tally = { 0 };
	struct buf b = { 0 }, out = { 0 }, answer = { 0 };
	struct exchange x;
	struct statements *c;
	struct slice sql;
	struct fixture f;

	(void)state;
	begin(&f);
	c = statements_new(t, f.names);
	exchange_init(&x, REPLICATION_NONE);
	statements_attach(c, ss, &x);
	note(&f, "s", "SET a = 1", 1);
	assert_int_equal(statements_count(c), 0);
	assert_false(statements_text(c, SLICE_LITERAL("s"), &sql));

	say_parse(&b, "s", "SELECT 1", 0);
	message_put_bare(&b, MSG_SYNC);
	assert_int_equal(statements_client(c, 1, b.p, b.n, &out), STATEMENTS_REWRITTEN);
	(void)exchange_client(&x, out.p, out.n);
	message_put_bare(&answer, MSG_PARSE_COMPLETE);
	message_put_ready(&answer, 'I');
	(void)exchange_filter(&x, answer.p, &answer.n, &tally);
	statements_heard(c);
	assert_int_equal(statements_count(c), 1);
	assert_int_equal(HASH_COUNT(f.names->by_name), 1);
	assert_true(statements_text(c, SLICE_LITERAL("s"), &sql));
	assert_true(slice_is(sql, "SELECT 1"));
	assert_true(text_is(&f, "s", "SET a = 1"));

	prepared_ran(&f.texts, SLICE_LITERAL("DISCARD ALL"));
	prepared_ran(&f.keys, SLICE_LITERAL("DISCARD ALL"));
	assert_false(has_text(&f, "s"));
	assert_int_equal(statements_count(c), 1);
	note(&f, "s", "SET a = 2", 2);
	statements_free(c);
	assert_true(text_is(&f, "s", "SET a = 2"));
	assert_int_equal(key_of(&f, "s"), 2);
	server_statements_free(ss);
	statement_table_free(t);
	exchange_fini(&x);
	buf_fini(&b);
	buf_fini(&out);
	buf_fini(&answer);
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_has_what_each_has_noted_last),
		cmocka_unit_test(a_name_is_as_long_as_the_server_has_it),
		cmocka_unit_test(the_oldest_note_gives_way),
		cmocka_unit_test(a_message_takes_away_what_its_name_stood_for),
		cmocka_unit_test(the_beginning_of_a_message_is_enough),
		cmocka_unit_test(sql_takes_names_away),
		cmocka_unit_test(a_pools_statements_and_notes_share_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
