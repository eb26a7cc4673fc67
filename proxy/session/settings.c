/* SPDX-License-Identifier: PostgreSQL
 *
 * meridian.* settings of a session that lives. SET, RESET, DISCARD ALL and set_config() go on to
 * the node as they are, and change what the session says of its place; SHOW meridian.region and its
 * like become a SELECT of the answer on their way, so that the node keeps order, transactions and
 * the extended protocol right. What is refused becomes a statement that raises the error there.
 *
 * Query, Parse, Bind and FunctionCall are looked at, and only where they are short. One that a read
 * has cut is held until the rest is there, so that how the client's bytes were cut changes nothing;
 * it is put in front of what is read next. What a prepared statement says counts when it is bound:
 * its text is noted, of the last few (proxy/sqlstate/prepared.h). All of that memory exists only
 * where there is something to keep.
 *
 * A setting counts from when it was sent: a ROLLBACK takes it back in the node, but not here.
 */
#include "config.h"

#include "proxy/session/session_int.h"

#include <stdlib.h>

#include "base/hot.h"
#include "base/pgquote.h"
#include "protocol/calleffects.h"
#include "protocol/deallocate.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/setting.h"
#include "proxy/session/route.h"
#include "proxy/sqlstate/prepared.h"

#define MESSAGE_MAX SETTINGS_HELD_MAX /* longer ones are not looked at */
#define TEXTS_MAX   16                /* of prepared statements of one session */
#define NAME_BYTES  (PREPARED_NAME_MAX + 1)

struct settings {
	struct buf held;             /* the beginning of a message */
	struct prepared_notes texts; /* of prepared statements that change a setting */
};

/* One message under inspection. */
struct reading {
	struct session *s;
	const struct message_bind *bind; /* or NULL */
	bool applies;                    /* what it sets counts now */
	bool is_kept;                    /* it is a Parse: what it says may be said again */
	bool sets;                       /* it has set something */
	struct buf *text;                /* what the text becomes, as far as it changes … */
	const char *from;                /* … and from where on it is not in there yet */
};

/* ---- memory ---- */

static struct settings *
needed(struct session *s)
{
	if (s->settings == NULL)
		s->settings = xcalloc(1, sizeof(*s->settings));
	return s->settings;
}

static HOT void
give_back(struct session *s)
{
	if (s->settings == NULL || s->settings->held.n > 0 || s->settings->texts.n > 0)
		return;
	free(s->settings);
	s->settings = NULL;
}

static APART void
hold(struct session *s, const char *p, size_t n)
{
	buf_put(&needed(s)->held, p, n);
}

bool
settings_hold(const struct session *s)
{
	return s->settings != NULL && s->settings->held.n > 0;
}

size_t
settings_put_held(const struct session *s, char *to)
{
	const struct buf *held = &s->settings->held;

	if (held->n > 0)
		memcpy(to, held->p, held->n);
	return held->n;
}

void
settings_forget_held(struct session *s)
{
	buf_clear(&s->settings->held);
}

HOT void
settings_free(struct session *s)
{
	if (s->settings == NULL)
		return;
	prepared_notes_fini(&s->settings->texts);
	buf_fini(&s->settings->held);
	free(s->settings);
	s->settings = NULL;
}

static void
note_text(struct session *s, struct slice name, struct slice sql)
{
	struct prepared_notes *texts = &needed(s)->texts;

	if (texts->n == 0)
		prepared_notes_init(texts, session_prepared(s), PREPARED_TEXTS, TEXTS_MAX);
	prepared_note_text(texts, name, sql);
}

/* ---- SET, RESET and set_config() ---- */

/* The i-th parameter, from 1, and its format. False: it has none of that number. */
static bool
bound(const struct message_bind *bind, unsigned i, struct slice *value, int16_t *format)
{
	struct slice values = bind->values;

	for (unsigned k = 1; message_next_value(&values, value); k++) {
		if (k != i)
			continue;
		*format = message_format(bind->formats, bind->formats_n, (uint16_t)(i - 1));
		return true;
	}
	return false;
}

/* A text in binary is the same bytes. */
static bool
word(const struct reading *r, const struct setting_word *w, struct slice *value)
{
	int16_t format;

	*value = setting_text(w);
	return w->parameter == 0 ||
	       (r->bind != NULL && bound(r->bind, w->parameter, value, &format));
}

static bool
is_local(const struct reading *r, uint16_t parameter)
{
	struct slice value;
	int16_t format;

	if (parameter == 0)
		return false;
	if (r->bind == NULL || !bound(r->bind, parameter, &value, &format))
		return true;
	if (format == 1)
		return value.n != 1 || value.p[0] != 0;
	return setting_is_true(value);
}

