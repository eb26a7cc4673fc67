/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "tests/unit/statements_play.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "protocol/exchange_list.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/sqlstate/prepared.h"
#include "proxy/sqlstate/statements.h"
#include "proxy/sqlstate/statements_texts.h"
#include "tests/unit/pg_model.h"
#include "tests/unit/says.h"

#define CLIENTS   3
#define SERVERS   2
#define PAUSES    32
#define SAYS      40   /* messages of a client, about */
#define TURNS_MAX 4000 /* then it hangs */

/* Where what happens is decided: the bytes of the input; when they are used up, random ones. */
struct dice {
	const uint8_t *p;
	size_t n;
	uint64_t seed;
};

struct server {
	struct pg_model model;
	struct server_statements *ss;
	bool lent;
};

struct client {
	struct buf script, got, want;
	size_t said;           /* of the script */
	size_t pauses[PAUSES]; /* places where the client waits for all answers first */
	unsigned npauses, paused;
	struct prepared_names *names;
	struct prepared_notes notes; /* of another feature, on the same names */
	struct statements *c;
	struct exchange exchange;
	struct server *server; /* or NULL */
	uint64_t meaning;
	bool reused[64];
};

struct play {
	struct dice dice;
	struct statement_table *table;
	struct server servers[SERVERS];
	struct client clients[CLIENTS];
	struct play_result result;
};

static unsigned
roll(struct dice *d, unsigned n)
{
	if (d->n > 0) {
		d->n--;
		return *d->p++ % n;
	}
	d->seed = d->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(d->seed >> 33) % n;
}

/* ---- what clients say ---- */

static const char *const names[] = { "a", "b", "c", "", "", "meridian_1" };
static const char *const texts[] = {
	"S1", "S2", "S3",    "S4",     "N5",       "X",  "V",    "F",
	"",   "S1", "BEGIN", "COMMIT", "ROLLBACK", "S6", "COPY", "S1",
};

static const char *
any_name(struct dice *d)
{
	return names[roll(d, sizeof(names) / sizeof(names[0]))];
}

static const char *
any_text(struct dice *d)
{
	return texts[roll(d, sizeof(texts) / sizeof(texts[0]))];
}

/* COPY is for say_copy(). */
static const char *
copyless(const char *text)
{
	return strcmp(text, "COPY") == 0 ? "S8" : text;
}

static const char *
any_portal(struct dice *d)
{
	return roll(d, 8) == 0 ? "p" : "";
}

static void
say_query(struct buf *b, const char *text)
{
	message_put_query(b, slice_str(text));
}

static void
pause_here(struct client *cl)
{
	if (cl->npauses < PAUSES)
		cl->pauses[cl->npauses++] = cl->script.n;
}

/* COPY as libpq does it: with the Sync that the server ignores, then, when the server has answered,
 * data, the end and another Sync. A COPY that comes to nothing leaves them as leftovers. */
static void
say_copy_data(struct client *cl, struct dice *d, bool simple)
{
	struct buf *b = &cl->script;

	pause_here(cl);
	buf_put(b, "d\0\0\0\x06xy", 7);
	if (roll(d, 4) == 0)
		buf_put(b, "f\0\0\0\x06x", 7);
	else
		message_put_bare(b, MSG_COPY_DONE);
	if (!simple)
		message_put_bare(b, MSG_SYNC);
}

static void
say_copy(struct client *cl, struct dice *d)
{
	struct buf *b = &cl->script;
	bool simple = roll(d, 2) == 0;

	if (cl->npauses + 3 >= PAUSES)
		return;
	message_put_bare(b, MSG_SYNC);
	pause_here(cl); /* behind more than it can hold, the exchange is not sure of a COPY */
	if (simple) {
		say_query(b, "COPY");
	} else {
		say_parse(b, "", "COPY", 0);
		say_bind(b, "", "", NULL, 0);
		say_execute(b, "");
		message_put_bare(b, MSG_SYNC);
	}
	say_copy_data(cl, d, simple);
	pause_here(cl);
	message_put_bare(b, MSG_SYNC);
	say_query(b, "S9"); /* no COPY is to be bound again, without a pause */
}

