/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/exchange_list.h"

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
begin(struct exchange *x)
{
	exchange_init(x, REPLICATION_NONE);
	exchange_list(x, NULL, NULL);
	exchange_keep_listed(x, true);
}

static void
say(struct exchange *x, const char *types, size_t chunk)
{
	struct buf b = { 0 };

	put_messages(&b, types);
	for (size_t at = 0; at < b.n; at += chunk)
		(void)exchange_client(x, b.p + at, b.n - at < chunk ? b.n - at : chunk);
	buf_fini(&b);
}

static void
hear(struct exchange *x, const char *types, size_t chunk)
{
	struct buf b = { 0 };

	for (; *types != '\0'; types++) {
		size_t at = buf_message(&b, *types);

		if (*types == 'Z')
			buf_u8(&b, 'T');
		buf_message_end(&b, at);
	}
	for (size_t at = 0; at < b.n; at += chunk) {
		size_t n = b.n - at < chunk ? b.n - at : chunk;

		(void)exchange_filter(x, b.p + at, &n, NULL);
	}
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
what_is_outstanding_is_answered_as_a_commit(void **state)
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
			struct exchange x;
			struct buf out = { 0 };
			char types[64] = "";
			bool known;

			begin(&x);
			say(&x, table[i].client, chunk);
			hear(&x, table[i].server, chunk);
			exchange_note_heard(&x);
			known = exchange_put_commit(&x, &out);
			types_of(&out, types);
			if (known != (table[i].expect != NULL) ||
			    (known && strcmp(types, table[i].expect) != 0))
				fail_msg("%s / %s: %s", table[i].client, table[i].server,
					 known ? types : "not known");
			buf_fini(&out);
			exchange_fini(&x);
		}
	}
}

/* What the server has said and the client has not heard, but for whole rounds. */
static void
what_was_not_heard_is_answered_again(void **state)
{
	static const struct {
		const char *client, *heard, *said, *expect;
	} table[] = {
		{ "PBES", "", "12C", "12CZ" },      { "PBES", "1", "2C", "2CZ" },
		{ "PBESBES", "1", "2CZ2C", "2CZ" }, { "PBESPBES", "12CZ1", "2C", "2CZ" },
		{ "PBESQ", "1", "2CZC", "CZ" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct exchange x;
		struct buf out = { 0 };
		char types[64] = "";

		begin(&x);
		say(&x, table[i].client, 100);
		hear(&x, table[i].heard, 100);
		exchange_note_heard(&x);
		hear(&x, table[i].said, 100);
		assert_true(exchange_put_commit(&x, &out));
		types_of(&out, types);
		assert_string_equal(types, table[i].expect);
		buf_fini(&out);
		exchange_fini(&x);
	}
}

static void
half_a_message_is_not_answered(void **state)
{
	struct exchange x;
	struct buf out = { 0 };

	(void)state;
	begin(&x);
	exchange_client(&x, "Q\0\0\0\10COM", 8);
	assert_false(exchange_put_commit(&x, &out));
	exchange_client(&x, "M", 1);
	assert_true(exchange_put_commit(&x, &out));
	exchange_client(&x, "Q", 1);
	assert_false(exchange_put_commit(&x, &out));
	buf_fini(&out);
	exchange_fini(&x);
}

static void
what_was_sent_before_the_list_is_not_answered(void **state)
{
	struct exchange x;
	struct buf out = { 0 };

	(void)state;
	exchange_init(&x, REPLICATION_NONE);
	say(&x, "PBE", 100);
	exchange_list(&x, NULL, NULL);
	say(&x, "S", 100);
	assert_false(exchange_put_commit(&x, &out));
	exchange_fini(&x);
	exchange_init(&x, REPLICATION_NONE);
	say(&x, "PS", 100);
	exchange_list(&x, NULL, NULL);
	say(&x, "Q", 100);
	assert_false(exchange_put_commit(&x, &out));
	hear(&x, "1Z", 100);
	assert_true(exchange_put_commit(&x, &out));
	buf_fini(&out);
	exchange_fini(&x);
}

/* In the place of the answers to what Meridian has put in there is nothing. */
static void
put_fate(void *arg, char type, struct exchange_request *r)
{
	(void)arg;
	if (r == NULL || (type != MSG_PARSE && type != MSG_CLOSE))
		return;
	r->fate = type == MSG_PARSE ? REQUEST_SKIP : REQUEST_REPLACE;
	r->instead = MSG_PARSE_COMPLETE;
}

static void
see_answer(void *arg, const struct exchange_request *r, const struct frame_piece *piece)
{
	(void)arg;
	(void)r;
	(void)piece;
}

static void
see_error(void *arg, const struct exchange_request *r, char *body, size_t n)
{
	(void)arg;
	(void)r;
	(void)body;
	(void)n;
}

static void
see_end(void *arg, const struct exchange_request *r, enum request_outcome how)
{
	(void)arg;
	(void)r;
	(void)how;
}

static void
what_the_client_did_not_ask_is_not_answered(void **state)
{
	static const struct exchange_observer observer = {
		.sent = put_fate, .answer = see_answer, .failing = see_error, .ended = see_end
	};
	struct buf out = { 0 };
	char types[64] = "";
	struct exchange x;

	(void)state;
	exchange_init(&x, REPLICATION_NONE);
	exchange_list(&x, &observer, NULL);
	say(&x, "PCBES", 100);
	assert_true(exchange_put_commit(&x, &out));
	types_of(&out, types);
	assert_string_equal(types, "12CZ");
	buf_fini(&out);
	exchange_fini(&x);
}

static void
count_end(void *arg, const struct exchange_request *r, enum request_outcome how)
{
	(void)r;
	(void)how;
	++*(unsigned *)arg;
}

/* A session is both paused, which wants the list, and observed. */
static void
without_an_observer_the_one_that_there_is_stays(void **state)
{
	static const struct exchange_observer observer = {
		.sent = put_fate, .answer = see_answer, .failing = see_error, .ended = count_end
	};
	unsigned ended = 0;
	struct exchange x;

	(void)state;
	exchange_init(&x, REPLICATION_NONE);
	exchange_list(&x, NULL, NULL);
	say(&x, "B", 100);
	exchange_list(&x, &observer, &ended);
	exchange_list(&x, NULL, NULL);
	say(&x, "ES", 100);
	exchange_unlist(&x);
	assert_int_equal(ended, 3);
	exchange_fini(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_outstanding_is_answered_as_a_commit),
		cmocka_unit_test(what_was_not_heard_is_answered_again),
		cmocka_unit_test(half_a_message_is_not_answered),
		cmocka_unit_test(what_was_sent_before_the_list_is_not_answered),
		cmocka_unit_test(what_the_client_did_not_ask_is_not_answered),
		cmocka_unit_test(without_an_observer_the_one_that_there_is_stays),
	};

	return cmocka_run_group_tests_name("exchange_commit", tests, NULL, NULL);
}
