/* SPDX-License-Identifier: PostgreSQL
 *
 * Whether a Query behind an Execute without Sync was discarded or refused by itself (exception 1 of
 * exchange_rounds.c): what the exchange knows from the bytes, what it does not, what settles that,
 * and what its listed form makes of the same. Everything else about the exchange: test_exchange.c.
 */
#include "config.h"

#include "protocol/exchange.h"

#include "base/buf.h"
#include "protocol/exchange_list.h"

#include "tests/unit/unit.h"

/* > to the server, < from it; then: ReadyForQuery messages outstanding, in doubt, safe */
struct row {
	const char *what, *says;
	unsigned pending;
	bool doubt, safe;
};

static void
put(struct exchange *f, bool server, char type)
{
	struct buf b = { 0 };
	size_t at = buf_message(&b, type == 'h' ? 'H' : type);

	if (server && type == 'Z')
		buf_u8(&b, 'I');
	else if (strchr("PBDECQfh", type) != NULL)
		buf_u8(&b, 0);
	buf_message_end(&b, at);
	if (server)
		exchange_filter(f, b.p, &b.n, NULL);
	else
		exchange_client(f, b.p, b.n);
	buf_fini(&b);
}

static void
play(struct exchange *f, const char *says)
{
	bool server = false;

	for (const char *p = says; *p != '\0'; p++) {
		if (*p == '<' || *p == '>')
			server = *p == '<';
		else
			put(f, server, *p);
	}
}

enum form { COMPACT, LISTED, COMPACT_QUERY_ENDS, LISTED_QUERY_ENDS };

static void
check(const struct row *rows, size_t n, enum form form)
{
	for (size_t i = 0; i < n; i++) {
		struct exchange f;

		exchange_init(&f, REPLICATION_NONE);
		exchange_set_query_ends(&f, form >= COMPACT_QUERY_ENDS);
		if (form == LISTED || form == LISTED_QUERY_ENDS)
			exchange_list(&f, NULL, NULL);
		play(&f, rows[i].says);
		if (exchange_pending(&f) != rows[i].pending ||
		    exchange_is_in_doubt(&f) != rows[i].doubt ||
		    exchange_safe_point(&f) != rows[i].safe)
			fail_msg("%s (%s): %u owed, doubt %d, safe %d", rows[i].what, rows[i].says,
				 exchange_pending(&f), exchange_is_in_doubt(&f),
				 exchange_safe_point(&f));
		assert_int_equal(exchange_activity(&f) == EXCHANGE_ACTIVE,
				 (rows[i].pending > 0 && !rows[i].doubt) ||
				     (exchange_skips(&f) && !exchange_is_stranded(&f)));
		exchange_fini(&f);
	}
}

#define CHECK(rows, form) check(rows, sizeof(rows) / sizeof((rows)[0]), form)

/* Exception 1: Execute without Sync, a Query behind it, an error; and then what the server does.
 * Where a Flush with a body (h) is in front, the number of the answers says nothing. */
static void
what_may_have_been_discarded_is_not_owed_for_ever(void **state)
{
	static const struct row rows[] = {
		{ "nothing yet", ">hEQ", 1, false, false },
		{ "the error", ">hEQ<E", 1, true, false },
		{ "it was its own", ">hEQ<EZ", 0, false, true },
		{ "discarded, a Sync later", ">hEQ<E>S", 1, false, false },
		{ "… answered", ">hEQ<E>S<Z", 0, false, false },
		{ "… and on", ">hEQ<E>S<Z>Q<CZ>Q<CZ", 0, false, true },
		{ "its own, a Sync on its way", ">hEQ<E>S<ZZ", 0, false, true },
		{ "discarded, Sync in time", ">hEQS<E", 2, false, false },
		{ "… answered once", ">hEQS<EZ", 1, true, false },
		{ "… and on", ">hEQS<EZ>Q<CZ", 0, false, false },
		{ "… and on and on", ">hEQS<EZ>Q<CZ>Q<CZ", 0, false, true },
		{ "its own, Sync in time", ">hEQS<EZZ", 0, false, true },
		{ "… late", ">hEQS<EZ>Q<ZC", 1, false, false },
		{ "… and answered", ">hEQS<EZ>Q<ZCZ", 0, false, true },
		{ "no extended messages", ">Q<E", 1, false, false },
		{ "a Query that runs behind it", ">hEQQ<EZ", 1, false, false },
		{ "a COPY has failed, and this is its own", ">ES<G>fS<EZ>hEQS<EZZ", 0, false,
		  false },
	};

	(void)state;
	CHECK(rows, COMPACT);
}