static void
set(struct session *s, enum claim_kind kind, struct slice value)
{
	struct stats *stats = &s->worker->stats;

	if (claim_is_sound(kind, value)) {
		stat_add(&stats->settings, 1);
		locate_set(s, kind, value);
		return;
	}
	stat_add(&stats->settings_wrong, 1);
	log_limited(LOG_LEVEL_INFO, session_subject(s),
		    "the value that meridian.%s was set to is none: it does not count",
		    claim_kind_name(kind));
}

/* Take back what was set of this kind, or of all. */
static void
reset(struct session *s, int kind)
{
	if (s->claims.nlater == 0)
		return;
	if (kind < 0)
		claims_reset_all(&s->claims);
	else
		claims_reset(&s->claims, (enum claim_kind)kind);
	session_locality_changed(s);
}

/* To nothing: set_config() with NULL resets. Not `now`: it is only looked at. -1: *e says why it is
 * refused. */
static int
change(struct session *s, struct slice name, struct slice value, bool now, struct err *e)
{
	struct slice rest;
	int kind;

	if (!setting_is_ours(name, &rest))
		return 0;
	kind = locate_setting(rest);
	if (kind < 0)
		return session_ops.set(s, rest, value, now, e);
	if (now && value.p == NULL)
		reset(s, kind);
	else if (now)
		set(s, (enum claim_kind)kind, value);
	return 0;
}

static int
apply(struct reading *r, const struct setting *st, struct err *e)
{
	struct slice name, value;
	bool has_value;

	if (st->verb == SETTING_RESET_ALL) {
		if (r->applies) {
			reset(r->s, -1);
			session_ops.reset_all(r->s);
		}
		return 0;
	}
	if (!word(r, &st->name, &name) || is_local(r, st->is_local))
		return 0;
	has_value = word(r, &st->value, &value);
	if (st->verb == SETTING_RESET)
		value = slice_of(NULL, 0);
	if (st->verb != SETTING_RESET && !has_value)
		return 0;
	return change(r->s, name, value, r->applies, e);
}

/* ---- what is refused ---- */

void
settings_put_raise(struct buf *sql, const struct err *e)
{
	struct buf body = { .cap = sizeof(*e) * 4 };

	buf_str(&body, "BEGIN RAISE EXCEPTION USING ERRCODE = ");
	pgquote_literal(&body, slice_str(e->sqlstate));
	buf_str(&body, ", MESSAGE = ");
	pgquote_literal(&body, slice_str(e->msg));
	if (e->detail[0] != '\0') {
		buf_str(&body, ", DETAIL = ");
		pgquote_literal(&body, slice_str(e->detail));
	}
	if (e->hint[0] != '\0') {
		buf_str(&body, ", HINT = ");
		pgquote_literal(&body, slice_str(e->hint));
	}
	buf_str(&body, "; END");
	buf_str(sql, "DO ");
	pgquote_literal(sql, buf_view(&body));
	buf_fini(&body);
}

/* In place of the statement the server gets one that raises the error, in its place among its
 * answers. Where a Bind has said it, its text is there already: it does not count. */
static void
refuse(struct reading *r, const struct setting *st, const struct err *e)
{
	stat_add(&r->s->worker->stats.settings_wrong, 1);
	if (r->text == NULL) {
		log_limited(LOG_LEVEL_INFO, session_subject(r->s), "a setting does not count: %s",
			    e->msg);
		return;
	}
	buf_slice(r->text, slice_of(r->from, (size_t)(st->statement.p - r->from)));
	settings_put_raise(r->text, e);
	r->from = st->statement.p + st->statement.n;
}

/* ---- SHOW ---- */

/* Between two transactions of a pool there is no server: where the last one was. */
static void
show_region(struct session *s, struct buf *b)
{
	buf_str(b, session_place(s)->region);
}

static void
show_city(struct session *s, struct buf *b)
{
	buf_slice(b, session_name(s, NAME_CITY));
}

static void
show_country(struct session *s, struct buf *b)
{
	buf_str(b, s->country);
}

static const struct {
	const char *name;
	void (*show)(struct session *s, struct buf *b);
} shown[] = {
	{ "region", show_region },
	{ "city", show_city },
	{ "country", show_country },
	{ "route", locate_put_route },
};

static void
answer(struct reading *r, const struct setting *st)
{
	struct buf text = { .cap = 32768 }, value = { .cap = 65536 };
	struct slice name = { 0 };
	size_t i = 0, n = sizeof(shown) / sizeof(shown[0]);

	(void)setting_is_ours(setting_text(&st->name), &name);
	while (i < n && !slice_is(name, shown[i].name))
		i++;
	if (i < n) {
		shown[i].show(r->s, &text);
		pgquote_literal(&value, buf_view(&text));
		buf_fini(&text);
	} else if (!session_ops.show(r->s, name, r->is_kept, &value)) {
		return;
	}
	buf_slice(r->text, slice_of(r->from, (size_t)(st->statement.p - r->from)));
	buf_str(r->text, "SELECT ");
	buf_slice(r->text, buf_view(&value));
	buf_printf(r->text, "::text AS \"meridian.%.*s\"", (int)name.n, name.p);
	r->from = st->statement.p + st->statement.n;
	buf_fini(&value);
}

