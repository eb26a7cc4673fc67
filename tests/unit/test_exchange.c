/* SPDX-License-Identifier: PostgreSQL
 *
 * A conversation is a script: '>' and '<' turn to what the client and the server say; each further
 * byte is one message of that type with a small body, '.' is a boundary that is left out. Server:
 * 'Z' is followed by its status. Each script is run whole and cut at every byte; both must agree.
 */
#include "config.h"

#include "protocol/exchange.h"

#include <stdio.h>

#include "base/buf.h"

#include "tests/unit/unit.h"

struct chunk {
	bool server;
	size_t from, to;
};

struct talk {
	struct buf bytes;
	struct chunk chunks[64];
	size_t n;
};

static void
put_report(struct buf *b, const char *severity)
{
	size_t at = buf_message(b, 'E');

	buf_put(b, "SFEHLER", 8);
	buf_u8(b, 'V');
	buf_cstr(b, severity);
	buf_put(b, "C57P01\0Mx", 10);
	buf_u8(b, 0);
	buf_message_end(b, at);
}

/* 'F' from the server stands for an ErrorResponse of severity FATAL, 'h' from the client for a
 * Flush that has a body. */
static void
put_one(struct talk *t, bool server, char type, char status)
{
	size_t at;

	if (server && (type == 'E' || type == 'F')) {
		put_report(&t->bytes, type == 'F' ? "FATAL" : "ERROR");
		return;
	}
	at = buf_message(&t->bytes, type == 'h' ? 'H' : type);
	if (server && type == 'Z')
		buf_u8(&t->bytes, (uint8_t)status);
	else if (strchr("QPBEDdh", type) != NULL)
		buf_put(&t->bytes, "Z\0\0\0\5I", 6); /* a body that looks like a message */
	buf_message_end(&t->bytes, at);
}

static void
talk_init(struct talk *t, const char *script)
{
	bool server = false;

	*t = (struct talk){ 0 };
	for (const char *p = script; *p != '\0'; p++) {
		if (*p == '>' || *p == '<') {
			server = *p == '<';
			t->chunks[t->n++] = (struct chunk){ server, t->bytes.n, t->bytes.n };
			continue;
		}
		if (server && *p == 'Z') {
			put_one(t, server, 'Z', p[1]);
			p++;
		} else {
			put_one(t, server, *p, 0);
		}
		t->chunks[t->n - 1].to = t->bytes.n;
	}
}

static unsigned
feed(struct exchange *f, bool server, const char *p, size_t n)
{
	return server ? exchange_server(f, p, n, NULL) : exchange_client(f, p, n);
}

/* Run it with every call cut after `step` bytes (0: not at all). */
static unsigned
talk_run(const struct talk *t, struct exchange *f, size_t step)
{
	unsigned events = 0;

	for (size_t i = 0; i < t->n; i++) {
		size_t at = t->chunks[i].from;

		while (at < t->chunks[i].to) {
			size_t n = t->chunks[i].to - at;

			if (step > 0 && n > step)
				n = step;
			events |= feed(f, t->chunks[i].server, t->bytes.p + at, n);
			at += n;
		}
	}
	return events;
}

/* Run it cut in two in the whole conversation's byte `cut`. */
static unsigned
talk_run_cut(const struct talk *t, struct exchange *f, size_t cut)
{
	unsigned events = 0;

	for (size_t i = 0; i < t->n; i++) {
		size_t from = t->chunks[i].from, to = t->chunks[i].to;
		size_t mid = cut > from && cut < to ? cut : to;

		events |= feed(f, t->chunks[i].server, t->bytes.p + from, mid - from);
		events |= feed(f, t->chunks[i].server, t->bytes.p + mid, to - mid);
	}
	return events;
}

