/* SPDX-License-Identifier: PostgreSQL
 *
 * What goes to a server in the place of what a client says, said as text: "P meridian_1 S1" …, and
 * what comes back. The long runs against a model of PostgreSQL are statements_play.c's.
 */
#include "config.h"

#include "proxy/sqlstate/statements.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "protocol/exchange_list.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "proxy/sqlstate/prepared.h"
#include "proxy/sqlstate/statements_texts.h"
#include "tests/unit/statements_play.h"

#include "tests/unit/unit.h"

#define SEEDS 1000

struct fixture {
	struct statement_table *table;
	struct server_statements *ss, *other;
	struct prepared_names *names;
	struct statements *c;
	struct exchange exchange;
	struct buf in, out, seen;
	uint64_t meaning;
};

static struct fixture *
begin(unsigned max)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->table = statement_table_new(max);
	f->ss = server_statements_new(f->table);
	f->other = server_statements_new(f->table);
	f->names = prepared_names_init(xmalloc(sizeof(struct prepared_names)), 1);
	f->c = statements_new(f->table, f->names);
	f->meaning = 1;
	exchange_init(&f->exchange, REPLICATION_NONE);
	statements_attach(f->c, f->ss, &f->exchange);
	return f;
}

static void
end(struct fixture *f)
{
	statements_free(f->c);
	prepared_names_fini(f->names);
	free(f->names);
	server_statements_free(f->ss);
	server_statements_free(f->other);
	assert_int_equal(statement_table_count(f->table), 0);
	statement_table_free(f->table);
	buf_fini(&f->in);
	buf_fini(&f->out);
	buf_fini(&f->seen);
	free(f);
}

/* "P a S1|B a|E|S": messages by type; strings behind it, separated by blanks ("-": empty). */
static void
write_messages(struct buf *b, const char *text)
{
	struct slice rest = slice_str(text);

	while (rest.n > 0) {
		struct slice one = slice_cut(&rest, '|'), type = slice_cut(&one, ' '), word;
		size_t at = buf_message(b, type.p[0]);

		while (one.n > 0) {
			word = slice_cut(&one, ' ');
			if (type.p[0] == 'C' || type.p[0] == 'D')
				buf_u8(b, (uint8_t)'S');
			if (type.p[0] == 'B')
				buf_u8(b, 0);
			if (!slice_is(word, "-"))
				buf_slice(b, word);
			buf_u8(b, 0);
		}
		if (type.p[0] == 'E')
			buf_put(b, "\0\0\0\0", 5);
		if (type.p[0] == 'P')
			buf_u16(b, 0);
		if (type.p[0] == 'B')
			buf_put(b, "\0\0\0\0\0", 6);
		buf_message_end(b, at);
	}
}

static void
read_messages(struct buf *to, struct slice in)
{
	struct frame m;

	while (frame_cut(in, (size_t)1 << 30, &m) == PARSE_DONE) {
		const char *name = m.body.p, *second = NULL;

		if (to->n > 0)
			buf_u8(to, '|');
		buf_u8(to, (uint8_t)m.type);
		if (m.type == 'P')
			second = name + strlen(name) + 1;
		if (m.type == 'B' || m.type == 'C' || m.type == 'D')
			name++;
		if (strchr("PBCDQ", m.type) != NULL)
			buf_printf(to, " %s", name[0] != '\0' ? name : "-");
		if (second != NULL)
			buf_printf(to, " %s", second);
		in = slice_skip(in, m.total);
	}
	assert_int_equal(in.n, 0);
}

static void
say(struct fixture *f, struct slice bytes)
{
	struct buf out = { .n = 0 };
	enum statements_verdict v = statements_client(f->c, f->meaning, bytes.p, bytes.n, &out);

	assert_int_not_equal(v, STATEMENTS_BAD);
	if (v == STATEMENTS_AS_IS)
		buf_slice(&out, bytes);
	if (out.n > 0)
		(void)exchange_client(&f->exchange, out.p, out.n);
	buf_slice(&f->out, buf_view(&out));
	buf_fini(&out);
}

