/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/http.h"

#include <ctype.h>

#include <openssl/evp.h>

#include "base/text.h"
#include "protocol/b64.h"

static const struct {
	const char *name;
	enum http_method method;
} methods[] = {
	{ "GET", HTTP_GET },         { "HEAD", HTTP_HEAD },       { "POST", HTTP_POST },
	{ "OPTIONS", HTTP_OPTIONS }, { "CONNECT", HTTP_CONNECT },
};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 101, "Switching Protocols" },
	{ 200, "OK" },
	{ 204, "No Content" },
	{ 400, "Bad Request" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 408, "Request Timeout" },
	{ 411, "Length Required" },
	{ 413, "Content Too Large" },
	{ 426, "Upgrade Required" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
};

static const char *
reason_of(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i].status == status)
			return reasons[i].reason;
	}
	return "Unknown";
}

enum parse
http_bad(struct http_error *e, int status, const char *text)
{
	*e = (struct http_error){ status, text };
	return PARSE_BAD;
}

bool
http_is_token(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (!isalnum(c) && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
			return false;
	}
	return s.n > 0;
}

/* Cut the line that ends at the first CRLF; false where a bare CR or LF comes first. The caller
 * knows that the whole head is there. */
static bool
cut_line(struct slice *rest, struct slice *line)
{
	const char *nl = memchr(rest->p, '\n', rest->n);

	*line = slice_of(rest->p, (size_t)(nl - rest->p));
	*rest = slice_skip(*rest, line->n + 1);
	if (line->n == 0 || line->p[line->n - 1] != '\r')
		return false;
	line->n--;
	return line->n == 0 || memchr(line->p, '\r', line->n) == NULL;
}

/* Origin form, absolute form or, for CONNECT, an authority (RFC 9112 section 3.2). */
static bool
take_target(struct http_head *h, struct slice target)
{
	struct slice rest = target;

	for (size_t i = 0; i < target.n; i++) {
		if ((unsigned char)target.p[i] <= ' ' || (unsigned char)target.p[i] == 0x7f)
			return false;
	}
	h->target = target;
	h->path = h->query = slice_of("", 0);
	if (target.n == 0)
		return false;
	if (h->method == HTTP_CONNECT) {
		h->host = target;
		return memchr(target.p, '/', target.n) == NULL;
	}
	if (slice_starts(rest, "http://") || slice_starts(rest, "https://")) {
		const char *slash;

		rest = slice_skip(rest, rest.p[4] == 's' ? 8 : 7);
		slash = rest.n > 0 ? memchr(rest.p, '/', rest.n) : NULL;
		if (slash == NULL || slash == rest.p)
			return false;
		h->host = slice_of(rest.p, (size_t)(slash - rest.p));
		rest = slice_skip(rest, h->host.n);
	}
	if (rest.p[0] != '/')
		return h->method == HTTP_OPTIONS && slice_is(rest, "*");
	h->path = slice_cut(&rest, '?');
	if (rest.p != NULL)
		h->query = rest;
	return true;
}

static enum parse
take_request_line(struct http_head *h, struct slice line, struct http_error *e)
{
	struct slice rest = line, target;

	h->method_text = slice_cut(&rest, ' ');
	if (!http_is_token(h->method_text) || rest.p == NULL)
		return http_bad(e, 400, "malformed request line");
	h->method = HTTP_OTHER;
	for (size_t i = 0; i < METHODS; i++) {
		if (slice_is(h->method_text, methods[i].name))
			h->method = methods[i].method;
	}
	target = slice_cut(&rest, ' ');
	if (rest.n != 8 || !slice_starts(rest, "HTTP/") || !isdigit((unsigned char)rest.p[5]) ||
	    rest.p[6] != '.' || !isdigit((unsigned char)rest.p[7]))
		return http_bad(e, 400, "malformed request line");
	if (rest.p[5] != '1')
		return http_bad(e, 505, "only HTTP/1.1 is spoken here");
	h->minor = rest.p[7] - '0';
	if (!take_target(h, target))
		return http_bad(e, 400, "malformed request target");
	return PARSE_DONE;
}