/* Returns the events; the state at the end is in *f. */
static unsigned
run_as(const char *script, struct exchange *f, enum replication kind)
{
	struct talk t;
	struct exchange cut;
	unsigned events;

	talk_init(&t, script);
	exchange_init(f, kind);
	events = talk_run(&t, f, 0);
	for (size_t at = 0; at <= t.bytes.n; at++) {
		exchange_init(&cut, kind);
		assert_int_equal(talk_run_cut(&t, &cut, at), events);
		assert_memory_equal(&cut, f, sizeof(cut));
	}
	for (size_t step = 1; step < 8; step++) {
		exchange_init(&cut, kind);
		assert_int_equal(talk_run(&t, &cut, step), events);
		assert_memory_equal(&cut, f, sizeof(cut));
	}
	buf_fini(&t.bytes);
	return events;
}

static unsigned
run(const char *script, struct exchange *f)
{
	return run_as(script, f, REPLICATION_NONE);
}

/* A table of scripts, what is owed at the end, and whether that is idle and safe. */
struct vector {
	const char *script;
	uint32_t pending;
	bool idle;
	bool safe;
};

static void
check(const struct vector *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct exchange f;

		run(v[i].script, &f);
		if (exchange_pending(&f) != v[i].pending || exchange_is_idle(&f) != v[i].idle ||
		    exchange_safe_point(&f) != v[i].safe)
			fail_msg("%s: pending %u idle %d safe %d", v[i].script,
				 exchange_pending(&f), exchange_is_idle(&f),
				 exchange_safe_point(&f));
	}
}

#define CHECK(v) check(v, sizeof(v) / sizeof((v)[0]))

static void
a_query_is_owed_one_ready(void **state)
{
	static const struct vector v[] = {
		{ "", 0, true, true },
		{ ">Q", 1, false, false },
		{ ">Q<TDDDC", 1, false, false },
		{ ">Q<TDDDCZI", 0, true, true },
		{ ">QQQ<TDCZI", 2, false, false },
		{ ">QQQ<TDCZITDCZITDCZI", 0, true, true },
		{ ">F<VZI", 0, true, true },
		{ ">Q<IZI", 0, true, true },
		{ ">Q<EZI", 0, true, true },
		{ "<ZI", 0, true, true }, /* one too many does no harm */
	};

	(void)state;
	CHECK(v);
}

static void
an_open_transaction_is_not_idle(void **state)
{
	static const struct vector v[] = {
		{ ">Q<CZT", 0, false, false },
		{ ">Q<CZT>Q<EZE", 0, false, false },
		{ ">Q<CZT>Q<EZE>Q<CZI", 0, true, true },
	};
	struct exchange f;

	(void)state;
	CHECK(v);
	run(v[0].script, &f);
	assert_int_equal(exchange_tx_status(&f), 'T');
	run(v[1].script, &f);
	assert_int_equal(exchange_tx_status(&f), 'E');
}

static void
extended_messages_are_open_until_sync(void **state)
{
	static const struct vector v[] = {
		{ ">PBDES", 1, false, false },
		{ ">PBDES<12TDCZI", 0, true, true },
		{ ">PBDESPBDES<12TDCZI", 1, false, false },
		{ ">P", 0, false, false },
		{ ">PBDEH<12TDC", 0, false,
		  false }, /* Flush: the answer is there, the end is not */
		{ ">PBDEH<12TDC>S<ZI", 0, true, true },
		{ ">SSS<ZIZI", 1, false, false },
		{ ">H", 0, true, true },
		{ ">PBE<12>Q<CTDCZI", 0, true, true }, /* Query ends the sequence as Sync does */
	};

	(void)state;
	CHECK(v);
}

/* PostgreSQL ends the session for it, and says so first. */
static void
what_no_server_knows_is_not_idle(void **state)
{
	static const struct vector v[] = {
		{ ">!", 0, false, false },      { ">QS<CZIZI>p", 0, false, false },
		{ ">d!", 0, false, false },     { ">!<E", 0, false, false },
		{ ">!<E>S<ZI", 0, true, true }, /* who passes over it goes on */
		{ ">d", 0, true, true },        /* of a COPY that has failed: nothing comes of it */
	};

	(void)state;
	CHECK(v);
}

