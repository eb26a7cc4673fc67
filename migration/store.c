/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/pgquote.h"
#include "base/text.h"
#include "migration/db.h"
#include "migration/transitions.h"

#define ROWS_MAX "1000"

/* Plain enough for CockroachDB; IF NOT EXISTS everywhere, for what a crash left half made. */
static const char schema_sql[] =
    "CREATE SCHEMA IF NOT EXISTS meridian;"
    "CREATE TABLE IF NOT EXISTS meridian.version (version int NOT NULL PRIMARY KEY);"
    "CREATE TABLE IF NOT EXISTS meridian.migration ("
    " uuid text PRIMARY KEY, id int NOT NULL, name text NOT NULL, kind text NOT NULL,"
    " db text NOT NULL, src text NOT NULL, dst text NOT NULL, newdb text NOT NULL,"
    " spec text NOT NULL, options jsonb NOT NULL, state text NOT NULL, phase text NOT NULL,"
    " step_n int NOT NULL, step text NOT NULL, progress int NOT NULL, detail text NOT NULL,"
    " error text NOT NULL, checks jsonb NOT NULL, plan_hash text NOT NULL, run jsonb NOT NULL,"
    " acks jsonb NOT NULL, request text NOT NULL, is_home bool NOT NULL, rev int8 NOT NULL,"
    " created_by text NOT NULL, created_at timestamptz NOT NULL, finished_at timestamptz);"
    "CREATE TABLE IF NOT EXISTS meridian.step ("
    " uuid text NOT NULL, n int NOT NULL, mig int NOT NULL, name text NOT NULL,"
    " phase text NOT NULL, class text NOT NULL, place text NOT NULL, label text NOT NULL,"
    " args jsonb, state text NOT NULL, attempt int NOT NULL, before jsonb, undo jsonb,"
    " started timestamptz, ended timestamptz, error text NOT NULL, PRIMARY KEY (uuid, n));"
    "CREATE TABLE IF NOT EXISTS meridian.journal ("
    " uuid text NOT NULL, seq int8 NOT NULL, mig int NOT NULL, at timestamptz NOT NULL,"
    " actor text NOT NULL, event text NOT NULL, detail jsonb, PRIMARY KEY (uuid, seq));"
    "CREATE TABLE IF NOT EXISTS meridian.lease ("
    " uuid text PRIMARY KEY, mig int NOT NULL, token int8 NOT NULL, owner text NOT NULL,"
    " proxy text NOT NULL, heartbeat timestamptz NOT NULL, UNIQUE (uuid, token));"
    "CREATE TABLE IF NOT EXISTS meridian.marker ("
    " mig int NOT NULL, kind text NOT NULL, at timestamptz, payload jsonb,"
    " PRIMARY KEY (mig, kind));"
    "CREATE TABLE IF NOT EXISTS meridian.authority ("
    " db text PRIMARY KEY, epoch int8 NOT NULL, writable bool NOT NULL, decision text,"
    " serves text NOT NULL DEFAULT '', newdb text NOT NULL DEFAULT '', mig int);"
    "CREATE TABLE IF NOT EXISTS meridian.proxy ("
    " id text PRIMARY KEY, addr text NOT NULL, region text NOT NULL,"
    " heartbeat timestamptz NOT NULL, frozen_for int, callers_at timestamptz);"
    "CREATE TABLE IF NOT EXISTS meridian.freeze ("
    " uuid text PRIMARY KEY, mig int NOT NULL, attempt int8 NOT NULL, what text NOT NULL,"
    " db text NOT NULL, src text NOT NULL, dst text NOT NULL, newdb text NOT NULL,"
    " epoch int8 NOT NULL, at timestamptz NOT NULL, expires timestamptz NOT NULL,"
    " until timestamptz NOT NULL);"
    "CREATE TABLE IF NOT EXISTS meridian.freeze_ack ("
    " uuid text NOT NULL, proxy text NOT NULL, attempt int8 NOT NULL, what text NOT NULL,"
    " at timestamptz NOT NULL, sessions int NOT NULL, open int NOT NULL, kept int NOT NULL,"
    " closed int NOT NULL, aborted int NOT NULL, PRIMARY KEY (uuid, proxy));"
    "CREATE TABLE IF NOT EXISTS meridian.straggler ("
    " uuid text NOT NULL, attempt int8 NOT NULL, proxy text NOT NULL, session text NOT NULL,"
    " pid int8 NOT NULL, in_flight bool NOT NULL, in_commit bool NOT NULL,"
    " in_block bool NOT NULL, outcome int, PRIMARY KEY (uuid, proxy, session));"
    "CREATE TABLE IF NOT EXISTS meridian.redirect ("
    " uuid text NOT NULL, proxy text NOT NULL, addr text NOT NULL, usr text NOT NULL,"
    " application text NOT NULL, sessions int NOT NULL, logins int8 NOT NULL,"
    " refused int8 NOT NULL, last_seen timestamptz NOT NULL,"
    " PRIMARY KEY (uuid, proxy, addr, usr, application));"
    "CREATE TABLE IF NOT EXISTS meridian.history ("
    " file text NOT NULL, region text NOT NULL, checksum text NOT NULL,"
    " stmts_done int NOT NULL, stmts_total int NOT NULL, state text NOT NULL,"
    " error text NOT NULL, at timestamptz NOT NULL, ms int NOT NULL, mig int NOT NULL,"
    " running int NOT NULL, sums text NOT NULL, body text NOT NULL, undo_name text NOT NULL,"
    " undo text NOT NULL, origin text NOT NULL, PRIMARY KEY (file, region));"
    "CREATE TABLE IF NOT EXISTS meridian.file ("
    " mig int NOT NULL, file text NOT NULL, checksum text NOT NULL, body text NOT NULL,"
    " undo_name text NOT NULL, undo text NOT NULL, PRIMARY KEY (mig, file));"
    "INSERT INTO meridian.version (version) SELECT " /* and the number */;

