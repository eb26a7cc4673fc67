/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/session_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pgquote.h"
#include "base/text.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "proxy/sqlstate/vars.h"

/* What can be asked for; a set. */
enum part {
	PART_NAMED = 1 << 0, /* settings, by their names */
	PART_ALL = 1 << 1,   /* every setting of the session */
	PART_LISTEN = 1 << 2,
	PART_ADVISORY = 1 << 3,
	PART_TEMP = 1 << 4,
	PART_HOLD = 1 << 5,
	PART_PREPARED = 1 << 6,
	PART_POSITION = 1 << 7, /* in the WAL */
};

#define PART_EVERYTHING                                                                \
	(PART_NAMED | PART_ALL | PART_LISTEN | PART_ADVISORY | PART_TEMP | PART_HOLD | \
	 PART_PREPARED)

/* Nothing that is asked takes these away. */
#define PIN_FOR_GOOD (PIN_LOAD | PIN_SESSION | PIN_SETTING)

/* What pins, and how the server is asked for it: a row says that it is so. */
static const struct {
	unsigned pin, effect, part;
	const char *name, *sql;
} pins[] = {
	{ PIN_LISTEN, EFFECT_LISTEN, PART_LISTEN, "listen",
	  "FROM pg_catalog.pg_listening_channels()" },
	{ PIN_ADVISORY_LOCK, EFFECT_ADVISORY, PART_ADVISORY, "advisory lock",
	  "FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND "
	  "pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()" },
	/* by what depends on the schema (2615: pg_namespace): pg_class has no index for it */
	{ PIN_TEMP, EFFECT_TEMP, PART_TEMP, "temp table",
	  "FROM pg_catalog.pg_depend WHERE refclassid OPERATOR(pg_catalog.=) 2615 AND "
	  "refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()" },
	{ PIN_HOLD, EFFECT_HOLD, PART_HOLD, "with hold cursor",
	  "FROM pg_catalog.pg_cursors WHERE is_holdable" },
	{ PIN_PREPARED, EFFECT_PREPARE, PART_PREPARED, "prepared in SQL",
	  "FROM pg_catalog.pg_prepared_statements WHERE from_sql" },
	{ PIN_LOAD, EFFECT_LOAD, 0, "load", NULL },
	{ PIN_SESSION, EFFECT_SESSION, 0, "session function", NULL },
	{ PIN_SETTING, EFFECT_UNNAMED, 0, "setting", NULL },
	{ PIN_UNSURE, 0, 0, "unsure", NULL },
};

#define PINS (sizeof(pins) / sizeof(pins[0]))

const char *
pin_name(unsigned set)
{
	for (size_t i = 0; i < PINS; i++) {
		if (set & pins[i].pin)
			return pins[i].name;
	}
	return "";
}

/* ---- the question ---- */

static unsigned
suspected(const struct session_question *q)
{
	unsigned set = 0;

	if (q->pins & PIN_FOR_GOOD)
		return 0;
	if ((q->effects & (EFFECT_CODE | EFFECT_UNKNOWN)) || (q->pins & PIN_UNSURE))
		return PART_EVERYTHING;
	if (q->effects & EFFECT_SETTINGS)
		set |= PART_NAMED;
	if (q->effects & (EFFECT_SETTINGS_ALL | EFFECT_UNNAMED))
		set |= PART_NAMED | PART_ALL;
	for (size_t i = 0; i < PINS; i++) {
		if ((q->effects & pins[i].effect) ||
		    ((q->effects & EFFECT_CLEAR) && (q->pins & pins[i].pin)))
			set |= pins[i].part;
	}
	/* a search_path with pg_temp pins as a table there does */
	if ((set & PART_NAMED) && (q->pins & PIN_TEMP))
		set |= PART_TEMP;
	return set;
}

static unsigned
parts(const struct session_question *q)
{
	return suspected(q) | (q->position ? PART_POSITION : 0);
}

