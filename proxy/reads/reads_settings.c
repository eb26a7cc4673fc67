/* SPDX-License-Identifier: PostgreSQL
 *
 * The meridian.* settings of reads nearby, in the startup packet and in the session's queries
 * alike. They begin as its database has them; RESET brings back what the startup packet said. A
 * session that cannot read nearby may set nothing but meridian.reads = home, and SHOW
 * meridian.token: what it writes is to be read elsewhere.
 */
#include "config.h"

#include "proxy/reads/reads_int.h"

#include <inttypes.h>

#include "base/pgquote.h"
#include "base/words.h"
#include "protocol/setting.h"
#include "protocol/sqlstate.h"
#include "proxy/config/config.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/world.h"
#include "proxy/session/login_state.h"
#include "proxy/session/session_int.h"

#define STARTUP_SETTINGS_MAX 32
#define VALUE_SAID_MAX       64 /* bytes of a wrong value that its error repeats */

static const char *const switch_words[] = { "off", "on", NULL };

static const struct {
	const char *name;
	const char *const *words;
} rows[SET_COUNT] = {
	[SET_READS] = { "reads", reads_mode_words },
	[SET_CONSISTENCY] = { "consistency", consistency_mode_words },
	[SET_LOST_WAL] = { "lost_wal", lost_wal_mode_words },
	[SET_REPORT] = { "report_token", switch_words },
};

static const char token_name[] = "token";

const char *
reads_setting_name(size_t i)
{
	return i < SET_COUNT ? rows[i].name : i == SET_COUNT ? token_name : NULL;
}

/* ---- what the session is ---- */

static const struct world *
world_of(const struct session *s)
{
	return s->login != NULL ? s->login->world : worker_world(s->worker);
}

static const struct conf_database *
database_of(const struct session *s)
{
	if (s->login != NULL)
		return s->login->database;
	return config_database(world_of(s)->config, session_name(s, NAME_DATABASE));
}

static void
put_configured(const struct conf_database *db, int *values)
{
	values[SET_READS] = (int)db->reads;
	values[SET_CONSISTENCY] = (int)db->consistency;
	values[SET_BOUND] = db->consistency_bound_ms;
	values[SET_LOST_WAL] = (int)db->lost_wal;
	values[SET_REPORT] = 0;
}

/* What it takes to read nearby, and to keep what a session has seen. */
static int
check_possible(const struct session *s, const char *name, struct err *e)
{
	enum pool_mode pool = s->login != NULL ? s->login->database->pool : pooled_mode(s);
	struct slice database = session_name(s, NAME_DATABASE);

	if (s->login != NULL)
		database = login_startup(s->login)->database;
	/* a request of POST /sql needs none to show what its caller has seen */
	if (session_ops.http_speaks(s) && name == token_name)
		pool = POOL_TRANSACTION;
	if (pool == POOL_TRANSACTION && world_of(s)->config->main.probe_conninfo != NULL)
		return 0;
	err_set(e, SQLSTATE_CANNOT_CHANGE_RUNTIME,
		"parameter \"meridian.%s\" cannot be set in this session", name);
	if (pool != POOL_TRANSACTION) {
		err_detail(e, "Only sessions of a transaction pool read nearby.");
		err_hint(e, "Set pool = transaction in section [database %.*s].",
			 (int)(database.n < 64 ? database.n : 64), database.p);
	} else {
		err_detail(e, "Without a probe it is not known which standbys can be read.");
		err_hint(e, "Set probe_conninfo in section [meridian].");
	}
	return -1;
}

/* ---- their values ---- */

/* The value as it was said: printable, and not much of it. */
static int
refuse_value(struct err *e, const char *name, struct slice value)
{
	char said[VALUE_SAID_MAX + 1];
	size_t n = value.n < VALUE_SAID_MAX ? value.n : VALUE_SAID_MAX;

	for (size_t i = 0; i < n; i++)
		said[i] = value.p[i] >= ' ' && value.p[i] <= '~' ? value.p[i] : '?';
	said[n] = '\0';
	return err_set(e, SQLSTATE_INVALID_PARAMETER_VALUE,
		       "invalid value for parameter \"meridian.%s\": \"%s\"", name, said);
}

/* *bound_ms: of a consistency that has one; else 0. */
static int
read_word(unsigned i, struct slice value, int *out, int *bound_ms, struct err *e)
{
	struct buf hint = { .cap = sizeof(e->hint) };
	bool is_on;

	*bound_ms = 0;
	if (i == SET_CONSISTENCY && consistency_parse(value, out, bound_ms))
		return 0;
	*out = i != SET_CONSISTENCY ? words_find(rows[i].words, value) : -1;
	if (*out >= 0)
		return 0;
	if (rows[i].words == switch_words && setting_to_bool(value, &is_on)) {
		*out = is_on;
		return 0;
	}
	(void)refuse_value(e, rows[i].name, value);
	for (size_t k = 0; rows[i].words[k] != NULL; k++)
		buf_printf(&hint, "%s%s", k > 0 ? ", " : "", rows[i].words[k]);
	err_hint(e, "Available values: %s.", buf_text(&hint));
	buf_fini(&hint);
	return -1;
}