/* ---- messages ---- */

/* A message as far as it matters here. */
struct seen {
	char type;
	struct slice body;
	struct slice name; /* of the prepared statement; "" has none */
	struct slice sql;  /* its text */
	struct message_bind bind;
};

/* Whether messages of this type may replace a prepared statement. */
static bool
may_replace(char type)
{
	return type == MSG_QUERY || type == MSG_PARSE;
}

/* Whether they may say something where nothing is kept. */
static bool
may_speak(char type)
{
	return may_replace(type) || type == MSG_FUNCTION_CALL;
}

/* Whether messages of this type may matter now. */
static bool
may_matter(const struct session *s, char type)
{
	if (may_speak(type))
		return true;
	return s->settings != NULL && (type == MSG_BIND || type == MSG_CLOSE);
}

/* False: it does not matter. */
static bool
see_text(struct seen *m)
{
	struct message_parse parse;

	m->name = slice_of("", 0);
	if (m->type == MSG_QUERY)
		return message_parse_query(m->body, &m->sql) == PARSE_DONE;
	if (message_parse_parse(m->body, &parse) != PARSE_DONE)
		return false;
	m->name = parse.name;
	m->sql = parse.sql;
	return true;
}

static bool
see_bind(const struct session *s, struct seen *m)
{
	return s->settings != NULL && message_parse_bind(m->body, &m->bind) == PARSE_DONE &&
	       prepared_text(&s->settings->texts, m->bind.statement, &m->sql);
}

/* A message of which there is enough: what it replaces is forgotten at once, for it may be said
 * anew. */
static APART void
hear(struct session *s, char type, struct slice body)
{
	if (s->settings == NULL)
		return;
	prepared_heard(&s->settings->texts, type, body);
	give_back(s);
}

/* What a Parse without a name has in it is run at once. */
static bool
runs(const struct seen *m)
{
	return m->type != MSG_PARSE || m->name.n == 0;
}

static bool
takes_names(const struct session *s, const struct seen *m)
{
	struct deallocate d;

	return s->settings != NULL && runs(m) && deallocate_read(m->sql, &d) != DEALLOCATE_NOTHING;
}

/* Look at a whole message. */
static bool
see(struct session *s, const char *at, size_t total, struct seen *m)
{
	struct setting_scan scan;
	struct setting st;

	m->type = at[0];
	m->body = slice_of(at + FRAME_HEAD_BYTES, total - FRAME_HEAD_BYTES);
	if (m->type == MSG_CLOSE) {
		hear(s, m->type, m->body);
		return false;
	}
	if (m->type == MSG_BIND ? !see_bind(s, m) : !see_text(m))
		return false;
	hear(s, m->type, m->body);
	setting_begin(&scan, m->sql);
	return setting_next(&scan, &st) || takes_names(s, m);
}

/* Read the settings of its text. What goes on in its place, where that is something else, is put
 * into `instead`. */
static void
read_message(struct session *s, const struct seen *m, struct buf *instead)
{
	struct buf text = { .cap = 64 * 1024 };
	bool refused = exchange_refuses(&s->exchange);
	struct reading r = { .s = s,
			     .bind = m->type == MSG_BIND ? &m->bind : NULL,
			     .applies = m->type != MSG_PARSE && !refused,
			     .from = m->sql.p,
			     .text = m->type != MSG_BIND ? &text : NULL };
	struct setting_scan scan;
	struct setting st;
	struct err e;
	size_t at;

	r.is_kept = m->type == MSG_PARSE;
	setting_begin(&scan, m->sql);
	while (setting_next(&scan, &st)) {
		r.sets = r.sets || st.verb != SETTING_SHOW;
		if (st.verb == SETTING_SHOW && r.text != NULL) {
			answer(&r, &st);
		} else if (st.verb != SETTING_SHOW && (r.applies || r.is_kept) &&
			   apply(&r, &st, &e) != 0) {
			refuse(&r, &st, &e);
			break;
		}
	}
	if (s->settings != NULL && runs(m) && !refused) {
		prepared_ran(&s->settings->texts, m->sql); /* a Bind's text may be gone then */
		give_back(s);
	}
	if (m->type == MSG_PARSE && r.sets)
		note_text(s, m->name, m->sql);
	if (text.n > 0) {
		at = buf_message(instead, m->type);
		buf_slice(instead, slice_of(m->body.p, (size_t)(m->sql.p - m->body.p)));
		buf_slice(instead, buf_view(&text));
		/* the rest of the text, its NUL, and the types of a Parse */
		buf_slice(instead, slice_skip(m->body, (size_t)(r.from - m->body.p)));
		buf_message_end(instead, at);
		instead->failed = instead->failed || text.failed;
	}
	buf_fini(&text);
}

