/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/aborted.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "tests/unit/unit.h"

static void
verbs_are_told_from_texts(void **state)
{
	static const struct {
		const char *sql;
		enum aborted_verb verb;
	} table[] = {
		{ "SELECT 1", ABORTED_REFUSED },
		{ "commit", ABORTED_COMMIT },
		{ " /* x */ COMMIT ;", ABORTED_COMMIT },
		{ "END", ABORTED_COMMIT },
		{ "end transaction", ABORTED_COMMIT },
		{ "COMMIT AND CHAIN", ABORTED_COMMIT },
		{ "COMMIT; SELECT 1", ABORTED_COMMIT },
		{ "PREPARE TRANSACTION 'x'", ABORTED_COMMIT },
		{ "PREPARE x AS SELECT 1", ABORTED_REFUSED },
		{ "COMMIT PREPARED 'x'", ABORTED_REFUSED },
		{ "ROLLBACK", ABORTED_ROLLBACK },
		{ "rollback;", ABORTED_ROLLBACK },
		{ "ABORT WORK", ABORTED_ROLLBACK },
		{ "-- so\nROLLBACK TRANSACTION;;", ABORTED_ROLLBACK },
		{ "ROLLBACK AND NO CHAIN", ABORTED_ROLLBACK },
		/* something would have to be done behind it: it fails as a whole, and is over */
		{ "ROLLBACK AND CHAIN", ABORTED_COMMIT },
		{ "ROLLBACK; BEGIN", ABORTED_COMMIT },
		{ "ROLLBACK TO s", ABORTED_REFUSED },
		{ "ROLLBACK WORK TO SAVEPOINT s", ABORTED_REFUSED },
		{ "ROLLBACK PREPARED 'x'", ABORTED_REFUSED },
		{ "\"rollback\"", ABORTED_REFUSED },
		{ "'rollback'", ABORTED_REFUSED },
		{ "rollbacks", ABORTED_REFUSED },
		{ "", ABORTED_EMPTY },
		{ " ; ; -- nothing", ABORTED_EMPTY },
		{ "SELECT 'open", ABORTED_REFUSED },
		{ "ROLLBACK 'open", ABORTED_REFUSED },
		{ "/* open", ABORTED_REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		enum aborted_verb verb = aborted_verb_of(slice_str(table[i].sql));

		if (verb != table[i].verb)
			fail_msg("%s: %d", table[i].sql, (int)verb);
	}
}

/* ---- conversations ---- */

/* Messages as text, separated by blanks: Q(sql), P(name:sql), B(portal:name), D(Sname), D(Pname),
 * E(portal), C(Sname), S, H, d, c, F, X. */
static void
put_message(struct buf *b, char type, const char *body)
{
	struct slice rest = slice_str(body), first = slice_cut(&rest, ':');
	size_t at = buf_message(b, type);

	switch (type) {
	case 'Q':
		buf_cstr(b, body);
		break;
	case 'P':
		buf_slice(b, first);
		buf_u8(b, 0);
		buf_slice(b, rest);
		buf_u8(b, 0);
		buf_u16(b, 0);
		break;
	case 'B':
		buf_slice(b, first);
		buf_u8(b, 0);
		buf_slice(b, rest);
		buf_u8(b, 0);
		buf_u16(b, 0);
		buf_u16(b, 0);
		buf_u16(b, 0);
		break;
	case 'E':
		buf_cstr(b, body);
		buf_u32(b, 0);
		break;
	case 'S':
	case 'c':
	case 'X':
		break;
	case 'H':
		buf_put(b, body, strlen(body));
		break;
	default:
		buf_cstr(b, body);
		break;
	}
	buf_message_end(b, at);
}

static void
put_messages(struct buf *b, const char *text)
{
	while (*text != '\0') {
		char type = *text++, body[256] = "";
		const char *end;

		if (*text == '(') {
			end = strchr(text, ')');
			assert_non_null(end);
			memcpy(body, text + 1, (size_t)(end - text - 1));
			body[end - text - 1] = '\0';
			text = end + 1;
		}
		put_message(b, type, body);
		if (*text == ' ')
			text++;
	}
}

/* What was answered, the same way: E(40001), C(ROLLBACK), Z(E) … */
static const char *
told(const struct buf *out)
{
	static char text[1024];
	struct slice in = buf_view(out);
	struct frame f;
	size_t n = 0;

	text[0] = '\0';
	while (frame_cut(in, 1 << 20, &f) == PARSE_DONE) {
		struct message_report r;
		const char *sep = n > 0 ? " " : "";

		in = slice_skip(in, f.total);
		if (f.type == MSG_ERROR) {
			assert_int_equal(message_parse_report(f.body, &r), PARSE_DONE);
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%sE(%.5s)", sep,
					      r.sqlstate.p);
		} else if (f.type == MSG_READY) {
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%sZ(%c)", sep,
					      f.body.p[0]);
		} else if (f.type == MSG_COMMAND_COMPLETE) {
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%sC(%s)", sep, f.body.p);
		} else {
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%c", sep, f.type);
		}
	}
	assert_int_equal(in.n, 0);
	return text;
}

