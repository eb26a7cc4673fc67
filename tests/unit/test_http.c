/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/http.h"

#include <stdio.h>

#include "tests/unit/unit.h"

#define MAX 16384

/* A head parsed whole, and fed byte by byte: MORE up to the last byte, and what is bad stays bad.
 */
static enum parse
parse(struct slice in, struct http_head *h, size_t *used, struct http_error *e)
{
	enum parse whole = http_parse_head(in, MAX, h, used, e);
	struct http_head part;
	struct http_error other;
	size_t n, length = whole == PARSE_DONE ? *used : in.n;
	bool was_bad = false;

	for (n = 0; n <= in.n; n++) {
		enum parse p =
		    http_parse_head(slice_of(in.p, n), MAX, &part, &(size_t){ 0 }, &other);

		if (whole == PARSE_DONE)
			assert_int_equal(p, n < length ? PARSE_MORE : PARSE_DONE);
		if (was_bad) {
			assert_int_equal(p, PARSE_BAD);
			assert_int_equal(other.status, e->status);
		}
		was_bad = p == PARSE_BAD;
	}
	return whole;
}

static void
assert_slice(struct slice got, const char *want)
{
	if (!slice_is(got, want))
		fail_msg("got \"%.*s\", want \"%s\"", (int)got.n, got.p, want);
}

#define HOST "Host: x\r\n"

static void
a_head_is_taken_apart(void **state)
{
	struct slice in = SLICE_LITERAL("POST /sql?a=1&b=?2 HTTP/1.1\r\nhost: db.example:443\r\n"
					"Content-Length: 5\r\nX-City:   new york \t\r\nEmpty:\r\n"
					"x-city: paris\r\n\r\nhello");
	struct http_head h;
	struct http_error e;
	struct slice value;
	size_t used, i = 0;

	(void)state;
	assert_int_equal(parse(in, &h, &used, &e), PARSE_DONE);
	assert_int_equal(used, in.n - 5);
	assert_int_equal(h.method, HTTP_POST);
	assert_slice(h.method_text, "POST");
	assert_slice(h.target, "/sql?a=1&b=?2");
	assert_slice(h.path, "/sql");
	assert_slice(h.query, "a=1&b=?2");
	assert_slice(h.host, "db.example:443");
	assert_int_equal(h.minor, 1);
	assert_true(h.keep_alive);
	assert_false(h.chunked);
	assert_int_equal(h.length, 5);
	assert_int_equal(h.nheaders, 5);
	assert_slice(http_header(&h, "X-CITY"), "paris");
	assert_slice(http_header(&h, "empty"), "");
	assert_null(http_header(&h, "nothing").p);
	assert_true(http_header_next(&h, "x-city", &i, &value));
	assert_slice(value, "new york");
	assert_true(http_header_next(&h, "x-city", &i, &value));
	assert_slice(value, "paris");
	assert_false(http_header_next(&h, "x-city", &i, &value));
}