static void
after_an_error_the_server_skips_to_sync(void **state)
{
	static const struct vector v[] = {
		{ ">PBE<E", 0, false, false },
		{ ">PBE<E>Q", 0, false, false },      /* discarded: no answer is owed … */
		{ ">PBE<E>QFPBES", 1, false, false }, /* … until Sync */
		{ ">PBE<E>QS<ZI", 0, true, true },
		{ ">PBESQ<EZI", 1, false, false }, /* behind the Sync it is not discarded */
		{ ">PBESQ<EZITDCZI", 0, true, true },
		{ ">PBES<12EZI", 0, true, true },
		{ ">S<EZI", 0, true, true },    /* a deferred constraint at Sync */
		{ ">PBEQ<E", 0, false, false }, /* whose error? test_exchange_doubt.c */
		{ ">PBEQ<12CE", 1, false, false },
		{ ">SH<ZI", 0, true, true },   /* a Flush is none … */
		{ ">Sh<ZI", 0, false, false }, /* … but where it has a body */
		{ ">h<E>Q", 0, false, false },
		{ ">h<E>QS<ZI", 0, true, true },
	};

	(void)state;
	CHECK(v);
}

static void
sync_in_copy_in_mode_is_not_answered(void **state)
{
	static const struct vector v[] = {
		{ ">Q<G", 1, false, false },
		{ ">Q<G>dddc", 1, false, false },
		{ ">Q<G>dddc<CZI", 0, true, true },
		{ ">Q<G>ddHSddc<CZI", 0, true, true }, /* Flush and Sync among the data */
		{ ">Q<G>dhdc<CZI", 0, true, true },    /* whatever that Flush holds */
		{ ">PBES<G", 0, false, false },        /* libpq: the Sync is lost … */
		{ ">PBES<G>dddcS", 1, false, false },  /* … and it sends a second one */
		{ ">PBES<12G>dddcS<CZI", 0, true, true },
		{ ">PBE<12G>ddcS<CZI", 0, true, true },
		{ ">PBE<12G>ddcSPBES<CZI12CZI", 0, true, true },
		{ ">QS<G>cQ<CZI", 1, false, false },
		{ ">Q<G>c<CG>c<CZI", 0, true, true }, /* two COPYs in one Query */
	};

	(void)state;
	CHECK(v);
}

static void
copy_data_sent_ahead_of_its_response_counts(void **state)
{
	static const struct vector v[] = {
		{ ">Qddc<GCZI", 0, true, true },
		{ ">QddcQ<GCZI", 1, false, false },
		{ ">QddcS<G", 2, false, false }, /* that Sync is behind the CopyDone */
		{ ">QddcS<GCZIZI", 0, true, true },
		{ ">PBEddcS<12G", 1, false, false },
		{ ">PBEddcS<12GCZI", 0, true, true },
		{ ">PBESddcS<12G", 1, false, false }, /* the first Sync is lost */
		{ ">PBESddcS<12GCZI", 0, true, true },
		{ ">PBEddcPBEddcS<12GC12GCZI", 0, true, true },
		{ ">Qddc<EZI>Q<GCZI", 0, true, true }, /* the first COPY never began */
		{ ">Qddc<EZI>PBES<12G>dcS<CZI", 0, true, true },
		{ ">ScQS<ZIG", 1, false,
		  false }, /* the end of none: of what came before the Sync */
		{ ">ScQS<ZIG>dc<CZI", 0, true, true },
		{ ">ScPBES<ZI12G>dcS<CZI", 0, true, true },
		{ ">PBEScS<ZI", 1, false, false },
		{ ">PBEScPBEcS<12CZI12G", 1, false,
		  false }, /* the first of no COPY, the second of this */
		{ ">PBEScPBEcS<12CZI12GCZI", 0, true, true },
		{ ">PBEcQ<12CG>S", 1, false,
		  false }, /* the end of none, and the Query's has none */
		{ ">PBEccQ<12CG>Sdc<CZI", 0, true, true },
		{ ">PBEcQ<12G>S", 2, false, false }, /* the end of the Execute's */
		{ ">PBEcQ<12GCG>S", 1, false, false },
	};

	(void)state;
	CHECK(v);
}

