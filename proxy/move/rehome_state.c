/* SPDX-License-Identifier: PostgreSQL
 *
 * What a session has left on its server, and how another one gets the same. The old server is asked
 * once, in the extended protocol, which leaves the statement without a name alone: first what
 * session_probe.c asks of settings and pins, then a table of five columns (below). The new one is
 * told in one go: settings, statements, LISTEN, and in a transaction of its own the statement
 * without a name, whose failure does no harm: the client has seen it fail before.
 *
 * Text goes as UTF-8 both ways: the new server is told client_encoding last where that matters.
 */
#include "config.h"

#include <stdlib.h>

#include "base/pgquote.h"
#include "base/text.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "protocol/sqlstate.h"
#include "protocol/sqltoken.h"
#include "proxy/move/rehome_int.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/ask.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/session_probe.h"
#include "proxy/sqlstate/traces.h"
#include "proxy/sqlstate/vars.h"

/* FirstNormalObjectId: types below it have the same number on every node */
#define FIRST_OID_OF_USERS 16384
#define TYPES_MAX          1000
#define STATEMENTS_BYTES   "600000" /* of all texts together, as they are written in the answer */

/* ---- the question ---- */

/* Rows of a kind and its columns: 't' a statement of the protocol, 'q' one of PREPARE: name, text,
 * types as numbers, types as names with chr(1) between them; 'x' the texts are too long; 'c' a
 * channel: its name; 'r' a reported setting: name, value. */
static void
put_table(const struct rehome *r, struct buf *sql)
{
	struct vars_item item;

	buf_str(sql,
		"WITH p AS MATERIALIZED (SELECT CASE WHEN from_sql THEN 'q' ELSE 't' END AS k, "
		"pg_catalog.encode(pg_catalog.convert_to(name, 'UTF8'), 'escape') AS n, "
		"pg_catalog.encode(pg_catalog.convert_to(statement, 'UTF8'), 'escape') AS v, "
		"pg_catalog.array_to_string(parameter_types::pg_catalog.oid[], ',') AS o, "
		"pg_catalog.encode(pg_catalog.convert_to(pg_catalog.array_to_string(ARRAY("
		"SELECT pg_catalog.format_type(t, NULL) FROM "
		"pg_catalog.unnest(parameter_types::pg_catalog.oid[]) WITH ORDINALITY AS u(t, i) "
		"ORDER BY i), pg_catalog.chr(1)), 'UTF8'), 'escape') AS y "
		"FROM pg_catalog.pg_prepared_statements "
		"WHERE name OPERATOR(pg_catalog.<>) '" ASK_STATEMENT_NAME "'), "
		"s AS (SELECT COALESCE(pg_catalog.sum(pg_catalog.octet_length(n) "
		"OPERATOR(pg_catalog.+) pg_catalog.octet_length(v) OPERATOR(pg_catalog.+) "
		"pg_catalog.octet_length(o) OPERATOR(pg_catalog.+) pg_catalog.octet_length(y)), 0) "
		"OPERATOR(pg_catalog.<=) " STATEMENTS_BYTES " AS fits FROM p) "
		"SELECT k, n, v, o, y FROM p, s WHERE fits "
		"UNION ALL SELECT 'x', '', '', '', '' FROM s WHERE NOT fits "
		"UNION ALL SELECT 'c', pg_catalog.encode(pg_catalog.convert_to(c, 'UTF8'), "
		"'escape'), '', '', '' FROM pg_catalog.pg_listening_channels() AS c");
	if (session_is_pooled(r->session) || r->server->reported == NULL ||
	    vars_count(r->server->reported) == 0)
		return;
	buf_str(sql, " UNION ALL SELECT 'r', n, pg_catalog.encode(pg_catalog.convert_to("
		     "pg_catalog.current_setting(n, true), 'UTF8'), 'escape'), '', '' FROM "
		     "(VALUES ");
	for (size_t at = 0, n = 0; vars_next(r->server->reported, &at, &item); n++) {
		buf_str(sql, n > 0 ? ", (" : "(");
		pgquote_literal_ascii(sql, item.name);
		buf_u8(sql, ')');
	}
	buf_str(sql, ") AS named(n)");
}