/* What the client says, in pieces of `step` bytes (0: whole), and what the server must read. */
static void
client(struct fixture *f, size_t step, const char *says, const char *server)
{
	struct slice left;

	buf_clear(&f->in);
	buf_clear(&f->out);
	buf_clear(&f->seen);
	write_messages(&f->in, says);
	left = buf_view(&f->in);
	while (left.n > 0) {
		size_t n = step == 0 || step > left.n ? left.n : step;

		say(f, slice_of(left.p, n));
		left = slice_skip(left, n);
	}
	read_messages(&f->seen, buf_view(&f->out));
	assert_string_equal(buf_text(&f->seen), server);
}

/* What the server says: message types; and those that the client must read. */
static void
server(struct fixture *f, const char *says, const char *reads)
{
	struct exchange_tally tally = { 0 };
	char bytes[512];
	size_t n = 0, held;

	held = exchange_put_held(&f->exchange, bytes);
	for (n = held; *says != '\0'; says++) {
		bytes[n] = *says;
		put_u32(bytes + n + 1, *says == 'Z' ? 5 : 4);
		n += 5;
		if (*says == 'Z')
			bytes[n++] = 'I';
	}
	(void)exchange_filter(&f->exchange, bytes, &n, &tally);
	statements_heard(f->c);
	for (size_t i = 0; i < n; i += 1 + get_u32(bytes + i + 1))
		assert_int_equal(bytes[i], *reads++);
	assert_int_equal(*reads, '\0');
}

static void
names_are_ours_on_the_server(void **state)
{
	(void)state;
	for (size_t step = 0; step < 40; step++) {
		struct fixture *f = begin(200);

		client(f, step, "P a S1|S", "P meridian_1 S1|S");
		server(f, "1Z", "1Z");
		client(f, step, "B a|E|S", "B meridian_1|E|S");
		server(f, "2CZ", "2CZ");
		assert_true(statements_settled(f->c));
		statements_detach(f->c);
		statements_attach(f->c, f->other, &f->exchange);
		client(f, step, "B a|E|S", "P meridian_1 S1|B meridian_1|E|S");
		server(f, "12CZ", "2CZ");
		client(f, step, "D a|S", "D meridian_1|S");
		server(f, "tnZ", "tnZ");
		client(f, step, "C a|S", "C meridian_0|S");
		server(f, "3Z", "3Z");
		client(f, step, "B a|S", "B a|S");
		server(f, "EZ", "EZ");
		assert_int_equal(statements_count(f->c), 0);
		assert_int_equal(server_statements_count(f->ss), 1);
		end(f);
	}
}

static void
an_equal_text_is_not_parsed_twice(void **state)
{
	struct fixture *f = begin(200);

	(void)state;
	client(f, 0, "P a S1|S", "P meridian_1 S1|S");
	server(f, "1Z", "1Z");
	client(f, 0, "P b S1|B b|E|S", "C meridian_0|B meridian_1|E|S");
	server(f, "32CZ", "12CZ");
	f->meaning = 2; /* settings that read it otherwise */
	client(f, 0, "P c S1|S", "P meridian_2 S1|S");
	server(f, "1Z", "1Z");
	f->meaning = 0; /* not known */
	client(f, 0, "P d S1|S", "P meridian_3 S1|S");
	server(f, "1Z", "1Z");
	client(f, 0, "P e S1|S", "P meridian_4 S1|S");
	server(f, "1Z", "1Z");
	assert_int_equal(statement_table_count(f->table), 2);
	end(f);
}

/* A statement that has to be prepared anew somewhere is what others prepare now. */
static void
a_text_that_means_something_else_is_shared_again(void **state)
{
	struct fixture *f = begin(200);

	(void)state;
	client(f, 0, "P a S1|S", "P meridian_1 S1|S");
	server(f, "1Z", "1Z");
	f->meaning = 2;
	client(f, 0, "P b S1|S", "P meridian_2 S1|S");
	server(f, "1Z", "1Z");
	client(f, 0, "B a|E|S", "B meridian_1|E|S"); /* what is there is used as it is */
	server(f, "2CZ", "2CZ");
	statements_detach(f->c);
	statements_attach(f->c, f->other, &f->exchange);
	client(f, 0, "B b|E|S", "P meridian_1 S1|B meridian_1|E|S");
	server(f, "12CZ", "2CZ");
	client(f, 0, "B a|E|S", "B meridian_1|E|S");
	server(f, "2CZ", "2CZ");
	assert_int_equal(server_statements_count(f->other), 1);
	end(f);
}

