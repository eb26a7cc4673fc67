/* SPDX-License-Identifier: PostgreSQL
 *
 * The exchange, in both its forms, against a model of PostgreSQL's main loop (PostgresMain,
 * SocketBackend, CopyGetData): random conversations of sensible clients, pipelining, COPY in all
 * its forms and failures, with both directions delayed at random and cut at random. After every
 * message:
 *   - what the exchange says is owed is never less than what the model will still answer, unless
 * the exchange knows that a Sync of unknown fate is about;
 *   - a safe point is one: the model has nothing to do, nothing to say and nothing open;
 *   - the exchange is in doubt only with clients that send a Query behind messages without a Sync
 *     before another one is answered; and when all has been said and read, nothing is owed, but
 *     perhaps with such a client. Where it is listed from the beginning, it is never in doubt.
 * Deterministic: the seeds are fixed.
 */
#include "config.h"

#include "protocol/exchange.h"

#include "base/buf.h"
#include "protocol/exchange_list.h"

#include "tests/unit/unit.h"

#define LIST_MAX 512

/* What a command will do when the model gets to it. */
enum outcome { ROWS, FAILS, BEGINS, COMMITS, COPIES_IN, COPIES_OUT };

#define NEVER 255

struct message {
	char
	    type; /* '?': the client waits for CopyInResponse or an error; '!': see client_step() */
	uint8_t outcome;
	uint8_t fail_at; /* COPIES_IN: fails after so many messages of data, or NEVER */
};

struct list {
	struct message items[LIST_MAX];
	size_t head, tail;
};

struct server {
	struct list in;  /* sent by the client, not read */
	struct list out; /* said, not delivered; outcome is the status byte of a 'Z' */
	bool extended;   /* doing_extended_query_message */
	bool skip;       /* ignore_till_sync */
	bool open;       /* an implicit transaction waits for Sync */
	bool copying;
	bool copy_extended;
	unsigned copy_left; /* messages of data until it fails */
	char tx;
};

struct client {
	struct list script;
	bool waiting;
	char copy;   /* what the server said to the COPY: 'G', 'E' or nothing yet */
	bool open;   /* extended messages without a Sync: no Query may follow */
	bool failed; /* … and their error has been seen: a Query may follow, and is discarded */
};

/* The form of the exchange: compact; listed from any time on, until it is idle; listed. */
enum form { COMPACT, AT_TIMES, LISTED, FORMS };

struct world {
	enum form form;
	uint64_t seed;
	bool hasty; /* the client sends a Query behind messages without a Sync at any time */
	unsigned discarded, own, doubts;
	struct server server;
	struct client client;
	struct exchange exchange;
};

static unsigned
roll(struct world *w, unsigned n)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(w->seed >> 33) % n;
}

static size_t
list_size(const struct list *l)
{
	return l->tail - l->head;
}

static void
list_put(struct list *l, char type, unsigned outcome, unsigned fail_at)
{
	if (l->head == l->tail)
		l->head = l->tail = 0;
	assert_true(l->tail < LIST_MAX);
	l->items[l->tail++] = (struct message){ type, (uint8_t)outcome, (uint8_t)fail_at };
}

static struct message
list_take(struct list *l)
{
	return l->items[l->head++];
}

/* ---- the model ---- */

static void
say(struct server *s, char type)
{
	list_put(&s->out, type, (unsigned char)s->tx, 0);
}

static void
raise_error(struct server *s)
{
	say(s, 'E');
	if (s->tx == 'T')
		s->tx = 'E';
	s->open = false;
	s->copying = false;
	if (s->extended)
		s->skip = true;
	else
		say(s, 'Z');
}

static void
end_command(struct server *s)
{
	say(s, 'C');
	if (!s->extended)
		say(s, 'Z');
}