/* A statement used as drivers do it. */
static void
say_cycle(struct buf *b, struct dice *d, const char *name)
{
	const char *portal = any_portal(d);

	say_bind(b, portal, name, NULL, 0);
	if (roll(d, 2) == 0)
		say_target(b, MSG_DESCRIBE, 'P', portal);
	say_execute(b, portal);
	if (roll(d, 4) != 0)
		message_put_bare(b, MSG_SYNC);
}

/* All statements go; names are not used again in the same sequence. */
static void
say_drop_all(struct buf *b, struct dice *d)
{
	const char *text = roll(d, 2) == 0 ? "DEALLOCATE ALL" : "DISCARD ALL";

	if (roll(d, 2) == 0) {
		message_put_bare(b, MSG_SYNC);
		say_query(b, text);
		return;
	}
	say_parse(b, "", text, 0);
	say_bind(b, "", "", NULL, 0);
	say_execute(b, "");
	if (roll(d, 2) == 0)
		say_parse(b, names[roll(d, 3)], copyless(any_text(d)), 0);
	message_put_bare(b, MSG_SYNC);
}

static void
say_drop_one(struct buf *b, struct dice *d)
{
	char text[80];

	snprintf(text, sizeof(text), "DEALLOCATE %s", names[roll(d, 3)]);
	if (roll(d, 2) == 0) {
		message_put_bare(b, MSG_SYNC);
		say_query(b, text);
		return;
	}
	say_parse(b, "", text, 0);
	say_bind(b, "", "", NULL, 0);
	say_execute(b, "");
	if (roll(d, 2) == 0)
		say_cycle(b, d, names[roll(d, 3)]);
	/* it is found in its text when that is parsed: it must not be bound again later */
	message_put_bare(b, MSG_SYNC);
	say_query(b, "S9");
}

static void
say_query_somehow(struct buf *b, struct dice *d)
{
	const char *text = any_text(d);

	if (strcmp(text, "COPY") == 0)
		text = "S7";
	/* without it no sensible client sends a Query, and protocol/exchange.c is not sure of one
	 */
	message_put_bare(b, MSG_SYNC);
	say_query(b, text);
}

/* A transaction that fails, and what is said in it then. */
static void
say_failure(struct buf *b, struct dice *d)
{
	message_put_bare(b, MSG_SYNC);
	say_query(b, "BEGIN");
	say_query(b, "F");
	for (unsigned i = roll(d, 4); i > 0; i--) {
		say_parse(b, any_name(d), copyless(any_text(d)), 0);
		if (roll(d, 2) == 0)
			say_cycle(b, d, any_name(d));
		message_put_bare(b, MSG_SYNC);
	}
	say_query(b, "ROLLBACK");
}

/* A statement without a name that is skipped, and used. */
static void
say_skipped(struct buf *b, struct dice *d)
{
	message_put_bare(b, MSG_SYNC);
	say_target(b, MSG_DESCRIBE, 'P', "none");
	if (roll(d, 2) == 0)
		say_parse(b, "", "S1", 0);
	else
		say_target(b, MSG_CLOSE, 'S', "");
	message_put_bare(b, MSG_SYNC);
	say_cycle(b, d, "");
	message_put_bare(b, MSG_SYNC);
}