/* So many messages are in front of the Query, so many of them were answered. */
static void
whose_error_it_was_is_known_by_the_answers(void **state)
{
	static const struct row rows[] = {
		{ "the first one's", ">EQ<E", 0, false, false },
		{ "… and a Sync", ">EQ<E>S", 1, false, false },
		{ "… and its answer", ">EQ<E>S<Z", 0, false, true },
		{ "what comes is discarded", ">EQ<E>QPQ", 0, false, false },
		{ "… up to a Sync", ">EQ<E>QPQS<Z", 0, false, true },
		{ "a Sync was there", ">EQS<EZ", 0, false, true },
		{ "… and is owed an answer", ">EQS<E", 1, false, false },
		{ "a Query behind it is not discarded", ">EQSQ<EZ", 1, false, false },
		{ "… and what is in front of it is", ">EQPBEQS<EZ", 0, false, true },
		{ "the last one's", ">PBDEQS<12T", 2, false, false },
		{ "… has an error", ">PBDEQS<12TE", 1, false, false },
		{ "… has one", ">PBDEQS<12TEZ", 0, false, true },
		{ "the Query's own", ">PBDEQS<12TCE", 2, false, false },
		{ "… and answered", ">PBDEQS<12TCEZ", 1, false, false },
		{ "… as the Sync is", ">PBDEQS<12TCEZZ", 0, false, true },
		{ "in the middle of its answer", ">PBDEQS<12TCTEZ", 1, false, false },
		{ "no Sync", ">PBDEQ<12TCE", 1, false, false },
		{ "… and answered", ">PBDEQ<12TCEZ", 0, false, true },
		{ "a Close, and the Query's own", ">CQ<3EZ", 0, false, true },
		{ "a Describe's parameters end nothing", ">PDBQS<1tTE", 1, false, false },
		{ "no rows, suspended, empty", ">DEEQ<nsIE", 1, false, false },
		{ "one of these", ">DEEQ<nsE", 0, false, false },
		{ "answered before", ">PBH<12>EQS<EZ", 0, false, true },
		{ "all of them", ">PBH<12>QS<EZ", 1, false, false },
		{ "answers to something before", ">PBES<12CZ>PBQS<1EZ", 0, false, true },
		{ "… in one go", ">PBESPBQS<12CZ1EZ", 0, false, true },
		{ "a function's own", ">PF<1EZ", 0, false, true },
		{ "a function is discarded", ">PFS<EZ", 0, false, true },
		{ "the data of a COPY behind it", ">PBEdcQS<EZ", 0, false, true },
		{ "a COPY that fails", ">PBEdcQS<12GEZ", 0, false, true },
		{ "a COPY, and its own", ">PBEdcQS<12GCEZ", 1, false, false },
		{ "two in a row, the first one's", ">PQSPBQS<EZ", 2, false, false },
	};

	(void)state;
	CHECK(rows, COMPACT);
	CHECK(rows, LISTED);
}

static void
where_the_answers_do_not_tell_it_is_in_doubt(void **state)
{
	static const struct row rows[] = {
		{ "the second of two", ">PQSPBQS<1CZZ1EZ", 1, true, false },
		{ "… until the client goes on", ">PQSPBQS<1CZZ1EZ>S<Z>Q<CZ>Q<CZ", 0, false, true },
		{ "… and the third is known again", ">PQSPBQS<1CZZ12CZZ>PBQS<1EZ", 0, false, true },
		{ "a message that there is not", ">P!Q<1E", 1, true, false },
		{ "a Flush with a body", ">PhQ<1E", 1, true, false },
		{ "a Sync that went into a COPY", ">PBES<12G>dcQ<E", 1, true, false },
		{ "… and on", ">PBES<12G>dcQ<E>S<Z", 0, false, false },
	};
	struct exchange f;

	(void)state;
	CHECK(rows, COMPACT);
	exchange_init(&f, REPLICATION_NONE);
	for (int i = 0; i < 300; i++)
		play(&f, ">B");
	play(&f, ">Q");
	for (int i = 0; i < 253; i++)
		play(&f, "<2");
	assert_int_equal(exchange_pending(&f), 1);
	play(&f, "<2E");
	assert_true(exchange_is_in_doubt(&f));
	exchange_init(&f, REPLICATION_NONE);
	for (int i = 0; i < 300; i++)
		play(&f, ">B");
	play(&f, ">QS");
	for (int i = 0; i < 253; i++)
		play(&f, "<2");
	play(&f, "<EZ");
	assert_true(exchange_safe_point(&f));
}