static void
execute(struct server *s, struct message m)
{
	if (m.outcome == FAILS || (s->tx == 'E' && m.outcome != COMMITS)) {
		raise_error(s);
		return;
	}
	if (m.outcome == COPIES_IN) {
		say(s, 'G');
		s->copying = true;
		s->copy_left = m.fail_at;
		if (m.fail_at == 0)
			raise_error(s);
		return;
	}
	if (m.outcome == COPIES_OUT) {
		say(s, 'H');
		say(s, 'd');
		say(s, 'c');
	} else if (m.outcome == BEGINS) {
		s->tx = 'T';
	} else if (m.outcome == COMMITS) {
		s->tx = 'I';
	} else {
		say(s, 'D');
	}
	end_command(s);
}

/* CopyGetData */
static void
read_copy(struct server *s, struct message m)
{
	assert_non_null(strchr("dcfHS", m.type)); /* anything else would be FATAL */
	if (m.type == 'H' || m.type == 'S')
		return;
	if (m.type == 'f' || (m.type == 'd' && s->copy_left != NEVER && --s->copy_left == 0) ||
	    (m.type == 'c' && s->copy_left == NEVER - 1)) {
		raise_error(s);
	} else if (m.type == 'c') {
		s->copying = false;
		end_command(s);
	}
}

static void
server_step(struct server *s)
{
	struct message m = list_take(&s->in);

	if (s->copying) {
		read_copy(s, m);
		return;
	}
	s->extended = strchr("PBDEH", m.type) != NULL;
	if (m.type == 'S')
		s->skip = false;
	if (s->skip || strchr("dcfH", m.type) != NULL)
		return;
	if (m.type == 'S') {
		s->open = false;
		say(s, 'Z');
		return;
	}
	s->open = s->extended;
	if (m.type == 'Q') {
		if (m.outcome == ROWS)
			say(s, 'T');
		execute(s, m);
	} else if (m.outcome == FAILS) {
		raise_error(s);
	} else if (m.type == 'E') {
		execute(s, m);
	} else {
		say(s, m.type == 'P' ? '1' : m.type == 'B' ? '2' : 'n');
	}
}

/* ---- what is true ---- */

/* How many ReadyForQuery will still be delivered if the client says nothing more; *idle: there is
 * nothing else to come either, and nothing is open. */
static unsigned
truth(const struct server *now, bool *idle)
{
	static struct server s;
	unsigned owed = 0;

	s = *now;
	while (list_size(&s.in) > 0)
		server_step(&s);
	*idle = list_size(&s.out) == 0 && !s.open && !s.copying && !s.skip && s.tx == 'I';
	for (size_t i = s.out.head; i < s.out.tail; i++)
		owed += s.out.items[i].type == 'Z';
	return owed;
}

static void
check(const struct world *w)
{
	bool idle;
	unsigned owed = truth(&w->server, &idle);

	if (exchange_pending(&w->exchange) < owed && !w->exchange.ignored &&
	    w->exchange.unsure == 0)
		fail_msg("pending %u, owed %u", exchange_pending(&w->exchange), owed);
	if (exchange_safe_point(&w->exchange) && !idle)
		fail_msg("not a safe point: owed %u", owed);
	if (exchange_is_in_doubt(&w->exchange) && (!w->hasty || w->form == LISTED))
		fail_msg("in doubt: owed %u", owed);
}

/* ---- the wire ---- */

static void
feed(struct world *w, bool server, struct message m)
{
	struct buf b = { 0 };
	size_t at = buf_message(&b, m.type);

	if (server && m.type == 'Z')
		buf_u8(&b, m.outcome);
	else if (server && m.type == 'E')
		buf_put(&b, "VERROR\0C22012\0Mx\0", 18);
	else if (strchr("QPBEDdT", m.type) != NULL)
		buf_put(&b, "S\0\0\0\4S\0\0\0\4", 1 + roll(w, 10));
	buf_message_end(&b, at);
	for (size_t done = 0, n; done < b.n; done += n) {
		uint32_t pending = exchange_pending(&w->exchange);
		unsigned events;
		size_t left;

		n = 1 + roll(w, 3) * roll(w, (unsigned)b.n);
		if (n > b.n - done)
			n = b.n - done;
		left = n;
		events = server ? exchange_filter(&w->exchange, b.p + done, &left, NULL)
				: exchange_client(&w->exchange, b.p + done, n);

		assert_int_equal(left, n);
		if (events & EXCHANGE_ERROR) {
			w->discarded += exchange_pending(&w->exchange) < pending;
			w->own += pending > 0 && exchange_pending(&w->exchange) == pending;
		}
		if (done + n < b.n)
			assert_false(exchange_is_idle(&w->exchange));
	}
	buf_fini(&b);
}