static const char columns[] =
    "uuid, id, name, kind, db, src, dst, newdb, spec, options, state, phase, step_n, step, "
    "progress, detail, error, checks, plan_hash, run, acks, request, is_home, rev, created_by, "
    "created_at, finished_at";

/* ---- the struct ---- */

static char **const *
strings_of(struct migration *m, char **v[20])
{
	char **all[] = { &m->name,       &m->database,   &m->src,         &m->dst,    &m->newdb,
			 &m->spec,       &m->options,    &m->step,        &m->detail, &m->error,
			 &m->checks,     &m->plan_hash,  &m->run,         &m->acks,   &m->request,
			 &m->created_by, &m->created_at, &m->finished_at, NULL };

	memcpy(v, all, sizeof(all));
	return v;
}

static void
uuid_make(char out[UUID_SIZE])
{
	unsigned char b[16];

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		abort();
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(out, UUID_SIZE,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
}

void
migration_init(struct migration *m)
{
	const struct {
		char **field;
		const char *empty;
	} jsons[] = {
		{ &m->options, "{}" }, { &m->acks, "{}" }, { &m->run, "{}" }, { &m->checks, "[]" }
	};
	char **v[20];

	*m = (struct migration){
		.state = STATE_CREATED, .phase = -1, .progress = -1, .is_home = true, .rev = 1
	};
	uuid_make(m->uuid);
	for (char **const *p = strings_of(m, v); *p != NULL; p++)
		**p = xstrdup("");
	for (size_t i = 0; i < sizeof(jsons) / sizeof(*jsons); i++) {
		free(*jsons[i].field);
		*jsons[i].field = xstrdup(jsons[i].empty);
	}
}

void
migration_fini(struct migration *m)
{
	char **v[20];

	for (char **const *p = strings_of(m, v); *p != NULL; p++) {
		free(**p);
		**p = NULL;
	}
}

void
migration_copy(struct migration *to, const struct migration *from)
{
	char **v[20];

	*to = *from;
	for (char **const *p = strings_of(to, v); *p != NULL; p++)
		**p = xstrdup(**p);
}

static void
from_row(struct migration *m, const PGresult *r, int i)
{
	char **texts[] = { NULL,           NULL,           &m->name,       NULL,
			   &m->database,   &m->src,        &m->dst,        &m->newdb,
			   &m->spec,       &m->options,    NULL,           NULL,
			   NULL,           &m->step,       NULL,           &m->detail,
			   &m->error,      &m->checks,     &m->plan_hash,  &m->run,
			   &m->acks,       &m->request,    NULL,           NULL,
			   &m->created_by, &m->created_at, &m->finished_at };

	*m = (struct migration){ 0 };
	for (size_t f = 0; f < sizeof(texts) / sizeof(*texts); f++)
		if (texts[f] != NULL)
			*texts[f] = xstrdup(PQgetvalue(r, i, (int)f));
	snprintf(m->uuid, sizeof(m->uuid), "%s", PQgetvalue(r, i, 0));
	m->id = atoi(PQgetvalue(r, i, 1));
	m->kind = (enum migration_kind)migration_kind_of(PQgetvalue(r, i, 3));
	m->state = (enum migration_state)migration_state_of(PQgetvalue(r, i, 10));
	m->phase = migration_phase_of(PQgetvalue(r, i, 11));
	m->step_n = atoi(PQgetvalue(r, i, 12));
	m->progress = atoi(PQgetvalue(r, i, 14));
	m->is_home = PQgetvalue(r, i, 22)[0] == 't';
	text_to_int(slice_str(PQgetvalue(r, i, 23)), 0, INT64_MAX, &m->rev);
}

static bool
is_readable(const PGresult *r, int i)
{
	return migration_kind_of(PQgetvalue(r, i, 3)) >= 0 &&
	       migration_state_of(PQgetvalue(r, i, 10)) >= 0;
}

/* ---- the schema ---- */

int
store_exists(PGconn *c, bool *out, struct err *e)
{
	int64_t version;

	if (db_is(c, out, e, "SELECT to_regclass('meridian.version') IS NOT NULL", 0, NULL) < 0)
		return -1;
	if (!*out)
		return 0;
	if (db_int(c, &version, e, "SELECT coalesce(max(version), 0) FROM meridian.version", 0,
		   NULL) < 0)
		return -1;
	*out = version != 0;
	if (version == 0 || version == STORE_VERSION)
		return 0;
	err_set(e, "0A000",
		"the control schema of this database is of version %d, this program "
		"knows %d",
		(int)version, STORE_VERSION);
	if (version > STORE_VERSION)
		return err_hint(e, "A newer Meridian made it: upgrade this one.");
	return err_hint(e, "An older Meridian made it: end its migrations with that one, then DROP "
			   "SCHEMA meridian CASCADE.");
}

int
store_create(PGconn *c, struct err *e)
{
	bool is_there;

	if (store_exists(c, &is_there, e) < 0)
		return -1;
	if (is_there)
		return 0;
	for (int attempt = 0;; attempt++) {
		if (db_execf(c, e, "%s%d WHERE NOT EXISTS (SELECT 1 FROM meridian.version)",
			     schema_sql, STORE_VERSION) == 0)
			return 0;
		/* Two at once: the other's is as good as ours. */
		if (attempt == 3 || (strcmp(e->sqlstate, "23505") != 0 &&
				     strcmp(e->sqlstate, "42P07") != 0 && !db_is_retryable(e)))
			return err_prefix(e, "control schema of database %s", PQdb(c));
	}
}

/* ---- rows ---- */

static void
put_text(struct buf *b, const char *s)
{
	pgquote_literal(b, slice_str(s));
}

static void
put_values(struct buf *b, const struct migration *m)
{
	buf_printf(b, "('%s', %d, ", m->uuid, m->id);
	put_text(b, m->name);
	buf_printf(b, ", '%s'", migration_kind_name(m->kind));
	const char *const names[] = { m->database, m->src, m->dst, m->newdb, m->spec, m->options };
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		buf_str(b, ", ");
		put_text(b, names[i]);
	}
	buf_printf(b, ", '%s', '%s', %d, ", migration_state_name(m->state),
		   m->phase < 0 ? "" : migration_phase_name((enum migration_phase)m->phase),
		   m->step_n);
	put_text(b, m->step);
	buf_printf(b, ", %d", m->progress);
	const char *const more[] = { m->detail, m->error, m->checks, m->plan_hash,
				     m->run,    m->acks,  m->request };
	for (size_t i = 0; i < sizeof(more) / sizeof(*more); i++) {
		buf_str(b, ", ");
		put_text(b, more[i]);
	}
	buf_printf(b, ", %s, %lld, ", m->is_home ? "true" : "false", (long long)m->rev);
	put_text(b, m->created_by);
	const char *const times[] = { m->created_at, m->finished_at };
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		buf_str(b, ", ");
		if (*times[i] != '\0')
			put_text(b, times[i]);
		else
			buf_str(b, i == 0 ? "clock_timestamp()" : "NULL");
	}
	buf_str(b, ")");
}