/* Behind an error in doubt less may be outstanding than is counted, and an answer may be taken for
 * an earlier one's: what follows takes nothing back, which would be too much. Where one is
 * answered, the server still owes a ReadyForQuery. */
static void
behind_a_doubt_nothing_is_taken_back(void **state)
{
	static const struct row rows[] = {
		/* the Parse of the second sequence fails, and both Queries behind it are discarded;
		 * so is none of the third */
		{ "two Queries discarded", ">PQSPQQS<1CZZEZ", 2, false, false },
		{ "a third one's error", ">PQSPQQS<1CZZEZ>PQQQS<1CZEZE", 4, false, false },
		{ "… answered", ">PQSPQQS<1CZZEZ>PQQQS<1CZEZEZ", 3, false, false },
		/* the CopyDone was sent before CopyInResponse came: both Syncs are answered */
		{ "a COPY ahead", ">PQSPQS<1CZZEZ>PBEc<12G>SS<C", 3, false, false },
		{ "… one Sync answered", ">PQSPQS<1CZZEZ>PBEc<12G>SS<CZ", 2, false, false },
		/* what has been answered in full is known again */
		{ "its own", ">PQSPQS<1CZZ1EZZ", 0, false, true },
		{ "… and whose error the next was", ">PQSPQS<1CZZ1EZZ>EQS<E", 1, false, false },
	};

	(void)state;
	CHECK(rows, COMPACT);
}

static void
what_is_listed_is_never_in_doubt(void **state)
{
	static const struct row rows[] = {
		{ "the second of two", ">PQSPBQS<1CZZ1EZ", 0, false, true },
		{ "a message that there is not", ">P!Q<1E", 0, false, false },
		{ "a Flush with a body", ">PhQ<1E", 0, false, false },
		{ "… and a Sync", ">PhQS<1EZ", 0, false, true },
		{ "a Sync that went into a COPY", ">PBES<12G>dcQ<E", 0, false, false },
		{ "… and on", ">PBES<12G>dcQ<E>S<Z", 0, false, false },
		{ "… its own", ">PBES<12G>dcQ<CEZ", 0, false, true },
		{ "a COPY's end in front of its Execute", ">PBcES<12G", 0, false, false },
		{ "an error that answers nothing", ">P<1E>BS<2Z", 0, false, true },
	};
	struct exchange f;

	(void)state;
	CHECK(rows, LISTED);
	exchange_init(&f, REPLICATION_NONE);
	exchange_list(&f, NULL, NULL);
	for (int i = 0; i < 300; i++)
		play(&f, ">B");
	play(&f, ">Q");
	for (int i = 0; i < 299; i++)
		play(&f, "<2");
	assert_int_equal(exchange_pending(&f), 1);
	play(&f, "<E");
	assert_int_equal(exchange_pending(&f), 0);
	assert_true(exchange_skips(&f));
	play(&f, ">S<Z");
	assert_true(exchange_safe_point(&f));
	assert_false(exchange_is_listed(&f));
}

/* CockroachDB: a Query ends what an error has it discard, and is answered. */
static void
a_query_may_end_what_is_discarded(void **state)
{
	static const struct row rows[] = {
		{ "the first one's", ">EQ<E", 1, false, false },
		{ "… and the Query's answer", ">EQ<EZ", 0, false, true },
		{ "… and a Sync", ">EQS<EZ", 1, false, false },
		{ "… and its answer", ">EQS<EZZ", 0, false, true },
		{ "a Query behind the error", ">PBE<1E>Q", 1, false, false },
		{ "… and its answer", ">PBE<1E>Q<Z", 0, false, true },
		{ "the Query's own", ">PQ<1E", 1, false, false },
		{ "… and answered", ">PQ<1EZ", 0, false, true },
		{ "how many were in front is not known", ">hEQ<EZ", 0, false, true },
	};

	(void)state;
	CHECK(rows, COMPACT_QUERY_ENDS);
	CHECK(rows, LISTED_QUERY_ENDS);
}