static void
a_shadowed_text_is_one_sessions(void **state)
{
	struct fixture *f = begin(200);

	(void)state;
	client(f, 0, "P a S1|P b S2|S", "P meridian_1 S1|P meridian_2 S2|S");
	server(f, "11Z", "11Z");
	statements_shadow(f->c, true);
	client(f, 0, "P c S1|S", "P meridian_3 S1|S");
	server(f, "1Z", "1Z");
	client(f, 0, "B c|E|S|B a|E|S", "B meridian_3|E|S|P meridian_4 S1|B meridian_4|E|S");
	server(f, "2CZ12CZ", "2CZ2CZ");
	statements_shadow(f->c, true); /* it is known already */
	client(f, 0, "B a|E|B c|E|S", "B meridian_4|E|B meridian_3|E|S");
	server(f, "2C2CZ", "2C2CZ");
	statements_shadow(f->c, false);
	client(f, 0, "P d S1|S", "C meridian_0|S");
	server(f, "3Z", "1Z");
	client(f, 0, "B a|E|B d|E|S", "B meridian_4|E|B meridian_1|E|S");
	server(f, "2C2CZ", "2C2CZ");
	/* another, later: all are prepared anew */
	statements_shadow(f->c, true);
	client(f, 0, "B a|E|S", "P meridian_5 S1|B meridian_5|E|S");
	server(f, "12CZ", "2CZ");
	/* b has not been used since: it is the one that all share */
	statements_shadow(f->c, false);
	client(f, 0, "B b|E|S", "B meridian_2|E|S");
	server(f, "2CZ", "2CZ");
	assert_int_equal(statement_table_count(f->table), 2);
	end(f);
}

static void
a_text_that_shadows_is_noticed_at_once(void **state)
{
	static const char *const makers[] = { "CREATE TEMP TABLE t (a int)", "CALL make()",
					      "DO 'x'", "SELECT 1 INTO pg_temp.t" };

	(void)state;
	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
		struct fixture *f = begin(200);
		size_t at;

		client(f, 0, "P a S1|S", "P meridian_1 S1|S");
		server(f, "1Z", "1Z");
		buf_clear(&f->in);
		buf_clear(&f->out);
		at = buf_message(&f->in, 'Q');
		buf_str(&f->in, makers[i]);
		buf_u8(&f->in, 0);
		buf_message_end(&f->in, at);
		say(f, buf_view(&f->in));
		server(f, "CZ", "CZ");
		client(f, 0, "P b S1|B b|E|S|B a|E|S",
		       "P meridian_2 S1|B meridian_2|E|S|P meridian_3 S1|B meridian_3|E|S");
		server(f, "12CZ12CZ", "12CZ2CZ");
		end(f);
	}
}

static void
the_least_recently_used_goes(void **state)
{
	struct fixture *f = begin(2);

	(void)state;
	client(f, 0, "P a S1|P b S2|S", "P meridian_1 S1|P meridian_2 S2|S");
	server(f, "11Z", "11Z");
	client(f, 0, "B a|E|S", "B meridian_1|E|S");
	server(f, "2CZ", "2CZ");
	client(f, 0, "P c S3|S", "C meridian_2|P meridian_3 S3|S");
	server(f, "31Z", "1Z");
	client(f, 0, "B b|E|S", "C meridian_1|P meridian_4 S2|B meridian_4|E|S");
	server(f, "312CZ", "2CZ");
	assert_int_equal(server_statements_count(f->ss), 2);
	end(f);
}

static void
what_an_error_has_skipped_is_not_there(void **state)
{
	struct fixture *f = begin(200);

	(void)state;
	client(f, 0, "P a S1|P b S2|S", "P meridian_1 S1|P meridian_2 S2|S");
	server(f, "1EZ", "1EZ");
	client(f, 0, "B a|S|B b|S", "B meridian_1|S|B b|S");
	server(f, "2ZEZ", "2ZEZ");
	client(f, 0, "P b S2|S", "P meridian_3 S2|S");
	server(f, "1Z", "1Z");
	end(f);
}

/* Only the server knows whether a Sync that went into a COPY's data was read before the COPY failed
 * or behind it. Where it was behind, nothing is discarded any more: what comes next has its name.
 */