/* The settings that the session began with; returns a reference. */
static struct vars *
startup_of(const struct session *s)
{
	struct startup *st = worker_startup(s->worker);

	if (session_is_pooled(s))
		return vars_ref(s->pooled->startup);
	if (startup_parse(traces_packet(s->traces), st, NULL) != PARSE_DONE)
		return vars_empty(s->worker->vars);
	return vars_from_startup(s->worker->vars, st);
}

/* The question for all that a server can be asked about. */
static struct session_question
question_of(const struct session *s, struct vars *startup)
{
	return (struct session_question){
		.effects = EFFECT_UNKNOWN,
		.names = traces_names(s->traces),
		.user = session_name(s, NAME_USER),
		.session = session_is_pooled(s) ? s->pooled->vars : startup,
		.startup = startup,
	};
}

void
rehome_put_question(const struct rehome *r, struct buf *messages)
{
	struct vars *startup = startup_of(r->session);
	struct session_question q = question_of(r->session, startup);
	struct buf sql = { .cap = ASK_ANSWER_MAX };

	session_probe_put_query(&sql, &q);
	buf_u8(&sql, '\0');
	put_table(r, &sql);
	ask_put_apart(messages, buf_view(&sql));
	message_put_bare(messages, MSG_SYNC);
	buf_fini(&sql);
	vars_unref(startup);
}

/* ---- the answer ---- */

struct telling {
	struct rehome *r;
	struct buf statements; /* messages */
	bool is_ascii;         /* … they mean the same in any client_encoding */
	struct err *e;
};

struct row {
	char kind;
	struct buf name, text, types;
	struct slice oids;
};

static int
refuse(struct telling *t, const char *why)
{
	return err_set(t->e, SQLSTATE_OBJECT_NOT_IN_STATE, "the session cannot be moved: %s", why);
}

static bool
put_column(struct slice *from, struct buf *to)
{
	struct slice value;

	return session_probe_next_column(from, &value) && session_probe_put_unescaped(to, value) &&
	       (to->n == 0 || memchr(to->p, '\0', to->n) == NULL);
}

static bool
read_row(struct slice body, struct row *out)
{
	struct slice kind;

	if (body.n < 2 || get_u16(body.p) != 5)
		return false;
	body = slice_skip(body, 2);
	if (!session_probe_next_column(&body, &kind) || kind.n != 1)
		return false;
	out->kind = *kind.p;
	return put_column(&body, &out->name) && put_column(&body, &out->text) &&
	       session_probe_next_column(&body, &out->oids) && put_column(&body, &out->types);
}

static void
note_text(struct telling *t, const struct buf *b)
{
	for (size_t i = 0; i < b->n; i++)
		t->is_ascii = t->is_ascii && (b->p[i] & 0x80) == 0;
}

/* Reads "23,25"; returns how many numbers there are, SIZE_MAX where it is not such a list. */
static size_t
read_oids(struct slice text, uint32_t oids[TYPES_MAX])
{
	size_t n = 0;
	int64_t oid;

	while (text.n > 0) {
		if (n == TYPES_MAX || !text_to_int(slice_cut(&text, ','), 0, UINT32_MAX, &oid))
			return SIZE_MAX;
		oids[n++] = (uint32_t)oid;
	}
	return n;
}

/* Types that users have created have another number on another node, and the same name. */
static void
put_prepare(struct telling *t, const struct row *row)
{
	struct buf sql = { .cap = ASK_ANSWER_MAX };
	struct slice types = buf_view(&row->types);

	buf_str(&sql, "PREPARE ");
	pgquote_ident(&sql, buf_view(&row->name));
	buf_str(&sql, " (");
	for (size_t i = 0; types.n > 0; i++) {
		buf_str(&sql, i > 0 ? ", " : "");
		buf_slice(&sql, slice_cut(&types, '\1'));
	}
	buf_str(&sql, ") AS ");
	buf_slice(&sql, buf_view(&row->text));
	ask_put_apart(&t->statements, buf_view(&sql));
	t->statements.failed = t->statements.failed || sql.failed;
	buf_fini(&sql);
}

