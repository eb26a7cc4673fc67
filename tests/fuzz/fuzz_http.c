/* SPDX-License-Identifier: PostgreSQL
 *
 * Requests one behind the other, as a connection brings them. Every beginning of a good head wants
 * more; what is bad stays bad; nothing points outside the head; a body is the same however it is
 * cut, and never longer than allowed.
 */
#include "config.h"

#include "protocol/http.h"

#include "protocol/exposition.h"

#include "tests/fuzz/fuzz.h"

#define HEAD_MAX 4096
#define BODY_MAX 512

static bool
inside(struct slice part, struct slice whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void
check_head(const struct http_head *h, struct slice whole)
{
	const struct slice parts[] = { h->method_text, h->target, h->path, h->query, h->host };
	struct http_error e = { 0 };
	char accept[HTTP_ACCEPT_TEXT];

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		FUZZ_ASSERT(inside(parts[i], whole));
	FUZZ_ASSERT(h->nheaders <= HTTP_HEADERS_MAX && h->method_text.n > 0 && h->target.n > 0);
	for (size_t i = 0; i < h->nheaders; i++) {
		struct slice name = h->headers[i].name, value = h->headers[i].value;

		FUZZ_ASSERT(name.n > 0 && inside(name, whole) && inside(value, whole));
		FUZZ_ASSERT(value.n == 0 || memchr(value.p, '\n', value.n) == NULL);
		FUZZ_ASSERT(value.n == 0 || memchr(value.p, '\0', value.n) == NULL);
	}
	FUZZ_ASSERT(!h->chunked || h->length == 0);
	FUZZ_ASSERT(exposition_content_type(exposition_accept(h)) != NULL);
	if (http_asks_websocket(h) && http_check_websocket(h, &e) == 0) {
		http_websocket_accept(http_header(h, "sec-websocket-key"), accept);
		FUZZ_ASSERT(strlen(accept) == HTTP_ACCEPT_TEXT - 1);
	}
}

/* The bytes as they come in, one more each time. */
static void
check_beginnings(struct slice in, enum parse whole, size_t length)
{
	bool was_bad = false;

	for (size_t n = 0; n <= in.n && n < 600; n++) {
		struct http_head h;
		struct http_error e;
		size_t used;
		enum parse got = http_parse_head(slice_of(in.p, n), HEAD_MAX, &h, &used, &e);

		FUZZ_ASSERT(!was_bad || got == PARSE_BAD);
		was_bad = got == PARSE_BAD;
		if (whole == PARSE_DONE)
			FUZZ_ASSERT(got == (n < length ? PARSE_MORE : PARSE_DONE));
		if (whole == PARSE_MORE)
			FUZZ_ASSERT(got == PARSE_MORE);
	}
}

static enum parse
take_body(const struct http_head *h, struct slice in, size_t step, struct buf *out, size_t *taken)
{
	struct http_error e = { 0 };
	struct http_body b;
	enum parse p = PARSE_MORE;
	size_t used;

	*taken = 0;
	http_body_init(&b, h);
	do {
		size_t n = in.n - *taken < step ? in.n - *taken : step;

		p = http_body_take(&b, slice_of(in.p + *taken, n), BODY_MAX, out, &used, &e);
		if (p == PARSE_BAD)
			FUZZ_ASSERT((e.status == 400 || e.status == 413) && e.text != NULL);
		else
			*taken += used;
	} while (p == PARSE_MORE && *taken < in.n);
	return p;
}

/* Returns how many bytes it has; 0 where it is bad or not all there. */
static size_t
check_body(const struct http_head *h, struct slice in)
{
	struct buf whole = { 0 }, part = { 0 };
	size_t taken, other;
	enum parse p = take_body(h, in, in.n > 0 ? in.n : 1, &whole, &taken);

	for (size_t step = 1; step < 8; step += 3) {
		buf_clear(&part);
		FUZZ_ASSERT(take_body(h, in, step, &part, &other) == p);
		FUZZ_ASSERT(p == PARSE_BAD || other == taken);
		FUZZ_ASSERT(
		    p == PARSE_BAD ||
		    (part.n == whole.n && (part.n == 0 || memcmp(part.p, whole.p, part.n) == 0)));
	}
	FUZZ_ASSERT(whole.n <= BODY_MAX);
	buf_fini(&whole);
	buf_fini(&part);
	return p == PARSE_DONE ? taken : SIZE_MAX;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);

	for (int i = 0; i < 8 && in.n > 0; i++) {
		struct http_error e = { 0 };
		struct http_head h;
		size_t used = 0, body;
		enum parse p = http_parse_head(in, HEAD_MAX, &h, &used, &e);

		check_beginnings(in, p, used);
		if (p == PARSE_BAD)
			FUZZ_ASSERT(e.status >= 400 && e.status < 600 && e.text != NULL);
		if (p != PARSE_DONE)
			break;
		FUZZ_ASSERT(used > 0 && used <= in.n && used <= HEAD_MAX + 2);
		check_head(&h, slice_of(in.p, used));
		in = slice_skip(in, used);
		body = check_body(&h, in);
		if (body == SIZE_MAX)
			break;
		in = slice_skip(in, body);
	}
	return 0;
}