static void
an_answer_that_was_not_awaited_ends_what_is_skipped(void **state)
{
	(void)state;
	for (size_t step = 0; step < 3; step++) {
		struct fixture *f = begin(200);

		client(f, step, "P a S1", "P meridian_1 S1");
		server(f, "E", "E");
		client(f, step, "P b S2", "P b S2");
		server(f, "Z", "Z");
		client(f, step, "P c S3|S", "P meridian_2 S3|S");
		server(f, "1Z", "1Z");
		client(f, step, "B c|E|S", "B meridian_2|E|S");
		server(f, "2CZ", "2CZ");
		assert_int_equal(server_statements_count(f->ss), 1);
		end(f);
	}
}

static void
a_reference_waits_for_what_is_open(void **state)
{
	struct fixture *f = begin(200);
	struct buf out = { .n = 0 };

	(void)state;
	client(f, 0, "P a S1|S|B a|E|S", "P meridian_1 S1|S");
	assert_true(statements_waits(f->c) && statements_holds(f->c));
	assert_false(statements_goes_on(f->c));
	server(f, "1Z", "1Z");
	assert_true(statements_goes_on(f->c));
	assert_int_equal(statements_client(f->c, 1, NULL, 0, &out), STATEMENTS_REWRITTEN);
	buf_clear(&f->seen);
	read_messages(&f->seen, buf_view(&out));
	assert_string_equal(buf_text(&f->seen), "B meridian_1|E|S");
	assert_false(statements_waits(f->c) || statements_holds(f->c));
	buf_fini(&out);
	end(f);
}

static void
the_one_without_a_name_is_the_clients(void **state)
{
	struct fixture *f = begin(200);

	(void)state;
	client(f, 0, "B -|S", "C -|B -|S"); /* whosever is there */
	server(f, "3EZ", "EZ");
	client(f, 0, "P - S1|S", "P - S1|S");
	server(f, "1Z", "1Z");
	client(f, 0, "B -|E|S", "B -|E|S");
	server(f, "2CZ", "2CZ");
	statements_detach(f->c);
	statements_attach(f->c, f->other, &f->exchange);
	client(f, 0, "B -|E|S", "P - S1|B -|E|S");
	server(f, "12CZ", "2CZ");
	end(f);
}

static void
effects_are_those_of_what_runs(void **state)
{
	struct fixture *f = begin(200);
	struct buf names = { .n = 0 };

	(void)state;
	client(f, 0, "P a LISTEN/**/x|S", "P meridian_1 LISTEN/**/x|S");
	server(f, "1Z", "1Z");
	assert_int_equal(statements_effects(f->c, &names), 0);
	client(f, 0, "B a|S", "B meridian_1|S");
	server(f, "2Z", "2Z");
	assert_int_equal(statements_effects(f->c, &names), EFFECT_LISTEN);
	assert_int_equal(statements_effects(f->c, &names), 0);
	client(f, 3, "Q SET/**/work_mem=1", "Q SET/**/work_mem=1");
	server(f, "CZ", "CZ");
	assert_true(statements_effects(f->c, &names) & EFFECT_SETTINGS);
	assert_string_equal(names.p, "work_mem");

	/* of the one without a name also where it is put in front, on another server */
	client(f, 0, "P - LISTEN/**/x|S", "P - LISTEN/**/x|S");
	server(f, "1Z", "1Z");
	assert_int_equal(statements_effects(f->c, &names), EFFECT_LISTEN);
	statements_detach(f->c);
	statements_attach(f->c, f->other, &f->exchange);
	client(f, 0, "B -|E|S", "P - LISTEN/**/x|B -|E|S");
	assert_int_equal(statements_effects(f->c, &names), EFFECT_LISTEN);
	server(f, "12CZ", "2CZ");
	/* … but not of the one that it was */
	statements_detach(f->c);
	statements_attach(f->c, f->ss, &f->exchange);
	client(f, 0, "D -|P - S1|B -|E|S", "P - LISTEN/**/x|D -|P - S1|B -|E|S");
	assert_int_equal(statements_effects(f->c, &names), 0);
	server(f, "1tn12CZ", "tn12CZ");
	buf_fini(&names);
	end(f);
}