/* What the server said before it went: R: a ReadyForQuery with that status, c: CopyInResponse. */
static void
play_server(struct exchange *f, const char *text)
{
	struct buf b = { 0 };
	size_t at;

	for (; *text != '\0'; text++) {
		if (*text == 'c') {
			at = buf_message(&b, 'G');
			buf_u8(&b, 0);
			buf_u16(&b, 0);
			buf_message_end(&b, at);
		} else if (*text == '!') {
			message_put_report(&b, MSG_ERROR, &(struct message_report){ 0 });
		} else {
			message_put_ready(&b, *text);
		}
	}
	if (b.n > 0)
		(void)exchange_server(f, b.p, b.n, NULL);
	buf_fini(&b);
}

static bool
one_text(void *arg, struct slice name, struct slice *sql)
{
	(void)arg;
	*sql = slice_str("ROLLBACK");
	return slice_is(name, "S_1");
}

struct talk {
	const char *before;  /* what the client said while there was a server … */
	size_t cut;          /* … but for so many bytes at its end */
	const char *server;  /* what that said */
	const char *at_once; /* what is answered then */
	const char *then;    /* what the client says next */
	const char *expect;
	const char *rest; /* what is for the next server; NULL: it is not over */
	const char *owed;
};

static void
check(const char *what, const char *got, const char *expect, const struct talk *t, size_t chunk)
{
	if (strcmp(got, expect) != 0)
		fail_msg("%s / %s, in pieces of %zu: %s: got %s, expected %s", t->before, t->then,
			 chunk, what, got, expect);
}

static void
feed(struct aborted *a, const struct talk *t, size_t chunk, const struct buf *in, struct buf *out)
{
	size_t at = 0, used;
	bool over = false;
	struct buf rest = { 0 }, expect = { 0 };

	while (!over && at < in->n && !a->terminated) {
		size_t n = in->n - at < chunk ? in->n - at : chunk;

		over = aborted_client(a, in->p + at, n, &used, out);
		assert_true(used <= n);
		if (!over && !a->terminated)
			assert_int_equal(used, n);
		at += used;
	}
	check("answer", told(out), t->expect, t, chunk);
	if (over != (t->rest != NULL))
		fail_msg("%s / %s: %s", t->before, t->then, over ? "is over" : "is not over");
	if (over) {
		put_messages(&expect, t->rest);
		buf_slice(&rest, buf_view(&a->in));
		buf_put(&rest, in->p + at, in->n - at);
		assert_int_equal(rest.n, expect.n);
		assert_memory_equal(rest.p, expect.p, rest.n);
	}
	buf_clear(&expect);
	put_messages(&expect, t->owed != NULL ? t->owed : "");
	assert_int_equal(a->owed.n, expect.n);
	if (expect.n > 0)
		assert_memory_equal(a->owed.p, expect.p, expect.n);
	buf_fini(&rest);
	buf_fini(&expect);
}

