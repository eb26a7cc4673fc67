/* SPDX-License-Identifier: PostgreSQL
 *
 * HTTP/1.1 as far as a database proxy needs it (RFC 9110, RFC 9112): the head of a request, the
 * framing of its body, and the head of an answer. Pure: bytes in, slices into them out. Strict,
 * because a load balancer in front must never see another request than we do: no folded lines, no
 * bare line feed, no blank before a colon, no body whose length is said twice.
 *
 * Nothing is copied: a head is valid as long as the bytes it was parsed from.
 */
#ifndef PROTOCOL_HTTP_H
#define PROTOCOL_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define HTTP_HEADERS_MAX 100

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_OPTIONS,
	HTTP_CONNECT,
	HTTP_OTHER, /* well-formed, and none of the above */
};

struct http_header {
	struct slice name, value; /* the value without blanks around it */
};

struct http_head {
	enum http_method method;
	struct slice method_text;
	struct slice target; /* as it stands in the request line */
	struct slice path;   /* origin form: up to '?'; absolute form: its path; CONNECT: "" */
	struct slice query;  /* behind the '?', or "" */
	struct slice host;   /* Host; the authority of a CONNECT, or of an absolute form */
	int minor;           /* HTTP/1.minor */
	bool keep_alive;     /* by version and Connection */
	bool expect_continue;
	bool chunked; /* the body is, else it has `length` bytes */
	uint64_t length;
	size_t nheaders;
	struct http_header headers[HTTP_HEADERS_MAX];
};

/* What a bad request is answered with. */
struct http_error {
	int status; /* 400, 413, 426, 431, 501, 505 */
	const char *text;
};

/* Whether this first byte may begin a request: methods are words in capitals. A startup packet
 * begins with a zero, a ClientHello with 0x16. */
static inline bool
http_may_begin(char first)
{
	return first >= 'A' && first <= 'Z';
}

/* A method's or a header's name (RFC 9110 section 5.6.2). */
bool http_is_token(struct slice s);
/* Set *e; PARSE_BAD. */
enum parse http_bad(struct http_error *e, int status, const char *text);
/* Parse a head (one empty line before it is skipped): PARSE_DONE and *used (bytes up to and with
 * the empty line), PARSE_MORE, or PARSE_BAD and *e. A head longer than `max` bytes is bad (431). */
enum parse http_parse_head(struct slice in, size_t max, struct http_head *out, size_t *used,
			   struct http_error *e) MUST_CHECK;

/* The value of the last header of that name (case ignored; load balancers append), or a slice with
 * p == NULL. `http_header_next` walks all of them: start with *i = 0. */
struct slice http_header(const struct http_head *h, const char *name);
bool http_header_next(const struct http_head *h, const char *name, size_t *i, struct slice *value);
/* Whether a comma-separated list (all headers of that name together) has this token. */
bool http_header_has(const struct http_head *h, const char *name, const char *token);

/* A body as it comes, in pieces; all zero with http_body_init() is its beginning. */
struct http_body {
	uint64_t left;  /* bytes of the body, or of the chunk, still to come */
	uint64_t total; /* bytes given out */
	uint8_t state;
	uint8_t digits; /* of a chunk's length so far */
};

void http_body_init(struct http_body *b, const struct http_head *h);
/* Take from `in`: *used bytes consumed, appended to `out` what of them is content. PARSE_DONE: that
 * was the last; PARSE_MORE; PARSE_BAD: malformed (400), or more than `max` bytes in all (413: then
 * e->status says so). Extensions and trailers are read and dropped. */
enum parse http_body_take(struct http_body *b, struct slice in, uint64_t max, struct buf *out,
			  size_t *used, struct http_error *e) MUST_CHECK;

/* Append the head of an answer whose body has `length` bytes. `type` NULL: no body and no such
 * header; `headers`: further lines, each with its CRLF, or "". */
void http_put_answer(struct buf *out, int status, const char *type, const char *headers,
		     size_t length, bool keep_alive);

/* Whether a request asks for a WebSocket, and whether it does it as RFC 6455 section 4.2.1 wants:
 * else *e (400, or 426 for another version). */
bool http_asks_websocket(const struct http_head *h);
int http_check_websocket(const struct http_head *h, struct http_error *e) MUST_CHECK;
/* Sec-WebSocket-Accept of RFC 6455 section 4.2.2: base64(SHA1(key + GUID)), 28 bytes and a NUL. */
#define HTTP_ACCEPT_TEXT 29
void http_websocket_accept(struct slice key, char to[HTTP_ACCEPT_TEXT]);

#endif
