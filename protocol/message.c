/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/message.h"

#include "base/bug.h"
#include "base/hot.h"
#include "base/utf8.h"
#include "protocol/sqlstate.h"

/* ---- reading: each takes from the front of *s and says whether it was there ---- */

static bool
take_u8(struct slice *s, uint8_t *out)
{
	if (s->n < 1)
		return false;
	*out = (uint8_t)s->p[0];
	*s = slice_skip(*s, 1);
	return true;
}

static bool
take_u16(struct slice *s, uint16_t *out)
{
	if (s->n < 2)
		return false;
	*out = get_u16(s->p);
	*s = slice_skip(*s, 2);
	return true;
}

static bool
take_u32(struct slice *s, uint32_t *out)
{
	if (s->n < 4)
		return false;
	*out = get_u32(s->p);
	*s = slice_skip(*s, 4);
	return true;
}

static bool
take_bytes(struct slice *s, size_t n, struct slice *out)
{
	if (s->n < n)
		return false;
	*out = slice_of(s->p, n);
	*s = slice_skip(*s, n);
	return true;
}

static HOT bool
take_cstr(struct slice *s, struct slice *out)
{
	const char *end = s->n > 0 ? memchr(s->p, '\0', s->n) : NULL;

	if (end == NULL)
		return false;
	*out = slice_of(s->p, (size_t)(end - s->p));
	*s = slice_skip(*s, out->n + 1);
	return true;
}

/* A count and that many items of `size` bytes. */
static bool
take_array(struct slice *s, size_t size, uint16_t *n, struct slice *out)
{
	return take_u16(s, n) && take_bytes(s, *n * size, out);
}

/* Text from the wire where a NUL ends it: what stands before the first NUL. */
static HOT void
put_cstr(struct buf *b, struct slice s)
{
	buf_slice(b, slice_cut(&s, '\0'));
	buf_u8(b, 0);
}

/* The same where there is room: the place behind it. */
static HOT char *
lay_cstr(char *to, struct slice s)
{
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	to[s.n] = '\0';
	return to + s.n + 1;
}

/* ---- errors and notices ---- */

