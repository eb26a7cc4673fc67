/* SPDX-License-Identifier: PostgreSQL
 *
 * First byte: which parser. The rest is a message body. What a parser accepts can be walked to its
 * end, lies inside the body, and means the same when it is built again, where there is a builder.
 */
#include "config.h"

#include "protocol/message.h"

#include "protocol/frame.h"
#include "tests/fuzz/fuzz.h"

static bool
same(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static void
check_inside(struct slice part, struct slice body)
{
	FUZZ_ASSERT(part.n == 0 || (part.p >= body.p && part.p + part.n <= body.p + body.n));
}

/* The only message in b. */
static struct slice
body_of(const struct buf *b)
{
	struct frame f = { 0 };

	FUZZ_ASSERT(frame_cut(buf_view(b), BUF_CAP_DEFAULT, &f) == PARSE_DONE && f.total == b->n);
	return f.body;
}

static void
try_report(struct slice body)
{
	struct message_report r, again;
	struct buf b = { 0 };

	if (message_parse_report(body, &r) != PARSE_DONE)
		return;
	message_put_report(&b, MSG_ERROR, &r);
	FUZZ_ASSERT(message_parse_report(body_of(&b), &again) == PARSE_DONE);
	FUZZ_ASSERT(again.message.n > 0 && again.message.n <= MESSAGE_FIELD_MAX);
	FUZZ_ASSERT(again.sqlstate.n == 5 && again.severity.n > 0);
	for (size_t i = 0; i < again.message.n; i++)
		FUZZ_ASSERT((unsigned char)again.message.p[i] >= ' ' ||
			    again.message.p[i] == '\n' || again.message.p[i] == '\t');
	buf_fini(&b);
}

static void
try_auth(struct slice body)
{
	struct message_auth m;
	struct slice list, name;
	size_t n = 0, kept;
	struct buf b = { 0 };

	if (message_parse_auth(body, &m) != PARSE_DONE || m.code != AUTH_SASL)
		return;
	for (list = m.data; message_next_mechanism(&list, &name); n++)
		check_inside(name, body);
	kept = message_put_auth_sasl_without(&b, m.data, "SCRAM-SHA-256-PLUS");
	FUZZ_ASSERT(kept <= n && (kept < n) == message_offers(m.data, "SCRAM-SHA-256-PLUS"));
	if (kept > 0) {
		FUZZ_ASSERT(message_parse_auth(body_of(&b), &m) == PARSE_DONE);
		FUZZ_ASSERT(!message_offers(m.data, "SCRAM-SHA-256-PLUS"));
	}
	buf_fini(&b);
}

static void
try_sasl(struct slice body)
{
	struct message_sasl_initial m;
	struct buf b = { 0 };

	if (message_parse_sasl_initial(body, &m) != PARSE_DONE)
		return;
	message_put_sasl_initial(&b, m.mechanism, m.data);
	FUZZ_ASSERT(same(body_of(&b), body));
	buf_fini(&b);
}

static void
try_parameter(struct slice body)
{
	struct message_parameter m;
	struct buf b = { 0 };

	if (message_parse_parameter(body, &m) != PARSE_DONE)
		return;
	message_put_parameter(&b, m.name, m.value);
	FUZZ_ASSERT(same(body_of(&b), body));
	buf_fini(&b);
}

static void
try_key(struct slice body)
{
	struct message_key m;
	struct buf b = { 0 };

	if (message_parse_key(body, &m) != PARSE_DONE)
		return;
	message_put_key(&b, m.pid, m.secret);
	FUZZ_ASSERT(same(body_of(&b), body));
	buf_fini(&b);
}

static void
try_negotiate(struct slice body)
{
	struct message_negotiate m;
	struct slice name;
	uint32_t n = 0;

	if (message_parse_negotiate(body, &m) != PARSE_DONE)
		return;
	for (; message_next_cstr(&m.options, &name); n++)
		check_inside(name, body);
	FUZZ_ASSERT(n == m.options_n);
}

static void
try_parse(struct slice body)
{
	struct message_parse m;

	if (message_parse_parse(body, &m) != PARSE_DONE)
		return;
	check_inside(m.name, body);
	check_inside(m.sql, body);
	FUZZ_ASSERT(m.types.n == (size_t)m.types_n * 4);
	FUZZ_ASSERT(message_oid(&m, m.types_n) == 0);
}

static void
try_call(struct slice body)
{
	struct message_call m;
	struct slice value;
	uint16_t n = 0;

	if (message_parse_call(body, &m) != PARSE_DONE)
		return;
	for (; message_next_value(&m.values, &value); n++)
		check_inside(value, body);
	FUZZ_ASSERT(n == m.values_n && m.values.n == 0);
}

static void
try_bind(struct slice body)
{
	struct message_bind m;
	struct slice value;
	uint16_t n = 0;

	try_call(body);
	if (message_parse_bind(body, &m) != PARSE_DONE)
		return;
	for (; message_next_value(&m.values, &value); n++) {
		int16_t format = message_format(m.formats, m.formats_n, n);

		check_inside(value, body);
		FUZZ_ASSERT(format == 0 || format == 1);
	}
	FUZZ_ASSERT(n == m.values_n && m.values.n == 0);
}

static void
try_small(struct slice body)
{
	struct message_target t;
	struct message_execute x;
	struct slice s;
	char status;

	if (message_parse_target(body, &t) == PARSE_DONE)
		FUZZ_ASSERT(t.name.n + 2 == body.n);
	if (message_parse_execute(body, &x) == PARSE_DONE)
		FUZZ_ASSERT(x.portal.n + 5 == body.n && x.max_rows <= INT32_MAX);
	if (message_parse_query(body, &s) == PARSE_DONE)
		FUZZ_ASSERT(s.n + 1 == body.n);
	if (message_parse_ready(body, &status) == PARSE_DONE)
		FUZZ_ASSERT(body.n == 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(struct slice) = { try_report,    try_auth, try_sasl,
						       try_parameter, try_key,  try_negotiate,
						       try_parse,     try_bind, try_small };

	if (size > 0)
		tries[data[0] % (sizeof(tries) / sizeof(tries[0]))](
		    slice_of((const char *)data + 1, size - 1));
	return 0;
}