static enum parse
take_header(struct http_head *h, struct slice line, struct http_error *e)
{
	struct slice value = line, name = slice_cut(&value, ':');

	if (value.p == NULL || !http_is_token(name))
		return http_bad(e, 400, "malformed header");
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return http_bad(e, 400, "control character in a header");
	}
	if (h->nheaders == HTTP_HEADERS_MAX)
		return http_bad(e, 431, "too many headers");
	h->headers[h->nheaders++] = (struct http_header){ name, slice_trim(value) };
	return PARSE_DONE;
}

struct slice
http_header(const struct http_head *h, const char *name)
{
	for (size_t i = h->nheaders; i-- > 0;) {
		if (slice_is_nocase(h->headers[i].name, name))
			return h->headers[i].value;
	}
	return slice_of(NULL, 0);
}

bool
http_header_next(const struct http_head *h, const char *name, size_t *i, struct slice *value)
{
	for (; *i < h->nheaders; (*i)++) {
		if (slice_is_nocase(h->headers[*i].name, name)) {
			*value = h->headers[(*i)++].value;
			return true;
		}
	}
	return false;
}

bool
http_header_has(const struct http_head *h, const char *name, const char *token)
{
	struct slice value;
	size_t i = 0;

	while (http_header_next(h, name, &i, &value)) {
		while (value.n > 0) {
			if (slice_is_nocase(slice_trim(slice_cut(&value, ',')), token))
				return true;
		}
	}
	return false;
}

/* How long the body is (RFC 9112 section 6.3). Two lengths, or a length and a coding, are how
 * requests are smuggled past a proxy: refused. */
static enum parse
take_framing(struct http_head *h, struct http_error *e)
{
	struct slice value, coding = slice_of(NULL, 0), length = slice_of(NULL, 0);
	int64_t n;

	for (size_t i = 0; http_header_next(h, "transfer-encoding", &i, &value); coding = value) {
		if (coding.p != NULL)
			return http_bad(e, 400, "two Transfer-Encoding headers");
	}
	for (size_t i = 0; http_header_next(h, "content-length", &i, &value); length = value) {
		if (length.p != NULL)
			return http_bad(e, 400, "two Content-Length headers");
	}
	if (coding.p != NULL && (length.p != NULL || h->minor == 0))
		return http_bad(e, 400, "ambiguous length of the body");
	if (coding.p != NULL && !slice_is_nocase(coding, "chunked"))
		return http_bad(e, 501, "unknown Transfer-Encoding");
	h->chunked = coding.p != NULL;
	if (length.p == NULL)
		return PARSE_DONE;
	if (length.n == 0 || !isdigit((unsigned char)length.p[0]) ||
	    !text_to_int(length, 0, INT64_MAX, &n))
		return http_bad(e, 400, "malformed Content-Length");
	h->length = (uint64_t)n;
	return PARSE_DONE;
}

/* What a CONNECT names, and its Host, must be the same; many leave the port out of the latter. */
static bool
is_host_of(struct slice host, struct slice authority)
{
	return authority.n >= host.n && strncasecmp(host.p, authority.p, host.n) == 0 &&
	       (authority.n == host.n || authority.p[host.n] == ':');
}

static enum parse
take_host(struct http_head *h, struct http_error *e)
{
	struct slice host = slice_of(NULL, 0), value;
	size_t i = 0, hosts = 0;

	for (; http_header_next(h, "host", &i, &value); host = value)
		hosts++;
	if (hosts > 1 || (hosts == 0 && h->minor > 0))
		return http_bad(e, 400, "exactly one Host header is wanted");
	for (i = 0; i < host.n; i++) {
		if (strchr(" \t,/?#@", host.p[i]) != NULL)
			return http_bad(e, 400, "malformed Host header");
	}
	if (h->method == HTTP_CONNECT && hosts > 0 && !is_host_of(host, h->host))
		return http_bad(e, 400, "Host is not what CONNECT names");
	if (h->host.p == NULL)
		h->host = host;
	return PARSE_DONE;
}