static void
a_copy_that_fails_leaves_copy_mode(void **state)
{
	static const struct vector v[] = {
		{ ">Q<G>df<EZI", 0, true, true },
		{ ">Q<G>dd<E", 1, false, false },
		{ ">Q<G>dd<EZI>ddc", 0, true, true }, /* leftovers are dropped */
		{ ">Q<G>dd<EZI>ddcQ<G>S", 1, false, false },
		{ ">Q<G>dd<E>S<ZIZI", 0, true, true },   /* behind the error Sync counts again */
		{ ">PBE<12G>d<E>dcQ", 0, false, false }, /* extended: skip to Sync */
		{ ">PBE<12G>d<E>dcQS<ZI", 0, true, true },
		{ ">PBE<12G>fS<EZI", 0, true, true },
	};

	(void)state;
	CHECK(v);
}

/* libpq's first Sync was read before the failure, or after it: safe only when that is settled. */
static void
a_sync_whose_fate_is_unknown_withholds_the_safe_point(void **state)
{
	static const struct vector v[] = {
		{ ">PBES<12G>d<E>dcS<ZI", 0, true, false },
		{ ">PBES<12G>d<E>dcS<ZI>Q<CZI", 0, true, true },
		{ ">PBES<12G>d<E>dcS<ZIZI", 0, true, true },
		{ ">PBES<12GE", 0, false, false },
		{ ">PBES<12GEZI", 0, true, true },
		{ ">PBE<12G>S<EZI", 0, true, true },
		{ ">PBES<12GEZI>dcS<ZI", 0, true, true },
		{ ">PBES<12GE>PBES<ZI12CZI", 0, true, true },
		{ ">Q<G>Sd<EZI", 0, true, false },
	};

	(void)state;
	CHECK(v);
}

static void
copy_out_and_both_are_followed(void **state)
{
	struct exchange f;

	(void)state;
	assert_int_equal(run(">Q<Hdd", &f), EXCHANGE_QUERY | EXCHANGE_COPY);
	assert_int_equal(exchange_activity(&f), EXCHANGE_COPYING);
	run(">Q<HddcC", &f);
	assert_int_equal(exchange_activity(&f), EXCHANGE_ACTIVE);
	run(">Q<HddcCZI", &f);
	assert_true(exchange_safe_point(&f));
	run(">PBES<12HddcCZI", &f);
	assert_true(exchange_safe_point(&f));
	run(">Q<HddE", &f);
	assert_int_equal(exchange_activity(&f), EXCHANGE_ACTIVE);
	run_as(">Q<Wdd>d<d", &f, REPLICATION_PHYSICAL);
	assert_int_equal(exchange_activity(&f), EXCHANGE_REPLICATING);
	run_as(">Q<Wdd>dSc<dc", &f, REPLICATION_PHYSICAL);
	assert_int_equal(exchange_activity(&f), EXCHANGE_REPLICATING);
	assert_int_equal(exchange_pending(&f), 1);
	run_as(">Q<Wdd>dc<dcTDCCZI", &f, REPLICATION_LOGICAL);
	assert_int_equal(exchange_activity(&f), EXCHANGE_IDLE);
	assert_true(exchange_is_idle(&f));
	assert_false(exchange_safe_point(&f));
}