static int
tell_parse(struct telling *t, const struct row *row)
{
	uint32_t oids[TYPES_MAX];
	size_t n = read_oids(row->oids, oids), at;

	if (n == SIZE_MAX)
		return refuse(t, "prepared statement");
	for (size_t i = 0; i < n; i++) {
		if (oids[i] >= FIRST_OID_OF_USERS) {
			put_prepare(t, row);
			return 0;
		}
	}
	at = buf_message(&t->statements, MSG_PARSE);
	buf_slice(&t->statements, buf_view(&row->name));
	buf_u8(&t->statements, 0);
	buf_slice(&t->statements, buf_view(&row->text));
	buf_u8(&t->statements, 0);
	buf_u16(&t->statements, (uint16_t)n);
	for (size_t i = 0; i < n; i++)
		buf_u32(&t->statements, oids[i]);
	buf_message_end(&t->statements, at);
	return 0;
}

static bool
is_name(const struct sqltoken *t, struct slice name)
{
	if (t->kind == SQLTOKEN_NAME)
		return t->exact && t->text.n == name.n && memcmp(t->text.p, name.p, name.n) == 0;
	return t->kind == SQLTOKEN_WORD && t->text.n == name.n &&
	       strncasecmp(t->text.p, name.p, name.n) == 0;
}

/* In a text of several statements, which is what the view shows for each of them, the PREPARE of
 * that name; empty: there is none. */
static struct slice
find_prepare(struct slice text, struct slice name)
{
	struct sqltoken_scan scan = sqltoken_begin(text);
	const char *begin = text.p;
	struct slice found = slice_of(text.p, 0);
	struct sqltoken t;
	bool is_ours = false;

	for (unsigned i = 0; sqltoken_next(&scan, &t); i++) {
		if (sqltoken_is_mark(&t, ';')) {
			if (is_ours)
				found = slice_of(begin, (size_t)(scan.p - begin));
			begin = scan.p;
			is_ours = false;
			i = UINT32_MAX;
		} else if (i == 0 && !sqltoken_is_word(&t, "prepare")) {
			i = 1; /* this word ends no PREPARE's name */
		} else if (i == 1) {
			is_ours = is_name(&t, name);
		}
	}
	if (is_ours)
		found = slice_of(begin, (size_t)(scan.end - begin));
	return found;
}

static int
tell_prepare(struct telling *t, const struct row *row)
{
	struct slice sql = find_prepare(buf_view(&row->text), buf_view(&row->name));

	if (sql.n == 0)
		return refuse(t, pin_name(PIN_PREPARED));
	ask_put_apart(&t->statements, sql);
	return 0;
}

static int
tell_listen(struct telling *t, const struct row *row)
{
	struct buf sql = { 0 };

	buf_str(&sql, "LISTEN ");
	pgquote_ident(&sql, buf_view(&row->name));
	ask_put_apart(&t->statements, buf_view(&sql));
	buf_fini(&sql);
	return 0;
}

static int
tell_reported(struct telling *t, const struct row *row)
{
	struct vars *old = t->r->told;

	t->r->told = vars_with(old, buf_view(&row->name), buf_view(&row->text));
	vars_unref(old);
	return 0;
}

static int
tell_too_long(struct telling *t, const struct row *row)
{
	(void)row;
	return refuse(t, "too many prepared statements");
}

static int
tell(struct telling *t, const struct row *row)
{
	static const struct {
		char kind;
		int (*tell)(struct telling *t, const struct row *row);
	} kinds[] = {
		{ 't', tell_parse },  { 'q', tell_prepare },  { 'x', tell_too_long },
		{ 'c', tell_listen }, { 'r', tell_reported },
	};

	if (row->kind != 'r') {
		note_text(t, &row->name);
		note_text(t, &row->text);
		note_text(t, &row->types);
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].kind == row->kind)
			return kinds[i].tell(t, row);
	}
	return refuse(t, pin_name(PIN_UNSURE));
}

/* The rows behind the first answer. */
static int
tell_all(struct telling *t, struct slice messages)
{
	bool ours = false;
	struct frame f;
	int result = 0;

	while (result == 0 && frame_cut(messages, INT32_MAX, &f) == PARSE_DONE) {
		messages = slice_skip(messages, f.total);
		if (f.type == MSG_COMMAND_COMPLETE)
			ours = true;
		if (f.type == MSG_DATA_ROW && ours) {
			struct row row = { 0 };

			result = read_row(f.body, &row) ? tell(t, &row)
							: refuse(t, pin_name(PIN_UNSURE));
			buf_fini(&row.name);
			buf_fini(&row.text);
			buf_fini(&row.types);
		}
	}
	return result;
}