/* Where it is at home, as far as that is known. */
static const struct node *
home_of(const struct session *s)
{
	const struct node_live *live = session_is_pooled(s) ? pooled_home(s) : session_place(s);

	return live != NULL ? topology_node_by_live(world_of(s)->topology, live) : NULL;
}

int
reads_parse_token(const struct session *s, struct slice value, struct wal_token *out, struct err *e)
{
	const struct node *home = home_of(s);

	if (!token_parse(value, out)) {
		(void)refuse_value(e, token_name, value);
		err_hint(e, "A token is what SHOW meridian.token has said.");
		return -1;
	}
	if (home == NULL || home->system_id == 0 || home->system_id == out->system_id)
		return 0;
	(void)refuse_value(e, token_name, value);
	err_detail(e,
		   "It is of a cluster whose system identifier is %" PRIu64
		   ", and this session's home is of %" PRIu64 ".",
		   out->system_id, home->system_id);
	return -1;
}

/* ---- SET and RESET ---- */

static int
set_token(struct session *s, struct slice value, bool now, struct err *e)
{
	struct wal_token token = { 0 };

	if (value.p != NULL &&
	    (check_possible(s, token_name, e) != 0 || reads_parse_token(s, value, &token, e) != 0))
		return -1;
	if (now && value.p != NULL) {
		reads_see(reads_needed(s), s, &token);
		if (s->state == SESSION_RELAY && reads_have_lost(s))
			reads_warn_of_lost(s, false);
	} else if (now && session_is_pooled(s) && s->pooled->reads != NULL) {
		s->pooled->reads->floor = token;
		s->pooled->seen = 0;
	}
	return 0;
}

/* Which standby is nearest hangs on it. */
static void
set_bound(struct reads *r, int bound_ms)
{
	r->now[SET_BOUND] = bound_ms;
	r->near_at_us = 0;
}

static void
reset_word(struct session *s, unsigned i)
{
	struct reads *r = s->pooled->reads;

	r->now[i] = r->startup[i];
	if (i == SET_CONSISTENCY)
		set_bound(r, r->startup[SET_BOUND]);
	reads_changed(s);
}

static int
set_word(struct session *s, unsigned i, struct slice value, bool now, struct err *e)
{
	struct reads *r;
	int word, bound_ms;

	if (value.p == NULL) {
		if (now && session_is_pooled(s) && s->pooled->reads != NULL)
			reset_word(s, i);
		return 0;
	}
	if (read_word(i, value, &word, &bound_ms, e) != 0)
		return -1;
	if (check_possible(s, rows[i].name, e) != 0)
		return i == SET_READS && word == READS_HOME ? 0 : -1;
	if (!now)
		return 0;
	r = reads_needed(s);
	r->now[i] = word;
	if (i == SET_CONSISTENCY)
		set_bound(r, bound_ms);
	reads_changed(s);
	return 0;
}

int
reads_set(struct session *s, struct slice name, struct slice value, bool now, struct err *e)
{
	if (slice_is_nocase(name, token_name))
		return set_token(s, value, now, e);
	for (unsigned i = 0; i < SET_COUNT; i++) {
		if (slice_is_nocase(name, rows[i].name))
			return set_word(s, i, value, now, e);
	}
	return 0;
}

/* What the session has seen stays: it is no setting of the client's alone. */
void
reads_reset_all(struct session *s)
{
	if (!session_is_pooled(s) || s->pooled->reads == NULL)
		return;
	for (unsigned i = 0; i < SET_COUNT; i++)
		reset_word(s, i);
}

/* ---- SHOW ---- */

/* Asked of the server: all that is committed there so far. Where a record begins a page, behind the
 * page's header, the last one ends in front of that (proxy/sqlstate/session_probe.c). A standby
 * does not say its timeline to everybody: by the probe. */