static void
say_something(struct client *cl, struct dice *d)
{
	struct buf *b = &cl->script;
	const char *name = any_name(d);

	switch (roll(d, 18)) {
	case 16:
		say_failure(b, d);
		break;
	case 17:
		say_skipped(b, d);
		break;
	case 0:
	case 1:
		say_parse(b, name, copyless(any_text(d)), 0);
		break;
	case 2:
		say_parse(b, name, copyless(any_text(d)), 0);
		say_target(b, MSG_DESCRIBE, 'S', name);
		message_put_bare(b, MSG_SYNC);
		break;
	case 3:
	case 4:
	case 5:
		say_cycle(b, d, name);
		break;
	case 6:
		say_parse(b, name, copyless(any_text(d)), 0);
		say_cycle(b, d, name);
		break;
	case 7:
		say_target(b, MSG_DESCRIBE, 'S', name);
		break;
	case 8:
		say_target(b, MSG_CLOSE, 'S', name);
		break;
	case 9:
		say_target(b, roll(d, 2) == 0 ? MSG_CLOSE : MSG_DESCRIBE, 'P', any_portal(d));
		break;
	case 10:
		say_query_somehow(b, d);
		break;
	case 11:
		say_drop_one(b, d);
		break;
	case 12:
		if (roll(d, 2) == 0)
			say_drop_all(b, d);
		else
			say_copy(cl, d);
		break;
	case 13:
		message_put_bare(b, roll(d, 2) == 0 ? MSG_FLUSH : MSG_SYNC);
		break;
	case 14:
		pause_here(cl);
		break;
	default:
		message_put_bare(b, MSG_SYNC);
		break;
	}
}

static void
write_script(struct client *cl, struct dice *d)
{
	unsigned n = roll(d, SAYS);

	for (unsigned i = 0; i < n; i++)
		say_something(cl, d);
	message_put_bare(&cl->script, MSG_SYNC);
	say_query(&cl->script, "ROLLBACK");
}

/* What a server of its own says. */
static void
ask_a_server_of_its_own(struct client *cl)
{
	struct pg_model m;

	pg_init(&m);
	pg_read(&m, cl->script.p, cl->script.n);
	buf_slice(&cl->want, buf_view(&m.out));
	pg_fini(&m);
}

/* ---- the proxy ---- */

/* STATEMENTS_PLAY=1 in the environment: what was said and read; =2: also each piece on its way. */
static void
show(const char *what, struct slice in)
{
	struct frame f;

	fprintf(stderr, "%s:", what);
	while (frame_cut(in, (size_t)1 << 30, &f) == PARSE_DONE) {
		fprintf(stderr, " %c", f.type);
		for (size_t i = 0; i < f.body.n && i < 24 && strchr("PBDCQEA12", f.type); i++)
			fputc(f.body.p[i] >= ' ' ? f.body.p[i] : '.', stderr);
		in = slice_skip(in, f.total);
	}
	fprintf(stderr, " (%zu)\n", in.n);
}

static bool
shows(const char *level)
{
	const char *set = getenv("STATEMENTS_PLAY");

	return set != NULL && strcmp(set, level) >= 0;
}

static void
attach(struct play *p, struct client *cl)
{
	struct server *sv = &p->servers[roll(&p->dice, SERVERS)];

	if (sv->lent)
		return;
	sv->lent = true;
	cl->server = sv;
	statements_attach(cl->c, sv->ss, &cl->exchange);
	p->result.attachments++;
}

static void
detach(struct client *cl)
{
	statements_detach(cl->c);
	cl->server->lent = false;
	cl->server = NULL;
}

static void
pass_on(struct play *p, struct client *cl, struct slice bytes)
{
	if (shows("2"))
		show(cl == p->clients ? "0 >" : cl == p->clients + 1 ? "1 >" : "2 >", bytes);
	(void)exchange_client(&cl->exchange, bytes.p, bytes.n);
	pg_read(&cl->server->model, bytes.p, bytes.n);
}

static void
to_server(struct play *p, struct client *cl, const char *bytes, size_t n)
{
	struct buf out = { .n = 0 };
	const char *noted = names[cl->said % (sizeof(names) / sizeof(names[0]))];
	/* now and then it is another, as behind a SET or a change of the schema */
	uint64_t meaning = cl->meaning + (cl->said >> 7 & 1);
	enum statements_verdict v;

	prepared_note_key(&cl->notes, slice_str(noted), cl->said + 1);
	if (cl->said % 5 == 0)
		prepared_ran(&cl->notes, slice_str("DISCARD ALL"));
	v = statements_client(cl->c, meaning, bytes, n, &out);
	if (v == STATEMENTS_BAD) {
		p->result.wrong = "the client's bytes are refused";
	} else {
		p->result.rewritten += v == STATEMENTS_REWRITTEN;
		if (v == STATEMENTS_REWRITTEN)
			bytes = out.p, n = out.n;
		if (n > 0)
			pass_on(p, cl, slice_of(bytes, n));
		if (statements_waits(cl->c))
			p->result.waited++;
	}
	buf_fini(&out);
}