static void
hold_talk(const struct talk *t, size_t chunk)
{
	struct aborted a = { .text_of = one_text };
	struct buf in = { 0 }, out = { 0 };
	struct exchange f;
	size_t kept;
	bool over;

	exchange_init(&f, REPLICATION_NONE);
	put_messages(&in, t->before);
	kept = in.n - t->cut;
	(void)exchange_client(&f, in.p, kept);
	play_server(&f, t->server);
	over = aborted_begin(&a, &f, &out);
	check("at once", told(&out), t->at_once, t, chunk);
	buf_clear(&out);
	buf_drop(&in, kept);
	put_messages(&in, t->then);
	if (over) {
		assert_string_equal(t->then, "");
		assert_non_null(t->rest);
	} else {
		feed(&a, t, chunk, &in, &out);
	}
	aborted_fini(&a);
	buf_fini(&in);
	buf_fini(&out);
}

/* What a client says in a transaction that was ended, and what it is answered. */
static const struct talk talks[] = {
	/* idle in its transaction: nothing is said before it asks */
	{ "Q(BEGIN)", 0, "T", "", "Q(SELECT 1)", "E(40001) Z(E)", NULL, NULL },
	{ "Q(BEGIN)", 0, "T", "", "Q(SELECT 1) Q(SELECT 2) Q(ROLLBACK) Q(SELECT 3)",
	  "E(40001) Z(E) E(25P02) Z(E) C(ROLLBACK) Z(I)", "Q(SELECT 3)", NULL },
	/* no COMMIT is ever told as one, nor as the ROLLBACK that drivers take for one */
	{ "Q(BEGIN)", 0, "T", "", "Q(COMMIT)", "E(40001) Z(I)", "", NULL },
	{ "Q(BEGIN)", 0, "T", "", "Q(SELECT 1) Q(COMMIT)", "E(40001) Z(E) E(40001) Z(I)", "",
	  NULL },
	{ "Q(BEGIN)", 0, "T", "", "Q(END; SELECT 1) Q(x)", "E(40001) Z(I)", "Q(x)", NULL },
	{ "Q(BEGIN)", 0, "T", "", "Q(ROLLBACK)", "C(ROLLBACK) Z(I)", "", NULL },
	{ "Q(BEGIN)", 0, "T", "", "Q() Q(ROLLBACK TO s) Q(ABORT)",
	  "I Z(E) E(40001) Z(E) C(ROLLBACK) Z(I)", "", NULL },
	{ "Q(BEGIN)", 0, "T", "", "F(x) X", "E(40001) Z(E)", NULL, NULL },
	{ "Q(BEGIN)", 0, "E", "", "Q(COMMIT)", "E(40001) Z(I)", "", NULL },
	/* the extended protocol */
	{ "Q(BEGIN)", 0, "T", "", "P(:SELECT 1) B(:) D(P) E() S", "E(40001) Z(E)", NULL, NULL },
	{ "Q(BEGIN)", 0, "T", "", "P(:ROLLBACK) B(:) D(P) E() S H", "1 2 n C(ROLLBACK) Z(I)", "H",
	  NULL },
	{ "Q(BEGIN)", 0, "T", "", "P(:ROLLBACK) D(S) S B(:) E() S", "1 t n Z(E) 2 C(ROLLBACK) Z(I)",
	  "", NULL },
	{ "Q(BEGIN)", 0, "T", "", "P(:COMMIT) B(:) E() S", "1 2 E(40001) Z(I)", "", NULL },
	{ "Q(BEGIN)", 0, "T", "",
	  "P(:SELECT 1) B(:) E() S P(:COMMIT) B(:) D(P) E() P(:x) B(:) E() S",
	  "E(40001) Z(E) 1 2 n E(40001) Z(I)", "", NULL },
	{ "Q(BEGIN)", 0, "T", "", "P(:ROLLBACK) B(:) E() P(:SELECT 1) B(:) E() S",
	  "1 2 C(ROLLBACK) E(40001) Z(I)", "", NULL },
	{ "Q(BEGIN)", 0, "T", "", "P(:) B(:) E() S P(:ABORT) B(p:) E(p) S",
	  "1 2 I Z(E) 1 2 C(ROLLBACK) Z(I)", "", NULL },
	/* names: what was prepared before, known or not; what is prepared now is owed */
	{ "Q(BEGIN)", 0, "T", "", "B(:S_1) E() S", "2 C(ROLLBACK) Z(I)", "", NULL },
	{ "Q(BEGIN)", 0, "T", "", "B(:S_2) E() S", "E(40001) Z(E)", NULL, NULL },
	{ "Q(BEGIN)", 0, "T", "", "B(:S_2) E() S B(:S_3) E() S", "E(40001) Z(E) E(25P02) Z(I)", "",
	  NULL },
	{ "Q(BEGIN)", 0, "T", "", "P(S_9:ROLLBACK) B(:S_9) E() S C(x)", "1 2 C(ROLLBACK) Z(I)",
	  "C(x)", "P(S_9:ROLLBACK)" },
	{ "Q(BEGIN)", 0, "T", "", "C(Sa) C(Pa) S Q(ABORT)", "3 3 Z(E) C(ROLLBACK) Z(I)", "",
	  "C(Sa)" },
	{ "Q(BEGIN)", 0, "T", "", "P(a:ABORT) C(Sa) B(:a) S", "1 3 E(40001) Z(E)", NULL,
	  "P(a:ABORT) C(Sa)" },
	{ "Q(BEGIN)", 0, "T", "", "D(Sx) S E(x) S", "E(40001) Z(E) E(25P02) Z(E)", NULL, NULL },
	/* a statement was under way */
	{ "Q(BEGIN) Q(INSERT)", 0, "T", "E(40001) Z(E)", "Q(COMMIT)", "E(40001) Z(I)", "", NULL },
	{ "Q(INSERT)", 0, "", "E(40001) Z(I)", "", "", "", NULL },
	{ "Q(BEGIN) P(:x) B(:) E() S", 0, "T", "E(40001) Z(E)", "Q(ROLLBACK)", "C(ROLLBACK) Z(I)",
	  "", NULL },
	{ "P(:x) B(:) E() S", 0, "", "E(40001) Z(I)", "", "", "", NULL },
	{ "Q(BEGIN) P(:x) B(:) E() H", 0, "T", "E(40001)", "P(:y) S Q(ROLLBACK)",
	  "Z(E) C(ROLLBACK) Z(I)", "", NULL },
	{ "P(:x) B(:) E() H", 0, "", "E(40001)", "S Q(x)", "Z(I)", "Q(x)", NULL },
	/* pipelines: each is answered */
	{ "Q(BEGIN) Q(a) Q(b)", 0, "T", "E(40001) Z(E) E(25P02) Z(E)", "Q(ABORT)",
	  "C(ROLLBACK) Z(I)", "", NULL },
	{ "Q(a) Q(b)", 0, "", "E(40001) Z(I) E(40001) Z(I)", "", "", "", NULL },
	{ "Q(BEGIN) P(:x) B(:) E() S P(:y) B(:)", 0, "T", "E(40001) Z(E) E(25P02)",
	  "E() S Q(ABORT)", "Z(E) C(ROLLBACK) Z(I)", "", NULL },
	/* after an error of the server's own the Sync is all that is awaited */
	{ "P(:x) B(:)", 0, "!", "", "E() S", "Z(I)", "", NULL },
	{ "Q(BEGIN)", 0, "T", "", "P(:x) Q(ABORT) S Q(ABORT)", "E(40001) Z(E) C(ROLLBACK) Z(I)", "",
	  NULL },
	{ "P(:x) B(:)", 0, "!", "", "Q(x) S Q(y)", "Z(I)", "Q(y)", NULL },
	/* what the server does not know fails too */
	{ "Q(BEGIN)", 0, "T", "", "H(x) P(:ABORT) S", "E(40001) Z(E)", NULL, NULL },
	{ "Q(BEGIN)", 0, "T", "", "j(x) S Q(ABORT)", "E(40001) Z(E) C(ROLLBACK) Z(I)", "", NULL },
	/* COPY */
	{ "Q(COPY)", 0, "c", "E(40001) Z(I)", "", "", "", NULL },
	{ "Q(BEGIN) Q(COPY)", 0, "Tc", "E(40001) Z(E)", "d(x) d(y) c Q(COMMIT)", "E(40001) Z(I)",
	  "", NULL },
	/* half messages */
	{ "Q(BEGIN) Q(INSERT)", 3, "T", "E(40001) Z(E)", "Q(ABORT)", "C(ROLLBACK) Z(I)", "", NULL },
	{ "Q(INSERT)", 3, "", "E(40001) Z(I)", "Q(x)", "", "Q(x)", NULL },
	{ "Q(BEGIN) S", 2, "T", "", "Q(ABORT)", "Z(E) C(ROLLBACK) Z(I)", "", NULL },
	{ "Q(BEGIN) P(:x) B(:)", 2, "T", "E(40001)", "S Q(ABORT)", "Z(E) C(ROLLBACK) Z(I)", "",
	  NULL },
};