static void
without_a_limit_of_any_names_pass_and_pin(void **state)
{
	struct fixture *f = begin(0);

	(void)state;
	client(f, 0, "P - S1|B -|E|S", "P - S1|B -|E|S");
	server(f, "12CZ", "12CZ");
	assert_false(statements_pins(f->c));
	client(f, 0, "P a S1|S", "P a S1|S");
	server(f, "1Z", "1Z");
	assert_true(statements_pins(f->c));
	client(f, 0, "B a|S", "B a|S");
	server(f, "2Z", "2Z");
	end(f);
}

static void
a_long_one_pins_until_it_is_closed(void **state)
{
	struct fixture *f = begin(200);
	struct buf b = { .n = 0 };
	size_t at = buf_message(&b, 'P');

	(void)state;
	buf_cstr(&b, "long");
	for (size_t i = 0; i < STATEMENTS_TEXT_MAX; i++)
		buf_u8(&b, 'x');
	buf_put(&b, "\0\0", 3);
	buf_message_end(&b, at);
	for (size_t i = 0; i < b.n; i += 1000)
		say(f, slice_of(b.p + i, b.n - i < 1000 ? b.n - i : 1000));
	assert_int_equal(f->out.n, b.n + strlen("meridian_1") - strlen("long"));
	buf_clear(&f->out);
	client(f, 0, "S|B long|S", "S");
	server(f, "1Z", "1Z");
	assert_true(statements_pins(f->c));
	say(f, slice_of("", 0));
	server(f, "2Z", "2Z");
	client(f, 0, "C long|S", "C meridian_0|S");
	server(f, "3Z", "3Z");
	assert_false(statements_pins(f->c));
	client(f, 0, "P a S1|S", "C meridian_1|P meridian_2 S1|S"); /* it is of no use there */
	server(f, "31Z", "1Z");
	buf_fini(&b);
	end(f);
}

static void
what_is_not_the_protocol_is_refused(void **state)
{
	struct fixture *f = begin(200);
	struct buf out = { .n = 0 };

	(void)state;
	assert_int_equal(statements_client(f->c, 1, "P\0\0\0\3", 5, &out), STATEMENTS_BAD);
	assert_string_equal(statements_why(f->c), "Invalid message length.");
	buf_fini(&out);
	end(f);
}

static void
a_statement_that_is_lost_is_not_offered_again(void **state)
{
	struct fixture *f = begin(200);

	(void)state;
	client(f, 0, "P a S1|S", "P meridian_1 S1|S");
	server(f, "1Z", "1Z");
	client(f, 0, "B a|S", "B meridian_1|S");
	server(f, "EZ", "EZ");
	statements_error(f->c, "26000");
	client(f, 0, "B a|S", "C meridian_1|P meridian_2 S1|B meridian_2|S");
	server(f, "312Z", "2Z");
	client(f, 0, "B b|S", "B b|S"); /* the client's own mistake */
	server(f, "EZ", "EZ");
	statements_error(f->c, "26000");
	statements_shadow(f->c, false); /* what it was nobody knew, until the server was asked */
	client(f, 0, "B a|S", "B meridian_2|S");
	server(f, "2Z", "2Z");
	end(f);
}

/* A plan that is out of date, and one with a type that was dropped, are not offered to who prepares
 * the text again; any other error says nothing of the text. */
static void
a_text_that_went_wrong_is_prepared_anew(void **state)
{
	static const char *const gone[] = { "0A000", "XX000", "42804", "42846",
					    "42883", "42703", "42P01" };
	struct fixture *f = begin(200);
	char says[32], parse[32];

	(void)state;
	client(f, 0, "P a S1|S", "P meridian_1 S1|S");
	server(f, "1Z", "1Z");
	for (unsigned i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
		client(f, 0, "B a|S", "B meridian_1|S");
		server(f, "EZ", "EZ");
		statements_error(f->c, "42501");
		statements_error(f->c, "22P02");
		(void)snprintf(says, sizeof(says), "P b%u S1|S", i);
		client(f, 0, says, "C meridian_0|S");
		server(f, "3Z", "1Z");
		statements_error(f->c, gone[i]);
		(void)snprintf(says, sizeof(says), "P c%u S1|S", i);
		(void)snprintf(parse, sizeof(parse), "P meridian_%u S1|S", i + 2);
		client(f, 0, says, parse);
		server(f, "1Z", "1Z");
	}
	end(f);
}

/* Of a DEALLOCATE in a failed transaction, with more on its way: it is the Query that is refused,
 * and not the Parse of ours in front of it. */