/* Nothing is under way between the client and its server. */
static bool
is_quiet(const struct client *cl)
{
	return !statements_holds(cl->c) && (cl->server == NULL || (cl->server->model.in.n == 0 &&
								   cl->server->model.flushed == 0));
}

static bool
client_speaks(struct play *p, struct client *cl)
{
	size_t left = cl->script.n - cl->said, n = left;

	if (left == 0 || statements_waits(cl->c))
		return false;
	if (cl->paused < cl->npauses) {
		n = cl->pauses[cl->paused] - cl->said;
		if (n == 0) {
			cl->paused += is_quiet(cl);
			return false;
		}
	}
	if (cl->server == NULL)
		attach(p, cl);
	if (cl->server == NULL)
		return false;
	if (roll(&p->dice, 2) == 0)
		n = 1 + roll(&p->dice, n < 200 ? (unsigned)n : 200);
	to_server(p, cl, cl->script.p + cl->said, n);
	cl->said += n;
	return true;
}

static void
from_server(struct play *p, struct client *cl, size_t n)
{
	struct pg_model *m = &cl->server->model;
	struct exchange_tally tally = { 0 };
	char bytes[4096];
	size_t held = exchange_put_held(&cl->exchange, bytes);

	if (shows("2"))
		show(cl == p->clients       ? "0 <"
		     : cl == p->clients + 1 ? "1 <"
					    : "2 <",
		     slice_of(m->out.p, n));
	memcpy(bytes + held, m->out.p, n);
	buf_drop(&m->out, n);
	m->flushed -= n;
	n += held;
	(void)exchange_filter(&cl->exchange, bytes, &n, &tally);
	statements_heard(cl->c);
	buf_put(&cl->got, bytes, n);
	for (unsigned i = 0; i < tally.errors && i < EXCHANGE_TALLY_MAX; i++)
		statements_error(cl->c, tally.sqlstates[i]);
	p->result.errors += tally.errors;
	if (statements_goes_on(cl->c))
		to_server(p, cl, NULL, 0);
}

static bool
server_speaks(struct play *p, struct client *cl)
{
	size_t n = cl->server != NULL ? cl->server->model.flushed : 0;

	if (n == 0) {
		if (cl->server != NULL && statements_goes_on(cl->c)) {
			to_server(p, cl, NULL, 0);
			return true;
		}
		return false;
	}
	if (n > 4000)
		n = 4000;
	if (roll(&p->dice, 2) == 0)
		n = 1 + roll(&p->dice, n < 100 ? (unsigned)n : 100);
	from_server(p, cl, n);
	return true;
}

static bool
lets_go(struct play *p, struct client *cl)
{
	if (cl->server == NULL || !exchange_safe_point(&cl->exchange) ||
	    !statements_settled(cl->c) || statements_pins(cl->c))
		return false;
	if (!pg_is_idle(&cl->server->model))
		p->result.wrong = "a safe point is none";
	detach(cl);
	return true;
}

static bool
is_over(const struct client *cl)
{
	return cl->said == cl->script.n && cl->server == NULL;
}

static void
turns(struct play *p)
{
	unsigned idle = 0;

	for (unsigned i = 0; i < TURNS_MAX * CLIENTS && p->result.wrong == NULL; i++) {
		struct client *cl = &p->clients[roll(&p->dice, CLIENTS)];
		bool moved = roll(&p->dice, 2) == 0 ? client_speaks(p, cl) : server_speaks(p, cl);

		moved = lets_go(p, cl) || moved;
		idle = moved ? 0 : idle + 1;
		if (idle > 500)
			break;
	}
}