static void
clients_are_answered_as_by_a_server_that_failed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(talks) / sizeof(talks[0]); i++) {
		for (size_t chunk = 1; chunk < 400; chunk++)
			hold_talk(&talks[i], chunk);
	}
}

/* A server for which a Query ends what it discards answers that one as a Sync (CockroachDB). */
static void
a_query_ends_a_sequence_where_the_server_says_so(void **state)
{
	struct aborted a = { 0 };
	struct buf in = { 0 }, out = { 0 };
	struct exchange f;
	size_t used;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	exchange_set_query_ends(&f, true);
	play_server(&f, "T");
	assert_false(aborted_begin(&a, &f, &out));
	put_messages(&in, "P(:x) Q(ABORT) Q(ABORT)");
	assert_true(aborted_client(&a, in.p, in.n, &used, &out));
	assert_string_equal(told(&out), "E(40001) Z(E) C(ROLLBACK) Z(I)");
	assert_int_equal(used, in.n);
	aborted_fini(&a);
	buf_fini(&in);
	buf_fini(&out);
}

static void
long_messages_are_not_looked_into(void **state)
{
	struct aborted a = { 0 };
	struct buf in = { 0 }, out = { 0 };
	char sql[2 * ABORTED_LOOK_MAX];
	struct exchange f;

	(void)state;
	memset(sql, ' ', sizeof(sql));
	memcpy(sql, "ROLLBACK", 8);
	sql[sizeof(sql) - 1] = '\0';
	for (size_t chunk = 1; chunk < 3 * sizeof(sql); chunk += chunk / 2 + 1) {
		size_t at = 0, used;
		bool over = false;

		exchange_init(&f, REPLICATION_NONE);
		f.tx = 'T';
		a = (struct aborted){ 0 };
		assert_false(aborted_begin(&a, &f, &out));
		put_message(&in, 'Q', sql);
		put_message(&in, 'P', sql);
		put_messages(&in, "S Q(ABORT)");
		while (!over && at < in.n) {
			size_t n = in.n - at < chunk ? in.n - at : chunk;

			over = aborted_client(&a, in.p + at, n, &used, &out);
			at += used;
		}
		assert_true(over);
		assert_string_equal(told(&out), "E(40001) Z(E) E(25P02) Z(E) C(ROLLBACK) Z(I)");
		assert_true(a.in.size <= ABORTED_LOOK_MAX);
		aborted_fini(&a);
		buf_clear(&in);
		buf_clear(&out);
	}
	buf_fini(&in);
	buf_fini(&out);
}