/* More than the queue holds: what stands behind it, a Sync perhaps, is not known. */
static void
what_the_queue_does_not_hold_is_not_discarded(void **state)
{
	struct exchange f;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	play(&f, ">P");
	for (int i = 0; i < 30; i++)
		play(&f, ">Q");
	play(&f, ">S<E");
	assert_int_equal(exchange_pending(&f), 31);
	exchange_init(&f, REPLICATION_NONE);
	play(&f, ">PQS");
	for (int i = 0; i < 30; i++)
		play(&f, ">Q");
	play(&f, "<E");
	assert_int_equal(exchange_pending(&f), 31);
}

/* PostgreSQL waits for a Sync, and the client for the answer to its Query: nobody else waits. */
static void
who_waits_for_a_discarded_query_is_stranded(void **state)
{
	struct exchange f;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	play(&f, ">PBE<1E");
	assert_false(exchange_is_stranded(&f));
	assert_int_equal(exchange_activity(&f), EXCHANGE_ACTIVE);
	play(&f, ">S<Z>PBEQ<1E");
	assert_true(exchange_is_stranded(&f));
	assert_int_equal(exchange_activity(&f), EXCHANGE_IDLE);
	assert_false(exchange_safe_point(&f));
	play(&f, ">P");
	assert_false(exchange_is_stranded(&f));
	assert_int_equal(exchange_activity(&f), EXCHANGE_ACTIVE);
	play(&f, ">S<Z");
	assert_false(exchange_is_stranded(&f));
	assert_true(exchange_safe_point(&f));
}

/* The Sync that went into the data was read when the COPY had failed: it ended what the server
 * discards, and the Parse behind it was done. What the client has sent since is not answered by
 * that. */
static void
what_was_taken_for_discarded_answers_nothing_else(void **state)
{
	struct exchange f;

	(void)state;
	for (int listed_at = 0; listed_at < 3; listed_at++) {
		exchange_init(&f, REPLICATION_NONE);
		if (listed_at == 0)
			exchange_list(&f, NULL, NULL);
		play(&f, ">PBE<12G");
		if (listed_at == 1)
			exchange_list(&f, NULL, NULL);
		play(&f, ">dS<E>P<Z");
		if (listed_at == 2)
			exchange_list(&f, NULL, NULL);
		play(&f, ">SPS<1");
		assert_int_equal(exchange_pending(&f), 2);
		play(&f, "<Z");
		assert_false(exchange_safe_point(&f));
		play(&f, "<1Z");
		assert_true(exchange_safe_point(&f));
		exchange_fini(&f);
	}
}

/* The Query failed before it could ask for the data. */
static void
a_copy_end_goes_with_the_round_in_front_of_it(void **state)
{
	struct exchange f;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	exchange_list(&f, NULL, NULL);
	play(&f, ">Qf<EZ");
	assert_true(exchange_safe_point(&f));
	assert_false(exchange_is_listed(&f));
	exchange_fini(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_have_been_discarded_is_not_owed_for_ever),
		cmocka_unit_test(whose_error_it_was_is_known_by_the_answers),
		cmocka_unit_test(where_the_answers_do_not_tell_it_is_in_doubt),
		cmocka_unit_test(behind_a_doubt_nothing_is_taken_back),
		cmocka_unit_test(what_is_listed_is_never_in_doubt),
		cmocka_unit_test(a_query_may_end_what_is_discarded),
		cmocka_unit_test(who_waits_for_a_discarded_query_is_stranded),
		cmocka_unit_test(what_the_queue_does_not_hold_is_not_discarded),
		cmocka_unit_test(what_was_taken_for_discarded_answers_nothing_else),
		cmocka_unit_test(a_copy_end_goes_with_the_round_in_front_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