bool
session_probe_is_wanted(const struct session_question *q)
{
	return parts(q) != 0;
}

/* Longer ones are not carried from server to server: they pin their session. */
#define VALUE_MAX "16384"

/* Two columns of a setting's value, `v`: ASCII in any client_encoding, UTF-8 with backslashes; and
 * in front of it whether it is too long. */
static void
put_columns(struct buf *sql, const char *kind, const char *name)
{
	buf_printf(sql,
		   "CASE WHEN pg_catalog.octet_length(v) OPERATOR(pg_catalog.>) " VALUE_MAX
		   " THEN 'l' ELSE '%s' END, %s, pg_catalog.encode(pg_catalog.convert_to("
		   "pg_catalog.left(v, " VALUE_MAX "), 'UTF8'), 'escape')",
		   kind, name);
}

struct text {
	struct buf *sql;
	size_t selects;
};

static void
put_select(struct text *t)
{
	if (t->selects++ > 0)
		buf_str(t->sql, " UNION ALL ");
	buf_str(t->sql, "SELECT ");
}

static void
put_all(struct text *t)
{
	put_select(t);
	put_columns(t->sql, "s", "name");
	buf_str(t->sql, " FROM (SELECT name, pg_catalog.current_setting(name) AS v FROM "
			"pg_catalog.pg_settings WHERE source OPERATOR(pg_catalog.=) 'session') "
			"AS s");
}

/* One that a text has named, too, is there twice: the answer to both is the same. */
static void
put_dotted(struct buf *names, struct vars *session, struct vars *server)
{
	struct vars *both = server != NULL ? vars_overlay(session, server) : vars_ref(session);
	struct vars_item item;

	for (size_t at = 0; vars_next(both, &at, &item);) {
		if (memchr(item.name.p, '.', item.name.n) != NULL) {
			buf_slice(names, item.name);
			buf_u8(names, 0);
		}
	}
	vars_unref(both);
}

/* Those of a session, those of a server, and those that texts have named. */
#define GATHERED_MAX (2 * VARS_SET_BYTES + SQLEFFECTS_NAMES_MAX)

/* Those that are asked for by name: pg_settings does not show the ones with a dot that no library
 * knows, nor who the session is. */
static void
gather_names(const struct session_question *q, unsigned set, struct buf *names)
{
	struct slice rest = q->names;

	while (rest.n > 0) {
		struct slice name = slice_cut(&rest, '\0');

		/* of the others, all says whether they are set at all */
		if (!(set & PART_ALL) || memchr(name.p, '.', name.n) != NULL)
			sqleffects_put_name(names, name);
	}
	if (!(set & PART_ALL))
		return;
	sqleffects_put_name(names, SLICE_LITERAL("role"));
	sqleffects_put_name(names, SLICE_LITERAL("session_authorization"));
	put_dotted(names, q->session, q->server);
}

static void
put_named(struct text *t, const struct session_question *q, unsigned set)
{
	struct buf names = { .cap = GATHERED_MAX };
	struct slice rest;
	size_t n = 0;

	gather_names(q, set, &names);
	if (names.n > 0) {
		put_select(t);
		put_columns(t->sql, "n", "n");
		buf_str(t->sql, " FROM (SELECT n, pg_catalog.current_setting(n, true) AS v FROM "
				"(VALUES ");
		for (rest = buf_view(&names); rest.n > 0; n++) {
			buf_str(t->sql, n > 0 ? ", (" : "(");
			pgquote_literal_ascii(t->sql, slice_cut(&rest, '\0'));
			buf_u8(t->sql, ')');
		}
		buf_str(t->sql, ") AS named(n)) AS s");
	}
	buf_fini(&names);
}

/* A primary's is where the next record goes: all that is committed lies in front of it, whatever
 * synchronous_commit says. With it come its timeline, which stands in the name of the file, the
 * offset there and the size of a page (read_position()). */