/* Names that have no room are refused, not forgotten. */
static void
names_are_bounded(void **state)
{
	struct aborted a = { 0 };
	struct buf in = { 0 }, out = { 0 };
	struct exchange f;
	size_t used;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	f.tx = 'T';
	(void)aborted_begin(&a, &f, &out);
	for (int i = 0; i <= ABORTED_NAMES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "s%d:ABORT", i);
		put_message(&in, 'P', name);
	}
	put_messages(&in, "S");
	assert_false(aborted_client(&a, in.p, in.n, &used, &out));
	assert_string_equal(told(&out), "1 1 1 1 1 1 1 1 E(40001) Z(E)");
	aborted_fini(&a);
	buf_fini(&in);
	buf_fini(&out);
}

/* Many short messages are answered with far more than they are: not all of it at once. */
static void
answers_are_bounded(void **state)
{
	enum { QUERIES = 20000 };
	struct aborted a = { 0 };
	struct buf in = { 0 }, out = { .cap = ABORTED_SAY_MAX + 1024 };
	size_t at = 0, used, answers = 0;
	struct exchange f;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	f.tx = 'T';
	(void)aborted_begin(&a, &f, &out);
	for (int i = 0; i < QUERIES; i++)
		put_message(&in, 'Q', "x");
	while (at < in.n) {
		struct frame frame;
		struct slice said;

		assert_false(aborted_client(&a, in.p + at, in.n - at, &used, &out));
		assert_true(used > 0 && !out.failed);
		assert_true(at + used == in.n || out.n >= ABORTED_SAY_MAX);
		for (said = buf_view(&out); said.n > 0; said = slice_skip(said, frame.total)) {
			assert_int_equal(frame_cut(said, 1 << 20, &frame), PARSE_DONE);
			answers += frame.type == MSG_READY;
		}
		at += used;
		buf_clear(&out);
	}
	assert_int_equal(answers, QUERIES);
	aborted_fini(&a);
	buf_fini(&in);
	buf_fini(&out);
}