/* ---- the client's bytes ---- */

/* What has been read, and how far it has gone on. */
struct passage {
	const char *from, *at, *end;
};

/* Send on what stands before `at`. False: the session is over. */
static bool
pass(struct session *s, struct passage *p)
{
	const char *from = p->from;

	p->from = p->at;
	return from == p->at || relay_to_server(s, from, (size_t)(p->at - from));
}

/* One whole message at p->at. False: the session is over. */
static APART bool
inspect(struct session *s, struct passage *p, size_t total)
{
	struct buf instead = { .cap = 128 * 1024 };
	struct seen m;
	bool open = true;

	if (p->at[0] == MSG_FUNCTION_CALL) {
		/* A FunctionCall. False: the session is over. */
		struct slice body = slice_of(p->at + FRAME_HEAD_BYTES, total - FRAME_HEAD_BYTES),
			     rest;
		struct call_setting c;
		struct err e;

		if (calleffects_setting(body, &c) && !c.is_local &&
		    setting_is_ours(c.name, &rest)) {
			/* what came before has its effect first */
			if (!pass(s, p))
				return false;
			if (!exchange_refuses(&s->exchange) &&
			    change(s, c.name, c.value, true, &e) != 0)
				log_limited(LOG_LEVEL_INFO, session_subject(s),
					    "a setting does not count: %s", e.msg);
		}
		p->at += total;
		return true;
	}
	if (!see(s, p->at, total, &m)) {
		p->at += total;
		return true;
	}
	/* what came before has its effect first */
	if (!pass(s, p))
		return false;
	read_message(s, &m, &instead);
	p->at += total;
	if (instead.n > 0 && !instead.failed) {
		p->from = p->at;
		open = relay_to_server(s, instead.p, instead.n);
	}
	buf_fini(&instead);
	return open;
}

/* Nothing is kept, and so little is to be known of this message, `left` bytes of which are there,
 * that it passes as it is. */
static HOT_INLINE bool
passes(const struct session *s, const char *at, size_t total, size_t left)
{
	if (s->settings != NULL)
		return false;
	if (!may_speak(at[0]) || total > MESSAGE_MAX)
		return true;
	return at[0] == MSG_QUERY && total <= left && total > FRAME_HEAD_BYTES &&
	       at[total - 1] == '\0' &&
	       setting_is_silent(slice_of(at + FRAME_HEAD_BYTES, total - FRAME_HEAD_BYTES - 1));
}

/* Go through the messages that are whole. False: the session is over. */
static HOT bool
inspect_all(struct session *s, struct passage *p)
{
	while (p->end - p->at >= FRAME_HEAD_BYTES) {
		size_t total = frame_total(p->at), left = (size_t)(p->end - p->at);

		if (UNLIKELY(total < FRAME_HEAD_BYTES)) {
			p->at = p->end; /* not the protocol: the exchange says so */
		} else if (passes(s, p->at, total, left)) {
			p->at += total < left ? total : left;
		} else if (total <= MESSAGE_MAX && may_matter(s, p->at[0])) {
			if (total > left)
				return true;
			if (!inspect(s, p, total))
				return false;
		} else {
			if (s->settings != NULL && may_replace(p->at[0])) {
				if (left < FRAME_HEAD_BYTES + NAME_BYTES)
					return true;
				hear(s, p->at[0], slice_of(p->at + FRAME_HEAD_BYTES, NAME_BYTES));
			}
			p->at += total < left ? total : left;
		}
	}
	return true;
}

HOT void
settings_take(struct session *s, const char *bytes, size_t n)
{
	struct passage p = { bytes, bytes, bytes + n };
	size_t left;

	if (s->settings != NULL) {
		buf_fini(&s->settings->held); /* it is in front of the bytes */
		give_back(s);
	}
	if (s->exchange.replication != REPLICATION_NONE || s->exchange.copy == EXCHANGE_COPY_IN) {
		(void)relay_to_server(s, bytes, n);
		return;
	}
	if (!exchange_at_client_boundary(&s->exchange))
		p.at += exchange_client_rest(&s->exchange, bytes, n);
	if (!inspect_all(s, &p))
		return;
	left = (size_t)(p.end - p.at);
	if (left > 0 && !may_matter(s, p.at[0])) {
		p.at = p.end;
		left = 0;
	}
	if (left > 0)
		hold(s, p.at, left);
	(void)pass(s, &p);
}