static const char position_sql[] =
    "'w', (l OPERATOR(pg_catalog.-) '0/0'::pg_catalog.pg_lsn)::pg_catalog.text, CASE WHEN r THEN "
    "'' ELSE (SELECT pg_catalog.concat_ws(':', pg_catalog.left(file_name, 8), file_offset, "
    "pg_catalog.current_setting('wal_block_size')) FROM pg_catalog.pg_walfile_name_offset(l)) END "
    "FROM " WAL_POSITION_FROM;

void
session_probe_put_query(struct buf *sql, const struct session_question *q)
{
	struct text t = { .sql = sql };
	unsigned set = parts(q);

	if (set & PART_POSITION) {
		put_select(&t);
		buf_str(sql, position_sql);
	}

	if (set & PART_ALL)
		put_all(&t);
	if (set & PART_NAMED)
		put_named(&t, q, set);
	for (size_t i = 0; i < PINS; i++) {
		if (set & pins[i].part) {
			put_select(&t);
			buf_printf(sql, "'p', '%u', '' WHERE EXISTS (SELECT %s)", pins[i].pin,
				   pins[i].sql);
		}
	}
}

/* ---- the answer ---- */

struct answer {
	const struct session_question *q;
	struct vars_item *settings; /* those read; value.p == NULL: there is none of that name */
	size_t n, cap;
	struct buf text;  /* which they point into: it has room for all, and stays where it is */
	struct buf lower; /* a name */
	unsigned pins;
	bool is_all; /* there are no others */
	struct wal_position position;
};