/* An error instead of CopyInResponse: the data is not sent. */
static void
copy_answered(struct client *c)
{
	c->waiting = false;
	while (c->copy == 'E' && list_take(&c->script).type != '!')
		continue;
}

static void
deliver(struct world *w)
{
	struct message m = list_take(&w->server.out);

	feed(w, true, m);
	if (w->client.open && m.type == 'E' && list_size(&w->server.in) == 0 &&
	    list_size(&w->server.out) == 0)
		w->client.failed = w->server.skip;
	if (w->client.copy == 0 && (m.type == 'G' || m.type == 'E'))
		w->client.copy = m.type;
	if (w->client.waiting && w->client.copy != 0)
		copy_answered(&w->client);
}

/* ---- the client ---- */

static void
plan(struct world *w, const char *script, unsigned outcome)
{
	unsigned fail_at = roll(w, 3) > 0 ? NEVER : roll(w, 5);

	if (fail_at == 4)
		fail_at = NEVER - 1;
	for (const char *p = script; *p != '\0'; p++) {
		unsigned times = *p == 'd' ? roll(w, 4) : 1;
		bool other_fails = *p != 'E' && *p != 'Q' && roll(w, 12) == 0;
		char type = *p == 'c' && roll(w, 6) == 0 ? 'f' : *p;

		for (; times > 0; times--)
			list_put(&w->client.script, type, other_fails ? FAILS : outcome, fail_at);
	}
}

static unsigned
any_outcome(struct world *w)
{
	static const enum outcome outcomes[] = { ROWS, ROWS, FAILS, BEGINS, COMMITS, COPIES_OUT };

	return outcomes[roll(w, 6)];
}

static bool
is_quiet(const struct world *w)
{
	return list_size(&w->server.in) == 0 && list_size(&w->server.out) == 0 && !w->client.open;
}

/* Choose what the client does next. A client that sends COPY data only when it has been asked for
 * it ('?') begins with nothing under way, or it could not tell whose error it sees. */
static void
make_plan(struct world *w)
{
	static const char *const extended[] = { "PBES", "PBDES", "S", "PS",    "BES", "PBEBEBES",
						"PBEH", "BE",    "P", "PBEHS", "H" };
	static const char *const copies[] = { "Q?ddc!",    "Q?dHdSdc!", "PBES?ddcSPS!",
					      "PBES?dc!S", "PBES?dcS!", "PBES?ddcS!",
					      "PBE?ddcS!", "PBE?dc!S",  "Q?Sdc!",
					      "PBEH?dcS!", "PBESS?cS!" };
	static const char *const ahead[] = { "Qddc", "PBEdcS", "PBESddcS", "PBEdcPBEdcS" };
	static const char *const behind[] = { "PQS",      "PBQS", "PBHEQS",  "BEQHS",
					      "PDBQSBES", "PQQS", "PBQPBQS", "BEQSPBQS" };
	unsigned kind = roll(w, 11);

	if (w->client.open) {
		if (w->client.failed && kind == 0)
			plan(w, "QS", any_outcome(w)); /* the Query is discarded */
		else
			plan(w, kind < 5 ? extended[roll(w, 6)] : "S", any_outcome(w));
	} else if (kind < 3) {
		plan(w, "Q", any_outcome(w));
	} else if (kind < 6) {
		plan(w, extended[roll(w, 11)], any_outcome(w));
	} else if (kind < 7) {
		plan(w, ahead[roll(w, 4)], COPIES_IN);
	} else if (kind == 10 && w->hasty) {
		plan(w, behind[roll(w, 8)], any_outcome(w));
	} else if (is_quiet(w)) {
		if (kind < 10) {
			w->client.copy = 0;
			plan(w, copies[roll(w, 11)], COPIES_IN);
		} else {
			plan(w, behind[roll(w, 6)], any_outcome(w));
		}
	}
}