static void
boundaries_are_seen(void **state)
{
	struct exchange f;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	exchange_client(&f, "Q\0\0", 3);
	assert_false(exchange_at_client_boundary(&f));
	assert_true(exchange_at_server_boundary(&f));
	assert_int_equal(exchange_pending(&f), 0); /* not known yet, and not idle either */
	assert_false(exchange_is_idle(&f));
	exchange_client(&f, "\0\6x", 3);
	assert_int_equal(exchange_pending(&f), 1);
	assert_false(exchange_at_client_boundary(&f));
	exchange_client(&f, "\0", 1);
	assert_true(exchange_at_client_boundary(&f));
	exchange_server(&f, "Z\0\0\0\5", 5, NULL);
	assert_false(exchange_at_server_boundary(&f));
	assert_int_equal(exchange_pending(&f), 1);
	assert_int_equal(exchange_server(&f, "T", 1, NULL), EXCHANGE_READY);
	assert_int_equal(exchange_pending(&f), 0);
	assert_int_equal(exchange_activity(&f), EXCHANGE_IN_TRANSACTION);
}

static void
a_body_of_two_gigabytes_streams_by(void **state)
{
	static const char zeros[65536];
	struct exchange f;
	size_t left = INT32_MAX - 4;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	exchange_server(&f, "D\x7f\xff\xff\xff", 5, NULL);
	while (left > sizeof(zeros)) {
		exchange_server(&f, zeros, sizeof(zeros), NULL);
		left -= sizeof(zeros);
	}
	exchange_server(&f, zeros, left - 1, NULL);
	assert_false(exchange_at_server_boundary(&f));
	assert_int_equal(exchange_server(&f, zeros, 1, NULL), 0);
	assert_true(exchange_at_server_boundary(&f));
}

static void
errors_tell_severity_and_sqlstate(void **state)
{
	struct exchange f;

	(void)state;
	assert_int_equal(run("<E", &f), EXCHANGE_ERROR);
	assert_memory_equal(f.sqlstate, "57P01", 5);
	assert_int_equal(run("<F", &f), EXCHANGE_ERROR | EXCHANGE_FATAL);
	/* without 'V' the shown severity decides */
	exchange_init(&f, REPLICATION_NONE);
	assert_int_equal(exchange_server(&f, "E\0\0\0\14SFATAL\0\0", 13, NULL),
			 EXCHANGE_ERROR | EXCHANGE_FATAL);
	assert_int_equal(exchange_server(&f, "E\0\0\0\14SERROR\0\0", 13, NULL), EXCHANGE_ERROR);
	assert_int_equal(exchange_server(&f, "E\0\0\0\14VPANIC\0\0", 13, NULL),
			 EXCHANGE_ERROR | EXCHANGE_FATAL);
	assert_int_equal(exchange_server(&f, "E\0\0\0\4", 5, NULL), EXCHANGE_ERROR);
	assert_int_equal(f.sqlstate[0], 0);
	assert_int_equal(exchange_server(&f, "N\0\0\0\14SFATAL\0\0", 13, NULL), 0);
}

/* Ended transactions and errors are counted once each, wherever the bytes are cut. */
static void
transactions_and_errors_are_tallied(void **state)
{
	struct talk t;

	(void)state;
	talk_init(&t, "<EZICZTCZTEZECZICFZI");
	for (size_t step = 1; step <= t.bytes.n; step++) {
		unsigned transactions = 0, errors = 0;
		struct exchange f;

		exchange_init(&f, REPLICATION_NONE);
		for (size_t at = 0; at < t.bytes.n; at += step) {
			struct exchange_tally tally = { 0 };
			size_t n = t.bytes.n - at < step ? t.bytes.n - at : step;

			exchange_server(&f, t.bytes.p + at, n, &tally);
			transactions += tally.transactions;
			errors += tally.errors;
			for (unsigned i = 0; i < tally.errors; i++)
				assert_memory_equal(tally.sqlstates[i], "57P01", 5);
		}
		assert_int_equal(transactions, 3);
		assert_int_equal(errors, 3);
	}
	buf_fini(&t.bytes);
}