int
store_insert(PGconn *c, const struct migration *m, struct err *e)
{
	char id[16], *twin;
	const char *params[] = { id, m->name };
	struct buf b = { 0 };
	int rc;

	/* The name of a migration that is over is free again. */
	snprintf(id, sizeof(id), "%d", m->id);
	rc = db_value(c, &twin, e,
		      "SELECT 'migration ' || id || ' ' || name FROM meridian.migration WHERE id = "
		      "CAST($1 AS int) OR (name <> '' AND name = $2 AND state NOT IN ('done', "
		      "'aborted', 'reversed')) LIMIT 1",
		      2, params);
	if (rc > 0)
		rc = err_set(e, "42710", "%s exists already", twin);
	free(twin);
	if (rc < 0)
		return -1;
	buf_printf(&b, "INSERT INTO meridian.migration (%s) VALUES ", columns);
	put_values(&b, m);
	rc = db_exec(c, e, buf_text(&b));
	buf_fini(&b);
	return rc;
}

int
store_mirror(PGconn *c, const struct migration *m, struct err *e)
{
	static const char *const changing[] = { "name",       "spec",   "options", "state",
						"phase",      "step_n", "step",    "progress",
						"detail",     "error",  "checks",  "plan_hash",
						"run",        "acks",   "request", "rev",
						"finished_at" };
	struct migration copy = *m;
	struct buf b = { 0 };
	int rc;

	copy.is_home = false;
	buf_printf(&b, "INSERT INTO meridian.migration (%s) VALUES ", columns);
	put_values(&b, &copy);
	buf_str(&b, " ON CONFLICT (uuid) DO UPDATE SET ");
	for (size_t i = 0; i < sizeof(changing) / sizeof(*changing); i++)
		buf_printf(&b, "%s%s = excluded.%s", i > 0 ? ", " : "", changing[i], changing[i]);
	buf_str(&b, " WHERE migration.rev <= excluded.rev AND NOT migration.is_home");
	rc = db_exec(c, e, buf_text(&b));
	buf_fini(&b);
	return rc;
}