static void
client_step(struct world *w)
{
	struct message m;

	if (list_size(&w->client.script) == 0) {
		make_plan(w);
		return;
	}
	m = list_take(&w->client.script);
	if (m.type == '?') {
		w->client.waiting = true;
		if (w->client.copy != 0)
			copy_answered(&w->client);
		return;
	}
	if (m.type == '!')
		return;
	if (strchr("PBDE", m.type) != NULL)
		w->client.open = true;
	if (m.type == 'S' || m.type == 'Q')
		w->client.open = w->client.failed = w->client.failed && m.type == 'Q';
	feed(w, false, m);
	list_put(&w->server.in, m.type, m.outcome, m.fail_at);
}

/* ---- runs ---- */

static void
step(struct world *w)
{
	unsigned choice = roll(w, 3);

	if (w->form == AT_TIMES && roll(w, 50) == 0)
		exchange_list(&w->exchange, NULL, NULL);

	if (choice == 0 && !w->client.waiting && list_size(&w->server.in) < 40)
		client_step(w);
	else if (choice == 1 && list_size(&w->server.in) > 0)
		server_step(&w->server);
	else if (choice == 2 && list_size(&w->server.out) > 0)
		deliver(w);
	check(w);
}

/* Let everything come to rest, ending what is open. */
static void
drain(struct world *w)
{
	bool idle;

	for (;;) {
		if (list_size(&w->server.in) > 0)
			server_step(&w->server);
		else if (list_size(&w->server.out) > 0)
			deliver(w);
		else if (list_size(&w->client.script) > 0)
			client_step(w);
		else if (w->client.open)
			plan(w, "S", ROWS);
		else
			break;
		check(w);
	}
	truth(&w->server, &idle);
	if (w->hasty && w->form != LISTED && exchange_pending(&w->exchange) > 0) {
		w->doubts++;
		return;
	}
	if (exchange_pending(&w->exchange) != 0)
		fail_msg("at rest, but pending %u", exchange_pending(&w->exchange));
	assert_int_equal(exchange_is_idle(&w->exchange), idle);
}

static void
exchange_agrees_with_a_model_of_the_server(void **state)
{
	static struct world w;
	unsigned discarded = 0, own = 0, doubts = 0;

	(void)state;
	for (uint64_t seed = 0; seed < (uint64_t)2000 * FORMS; seed++) {
		memset(&w, 0, sizeof(w));
		w.form = (enum form)(seed / 2000);
		w.seed = seed * 7919 + 1;
		w.hasty = seed % 4 == 0;
		w.server.tx = 'I';
		exchange_init(&w.exchange, REPLICATION_NONE);
		if (w.form == LISTED) {
			exchange_list(&w.exchange, NULL, NULL);
			exchange_keep_listed(&w.exchange, true);
		}
		for (int i = 0; i < 600; i++)
			step(&w);
		drain(&w);
		exchange_fini(&w.exchange);
		discarded += w.discarded;
		own += w.own;
		doubts += w.doubts;
	}
	print_message("# %u times discarded, %u times its own, %u ends in doubt\n", discarded, own,
		      doubts);
	assert_in_range(discarded, 500, UINT32_MAX);
	assert_in_range(own, 200, UINT32_MAX);
	assert_in_range(doubts, 1, 300);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exchange_agrees_with_a_model_of_the_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