static void
errors_beyond_the_tally_are_still_counted(void **state)
{
	struct exchange_tally tally = { 0 };
	struct talk t;
	struct exchange f;

	(void)state;
	talk_init(&t, "<EEEEEEEEEE");
	exchange_init(&f, REPLICATION_NONE);
	exchange_server(&f, t.bytes.p, t.bytes.n, &tally);
	assert_int_equal(tally.errors, 10);
	assert_memory_equal(tally.sqlstates[EXCHANGE_TALLY_MAX - 1], "57P01", 5);
	buf_fini(&t.bytes);
}

static void
nonsense_is_bad_and_stays_bad(void **state)
{
	static const struct {
		const char *p;
		size_t n;
		bool client_too;
	} v[] = {
		{ "D\0\0\0\3", 5, true },   { "C\0\0\0\0", 5, true },
		{ "D\x80\0\0\0", 5, true }, { "d\xff\xff\xff\xff", 5, true },
		{ "Z\0\0\0\4", 5, false },  { "Z\0\0\0\6II", 7, false },
		{ "Z\0\0\0\5X", 6, false }, { "D\0\0\0\4D\0\0\0\3", 10, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		for (size_t cut = 0; cut <= v[i].n; cut++) {
			struct exchange f;

			exchange_init(&f, REPLICATION_NONE);
			assert_true((exchange_server(&f, v[i].p, cut, NULL) |
				     exchange_server(&f, v[i].p + cut, v[i].n - cut, NULL)) &
				    EXCHANGE_BAD);
			assert_int_equal(exchange_server(&f, "Z\0\0\0\5I", 6, NULL), EXCHANGE_BAD);
			assert_false(exchange_is_idle(&f));
			if (!v[i].client_too)
				continue;
			exchange_init(&f, REPLICATION_NONE);
			assert_true((exchange_client(&f, v[i].p, cut) |
				     exchange_client(&f, v[i].p + cut, v[i].n - cut)) &
				    EXCHANGE_BAD);
			assert_int_equal(exchange_client(&f, "S\0\0\0\4", 5), EXCHANGE_BAD);
			assert_int_equal(exchange_server(&f, "Z\0\0\0\5I", 6, NULL),
					 EXCHANGE_READY);
		}
	}
}

/* What stands in front of the message that is none can still be sent on; what can be said behind it
 * is known by where it begins. */
static void
a_bad_message_is_told_from_what_stands_in_front_of_it(void **state)
{
	static const char good[] = "D\0\0\0\6xxC\0\0\0\5\0", bad[] = "D\0\0\0\3";
	char all[sizeof(good) - 1 + sizeof(bad) - 1];
	size_t n = sizeof(good) - 1;

	(void)state;
	memcpy(all, good, n);
	memcpy(all + n, bad, sizeof(bad) - 1);
	for (size_t cut = 0; cut < sizeof(all); cut++) {
		struct exchange_tally tally = { 0 };
		struct exchange f;

		exchange_init(&f, REPLICATION_NONE);
		assert_int_equal(exchange_server(&f, all, cut, &tally) & EXCHANGE_BAD, 0);
		assert_int_equal(exchange_server(&f, all + cut, sizeof(all) - cut, &tally) &
				     EXCHANGE_BAD,
				 EXCHANGE_BAD);
		assert_true(tally.good == (cut <= n ? n - cut : SIZE_MAX));
		assert_true(exchange_at_server_boundary(&f));
		assert_int_equal(exchange_server(&f, "Z\0\0\0\5I", 6, &tally), EXCHANGE_BAD);
		assert_true(tally.good == SIZE_MAX);
	}
}

static void
more_than_the_queue_holds_is_still_counted(void **state)
{
	struct exchange f;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	for (int i = 0; i < 1000; i++)
		exchange_client(&f, "S\0\0\0\4", 5);
	assert_int_equal(exchange_pending(&f), 1000);
	for (int i = 0; i < 999; i++)
		exchange_server(&f, "Z\0\0\0\5I", 6, NULL);
	assert_int_equal(exchange_pending(&f), 1);
	exchange_client(&f, "S\0\0\0\4", 5);
	exchange_server(&f, "Z\0\0\0\5IZ\0\0\0\5I", 12, NULL);
	assert_true(exchange_safe_point(&f));
	/* and its order is known again */
	exchange_client(&f, "P\0\0\0\4S\0\0\0\4", 10);
	exchange_server(&f, "G\0\0\0\4", 5, NULL);
	assert_int_equal(exchange_pending(&f), 0);
	assert_false(exchange_is_idle(&f));
}

static void
what_we_asked_ourselves_is_owed_too(void **state)
{
	struct exchange f;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	exchange_expect_ready(&f);
	assert_false(exchange_is_idle(&f));
	exchange_client(&f, "Q\0\0\0\4", 5);
	assert_int_equal(exchange_server(&f, "Z\0\0\0\5I", 6, NULL), EXCHANGE_READY);
	assert_int_equal(exchange_pending(&f), 1);
}

static void
terminate_and_counters_are_seen(void **state)
{
	struct exchange f;

	(void)state;
	assert_int_equal(run(">QQFPBEES<", &f), EXCHANGE_QUERY);
	assert_int_equal(f.simple, 3);
	assert_int_equal(f.extended, 2);
	assert_int_equal(run(">X", &f), EXCHANGE_TERMINATE);
	assert_true(exchange_is_idle(&f));
	assert_false(exchange_safe_point(&f));
	assert_int_equal(run(">Q<TDCZI", &f), EXCHANGE_QUERY | EXCHANGE_READY);
}

/* However a stream is cut: the rest of the message that is under way, told from the two pieces. */
static void
the_rest_of_a_message_is_known_at_every_cut(void **state)
{
	static const size_t ends[] = { 0, 11, 16, 21, 32 };
	struct talk t;
	struct exchange f;

	(void)state;
	talk_init(&t, ">PHSQ");
	assert_int_equal(t.bytes.n, 32);
	for (size_t cut = 0; cut <= t.bytes.n; cut++) {
		size_t end = 0;

		while (ends[end] < cut)
			end++;
		exchange_init(&f, REPLICATION_NONE);
		(void)exchange_client(&f, t.bytes.p, cut);
		for (size_t n = 0; n <= t.bytes.n - cut; n++) {
			size_t rest = exchange_client_rest(&f, t.bytes.p + cut, n);

			assert_int_equal(rest, n < ends[end] - cut ? n : ends[end] - cut);
		}
	}
	buf_fini(&t.bytes);
}

/* What the server says up to the last ReadyForQuery that is due, however it comes. */
static void
the_end_of_what_is_outstanding_is_known_at_every_cut(void **state)
{
	static const struct {
		const char *asked, *answer, *behind;
	} vectors[] = {
		{ ">Q", "<TDDCZI", "<TDCZI" },   { ">QQ", "<CZICZT", "<CZI" },
		{ ">PBES", "<12CZI", "<TDCZI" }, { ">S", "<ZI", "<E" },
		{ ">Q", "<NEZE", "<S" },
	};
	struct talk asked, answer, all;
	struct exchange x;

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		char script[64];
		size_t end, part;

		talk_init(&asked, vectors[i].asked);
		talk_init(&answer, vectors[i].answer);
		snprintf(script, sizeof(script), "%s%s", vectors[i].answer, vectors[i].behind + 1);
		talk_init(&all, script);
		end = answer.bytes.n;
		for (size_t cut = 0; cut < end; cut++) {
			exchange_init(&x, REPLICATION_NONE);
			(void)exchange_client(&x, asked.bytes.p, asked.bytes.n);
			assert_int_equal(exchange_server_part(&x, all.bytes.p, cut), cut);
			(void)exchange_server(&x, all.bytes.p, cut, NULL);
			part = exchange_server_part(&x, all.bytes.p + cut, all.bytes.n - cut);
			assert_int_equal(part, end - cut);
			part = exchange_server_part(&x, all.bytes.p + cut, end - cut);
			assert_int_equal(part, end - cut);
		}
		buf_fini(&asked.bytes);
		buf_fini(&answer.bytes);
		buf_fini(&all.bytes);
	}
}