static enum parse
take_meaning(struct http_head *h, struct http_error *e)
{
	enum parse p = take_host(h, e);

	if (p != PARSE_DONE)
		return p;
	h->keep_alive = h->minor > 0 ? !http_header_has(h, "connection", "close")
				     : http_header_has(h, "connection", "keep-alive");
	h->expect_continue =
	    h->minor > 0 && slice_is_nocase(http_header(h, "expect"), "100-continue");
	p = take_framing(h, e);
	if (p == PARSE_DONE && h->method == HTTP_CONNECT && (h->chunked || h->length > 0))
		return http_bad(e, 400, "a CONNECT has no body");
	return p;
}

/* Where the head ends: behind the first empty line. 0: not there yet. */
static size_t
head_length(struct slice in)
{
	const char *end, *bare;

	if (in.p == NULL)
		return 0;
	end = memmem(in.p, in.n, "\n\r\n", 3);
	bare = memmem(in.p, in.n, "\n\n", 2);
	/* a bare line feed is found to be bad by cut_line() */
	if (bare != NULL && (end == NULL || bare < end))
		return (size_t)(bare - in.p) + 2;
	return end != NULL ? (size_t)(end - in.p) + 3 : 0;
}

enum parse
http_parse_head(struct slice in, size_t max, struct http_head *out, size_t *used,
		struct http_error *e)
{
	size_t skipped = slice_starts(in, "\r\n") ? 2 : 0;
	struct slice all = slice_skip(in, skipped), rest, line;
	size_t n = head_length(slice_of(all.p, all.n < max ? all.n : max));
	enum parse p;

	if (n == 0)
		return all.n < max ? PARSE_MORE
				   : http_bad(e, 431, "the head of the request is too long");
	rest = slice_of(all.p, n);
	memset(out, 0, offsetof(struct http_head, headers));
	if (!cut_line(&rest, &line))
		return http_bad(e, 400, "a line does not end in CR LF");
	p = take_request_line(out, line, e);
	while (p == PARSE_DONE && rest.n > 0) {
		if (!cut_line(&rest, &line))
			return http_bad(e, 400, "a line does not end in CR LF");
		if (line.n > 0)
			p = take_header(out, line, e);
	}
	*used = skipped + n;
	return p == PARSE_DONE ? take_meaning(out, e) : p;
}

void
http_put_answer(struct buf *out, int status, const char *type, const char *headers, size_t length,
		bool keep_alive)
{
	buf_printf(out, "HTTP/1.1 %d %s\r\n%s", status, reason_of(status), headers);
	if (type != NULL)
		buf_printf(out, "Content-Type: %s\r\n", type);
	if (status != 204)
		buf_printf(out, "Content-Length: %zu\r\n", length);
	buf_printf(out, "Connection: %s\r\n\r\n", keep_alive ? "keep-alive" : "close");
}

bool
http_asks_websocket(const struct http_head *h)
{
	return h->method == HTTP_GET && http_header_has(h, "upgrade", "websocket");
}

int
http_check_websocket(const struct http_head *h, struct http_error *e)
{
	uint8_t raw[16];
	size_t n;

	*e = (struct http_error){ 400, NULL };
	if (h->minor == 0 || !http_header_has(h, "connection", "upgrade"))
		e->text = "a WebSocket wants HTTP/1.1 and Connection: Upgrade";
	else if (h->chunked || h->length > 0)
		e->text = "the request for a WebSocket has no body";
	else if (!slice_is(http_header(h, "sec-websocket-version"), "13"))
		*e = (struct http_error){ 426, "only version 13 of WebSocket is spoken here" };
	else if (!b64_decode(http_header(h, "sec-websocket-key"), raw, sizeof(raw), &n) ||
		 n != sizeof(raw))
		e->text = "Sec-WebSocket-Key is not the base64 of 16 bytes";
	return e->text == NULL ? 0 : -1;
}

void
http_websocket_accept(struct slice key, char to[HTTP_ACCEPT_TEXT])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	struct buf text = { .cap = 1024 }, out = { .cap = 64 };
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	buf_slice(&text, key);
	buf_str(&text, guid);
	(void)EVP_Digest(text.p, text.n, digest, &n, EVP_sha1(), NULL);
	b64_put(&out, digest, n);
	(void)text_copy(to, HTTP_ACCEPT_TEXT, buf_view(&out));
	buf_fini(&text);
	buf_fini(&out);
}
