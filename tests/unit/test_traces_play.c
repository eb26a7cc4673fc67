/* SPDX-License-Identifier: PostgreSQL
 *
 * A session with a server of its own, played at random against a model of PostgreSQL: whenever the
 * session could be moved, traces knows the statement without a name that the server has, or that it
 * does not know.
 */
#include "config.h"

#include "proxy/sqlstate/traces.h"

#include <string.h>

#include "protocol/exchange.h"
#include "protocol/exchange_list.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "tests/unit/pg_model.h"
#include "tests/unit/says.h"

#include "tests/unit/unit.h"

#define SEEDS 1000
#define SAYS  60

#define PIECE_MAX 4096

struct play {
	unsigned begun; /* the seed */
	uint64_t seed;
	struct pg_model model;
	struct traces *t;
	struct exchange exchange;
	struct buf said;
	size_t sent, heard; /* of what the client and the server have said */
	unsigned known, unknown;
};

static unsigned
roll(struct play *p, unsigned n)
{
	p->seed = p->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(p->seed >> 33) % n;
}

/* ---- what the client says ---- */

static void
say_a_text(struct play *p, const char *name)
{
	/* X is none, V cannot be bound, F fails when it runs */
	static const char *const texts[] = { "S1", "S2", "S3", "S4", "S5", "X", "V", "F" };

	say_parse(&p->said, name, texts[roll(p, sizeof(texts) / sizeof(texts[0]))], 0);
}

static void
say_query(struct play *p)
{
	static const char *const texts[] = { "S6", "F", "BEGIN", "ROLLBACK", "X", "COPY" };

	message_put_query(&p->said, slice_str(texts[roll(p, sizeof(texts) / sizeof(texts[0]))]));
}

static void
say_something(struct play *p)
{
	static const char *const names[] = { "", "", "", "a" };
	const char *name = names[roll(p, sizeof(names) / sizeof(names[0]))];

	switch (roll(p, 12)) {
	case 0:
	case 1:
	case 2:
		say_a_text(p, name);
		break;
	case 3:
	case 4:
		say_bind(&p->said, "", name, NULL, 0);
		say_execute(&p->said, "");
		break;
	case 5:
		message_put_close_statement(&p->said, slice_str(name));
		break;
	case 6:
		message_put_bare(&p->said, roll(p, 2) == 0 ? MSG_FLUSH : MSG_SYNC);
		break;
	case 7:
		say_query(p);
		break;
	case 8:
		message_put_bare(&p->said, roll(p, 2) == 0 ? MSG_COPY_DONE : MSG_COPY_DATA);
		break;
	default:
		message_put_bare(&p->said, MSG_SYNC);
		break;
	}
}

/* ---- the relay between ---- */

static size_t
piece_of(struct play *p, size_t n)
{
	size_t piece = roll(p, 3) == 0 ? n : 1 + roll(p, 40);

	return piece < n ? piece : n;
}

static void
carry_to_server(struct play *p)
{
	const char *from = p->said.p + p->sent;
	size_t n = piece_of(p, p->said.n - p->sent);

	traces_client(p->t, &p->exchange, from, n);
	assert_int_equal(exchange_client(&p->exchange, from, n) & EXCHANGE_BAD, 0);
	pg_read(&p->model, from, n);
	p->sent += n;
}

static void
carry_to_client(struct play *p)
{
	const char *from = p->model.out.p + p->heard;
	size_t n = piece_of(p, p->model.flushed - p->heard);
	char in[EXCHANGE_HELD_MAX + PIECE_MAX];
	size_t held = exchange_put_held(&p->exchange, in);
	unsigned events;

	if (n > PIECE_MAX)
		n = PIECE_MAX;
	memcpy(in + held, from, n);
	p->heard += n;
	n += held;
	events = exchange_filter(&p->exchange, in, &n, NULL);
	assert_int_equal(events & EXCHANGE_BAD, 0);
	if (events & EXCHANGE_COPY)
		traces_copy(p->t, &p->exchange);
}

/* The model has answered all that it was told; the client has heard it or not. */
static void
check(struct play *p)
{
	struct message_parse m;
	struct slice got;
	struct frame f;

	if (!exchange_safe_point(&p->exchange) || p->heard < p->model.out.n ||
	    !pg_is_idle(&p->model))
		return;
	if (!traces_unnamed(p->t, &got)) {
		p->unknown++;
		return;
	}
	p->known++;
	if (got.n > 0) {
		assert_int_equal(frame_cut(got, got.n, &f), PARSE_DONE);
		assert_int_equal(message_parse_parse(f.body, &m), PARSE_DONE);
	}
	if (got.n == 0 ? p->model.unnamed != NULL
		       : p->model.unnamed == NULL || !slice_is(m.sql, p->model.unnamed))
		fail_msg("seed %u: the server has %s, not %.*s", p->begun,
			 p->model.unnamed != NULL ? p->model.unnamed : "none", (int)got.n, got.p);
}

static void
play(struct play *p, unsigned seed)
{
	p->begun = seed;
	p->seed = seed;
	p->t = traces_new(slice_str("packet"));
	pg_init(&p->model);
	exchange_init(&p->exchange, REPLICATION_NONE);
	for (unsigned says = 0;
	     says < SAYS || p->sent < p->said.n || p->heard < p->model.flushed;) {
		unsigned turn = roll(p, 4);

		if (turn == 0 && says < SAYS && (p->sent == p->said.n || roll(p, 3) == 0)) {
			say_something(p);
			says++;
		} else if (turn <= 1 && p->sent < p->said.n) {
			carry_to_server(p);
		} else if (p->heard < p->model.flushed) {
			carry_to_client(p);
		}
		check(p);
	}
	exchange_fini(&p->exchange);
	traces_free(p->t);
	pg_fini(&p->model);
	buf_fini(&p->said);
}

static void
what_is_known_is_what_the_server_has(void **state)
{
	unsigned known = 0, unknown = 0;

	(void)state;
	for (unsigned seed = 1; seed <= SEEDS; seed++) {
		struct play p = { 0 };

		play(&p, seed);
		known += p.known;
		unknown += p.unknown;
	}
	/* for all these mistakes, the exchange knows whose each error was, but for what was sent
	 * behind a COPY */
	assert_in_range(unknown, 1, known / 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_known_is_what_the_server_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