static void
targets_have_four_forms(void **state)
{
	static const struct {
		const char *line, *path, *query, *host;
	} cases[] = {
		{ "GET / HTTP/1.1", "/", "", "x" },
		{ "GET /v2?address=a:1 HTTP/1.1", "/v2", "address=a:1", "x" },
		{ "GET http://other:80/p?q HTTP/1.1", "/p", "q", "other:80" },
		{ "GET https://other/ HTTP/1.1", "/", "", "other" },
		{ "OPTIONS * HTTP/1.1", "", "", "x" },
		{ "CONNECT x:5432 HTTP/1.1", "", "", "x:5432" },
		{ "CONNECT x HTTP/1.1", "", "", "x" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[200];
		struct http_head h;
		struct http_error e;
		size_t used;
		int n = snprintf(text, sizeof(text), "%s\r\n" HOST "\r\n", cases[i].line);

		assert_int_equal(parse(slice_of(text, (size_t)n), &h, &used, &e), PARSE_DONE);
		assert_slice(h.path, cases[i].path);
		assert_slice(h.query, cases[i].query);
		assert_slice(h.host, cases[i].host);
	}
}

#define GET "GET / HTTP/1.1\r\n" HOST

static const struct {
	const char *text;
	int status;
} bad_heads[] = {
	{ "\r\n\r\n\r\n", 400 },
	{ "GET\r\n\r\n", 400 },
	{ "GET /\r\n\r\n", 400 },
	{ "GET  / HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET /  HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET / HTTP/1.1 \r\n" HOST "\r\n", 400 },
	{ " GET / HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "G(T / HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET nothing HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET * HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET http:///p HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET http://x HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET /\x7f HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET /\x01 HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET / HTTP/11\r\n" HOST "\r\n", 400 },
	{ "GET / http/1.1\r\n" HOST "\r\n", 400 },
	{ "GET / HTTP/2.0\r\n" HOST "\r\n", 505 },
	{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505 },
	{ "GET / HTTP/0.9\r\n\r\n", 505 },
	/* where lines end */
	{ "GET / HTTP/1.1\n" HOST "\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: x\n\r\n", 400 },
	{ GET "a: b\rc: d\r\n\r\n", 400 },
	{ GET "a: b\n\n", 400 },
	{ GET " folded: no\r\n\r\n", 400 },
	{ GET "a: b\r\n c\r\n\r\n", 400 },
	/* names and values */
	{ GET "a : b\r\n\r\n", 400 },
	{ GET ": b\r\n\r\n", 400 },
	{ GET "nothing\r\n\r\n", 400 },
	{ GET "a: b\x01\r\n\r\n", 400 },
	{ GET "a: b\x7f\r\n\r\n", 400 },
	/* hosts */
	{ "GET / HTTP/1.1\r\n\r\n", 400 },
	{ GET HOST "\r\n", 400 },
	{ GET "hOST: y\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: x, y\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400 },
	{ "CONNECT db:5432 HTTP/1.1\r\nHost: other:5432\r\n\r\n", 400 },
	{ "CONNECT db:5432 HTTP/1.1\r\nHost: d\r\n\r\n", 400 },
	{ "CONNECT /path HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
	{ "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\nContent-Length: 3\r\n\r\n", 400 },
	/* how long the body is, said so that another would understand something else */
	{ GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400 },
	{ GET "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400 },
	{ GET "Content-Length: 5, 5\r\n\r\n", 400 },
	{ GET "Content-Length: +5\r\n\r\n", 400 },
	{ GET "Content-Length: -5\r\n\r\n", 400 },
	{ GET "Content-Length: 0x5\r\n\r\n", 400 },
	{ GET "Content-Length: 5 5\r\n\r\n", 400 },
	{ GET "Content-Length:\r\n\r\n", 400 },
	{ GET "Content-Length: 99999999999999999999\r\n\r\n", 400 },
	{ GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ GET "Transfer-Encoding: gzip, chunked\r\n\r\n", 501 },
	{ GET "Transfer-Encoding: \vchunked\r\n\r\n", 400 },
	{ GET "Transfer-Encoding: identity\r\n\r\n", 501 },
	{ GET "Transfer-Encoding : chunked\r\n\r\n", 400 },
	{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
};

static void
what_another_could_read_otherwise_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_heads) / sizeof(bad_heads[0]); i++) {
		struct http_head h;
		struct http_error e = { 0 };
		size_t used;

		if (parse(slice_str(bad_heads[i].text), &h, &used, &e) != PARSE_BAD ||
		    e.status != bad_heads[i].status)
			fail_msg("%s gives %d, not %d", bad_heads[i].text, e.status,
				 bad_heads[i].status);
		assert_non_null(e.text);
	}
	/* a NUL, which no string above can hold */
	struct http_head h;
	struct http_error e = { 0 };
	size_t used;
	struct slice nul = SLICE_LITERAL(GET "a: \0\r\n\r\n");

	assert_int_equal(parse(nul, &h, &used, &e), PARSE_BAD);
}

static void
connections_are_kept_as_the_version_says(void **state)
{
	static const struct {
		const char *rest;
		bool kept;
	} cases[] = {
		{ "HTTP/1.1\r\n" HOST "\r\n", true },
		{ "HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", false },
		{ "HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n", false },
		{ "HTTP/1.1\r\n" HOST "Connection: x\r\nConnection: close\r\n\r\n", false },
		{ "HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", true },
		{ "HTTP/1.0\r\n\r\n", false },
		{ "HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[200];
		struct http_head h;
		struct http_error e;
		size_t used;
		int n = snprintf(text, sizeof(text), "GET / %s", cases[i].rest);

		assert_int_equal(parse(slice_of(text, (size_t)n), &h, &used, &e), PARSE_DONE);
		assert_int_equal(h.keep_alive, cases[i].kept);
	}
}

static void
an_empty_line_before_a_request_is_skipped_once(void **state)
{
	struct http_head h;
	struct http_error e;
	struct slice in = SLICE_LITERAL("\r\n" GET "\r\n");
	size_t used;

	(void)state;
	assert_int_equal(parse(in, &h, &used, &e), PARSE_DONE);
	assert_int_equal(used, in.n);
	assert_slice(h.path, "/");
}

static void
heads_and_their_headers_are_bounded(void **state)
{
	struct buf b = { 0 };
	struct http_head h;
	struct http_error e = { 0 };
	size_t used;

	(void)state;
	buf_str(&b, GET);
	for (int i = 1; i < HTTP_HEADERS_MAX; i++)
		buf_str(&b, "a: b\r\n");
	buf_str(&b, "\r\n");
	assert_int_equal(http_parse_head(buf_view(&b), MAX, &h, &used, &e), PARSE_DONE);
	assert_int_equal(http_parse_head(buf_view(&b), b.n, &h, &used, &e), PARSE_DONE);
	assert_int_equal(http_parse_head(buf_view(&b), b.n - 1, &h, &used, &e), PARSE_BAD);
	assert_int_equal(e.status, 431);
	b.n -= 2;
	buf_str(&b, "a: b\r\n\r\n");
	e.status = 0;
	assert_int_equal(http_parse_head(buf_view(&b), MAX, &h, &used, &e), PARSE_BAD);
	assert_int_equal(e.status, 431);
	buf_fini(&b);
}

/* ---- bodies ---- */

/* The content of a body in pieces of `step` bytes; NULL where it is refused, and why. */
static enum parse
body(const char *head, struct slice in, size_t step, uint64_t max, struct buf *out, size_t *taken,
     struct http_error *e)
{
	struct http_head h;
	struct http_body b;
	enum parse p = PARSE_MORE;
	size_t used;
	char text[200];
	int n = snprintf(text, sizeof(text), GET "%s\r\n", head);

	assert_int_equal(http_parse_head(slice_of(text, (size_t)n), MAX, &h, &used, e), PARSE_DONE);
	http_body_init(&b, &h);
	*taken = 0;
	buf_clear(out);
	p = http_body_take(&b, slice_of("", 0), max, out, &used, e);
	while (p == PARSE_MORE && *taken < in.n) {
		size_t piece = in.n - *taken < step ? in.n - *taken : step;

		p = http_body_take(&b, slice_of(in.p + *taken, piece), max, out, &used, e);
		if (p != PARSE_BAD)
			*taken += used;
	}
	return p;
}

#define CHUNKED "Transfer-Encoding: Chunked\r\n"

static void
bodies_come_whole_and_in_pieces(void **state)
{
	static const struct {
		const char *head;
		struct slice in;
		const char *content;
		size_t taken;
	} cases[] = {
		{ "", SLICE_LITERAL("next"), "", 0 },
		{ "Content-Length: 0\r\n", SLICE_LITERAL("next"), "", 0 },
		{ "Content-Length: 5\r\n", SLICE_LITERAL("hellonext"), "hello", 5 },
		{ CHUNKED, SLICE_LITERAL("0\r\n\r\nnext"), "", 5 },
		{ CHUNKED, SLICE_LITERAL("5\r\nhello\r\n0\r\n\r\nnext"), "hello", 15 },
		{ CHUNKED, SLICE_LITERAL("005;a=b\r\nhello\r\n1\r\n!\r\n0;x\r\nT: r\r\n\r\n"),
		  "hello!", 35 },
		{ CHUNKED, SLICE_LITERAL("A\r\n0123456789\r\n0\r\n\r\n"), "0123456789", 20 },
	};
	struct buf out = { 0 };
	struct http_error e;
	size_t taken;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t step = 1; step <= cases[i].in.n; step++) {
			assert_int_equal(
			    body(cases[i].head, cases[i].in, step, 100, &out, &taken, &e),
			    PARSE_DONE);
			assert_slice(buf_view(&out), cases[i].content);
			assert_int_equal(taken, cases[i].taken);
		}
		for (size_t n = 0; n < cases[i].taken; n++)
			assert_int_equal(body(cases[i].head, slice_of(cases[i].in.p, n), 3, 100,
					      &out, &taken, &e),
					 PARSE_MORE);
	}
	buf_fini(&out);
}

static void
malformed_chunks_are_refused(void **state)
{
	static const char *const cases[] = { "\r\n",        ";\r\n",          "g\r\n",
					     "-1\r\n",      "+1\r\n",         " 1\r\nx\r\n",
					     "1 \r\nx\r\n", "1\nx\r\n",       "1\r\nxy\r\n",
					     "1\r\nx\n",    "0\r\nT: r\n",    "0\r\n\n",
					     "1;a\nb\r\nx", "1\r\nx\r\n\r\n", "0x1\r\nx\r\n",
					     "1\rx",        "0\r\nT\rr\r\n" };
	struct buf out = { 0 };
	struct http_error e;
	size_t taken;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t step = 1; step <= strlen(cases[i]); step++) {
			e.status = 0;
			if (body(CHUNKED, slice_str(cases[i]), step, 100, &out, &taken, &e) !=
			    PARSE_BAD)
				fail_msg("case %zu is taken", i);
			assert_int_equal(e.status, 400);
		}
	}
	buf_fini(&out);
}

static void
bodies_are_bounded(void **state)
{
	struct buf out = { 0 };
	struct buf long_line = { 0 };
	struct http_error e;
	size_t taken;

	(void)state;
	assert_int_equal(
	    body("Content-Length: 5\r\n", SLICE_LITERAL("hello"), 9, 5, &out, &taken, &e),
	    PARSE_DONE);
	/* at once: not a byte of it is waited for */
	assert_int_equal(body("Content-Length: 6\r\n", SLICE_LITERAL(""), 9, 5, &out, &taken, &e),
			 PARSE_BAD);
	assert_int_equal(e.status, 413);
	assert_int_equal(body(CHUNKED, SLICE_LITERAL("3\r\nabc\r\n3\r\n"), 1, 5, &out, &taken, &e),
			 PARSE_BAD);
	assert_int_equal(e.status, 413);
	assert_int_equal(
	    body(CHUNKED, SLICE_LITERAL("fffffffffffffff\r\n"), 1, 5, &out, &taken, &e), PARSE_BAD);
	assert_int_equal(e.status, 413);
	assert_int_equal(
	    body(CHUNKED, SLICE_LITERAL("0000000000000000000001\r\n"), 1, 5, &out, &taken, &e),
	    PARSE_BAD);
	buf_str(&long_line, "1;");
	for (int i = 0; i < 200; i++)
		buf_str(&long_line, "x");
	assert_int_equal(body(CHUNKED, buf_view(&long_line), 7, 100, &out, &taken, &e), PARSE_BAD);
	assert_int_equal(e.status, 413);
	buf_fini(&long_line);
	buf_fini(&out);
}

/* ---- answers ---- */

static void
answers_say_how_long_they_are(void **state)
{
	struct buf b = { 0 };

	(void)state;
	http_put_answer(&b, 405, "text/plain", "Allow: GET\r\n", 3, false);
	assert_string_equal(buf_text(&b), "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\n"
					  "Content-Type: text/plain\r\nContent-Length: 3\r\n"
					  "Connection: close\r\n\r\n");
	buf_clear(&b);
	http_put_answer(&b, 204, NULL, "", 0, true);
	assert_string_equal(buf_text(&b),
			    "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n");
	buf_fini(&b);
}

/* ---- WebSocket ---- */

#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define WS13    "Sec-WebSocket-Version: 13\r\n"
#define UPGRADE "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"

static void
a_websocket_is_asked_for_as_the_rfc_says(void **state)
{
	static const struct {
		const char *line, *rest;
		int status; /* 0: good; -1: does not ask for one */
	} cases[] = {
		{ "GET /v2?address=x:1 HTTP/1.1", UPGRADE WS13 KEY, 0 },
		{ "GET / HTTP/1.1", "connection: upgrade\r\nupgrade: websocket\r\n" KEY WS13, 0 },
		{ "GET / HTTP/1.1", "", -1 },
		{ "GET / HTTP/1.1", "Upgrade: h2c\r\nConnection: upgrade\r\n", -1 },
		{ "POST / HTTP/1.1", UPGRADE WS13 KEY, -1 },
		{ "GET / HTTP/1.0", UPGRADE WS13 KEY, 400 },
		{ "GET / HTTP/1.1", "Upgrade: websocket\r\n" WS13 KEY, 400 },
		{ "GET / HTTP/1.1", UPGRADE KEY, 426 },
		{ "GET / HTTP/1.1", UPGRADE "Sec-WebSocket-Version: 8\r\n" KEY, 426 },
		{ "GET / HTTP/1.1", UPGRADE WS13, 400 },
		{ "GET / HTTP/1.1", UPGRADE WS13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ\r\n",
		  400 },
		{ "GET / HTTP/1.1", UPGRADE WS13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n",
		  400 },
		{ "GET / HTTP/1.1", UPGRADE WS13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSEh\r\n",
		  400 },
		{ "GET / HTTP/1.1", UPGRADE WS13 KEY "Content-Length: 3\r\n", 400 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[400];
		struct http_head h;
		struct http_error e = { 0 };
		size_t used;
		int n = snprintf(text, sizeof(text), "%s\r\n" HOST "%s\r\n", cases[i].line,
				 cases[i].rest);

		assert_int_equal(parse(slice_of(text, (size_t)n), &h, &used, &e), PARSE_DONE);
		assert_int_equal(http_asks_websocket(&h), cases[i].status >= 0);
		if (cases[i].status < 0)
			continue;
		assert_int_equal(http_check_websocket(&h, &e), cases[i].status == 0 ? 0 : -1);
		if (cases[i].status > 0)
			assert_int_equal(e.status, cases[i].status);
	}
}

/* RFC 6455 section 1.3. */
static void
the_key_is_answered_as_in_the_rfc(void **state)
{
	char accept[HTTP_ACCEPT_TEXT];

	(void)state;
	http_websocket_accept(SLICE_LITERAL("dGhlIHNhbXBsZSBub25jZQ=="), accept);
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_taken_apart),
		cmocka_unit_test(targets_have_four_forms),
		cmocka_unit_test(what_another_could_read_otherwise_is_refused),
		cmocka_unit_test(connections_are_kept_as_the_version_says),
		cmocka_unit_test(an_empty_line_before_a_request_is_skipped_once),
		cmocka_unit_test(heads_and_their_headers_are_bounded),
		cmocka_unit_test(bodies_come_whole_and_in_pieces),
		cmocka_unit_test(malformed_chunks_are_refused),
		cmocka_unit_test(bodies_are_bounded),
		cmocka_unit_test(answers_say_how_long_they_are),
		cmocka_unit_test(a_websocket_is_asked_for_as_the_rfc_says),
		cmocka_unit_test(the_key_is_answered_as_in_the_rfc),
	};

	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