static void
what_ends_the_servers_message_is_known_at_every_cut(void **state)
{
	static const char bytes[] = "A\0\0\0\010abcd";
	static const size_t left[] = { 0, 4, 3, 2, 1, 4, 3, 2, 1, 0 };
	struct exchange f;

	(void)state;
	for (size_t cut = 0; cut < sizeof(left) / sizeof(left[0]); cut++) {
		exchange_init(&f, REPLICATION_NONE);
		(void)exchange_server(&f, bytes, cut, NULL);
		assert_int_equal(exchange_server_left(&f), left[cut]);
	}
}

static void
the_server_refuses_in_a_failed_transaction_and_before_sync(void **state)
{
	static const struct {
		const char *script;
		bool refuses;
	} all[] = {
		{ "", false },         { ">Q<CZT", false },       { ">Q<EZE", true },
		{ ">Q<EZE>Q", false }, { ">P<E", true },          { ">P<E>S", false },
		{ ">PS<EZE", true },   { ">Q<EZE>Q<CZI", false },
	};
	struct exchange f;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		run(all[i].script, &f);
		assert_int_equal(exchange_refuses(&f), all[i].refuses);
	}
}

static void
activities_have_names(void **state)
{
	struct exchange f;

	(void)state;
	run("", &f);
	assert_string_equal(exchange_activity_name(exchange_activity(&f)), "idle");
	run(">P", &f);
	assert_string_equal(exchange_activity_name(exchange_activity(&f)), "active");
	run(">Q<CZT", &f);
	assert_string_equal(exchange_activity_name(exchange_activity(&f)), "idle in transaction");
	run(">Q<EZE", &f);
	assert_string_equal(exchange_activity_name(exchange_activity(&f)),
			    "idle in transaction (aborted)");
	run(">Q<G", &f);
	assert_string_equal(exchange_activity_name(exchange_activity(&f)), "copy");
	run(">Q<W", &f);
	assert_string_equal(exchange_activity_name(exchange_activity(&f)), "replication");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_query_is_owed_one_ready),
		cmocka_unit_test(an_open_transaction_is_not_idle),
		cmocka_unit_test(extended_messages_are_open_until_sync),
		cmocka_unit_test(what_no_server_knows_is_not_idle),
		cmocka_unit_test(after_an_error_the_server_skips_to_sync),
		cmocka_unit_test(sync_in_copy_in_mode_is_not_answered),
		cmocka_unit_test(copy_data_sent_ahead_of_its_response_counts),
		cmocka_unit_test(a_copy_that_fails_leaves_copy_mode),
		cmocka_unit_test(a_sync_whose_fate_is_unknown_withholds_the_safe_point),
		cmocka_unit_test(copy_out_and_both_are_followed),
		cmocka_unit_test(boundaries_are_seen),
		cmocka_unit_test(a_body_of_two_gigabytes_streams_by),
		cmocka_unit_test(errors_tell_severity_and_sqlstate),
		cmocka_unit_test(transactions_and_errors_are_tallied),
		cmocka_unit_test(errors_beyond_the_tally_are_still_counted),
		cmocka_unit_test(nonsense_is_bad_and_stays_bad),
		cmocka_unit_test(a_bad_message_is_told_from_what_stands_in_front_of_it),
		cmocka_unit_test(more_than_the_queue_holds_is_still_counted),
		cmocka_unit_test(what_we_asked_ourselves_is_owed_too),
		cmocka_unit_test(terminate_and_counters_are_seen),
		cmocka_unit_test(the_rest_of_a_message_is_known_at_every_cut),
		cmocka_unit_test(the_end_of_what_is_outstanding_is_known_at_every_cut),
		cmocka_unit_test(what_ends_the_servers_message_is_known_at_every_cut),
		cmocka_unit_test(the_server_refuses_in_a_failed_transaction_and_before_sync),
		cmocka_unit_test(activities_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