/* ---- what the new one is told ---- */

static void
put_change(const struct vars *from, const struct vars *to, struct buf *messages)
{
	struct buf sql = { .cap = ASK_ANSWER_MAX };

	vars_put_change(&sql, from, to, VARS_APART);
	if (sql.n > 0)
		ask_put_apart(messages, buf_view(&sql));
	messages->failed = messages->failed || sql.failed;
	buf_fini(&sql);
}

/* Append the settings, and between them the statements, in UTF-8 if client_encoding is another. */
static void
put_all(struct telling *t, const struct vars *from, struct buf *messages)
{
	struct slice name = SLICE_LITERAL("client_encoding"), value;
	struct vars *utf8;
	struct buf sql = { 0 };

	if (t->is_ascii || t->statements.n == 0) {
		put_change(from, t->r->settings, messages);
		buf_slice(messages, buf_view(&t->statements));
		return;
	}
	utf8 = vars_with(t->r->settings, name, SLICE_LITERAL("UTF8"));
	put_change(from, utf8, messages);
	buf_slice(messages, buf_view(&t->statements));
	if (vars_get(t->r->settings, name.p, &value)) {
		buf_str(&sql, "SET client_encoding TO ");
		pgquote_literal_ascii(&sql, value);
	} else {
		buf_str(&sql, "RESET client_encoding");
	}
	ask_put_apart(messages, buf_view(&sql));
	buf_fini(&sql);
	vars_unref(utf8);
}

static int
put_messages(struct telling *t, const struct vars *startup, struct buf *messages, unsigned *syncs)
{
	const struct session *s = t->r->session;
	const struct vars *from = session_is_pooled(s) ? t->r->server->vars : startup;
	struct slice unnamed;

	put_all(t, from, messages);
	messages->failed = messages->failed || t->statements.failed;
	*syncs = messages->n > 0 ? 1 : 0;
	if (*syncs > 0)
		message_put_bare(messages, MSG_SYNC);
	if (traces_unnamed(s->traces, &unnamed) && unnamed.n > 0) {
		/* an error in front of the first Sync would fail the move */
		if (*syncs == 0) {
			message_put_bare(messages, MSG_SYNC);
			*syncs = 1;
		}
		buf_slice(messages, unnamed);
		message_put_bare(messages, MSG_SYNC);
		*syncs += 1;
	}
	return messages->failed ? refuse(t, "too many prepared statements") : 0;
}

static int
take_settings(struct telling *t, const struct ask_answer *a, struct vars *startup)
{
	struct session_question q = question_of(t->r->session, startup);
	unsigned pins;
	struct session_findings found;
	int result;

	result = session_probe_read(a->messages, &q, &found);
	pins = found.pins & ~(unsigned)(PIN_LISTEN | PIN_PREPARED);
	vars_unref(t->r->settings);
	t->r->settings = vars_ref(found.session);
	session_probe_fini(&found);
	if (result != 0 || pins != 0)
		return refuse(t, pin_name(result != 0 ? PIN_UNSURE : pins));
	return 0;
}

int
rehome_read_answer(struct rehome *r, const struct ask_answer *a, struct buf *messages,
		   unsigned *syncs, struct err *e)
{
	struct telling t = { .r = r, .is_ascii = true, .e = e };
	struct vars *startup;
	int result = 0;

	if (a->failed || a->status != 'I')
		return err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE,
			       "the session cannot be moved: its server does not say what it has "
			       "set: %s",
			       a->failed ? a->error.msg : "a transaction is open");
	t.statements.cap = ASK_ANSWER_MAX;
	startup = startup_of(r->session);
	vars_unref(r->told);
	r->told = vars_empty(r->session->worker->vars);
	if (take_settings(&t, a, startup) != 0 || tell_all(&t, a->messages) != 0 ||
	    put_messages(&t, startup, messages, syncs) != 0)
		result = -1;
	buf_fini(&t.statements);
	vars_unref(startup);
	return result;
}