int
store_load(PGconn *c, const char *uuid, struct migration *out, struct err *e)
{
	const char *params[] = { uuid };
	char sql[512];
	PGresult *r;
	int rc;

	snprintf(sql, sizeof(sql), "SELECT %s FROM meridian.migration WHERE uuid = $1", columns);
	r = db_query(c, e, sql, 1, params);
	if (r == NULL)
		return -1;
	rc = PQntuples(r) > 0 && is_readable(r, 0);
	if (rc > 0)
		from_row(out, r, 0);
	PQclear(r);
	return rc;
}

int
store_list(PGconn *c, void (*each)(void *to, const struct migration *m), void *to, struct err *e)
{
	PGresult *r = db_queryf(
	    c, e, "SELECT %s FROM meridian.migration ORDER BY id LIMIT " ROWS_MAX, columns);

	if (r == NULL)
		return -1;
	for (int i = 0; i < PQntuples(r); i++) {
		struct migration m;

		if (!is_readable(r, i))
			continue;
		from_row(&m, r, i);
		each(to, &m);
		migration_fini(&m);
	}
	PQclear(r);
	return 0;
}

/* UPDATE … SET `set` (with $2, $3) of that row; 42704 where there is none. */
static int
update(PGconn *c, const char *uuid, const char *set, const char *a, const char *b, struct err *e)
{
	const char *params[] = { uuid, a, b };
	/* a statement that mends a role (checks) has its password in it */
	bool has_secret = strstr(a, " PASSWORD '") != NULL;
	char sql[512];
	PGresult *r;
	bool hit;

	snprintf(sql, sizeof(sql),
		 "UPDATE meridian.migration SET %s, rev = rev + 1 WHERE uuid = $1", set);
	r = (has_secret ? db_query_secretly : db_query)(c, e, sql, b != NULL ? 3 : 2, params);
	if (r == NULL)
		return -1;
	hit = strcmp(PQcmdTuples(r), "0") != 0;
	PQclear(r);
	return hit ? 0 : err_set(e, "42704", "migration %s has no row here", uuid);
}

int
store_set_state(PGconn *c, const char *uuid, enum migration_state s, const char *error,
		struct err *e)
{
	return update(c, uuid,
		      transition_is_over(s)
			  ? "state = $2, error = $3, finished_at = clock_timestamp()"
			  : "state = $2, error = $3",
		      migration_state_name(s), error != NULL ? error : "", e);
}

int
store_set_options(PGconn *c, const char *uuid, const char *options_json, struct err *e)
{
	return update(c, uuid, "options = CAST($2 AS jsonb)", options_json, NULL, e);
}

int
store_set_checks(PGconn *c, const char *uuid, const char *checks_json, struct err *e)
{
	return update(c, uuid, "checks = CAST($2 AS jsonb)", checks_json, NULL, e);
}

int
store_set_request(PGconn *c, const char *uuid, const char *request, struct err *e)
{
	return update(c, uuid, "request = $2", request, NULL, e);
}

int
store_set_detail(PGconn *c, const struct migration *m, const char *detail, struct err *e)
{
	char rev[24];
	const char *params[] = { m->uuid, detail, rev };

	snprintf(rev, sizeof(rev), "%" PRId64, m->rev);
	return db_change(c, e,
			 "UPDATE meridian.migration SET detail = $2, rev = rev + 1 WHERE uuid = $1 "
			 "AND rev = CAST($3 AS int8) AND is_home",
			 3, params);
}

int
store_ack(PGconn *c, const char *uuid, const char *guard, const char *text, struct err *e)
{
	return update(c, uuid,
		      "acks = acks || jsonb_build_object(CAST($2 AS text), CAST($3 AS text))",
		      guard, text != NULL ? text : "", e);
}