/* One character that stands for itself; -1: none. */
static int
unescape(struct slice *s)
{
	size_t n = s->n > 1 && s->p[1] == '\\' ? 2 : 4;
	const char *p = s->p;
	int c = '\\';

	if (s->n < n)
		return -1;
	for (size_t i = 1; n == 4 && i < 4; i++) {
		if (p[i] < '0' || p[i] > '7')
			return -1;
	}
	if (n == 4)
		c = ((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0')) & 0xff;
	*s = slice_skip(*s, n);
	return c;
}

bool
session_probe_put_unescaped(struct buf *b, struct slice s)
{
	/* never more than there is */
	char *begin = buf_reserve(b, s.n), *to = begin;

	while (s.n > 0 && to != NULL) {
		int c = (unsigned char)*s.p;

		if (c == '\\')
			c = unescape(&s);
		else
			s = slice_skip(s, 1);
		if (c < 0)
			return false;
		*to++ = (char)c;
	}
	b->n += to != NULL ? (size_t)(to - begin) : 0;
	return true;
}

/* A walk beside another in the order of names. */
struct beside {
	const struct vars *v;
	size_t at;
	struct vars_item item;
	bool more;
};

static void
begin_beside(struct beside *b, const struct vars *v)
{
	b->v = v;
	b->at = 0;
	b->more = vars_next(v, &b->at, &b->item);
}

static bool
has(struct beside *b, struct slice name)
{
	while (b->more && vars_compare(b->item.name, name) < 0)
		b->more = vars_next(b->v, &b->at, &b->item);
	return b->more && vars_compare(b->item.name, name) == 0;
}

/* Whether the value of a name says that it is not set. */
static bool
is_unset(const struct answer *a, const struct vars_item *item, struct beside *startup,
	 struct beside *session)
{
	struct slice name = item->name, value = item->value;

	if (slice_is(name, "role"))
		return slice_is(value, "none");
	if (slice_is(name, "session_authorization"))
		return value.n == a->q->user.n && memcmp(value.p, a->q->user.p, value.n) == 0;
	/* a name with a dot that was set and reset is empty from then on */
	return value.n == 0 && a->is_all && memchr(name.p, '.', name.n) != NULL &&
	       (has(startup, name) ||
		(!has(session, name) && !sqleffects_is_named(a->q->names, name)));
}

static void
sort_settings(struct answer *a)
{
	struct beside startup, session;

	begin_beside(&startup, a->q->startup);
	begin_beside(&session, a->q->session);
	a->n = vars_sort(a->settings, a->n);
	for (size_t i = 0; i < a->n; i++) {
		struct vars_item *item = &a->settings[i];

		if (item->value.p != NULL && is_unset(a, item, &startup, &session))
			item->value = slice_of(NULL, 0);
	}
}

static void
add_setting(struct answer *a, struct vars_item item)
{
	if (a->n == a->cap) {
		a->cap = a->cap > 0 ? 2 * a->cap : 16;
		a->settings = xreallocarray(a->settings, a->cap, sizeof(*a->settings));
	}
	a->settings[a->n++] = item;
}

bool
session_probe_next_column(struct slice *row, struct slice *out)
{
	uint32_t n;

	if (row->n < 4)
		return false;
	n = get_u32(row->p);
	*row = slice_skip(*row, 4);
	*out = slice_of(NULL, 0);
	if (n == UINT32_MAX)
		return true;
	if (n > row->n)
		return false;
	*out = slice_of(row->p, n);
	*row = slice_skip(*row, n);
	return true;
}

/* Of a row: name, and value where there is one. */
static bool
read_setting(struct answer *a, struct slice name, struct slice value)
{
	size_t at = a->text.n;
	struct vars_item item;

	buf_clear(&a->lower);
	sqleffects_put_name(&a->lower, name);
	/* of no interest: one that ends with its transaction */
	if (a->lower.n == 0)
		return true;
	buf_slice(&a->text, slice_of(a->lower.p, name.n));
	item.name = slice_of(a->text.p + at, name.n);
	at = a->text.n;
	if (!session_probe_put_unescaped(&a->text, value))
		return false;
	item.value = slice_of(value.p != NULL ? a->text.p + at : NULL, a->text.n - at);
	add_setting(a, item);
	return item.value.p == NULL || memchr(item.value.p, '\0', item.value.n) == NULL;
}

static bool
read_position(struct answer *a, struct slice lsn, struct slice place)
{
	char text[32] = "";
	unsigned timeline = 0, offset = 0, page = 0;
	int64_t n;

	if (!text_to_int(lsn, 0, INT64_MAX, &n) || place.n >= sizeof(text))
		return false;
	memcpy(text, place.n > 0 ? place.p : "", place.n);
	if (place.n > 0 && sscanf(text, "%8x:%u:%u", &timeline, &offset, &page) != 3)
		return false;
	if (offset == WAL_FILE_HEADER)
		n -= WAL_FILE_HEADER;
	else if (page > 0 && offset % page == WAL_PAGE_HEADER)
		n -= WAL_PAGE_HEADER;
	a->position = (struct wal_position){ (uint64_t)n, timeline };
	return true;
}

/* 's' and 'n', a setting: name, value; 'l', one that is too long; 'p', a pin: its number; 'w', the
 * position in the WAL. */
static bool
read_row(struct answer *a, struct slice row)
{
	struct slice kind, name, value;
	int64_t pin;
	bool good;

	if (row.n < 2 || get_u16(row.p) != 3)
		return false;
	row = slice_skip(row, 2);
	if (!session_probe_next_column(&row, &kind) || !session_probe_next_column(&row, &name) ||
	    !session_probe_next_column(&row, &value) || name.p == NULL)
		return false;
	if (slice_is(kind, "p")) {
		good = text_to_int(name, 0, PIN_UNSURE, &pin);
		a->pins |= good ? (unsigned)pin : 0;
		return good;
	}
	if (slice_is(kind, "w"))
		return read_position(a, name, value);
	if (slice_is(kind, "l")) {
		a->pins |= PIN_SETTING;
		return true;
	}
	return read_setting(a, name, value);
}

static bool
read_rows(struct answer *a, struct slice messages)
{
	bool ours = true; /* rows behind the end of the query are of another one */
	struct frame f;

	while (frame_cut(messages, BUF_CAP_DEFAULT, &f) == PARSE_DONE) {
		if (f.type == MSG_ERROR || (f.type == MSG_DATA_ROW && ours && !read_row(a, f.body)))
			return false;
		ours = ours && f.type != MSG_COMMAND_COMPLETE;
		if (f.type == MSG_READY)
			return true;
		messages = slice_skip(messages, f.total);
	}
	return false;
}

/* ---- what follows ---- */

static unsigned
pins_of(unsigned effects)
{
	unsigned set = 0;

	for (size_t i = 0; i < PINS; i++)
		set |= effects & pins[i].effect ? pins[i].pin : 0;
	return set;
}

void
session_probe_infer(const struct session_question *q, struct session_findings *out)
{
	bool asked = suspected(q) != 0;

	out->position = (struct wal_position){ 0 };
	out->pins = q->pins | (pins_of(q->effects) & PIN_FOR_GOOD) | (asked ? PIN_UNSURE : 0);
	out->session = vars_ref(q->session);
	out->server =
	    asked || out->pins != q->pins || q->server == NULL ? NULL : vars_ref(q->server);
}

/* A path that leads into pg_temp makes tables there, and their texts do not say so. */
static bool
leads_to_temp(const struct vars *v)
{
	struct slice path;

	return vars_get(v, "search_path", &path) &&
	       memmem(path.p, path.n, "pg_temp", strlen("pg_temp")) != NULL;
}

static unsigned
pins_now(const struct answer *a, const struct vars *session)
{
	unsigned asked = parts(a->q), set = a->q->pins & ~(unsigned)PIN_UNSURE;

	for (size_t i = 0; i < PINS; i++)
		set &= asked & pins[i].part ? ~pins[i].pin : ~0U;
	set |= a->pins | (pins_of(a->q->effects) & PIN_FOR_GOOD);
	return set | (leads_to_temp(session) ? PIN_TEMP : 0);
}

/* What there is no room for stays where it is, and the session with it. */
static void
conclude(struct answer *a, struct session_findings *out)
{
	const struct session_question *q = a->q;
	struct vars *none = vars_none(q->session);
	struct vars *session = a->is_all ? none : q->session;
	struct vars *server = a->is_all || q->server == NULL ? session : q->server;
	bool is_known = (q->effects & (EFFECT_UNKNOWN | EFFECT_UNNAMED)) == 0;
	bool alike = server == session;
	size_t n;

	sort_settings(a);
	n = a->n;
	session = vars_change(session, a->settings, &n, true);
	if (n < a->n)
		a->pins |= PIN_SETTING;
	out->server = NULL;
	if (is_known)
		out->server =
		    alike ? vars_ref(session) : vars_change(server, a->settings, &n, false);
	out->session = a->is_all ? vars_overlay(q->startup, session) : vars_ref(session);
	out->pins = pins_now(a, out->session);
	out->position = a->position;
	vars_unref(session);
	vars_unref(none);
}

int
session_probe_read(struct slice messages, const struct session_question *q,
		   struct session_findings *out)
{
	struct answer a = { .q = q, .is_all = (parts(q) & PART_ALL) != 0 };
	bool good;

	/* names and values are no longer there than here */
	a.text.cap = messages.n + 1;
	buf_reserve(&a.text, messages.n + 1);
	good = read_rows(&a, messages);
	if (good)
		conclude(&a, out);
	else
		session_probe_infer(q, out);
	free(a.settings);
	buf_fini(&a.lower);
	buf_fini(&a.text);
	return good ? 0 : -1;
}

void
session_probe_fini(struct session_findings *t)
{
	vars_unref(t->session);
	vars_unref(t->server);
	*t = (struct session_findings){ 0 };
}