static bool
is_control(char c)
{
	return ((uint8_t)c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
}

static void
put_field(struct buf *b, char type, struct slice s)
{
	size_t room = MESSAGE_FIELD_MAX;

	if (s.n == 0)
		return;
	buf_u8(b, (uint8_t)type);
	while (s.n > 0) {
		size_t n = utf8_sequence(s);

		if (room < (n > 0 ? n : 1))
			break;
		room -= n > 0 ? n : 1;
		if (n == 0 || is_control(s.p[0]))
			buf_u8(b, '?');
		else
			buf_put(b, s.p, n);
		s = slice_skip(s, n > 0 ? n : 1);
	}
	buf_u8(b, 0);
}

/* Severity, SQLSTATE and message must be there (PostgreSQL documentation, "Error and Notice Message
 * Fields": "always present"). */
void
message_put_report(struct buf *b, char type, const struct message_report *r)
{
	size_t at = buf_message(b, type);
	struct slice severity = r->severity.n > 0 ? r->severity : slice_str("ERROR");

	put_field(b, 'S', severity);
	put_field(b, 'V', severity);
	put_field(b, 'C', r->sqlstate.n == 5 ? r->sqlstate : slice_str(SQLSTATE_INTERNAL_ERROR));
	put_field(b, 'M', r->message.n > 0 ? r->message : slice_str("no message"));
	put_field(b, 'D', r->detail);
	put_field(b, 'H', r->hint);
	buf_u8(b, 0);
	buf_message_end(b, at);
}

static void
put_err(struct buf *b, char type, const char *severity, const struct err *e)
{
	const struct message_report r = {
		.severity = slice_str(severity),
		.sqlstate = slice_str(e->sqlstate),
		.message = slice_str(e->msg),
		.detail = slice_str(e->detail),
		.hint = slice_str(e->hint),
	};

	message_put_report(b, type, &r);
}

void
message_put_error(struct buf *b, const char *severity, const struct err *e)
{
	put_err(b, MSG_ERROR, severity, e);
}

void
message_put_notice(struct buf *b, const char *severity, const struct err *e)
{
	put_err(b, MSG_NOTICE, severity, e);
}

enum parse
message_parse_report(struct slice body, struct message_report *out)
{
	struct message_report r = { 0 };
	struct slice shown = { 0 }, value;
	uint8_t type;

	for (;;) {
		if (!take_u8(&body, &type))
			return PARSE_BAD;
		if (type == 0)
			break;
		if (!take_cstr(&body, &value))
			return PARSE_BAD;
		if (type == 'S')
			shown = value;
		else if (type == 'V')
			r.severity = value;
		else if (type == 'C')
			r.sqlstate = value;
		else if (type == 'M')
			r.message = value;
		else if (type == 'D')
			r.detail = value;
		else if (type == 'H')
			r.hint = value;
	}
	if (r.severity.n == 0)
		r.severity = shown;
	*out = r;
	return PARSE_DONE;
}

static int
printed(struct slice s, size_t max)
{
	return (int)(s.n < max ? s.n : max);
}

void
message_report_err(const struct message_report *r, struct err *e)
{
	char sqlstate[6] = "XX000";

	if (r->sqlstate.n == 5)
		memcpy(sqlstate, r->sqlstate.p, 5);
	err_set(e, sqlstate, "%.*s", printed(r->message, sizeof(e->msg) - 1), r->message.p);
	if (r->detail.n > 0)
		err_detail(e, "%.*s", printed(r->detail, sizeof(e->detail) - 1), r->detail.p);
	if (r->hint.n > 0)
		err_hint(e, "%.*s", printed(r->hint, sizeof(e->hint) - 1), r->hint.p);
}

/* ---- authentication ---- */

HOT void
message_put_auth(struct buf *b, enum auth_code code, struct slice data)
{
	size_t at = buf_message(b, MSG_AUTHENTICATION);

	buf_u32(b, code);
	buf_slice(b, data);
	buf_message_end(b, at);
}

HOT void
message_put_auth_sasl(struct buf *b, const char *const *mechanisms, size_t n)
{
	size_t at = buf_message(b, MSG_AUTHENTICATION);

	buf_u32(b, AUTH_SASL);
	for (size_t i = 0; i < n; i++)
		buf_cstr(b, mechanisms[i]);
	buf_u8(b, 0);
	buf_message_end(b, at);
}

/* One or more strings, then an empty one that is the end. */
static bool
is_mechanism_list(struct slice list)
{
	struct slice name;

	while (take_cstr(&list, &name))
		if (name.n == 0)
			return list.n == 0;
	return false;
}

HOT enum parse
message_parse_auth(struct slice body, struct message_auth *out)
{
	struct message_auth m;

	if (!take_u32(&body, &m.code))
		return PARSE_BAD;
	if (m.code == AUTH_SASL && !is_mechanism_list(body))
		return PARSE_BAD;
	if (m.code == AUTH_MD5 && body.n != 4)
		return PARSE_BAD;
	if ((m.code == AUTH_OK || m.code == AUTH_CLEARTEXT) && body.n != 0)
		return PARSE_BAD;
	m.data = body;
	*out = m;
	return PARSE_DONE;
}

bool
message_next_mechanism(struct slice *list, struct slice *name)
{
	struct slice s;

	if (!take_cstr(list, &s) || s.n == 0)
		return false;
	*name = s;
	return true;
}

HOT bool
message_offers(struct slice list, const char *mechanism)
{
	struct slice name;

	while (message_next_mechanism(&list, &name))
		if (slice_is(name, mechanism))
			return true;
	return false;
}

size_t
message_put_auth_sasl_without(struct buf *b, struct slice list, const char *without)
{
	struct slice name, rest = list;
	size_t at, n = 0;

	while (message_next_mechanism(&rest, &name))
		n += !slice_is(name, without);
	if (n == 0)
		return 0;
	at = buf_message(b, MSG_AUTHENTICATION);
	buf_u32(b, AUTH_SASL);
	while (message_next_mechanism(&list, &name))
		if (!slice_is(name, without))
			put_cstr(b, name);
	buf_u8(b, 0);
	buf_message_end(b, at);
	return n;
}

HOT enum parse
message_parse_sasl_initial(struct slice body, struct message_sasl_initial *out)
{
	struct message_sasl_initial m = { 0 };
	uint32_t n;

	if (!take_cstr(&body, &m.mechanism) || !take_u32(&body, &n))
		return PARSE_BAD;
	if (n != UINT32_MAX && !take_bytes(&body, n, &m.data))
		return PARSE_BAD;
	if (body.n != 0)
		return PARSE_BAD;
	*out = m;
	return PARSE_DONE;
}

enum parse
message_parse_password(struct slice body, struct slice *password)
{
	struct slice s;

	if (!take_cstr(&body, &s) || body.n != 0)
		return PARSE_BAD;
	*password = s;
	return PARSE_DONE;
}

void
message_put_sasl_initial(struct buf *b, struct slice mechanism, struct slice data)
{
	size_t at = buf_message(b, MSG_PASSWORD);

	put_cstr(b, mechanism);
	buf_u32(b, data.p != NULL ? (uint32_t)data.n : UINT32_MAX);
	buf_slice(b, data);
	buf_message_end(b, at);
}

void
message_put_sasl_response(struct buf *b, struct slice data)
{
	size_t at = buf_message(b, MSG_PASSWORD);

	buf_slice(b, data);
	buf_message_end(b, at);
}

void
message_put_password(struct buf *b, struct slice password)
{
	size_t at = buf_message(b, MSG_PASSWORD);

	put_cstr(b, password);
	buf_message_end(b, at);
}

/* ---- the end of the login ---- */

HOT void
message_put_parameter(struct buf *b, struct slice name, struct slice value)
{
	struct slice a = slice_cut(&name, '\0'), v = slice_cut(&value, '\0');
	size_t n = 4 + a.n + 1 + v.n + 1;
	char *to = buf_reserve(b, 1 + n);

	/* a dozen of them are most of what a login is answered: written as one */
	if (to == NULL)
		return;
	to[0] = MSG_PARAMETER_STATUS;
	put_u32(to + 1, (uint32_t)n);
	lay_cstr(lay_cstr(to + 5, a), v);
	b->n += 1 + n;
}

HOT enum parse
message_parse_parameter(struct slice body, struct message_parameter *out)
{
	struct message_parameter m;

	if (!take_cstr(&body, &m.name) || !take_cstr(&body, &m.value) || body.n != 0)
		return PARSE_BAD;
	*out = m;
	return PARSE_DONE;
}

HOT void
message_put_key(struct buf *b, uint32_t pid, struct slice secret)
{
	size_t at = buf_message(b, MSG_BACKEND_KEY);

	buf_u32(b, pid);
	buf_slice(b, secret);
	buf_message_end(b, at);
}

HOT enum parse
message_parse_key(struct slice body, struct message_key *out)
{
	struct message_key m;

	if (!take_u32(&body, &m.pid) || body.n < 4 || body.n > 256)
		return PARSE_BAD;
	m.secret = body;
	*out = m;
	return PARSE_DONE;
}

HOT void
message_put_ready(struct buf *b, char status)
{
	size_t at = buf_message(b, MSG_READY);

	buf_u8(b, (uint8_t)status);
	buf_message_end(b, at);
}

HOT enum parse
message_parse_ready(struct slice body, char *status)
{
	if (body.n != 1 || (body.p[0] != 'I' && body.p[0] != 'T' && body.p[0] != 'E'))
		return PARSE_BAD;
	*status = body.p[0];
	return PARSE_DONE;
}

/* The documentation says "newest minor protocol version"; PostgreSQL sends the whole
 * version number (0x00030000), and libpq takes it as that. */
void
message_put_negotiate(struct buf *b, uint16_t minor, const struct slice *options, size_t n)
{
	size_t at = buf_message(b, MSG_NEGOTIATE_VERSION);

	buf_u16(b, 3);
	buf_u16(b, minor);
	buf_u32(b, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		put_cstr(b, options[i]);
	buf_message_end(b, at);
}

enum parse
message_parse_negotiate(struct slice body, struct message_negotiate *out)
{
	struct message_negotiate m;
	struct slice rest, name;

	if (!take_u16(&body, &m.major) || !take_u16(&body, &m.minor) ||
	    !take_u32(&body, &m.options_n))
		return PARSE_BAD;
	rest = body;
	for (uint32_t i = 0; i < m.options_n; i++)
		if (!take_cstr(&rest, &name))
			return PARSE_BAD;
	if (rest.n != 0)
		return PARSE_BAD;
	m.options = body;
	*out = m;
	return PARSE_DONE;
}

bool
message_next_cstr(struct slice *list, struct slice *out)
{
	return take_cstr(list, out);
}

/* ---- the query protocols: what a server sends ---- */

void
message_put_row_description(struct buf *b, const struct message_column *columns, size_t n)
{
	size_t at = buf_message(b, MSG_ROW_DESCRIPTION);

	BUG_ON(n > UINT16_MAX);
	buf_u16(b, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		buf_cstr(b, columns[i].name);
		buf_u32(b, 0); /* of no table … */
		buf_u16(b, 0); /* … and no column of one */
		buf_u32(b, columns[i].type_oid);
		buf_u16(b, (uint16_t)columns[i].type_size);
		buf_u32(b, UINT32_MAX); /* no type modifier */
		buf_u16(b, (uint16_t)columns[i].format);
	}
	buf_message_end(b, at);
}

size_t
message_row_begin(struct buf *b, uint16_t n)
{
	size_t at = buf_message(b, MSG_DATA_ROW);

	buf_u16(b, n);
	return at;
}

void
message_row_value(struct buf *b, struct slice value)
{
	if (value.n > INT32_MAX) {
		b->failed = true;
		return;
	}
	buf_u32(b, (uint32_t)value.n);
	buf_slice(b, value);
}

void
message_row_null(struct buf *b)
{
	buf_u32(b, UINT32_MAX);
}

void
message_put_command_complete(struct buf *b, const char *tag)
{
	size_t at = buf_message(b, MSG_COMMAND_COMPLETE);

	buf_cstr(b, tag);
	buf_message_end(b, at);
}

void
message_put_parameter_description(struct buf *b, const uint32_t *oids, uint16_t n)
{
	size_t at = buf_message(b, MSG_PARAMETER_DESCRIPTION);

	buf_u16(b, n);
	for (uint16_t i = 0; i < n; i++)
		buf_u32(b, oids[i]);
	buf_message_end(b, at);
}

void
message_put_bare(struct buf *b, enum message_type type)
{
	size_t at = buf_message(b, (char)type);

	buf_message_end(b, at);
}

HOT void
message_put_query(struct buf *b, struct slice sql)
{
	size_t at = buf_message(b, MSG_QUERY);

	put_cstr(b, sql);
	buf_message_end(b, at);
}

void
message_put_close_statement(struct buf *b, struct slice name)
{
	size_t at = buf_message(b, MSG_CLOSE);

	buf_u8(b, 'S');
	put_cstr(b, name);
	buf_message_end(b, at);
}

void
message_put_statement(struct buf *b, struct slice name, struct slice sql)
{
	size_t at = buf_message(b, MSG_PARSE);

	put_cstr(b, name);
	put_cstr(b, sql);
	buf_u16(b, 0); /* no types of parameters */
	buf_message_end(b, at);
	at = buf_message(b, MSG_BIND);
	buf_u8(b, '\0');
	put_cstr(b, name);
	buf_u16(b, 0); /* no formats, no parameters, no formats of results */
	buf_u16(b, 0);
	buf_u16(b, 0);
	buf_message_end(b, at);
	at = buf_message(b, MSG_EXECUTE);
	buf_u8(b, '\0');
	buf_u32(b, 0); /* all rows */
	buf_message_end(b, at);
}

/* ---- the query protocols: what a client sends ---- */

HOT enum parse
message_parse_query(struct slice body, struct slice *sql)
{
	return message_parse_password(body, sql); /* one string, too */
}

enum parse
message_parse_parse(struct slice body, struct message_parse *out)
{
	struct message_parse m;

	if (!take_cstr(&body, &m.name) || !take_cstr(&body, &m.sql) ||
	    !take_array(&body, 4, &m.types_n, &m.types) || body.n != 0)
		return PARSE_BAD;
	*out = m;
	return PARSE_DONE;
}

/* `n` values: a length each (-1: NULL), then so many bytes. */
static bool
take_values(struct slice *s, uint16_t *n, struct slice *out)
{
	struct slice value, start;

	if (!take_u16(s, n))
		return false;
	start = *s;
	for (uint16_t i = 0; i < *n; i++)
		if (!message_next_value(s, &value))
			return false;
	*out = slice_of(start.p, start.n - s->n);
	return true;
}

/* Each is 0 (text) or 1 (binary). */
static bool
are_formats(struct slice formats, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		if (get_u16(formats.p + (size_t)i * 2) > 1)
			return false;
	return true;
}

enum parse
message_parse_bind(struct slice body, struct message_bind *out)
{
	struct message_bind m;

	if (!take_cstr(&body, &m.portal) || !take_cstr(&body, &m.statement) ||
	    !take_array(&body, 2, &m.formats_n, &m.formats) ||
	    !take_values(&body, &m.values_n, &m.values) ||
	    !take_array(&body, 2, &m.results_n, &m.results) || body.n != 0)
		return PARSE_BAD;
	if (!are_formats(m.formats, m.formats_n) || !are_formats(m.results, m.results_n))
		return PARSE_BAD;
	if (m.formats_n > 1 && m.formats_n != m.values_n)
		return PARSE_BAD;
	*out = m;
	return PARSE_DONE;
}

enum parse
message_parse_target(struct slice body, struct message_target *out)
{
	struct message_target m;
	uint8_t kind;

	if (!take_u8(&body, &kind) || !take_cstr(&body, &m.name) || body.n != 0 ||
	    (kind != 'S' && kind != 'P'))
		return PARSE_BAD;
	m.kind = (char)kind;
	*out = m;
	return PARSE_DONE;
}

enum parse
message_parse_execute(struct slice body, struct message_execute *out)
{
	struct message_execute m;

	if (!take_cstr(&body, &m.portal) || !take_u32(&body, &m.max_rows) || body.n != 0)
		return PARSE_BAD;
	/* "Zero denotes no limit", and PostgreSQL takes a negative number as zero. */
	if (m.max_rows > INT32_MAX)
		m.max_rows = 0;
	*out = m;
	return PARSE_DONE;
}

enum parse
message_parse_call(struct slice body, struct message_call *out)
{
	struct message_call m;
	uint16_t result;

	if (!take_u32(&body, &m.function) || !take_array(&body, 2, &m.formats_n, &m.formats) ||
	    !take_values(&body, &m.values_n, &m.values) || !take_u16(&body, &result) || body.n != 0)
		return PARSE_BAD;
	if (!are_formats(m.formats, m.formats_n) || result > 1 ||
	    (m.formats_n > 1 && m.formats_n != m.values_n))
		return PARSE_BAD;
	*out = m;
	return PARSE_DONE;
}

uint32_t
message_oid(const struct message_parse *m, uint16_t i)
{
	return i < m->types_n ? get_u32(m->types.p + (size_t)i * 4) : 0;
}

bool
message_next_value(struct slice *values, struct slice *out)
{
	struct slice rest = *values;
	uint32_t n;

	if (!take_u32(&rest, &n))
		return false;
	if (n == UINT32_MAX)
		*out = slice_of(NULL, 0);
	else if (n > INT32_MAX || !take_bytes(&rest, n, out))
		return false;
	*values = rest;
	return true;
}

int16_t
message_format(struct slice formats, uint16_t n, uint16_t i)
{
	if (n == 0)
		return 0;
	if (n == 1)
		i = 0;
	return i < n ? (int16_t)get_u16(formats.p + (size_t)i * 2) : 0;
}