static void
put_question(struct buf *sql, uint32_t timeline)
{
	buf_str(sql,
		"(SELECT pg_catalog.concat('m1.', pg_catalog.to_hex(i.system_identifier), '.', "
		"CASE WHEN r THEN ");
	if (timeline != 0)
		buf_printf(sql, "'%" PRIx32 "'", timeline);
	else
		buf_str(sql, "(SELECT pg_catalog.to_hex(timeline_id) FROM "
			     "pg_catalog.pg_control_checkpoint())");
	buf_printf(sql,
		   " ELSE pg_catalog.ltrim(pg_catalog.lower(pg_catalog.left("
		   "pg_catalog.pg_walfile_name(l), 8)), '0') END, '.', pg_catalog.to_hex((l "
		   "OPERATOR(pg_catalog.-) '0/0'::pg_catalog.pg_lsn)::pg_catalog.int8 "
		   "OPERATOR(pg_catalog.-) CASE WHEN r THEN 0 ELSE (SELECT CASE WHEN file_offset "
		   "OPERATOR(pg_catalog.=) %d THEN %d WHEN file_offset OPERATOR(pg_catalog.%%) "
		   "pg_catalog.current_setting('wal_block_size')::pg_catalog.int4 "
		   "OPERATOR(pg_catalog.=) %d THEN %d ELSE 0 END FROM "
		   "pg_catalog.pg_walfile_name_offset(l)) END)) FROM "
		   "pg_catalog.pg_control_system() AS i, " WAL_POSITION_FROM ")",
		   WAL_FILE_HEADER, WAL_FILE_HEADER, WAL_PAGE_HEADER, WAL_PAGE_HEADER);
}

/* Where what the session has seen is known now, that is said, and asked of no server at home. */
static void
put_token(const struct session *s, bool again, struct buf *sql)
{
	const struct reads *r = session_is_pooled(s) ? s->pooled->reads : NULL;
	const struct node_live *place = session_place(s);
	const struct node *n =
	    place != NULL ? topology_node_by_live(world_of(s)->topology, place) : NULL;
	struct buf text = { .cap = TOKEN_TEXT_MAX };

	if (r != NULL && !again && reads_knows_floor(s)) {
		token_put(&text, &r->floor);
		pgquote_literal(sql, buf_view(&text));
		buf_fini(&text);
	} else {
		put_question(sql, n != NULL ? n->timeline : 0);
	}
}

bool
reads_show(struct session *s, struct slice name, bool again, struct buf *sql)
{
	const struct reads *r = session_is_pooled(s) ? s->pooled->reads : NULL;
	struct buf word = { .cap = 64 };
	int configured[SET_VALUES];
	const int *values = r != NULL ? r->now : configured;

	if (slice_is(name, token_name)) {
		put_token(s, again, sql);
		return true;
	}
	put_configured(database_of(s), configured);
	for (unsigned i = 0; i < SET_COUNT; i++) {
		if (!slice_is(name, rows[i].name))
			continue;
		if (i == SET_CONSISTENCY)
			consistency_put(&word, (enum consistency_mode)values[i], values[SET_BOUND]);
		else
			buf_str(&word, rows[i].words[values[i]]);
		pgquote_literal(sql, buf_view(&word));
		buf_fini(&word);
		return true;
	}
	return false;
}

/* ---- the startup packet ---- */

/* What its HTTP header and its startup packet say. */
static int
take_startup(struct session *s, struct err *e)
{
	struct login *l = s->login;
	struct startup_setting set[STARTUP_SETTINGS_MAX];
	size_t n;

	if (l->token != NULL && set_token(s, slice_str(l->token), true, e) != 0)
		return -1;
	buf_clear(&l->text);
	n = startup_settings(login_startup(l), &l->text, set, STARTUP_SETTINGS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (reads_set(s, set[i].name, set[i].value, true, e) != 0)
			return -1;
	}
	return 0;
}

int
reads_login_floor(struct session *s, struct wal_token *out, struct err *e)
{
	struct login *l = s->login;
	struct startup_setting set[STARTUP_SETTINGS_MAX];
	struct wal_token token;
	size_t n;

	*out = (struct wal_token){ 0 };
	if (l->token != NULL && reads_parse_token(s, slice_str(l->token), out, e) != 0)
		return -1;
	buf_clear(&l->text);
	n = startup_settings(login_startup(l), &l->text, set, STARTUP_SETTINGS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (!slice_is_nocase(set[i].name, token_name))
			continue;
		if (reads_parse_token(s, set[i].value, &token, e) != 0)
			return -1;
		token_raise(out, &token);
	}
	return 0;
}

bool
reads_begin(struct session *s)
{
	struct reads *r = reads_needed(s);
	struct err e;

	r->is_known = true;
	if (take_startup(s, &e) != 0) {
		session_close_err(s, WHY_BAD_SETTING, &e);
		return false;
	}
	memcpy(r->startup, r->now, sizeof(r->startup));
	return true;
}

struct reads *
reads_needed(struct session *s)
{
	struct reads *r = s->pooled->reads;
	const struct conf_database *db = database_of(s);

	if (r != NULL)
		return r;
	r = reads_new(s, db->consistency_wait);
	put_configured(db, r->now);
	put_configured(db, r->startup);
	reads_changed(s);
	return r;
}