static void
whose_error_it_was_is_known(void **state)
{
	struct fixture *f = begin(10);

	(void)state;
	client(f, 0, "P a S1|S", "P meridian_1 S1|S");
	server(f, "1Z", "1Z");
	client(f, 0, "Q DEALLOCATE\ta", "P meridian_2 |Q DEALLOCATE meridian_2");
	client(f, 0, "P b S2", "P meridian_3 S2");
	server(f, "1E", "E");
	client(f, 0, "S", "S");
	assert_int_equal(exchange_pending(&f->exchange), 2);
	server(f, "Z1", "Z1");
	assert_int_equal(exchange_pending(&f->exchange), 1);
	server(f, "Z", "Z");
	assert_true(exchange_safe_point(&f->exchange));

	/* here it is the Parse, and the Query is passed over */
	client(f, 0, "Q DEALLOCATE\ta", "P meridian_4 |Q DEALLOCATE meridian_4");
	client(f, 0, "P c S3", "C meridian_2|P meridian_5 S3");
	server(f, "E", "E");
	client(f, 0, "S", "S");
	assert_int_equal(exchange_pending(&f->exchange), 1);
	server(f, "Z", "Z");
	assert_true(exchange_safe_point(&f->exchange));
	end(f);
}

/* Whatever the server may owe: it has begun to say something. */
static void
half_a_header_is_not_lost(void **state)
{
	struct fixture *f = begin(10);
	char bytes[16] = "Z\0\0\0\5I1\0\0";
	struct exchange_tally tally = { 0 };
	size_t n = 9;

	(void)state;
	client(f, 0, "P a S1|S", "P meridian_1 S1|S");
	client(f, 0, "B a|E|S", "");
	assert_true(statements_waits(f->c));
	(void)exchange_filter(&f->exchange, bytes, &n, &tally);
	assert_int_equal(n, 6);
	statements_heard(f->c);
	assert_true(statements_goes_on(f->c));
	say(f, slice_of(NULL, 0));
	assert_int_equal(exchange_put_held(&f->exchange, bytes), 3);
	assert_memory_equal(bytes, "1\0\0", 3);
	end(f);
}

/* Or its next Bind would wait for an answer that has come. */
static void
what_comes_back_has_been_asked_nothing(void **state)
{
	struct fixture *f = begin(10);
	struct slot *slot;

	(void)state;
	client(f, 0, "P a S1|S", "P meridian_1 S1|S");
	server(f, "1Z", "1Z");
	slot = TAILQ_FIRST(&f->ss->used);
	slot->asked = true;
	slot_unlink(f->ss, slot);
	slot_restore(f->ss, slot);
	assert_false(slot->asked);
	assert_ptr_equal(TAILQ_FIRST(&f->ss->used), slot);
	end(f);
}

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
		cmocka_unit_test(names_are_ours_on_the_server),
		cmocka_unit_test(an_equal_text_is_not_parsed_twice),
		cmocka_unit_test(a_text_that_means_something_else_is_shared_again),
		cmocka_unit_test(a_shadowed_text_is_one_sessions),
		cmocka_unit_test(a_text_that_shadows_is_noticed_at_once),
		cmocka_unit_test(the_least_recently_used_goes),
		cmocka_unit_test(what_an_error_has_skipped_is_not_there),
		cmocka_unit_test(an_answer_that_was_not_awaited_ends_what_is_skipped),
		cmocka_unit_test(a_reference_waits_for_what_is_open),
		cmocka_unit_test(the_one_without_a_name_is_the_clients),
		cmocka_unit_test(effects_are_those_of_what_runs),
		cmocka_unit_test(without_a_limit_of_any_names_pass_and_pin),
		cmocka_unit_test(a_long_one_pins_until_it_is_closed),
		cmocka_unit_test(what_is_not_the_protocol_is_refused),
		cmocka_unit_test(a_statement_that_is_lost_is_not_offered_again),
		cmocka_unit_test(a_text_that_went_wrong_is_prepared_anew),
		cmocka_unit_test(whose_error_it_was_is_known),
		cmocka_unit_test(half_a_header_is_not_lost),
		cmocka_unit_test(what_comes_back_has_been_asked_nothing),
		cmocka_unit_test(clients_read_what_a_server_of_their_own_would_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
