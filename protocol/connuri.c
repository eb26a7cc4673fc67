/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/connuri.h"

#include <stdint.h>

#include "base/text.h"
#include "protocol/frame.h"
#include "protocol/sqlstate.h"

#define PROTOCOL_3_0 0x30000u

static int
bad(struct err *e, const char *what)
{
	return err_set(e, SQLSTATE_CANNOT_CONNECT, "invalid connection string: %s", what);
}

/* False: a '%' that is none, or a NUL. There is room in *text for all that can come. */
static bool
decode(struct slice in, bool plus, struct buf *text, struct slice *out)
{
	size_t at = text->n;

	for (size_t i = 0; i < in.n; i++) {
		int c = (uint8_t)in.p[i];

		if (c == '%') {
			int high = i + 2 < in.n ? text_hex_digit(in.p[i + 1]) : -1;
			int low = i + 2 < in.n ? text_hex_digit(in.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = high << 4 | low;
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		if (c == '\0')
			return false;
		buf_u8(text, (uint8_t)c);
	}
	*out = slice_of(text->p + at, text->n - at);
	return !text->failed;
}

/* Cut at the first of `seps`; what follows, with the separator, stays in *rest. */
static struct slice
cut_before(struct slice *rest, const char *seps)
{
	struct slice head = *rest;

	head.n = 0;
	while (head.n < rest->n &&
	       (rest->p[head.n] == '\0' || strchr(seps, rest->p[head.n]) == NULL))
		head.n++;
	*rest = slice_skip(*rest, head.n);
	return head;
}

static bool
take_params(struct slice query, struct buf *text, struct connuri *u)
{
	while (query.n > 0) {
		struct slice value = slice_cut(&query, '&');
		struct slice name = slice_cut(&value, '=');
		struct slice *to = NULL;

		if (slice_is(name, "application_name"))
			to = &u->application_name;
		else if (slice_is(name, "options"))
			to = &u->options;
		if (to != NULL && !decode(value, true, text, to))
			return false;
	}
	return true;
}

static bool
take_userinfo(struct slice authority, struct buf *text, struct connuri *u)
{
	const char *at = authority.n > 0 ? memrchr(authority.p, '@', authority.n) : NULL;
	struct slice info = slice_of(authority.p, at != NULL ? (size_t)(at - authority.p) : 0);
	struct slice user = slice_cut(&info, ':');

	return decode(user, false, text, &u->user) && decode(info, false, text, &u->password);
}

int
connuri_parse(struct slice uri, struct buf *text, struct connuri *out, struct err *e)
{
	struct connuri u = { 0 };
	struct slice rest = uri, authority, path;

	if (!slice_starts(uri, "postgresql://") && !slice_starts(uri, "postgres://"))
		return bad(e, "it does not begin with postgresql://");
	if (buf_reserve(text, uri.n) == NULL)
		return bad(e, "it is too long");
	(void)slice_cut(&rest, '/');
	rest = slice_skip(rest, 1);
	authority = cut_before(&rest, "/?#");
	path = cut_before(&rest, "?#");
	rest = slice_skip(rest, 1);
	if (!take_userinfo(authority, text, &u) ||
	    !decode(slice_skip(path, 1), false, text, &u.database) ||
	    !take_params(cut_before(&rest, "#"), text, &u))
		return bad(e, "its percent-encoding is wrong");
	if (u.user.n == 0)
		return bad(e, "it names no user");
	if (u.database.n == 0)
		u.database = u.user;
	*out = u;
	return 0;
}

static void
put_param(struct buf *b, const char *name, struct slice value)
{
	if (value.n == 0)
		return;
	buf_cstr(b, name);
	buf_slice(b, value);
	buf_u8(b, 0);
}

void
connuri_put_startup(struct buf *b, const struct connuri *u)
{
	size_t at = buf_message(b, 0);

	buf_u32(b, PROTOCOL_3_0);
	put_param(b, "user", u->user);
	put_param(b, "database", u->database);
	put_param(b, "application_name", u->application_name);
	put_param(b, "options", u->options);
	put_param(b, "client_encoding", slice_str("UTF8"));
	buf_u8(b, 0);
	buf_message_end(b, at);
	if (b->n - at > STARTUP_BYTES_MAX)
		b->failed = true;
}