/* What was asked before is answered whole, or not at all. */
static void
too_much_to_answer_is_said_to_be(void **state)
{
	struct aborted a = { 0 };
	struct buf out = { .cap = 1 << 20 };
	struct exchange f;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	f.tx = 'T';
	f.pending = 1000;
	(void)aborted_begin(&a, &f, &out);
	assert_false(out.failed);
	aborted_fini(&a);
	a = (struct aborted){ 0 };
	buf_clear(&out);
	f.pending = UINT32_MAX;
	(void)aborted_begin(&a, &f, &out);
	assert_true(out.failed);
	aborted_fini(&a);
	buf_fini(&out);
}

static void
what_is_no_protocol_ends_it(void **state)
{
	struct aborted a = { 0 };
	struct buf out = { 0 };
	struct exchange f;
	size_t used;

	(void)state;
	exchange_init(&f, REPLICATION_NONE);
	f.tx = 'T';
	(void)aborted_begin(&a, &f, &out);
	assert_false(aborted_client(&a, "Q\0\0\0\3xyz", 8, &used, &out));
	assert_true(a.terminated);
	assert_int_equal(out.n, 0);
	aborted_fini(&a);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verbs_are_told_from_texts),
		cmocka_unit_test(clients_are_answered_as_by_a_server_that_failed),
		cmocka_unit_test(a_query_ends_a_sequence_where_the_server_says_so),
		cmocka_unit_test(long_messages_are_not_looked_into),
		cmocka_unit_test(names_are_bounded),
		cmocka_unit_test(answers_are_bounded),
		cmocka_unit_test(too_much_to_answer_is_said_to_be),
		cmocka_unit_test(what_is_no_protocol_ends_it),
	};

	return cmocka_run_group_tests_name("aborted", tests, NULL, NULL);
}