static void
compare(struct play *p)
{
	for (unsigned i = 0; i < CLIENTS && p->result.wrong == NULL; i++) {
		struct client *cl = &p->clients[i];

		p->result.bytes += (unsigned)cl->got.n;
		if (cl->got.n > cl->want.n ||
		    (cl->got.n > 0 && memcmp(cl->got.p, cl->want.p, cl->got.n) != 0))
			p->result.wrong = "a client reads something else";
		else if (!is_over(cl))
			p->result.wrong = "a client is left waiting";
		else if (cl->got.n != cl->want.n)
			p->result.wrong = "a client reads too little";
	}
	for (unsigned i = 0; i < SERVERS && p->result.wrong == NULL; i++)
		p->result.parses += p->servers[i].model.parses;
}

static void
explain(const struct play *p)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		const struct client *cl = &p->clients[i];

		fprintf(stderr, "# client %u has said %zu of %zu%s%s%s%s%s%s\n", i, cl->said,
			cl->script.n, cl->server != NULL ? ", attached" : "",
			statements_waits(cl->c) ? ", waits" : "",
			statements_holds(cl->c) ? ", holds" : "",
			exchange_is_listed(&cl->exchange) ? ", listed" : "",
			exchange_safe_point(&cl->exchange) ? "" : ", unsafe",
			cl->exchange.unsure ? ", unsure" : "");
		show("#   says", buf_view(&cl->script));
		show("#   wants", buf_view(&cl->want));
		show("#   got", buf_view(&cl->got));
	}
}

static void
begin(struct play *p, unsigned max)
{
	p->table = statement_table_new(max);
	for (unsigned i = 0; i < SERVERS; i++) {
		pg_init(&p->servers[i].model);
		p->servers[i].ss = server_statements_new(p->table);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *cl = &p->clients[i];

		cl->names = prepared_names_init(xmalloc(sizeof(struct prepared_names)), 1);
		prepared_notes_init(&cl->notes, cl->names, PREPARED_KEYS, 3);
		cl->c = statements_new(p->table, cl->names);
		cl->meaning = 1 + roll(&p->dice, 2);
		exchange_init(&cl->exchange, REPLICATION_NONE);
		write_script(cl, &p->dice);
		ask_a_server_of_its_own(cl);
	}
}

/* What is prepared on a server is known, all of it. */
static const char *
count_statements(const struct server *sv)
{
	const struct slot *slot;
	size_t known = server_statements_count(sv->ss), there = pg_names(&sv->model);

	if (known > there)
		return "the server has less than is believed";
	TAILQ_FOREACH (slot, &sv->ss->surplus, all)
		known++;
	return known < there ? "the server has more than is known" : NULL;
}

static void
end(struct play *p)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *cl = &p->clients[i];

		statements_free(cl->c);
		prepared_notes_fini(&cl->notes);
		prepared_names_fini(cl->names);
		free(cl->names);
		buf_fini(&cl->script);
		buf_fini(&cl->got);
		buf_fini(&cl->want);
	}
	for (unsigned i = 0; i < SERVERS; i++) {
		struct server *sv = &p->servers[i];

		if (p->result.wrong == NULL)
			p->result.wrong = count_statements(sv);
		server_statements_free(sv->ss);
		pg_fini(&sv->model);
	}
	if (p->result.wrong == NULL && statement_table_count(p->table) > 0)
		p->result.wrong = "texts are left over";
	if (p->result.wrong == NULL)
		statement_table_free(p->table);
}

static struct play_result
run(struct play *p, unsigned max)
{
	struct play_result result;

	begin(p, max);
	turns(p);
	compare(p);
	if (p->result.wrong != NULL && shows("1"))
		explain(p);
	end(p);
	result = p->result;
	free(p);
	return result;
}

struct play_result
statements_play(const uint8_t *data, size_t n, unsigned max)
{
	struct play *p = xcalloc(1, sizeof(*p));

	p->dice = (struct dice){ data, n, n };
	return run(p, max);
}

struct play_result
statements_play_random(uint64_t seed, unsigned max)
{
	struct play *p = xcalloc(1, sizeof(*p));

	p->dice = (struct dice){ NULL, 0, seed * 2 + 1 };
	return run(p, max);
}
