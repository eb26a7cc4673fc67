/* SPDX-License-Identifier: PostgreSQL
 *
 * Passwords of the roles that log in to the database, on both sides. What Meridian has of a client
 * that has proven its password are keys that fit one salt: where the same password was given to the
 * role by hand on the target, with a salt of its own, those keys open nothing there.
 *
 * Verifiers are shown only to roles that may read pg_authid: they are compared here, and are in the
 * statement that mends the target.
 */
#include "config.h"

#include "migration/move/verifiers.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "migration/db.h"
#include "migration/forecast.h"
#include "migration/move/cutover.h"
#include "migration/move/move.h"
#include "migration/move/sql.h"

#define MAINTENANCE_DB "postgres"
#define CHECK_NAME     "role_verifiers"

/* ---- both sides ---- */

/* $1: JSON array of the users that have sessions. Roles that the database knows by a privilege, an
 * object or a session, or that are members of one it knows. */
static const char roles_sql[] =
    "SELECT a.rolname, a.rolpassword, a.rolsuper, format('ALTER ROLE %I PASSWORD %L', a.rolname,"
    " a.rolpassword) FROM pg_authid a WHERE a.rolcanlogin AND (a.rolname IN (SELECT"
    " jsonb_array_elements_text($1::jsonb)) OR EXISTS (SELECT FROM pg_stat_activity s WHERE"
    " s.datname = current_database() AND s.usesysid = a.oid AND s.backend_type = 'client backend'"
    " AND s.application_name !~ '^(meridian|pg_dump)') OR NOT a.rolsuper AND (EXISTS (SELECT FROM"
    " pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass AND d.dbid = (SELECT oid FROM"
    " pg_database WHERE datname = current_database()) AND pg_has_role(a.oid, d.refobjid,"
    " 'MEMBER')) OR EXISTS (SELECT FROM pg_database d, aclexplode(d.datacl) x WHERE d.datname ="
    " current_database() AND x.grantee = a.oid))) ORDER BY a.rolname";

static const char there_sql[] = "SELECT rolname, rolpassword, rolsuper FROM pg_authid WHERE "
				"rolname IN (SELECT jsonb_array_elements_text($1::jsonb))";

/* What is known of each login role; one row of `here` beside that of `there` with its name. */
struct sides {
	PGresult *here, *there;
};

static void
sides_fini(struct sides *s)
{
	PQclear(s->here);
	PQclear(s->there);
}

static void
add_user(void *to, const struct gate_login *l)
{
	json_array_append_new(to, json_string(l->user));
}

static PGresult *
query_names(PGconn *c, const char *sql, const json_t *names, struct err *e)
{
	char *text = json_dumps(names, JSON_COMPACT);
	const char *const params[] = { text };
	PGresult *r = db_query(c, e, sql, 1, params);

	free(text);
	return r;
}

static int
read_sides(PGconn *source, PGconn *target, const struct gate_ops *gate,
	   const struct gate_logins *logins, struct sides *out, struct err *e)
{
	json_t *names = json_array();

	*out = (struct sides){ 0 };
	if (logins != NULL)
		gate->logins_each(logins, add_user, names);
	out->here = query_names(source, roles_sql, names, e);
	json_array_clear(names);
	for (int i = 0; out->here != NULL && i < PQntuples(out->here); i++)
		json_array_append_new(names, json_string(PQgetvalue(out->here, i, 0)));
	if (out->here != NULL)
		out->there = query_names(target, there_sql, names, e);
	json_decref(names);
	return out->there != NULL ? 0 : err_prefix(e, CHECK_NAME);
}

static bool
is_true(const PGresult *r, int row, int column)
{
	return *PQgetvalue(r, row, column) == 't';
}

/* The i-th role of the source that is on the target too; false: it is not. */
static bool
role_at(const struct sides *s, int i, struct role_secrets *out)
{
	const char *role = PQgetvalue(s->here, i, 0);
	int k = 0, n = PQntuples(s->there);

	while (k < n && strcmp(PQgetvalue(s->there, k, 0), role) != 0)
		k++;
	if (k == n)
		return false;
	*out = (struct role_secrets){
		.role = role,
		.source = PQgetvalue(s->here, i, 1),
		.target = PQgetvalue(s->there, k, 1),
		.statement = PQgetvalue(s->here, i, 3),
		.is_super = is_true(s->here, i, 2) || is_true(s->there, k, 2),
	};
	return true;
}

/* ---- what it means ---- */

static bool
differs(const struct role_secrets *r)
{
	return *r->source != '\0' && strcmp(r->source, r->target) != 0;
}

enum role_verdict
verifiers_verdict(const struct role_secrets *r, const struct gate_fit *with_target,
		  const struct gate_fit *with_source, bool copies)
{
	if (!differs(r) && with_target->unfit == 0)
		return ROLE_SAME;
	if (copies && differs(r) && !r->is_super && with_source->unfit == 0)
		return ROLE_WILL_BE_COPIED;
	return with_target->unfit > 0 ? ROLE_CLOSES_SESSIONS : ROLE_DIFFERS;
}

static const char *
fix_of(const struct role_secrets *r, enum role_verdict v, const struct gate_fit *with_source)
{
	if (v == ROLE_WILL_BE_COPIED)
		return "roles = copy: PREPARE gives it the source's verifier, ABORT takes that "
		       "back";
	if (!differs(r) || with_source->unfit > 0)
		return "give the role the password that clients have, on both sides";
	return r->statement;
}

static void
tell(struct checks *out, const struct role_secrets *r, enum role_verdict v,
     const struct gate_fit *with_target, const struct gate_fit *with_source)
{
	enum check_severity severity = v == ROLE_CLOSES_SESSIONS  ? CHECK_ERROR
				       : v == ROLE_WILL_BE_COPIED ? CHECK_INFO
								  : CHECK_WARN;
	struct buf detail = { .cap = 512 };

	if (!differs(r))
		buf_str(&detail, "what Meridian has for its logins does not open the target");
	else if (*r->target == '\0')
		buf_str(&detail, "has no password on the target");
	else
		buf_str(&detail, "has another verifier on the target than on the source: another "
				 "salt, or another password");
	if (with_target->unfit > 0)
		buf_printf(&detail, "; %u of its %u sessions would be closed at the switch",
			   with_target->unfit, with_target->sessions);
	if (*with_target->known_by != '\0')
		buf_printf(&detail, "; %s has %s that the target has", with_target->known_by,
			   with_target->known_fits ? "the one" : "not the one");
	checks_add(out, severity, CHECK_NAME, r->role, buf_text(&detail),
		   fix_of(r, v, with_source));
	buf_fini(&detail);
}

static enum role_verdict
judge(struct job *j, const struct gate_logins *logins, const struct role_secrets *r,
      struct gate_fit *with_target, struct gate_fit *with_source)
{
	const struct gate_ops *gate = job_site(j)->ops->gate;

	*with_target = *with_source = (struct gate_fit){ .known_by = "" };
	if (logins != NULL) {
		gate->logins_fit(logins, r->role, r->target, with_target);
		gate->logins_fit(logins, r->role, r->source, with_source);
	}
	return verifiers_verdict(r, with_target, with_source, job_option_is(j, "roles", "copy"));
}

int
move_check_verifiers(struct job *j, PGconn *source, PGconn *target,
		     const struct gate_logins *logins, struct checks *out, unsigned *closed,
		     struct err *e)
{
	static const char shows_secrets[] = "SELECT has_table_privilege('pg_authid', 'SELECT')";
	bool readable = false;
	struct sides s;

	*closed = 0;
	if (db_is(source, &readable, e, shows_secrets, 0, NULL) != 0 ||
	    (readable && db_is(target, &readable, e, shows_secrets, 0, NULL) != 0))
		return -1;
	if (!readable) {
		checks_add(out, CHECK_WARN, CHECK_NAME, "", "cannot be compared",
			   "migration_conninfo: a role that may read pg_authid");
		return 0;
	}
	if (read_sides(source, target, job_site(j)->ops->gate, logins, &s, e) != 0) {
		sides_fini(&s);
		return -1;
	}
	for (int i = 0; i < PQntuples(s.here); i++) {
		struct gate_fit with_target, with_source;
		struct role_secrets r;
		enum role_verdict v;

		if (!role_at(&s, i, &r))
			continue;
		v = judge(j, logins, &r, &with_target, &with_source);
		if (v == ROLE_CLOSES_SESSIONS)
			*closed += with_target.unfit;
		if (v != ROLE_SAME)
			tell(out, &r, v, &with_target, &with_source);
	}
	sides_fini(&s);
	return 0;
}

char *
move_mend_role(PGconn *source, PGconn *target, const char *role)
{
	char *fix = NULL;
	json_t *names = json_array();
	struct role_secrets r;
	struct sides s = { 0 };
	struct err why;

	json_array_append_new(names, json_string(role));
	s.here = query_names(source, roles_sql, names, &why);
	s.there = s.here != NULL ? query_names(target, there_sql, names, &why) : NULL;
	json_decref(names);
	for (int i = 0; s.there != NULL && fix == NULL && i < PQntuples(s.here); i++) {
		if (strcmp(PQgetvalue(s.here, i, 0), role) == 0 && role_at(&s, i, &r) &&
		    differs(&r))
			fix = xstrdup(r.statement);
	}
	sides_fini(&s);
	return fix;
}

/* ---- the sessions, before anything is tried ---- */

static const struct gate_ops *
gate_of(const struct job *j)
{
	const struct gate_ops *gate = job_site(j)->ops->gate;

	return gate != NULL && gate->logins != NULL ? gate : NULL;
}

struct gate_logins *
move_logins(struct job *j)
{
	const struct gate_ops *gate = gate_of(j);
	struct direction d;
	struct gate_move m;

	if (gate == NULL)
		return NULL;
	direction_of(j, false, &d);
	direction_gate(j, &d, &m);
	return gate->logins(job_site(j)->arg, &m);
}

static void
add_roles(struct job *j, const struct gate_logins *logins, struct forecast *f)
{
	struct err why;
	PGconn *from = job_db(j, MOVE_SOURCE, &why);
	PGconn *to = from != NULL ? job_db_new(j, MOVE_TARGET, MAINTENANCE_DB, &why) : NULL;
	struct checks found = { 0 };
	unsigned closed;

	if (to != NULL && move_check_verifiers(j, from, to, logins, &found, &closed, &why) == 0 &&
	    closed > 0)
		forecast_add(f, closed, "verifiers of roles",
			     "SHOW MIGRATION m CHECKS has the statements that mend them");
	checks_fini(&found);
	PQfinish(to);
}

int
move_put_forecast(struct job *j, struct buf *out, struct err *e)
{
	const struct gate_ops *gate = gate_of(j);
	struct gate_logins *logins = move_logins(j);
	struct direction d;
	struct gate_move m;
	struct forecast f;

	(void)e;
	if (logins == NULL || job_step_done(j, "switch", NULL)) {
		if (logins != NULL)
			gate->logins_free(logins);
		return 0;
	}
	direction_of(j, false, &d);
	direction_gate(j, &d, &m);
	forecast_make(job_site(j), &m, NULL, &f);
	add_roles(j, logins, &f);
	forecast_put(&f, out);
	forecast_fini(&f);
	gate->logins_free(logins);
	return 0;
}

/* ---- the step (roles = copy) ---- */

/* JSON object: role -> { "was", "is" }, what an earlier try has noted first. */
static json_t *
noted(const struct migration_step *s)
{
	json_t *o = s->undo != NULL ? json_loads(s->undo, 0, NULL) : NULL;

	return o != NULL ? o : json_object();
}

/* The password of a role, where it is `now` still; "": none. */
static int
put_password(struct job *j, PGconn *to, const char *role, const char *now, const char *secret,
	     struct err *e)
{
	const char *const params[] = { role, now };
	char *name, *literal;
	bool is_so = false;
	int rc;

	if (db_is(to, &is_so, e,
		  "SELECT coalesce(rolpassword, '') = $2 FROM pg_authid WHERE rolname = $1", 2,
		  params) != 0)
		return -1;
	if (!is_so)
		return 1;
	name = db_ident(to, role);
	literal = *secret != '\0' ? db_literal(to, secret) : xstrdup("NULL");
	rc = job_runf(j, to, e, "ALTER ROLE %s PASSWORD %s", name, literal);
	free(name);
	free(literal);
	return rc;
}

static int
copy_secrets(struct job *j, PGconn *to, json_t *notes, struct err *e)
{
	char *text = json_dumps(notes, JSON_COMPACT);
	int rc = job_note_undo(j, text, e);
	const char *role;
	json_t *n;

	free(text);
	if (rc == 0)
		rc = db_exec(to, e, SQL_SECRETLY("false"));
	json_object_foreach(notes, role, n)
	{
		const char *was = json_string_value(json_object_get(n, "was"));
		const char *is = json_string_value(json_object_get(n, "is"));

		if (rc != 0)
			break;
		rc = put_password(j, to, role, was, is, e) < 0 ? -1 : 0;
		if (rc == 0)
			job_notice(j, "role %s has the source's verifier on the target", role);
	}
	return rc;
}

static int
verifiers_act(struct job *j, const struct migration_step *s, struct err *e)
{
	const struct gate_ops *gate = job_site(j)->ops->gate;
	PGconn *from = job_db(j, MOVE_SOURCE, e);
	PGconn *to = from != NULL ? job_db_new(j, s->place, MAINTENANCE_DB, e) : NULL;
	struct gate_logins *logins = NULL;
	json_t *notes = noted(s);
	struct sides sides = { 0 };
	int rc = -1;
	struct role_secrets r;

	if (to != NULL) {
		logins = move_logins(j);
		rc = read_sides(from, to, gate, logins, &sides, e);
	}
	if (rc == 0) {
		for (int i = 0; i < PQntuples(sides.here); i++) {
			if (!role_at(&sides, i, &r) || !differs(&r) || r.is_super ||
			    json_object_get(notes, r.role) != NULL)
				continue;
			json_object_set_new(
			    notes, r.role,
			    json_pack("{s:s, s:s}", "was", r.target, "is", r.source));
		}
		rc = copy_secrets(j, to, notes, e);
	}
	if (logins != NULL)
		gate->logins_free(logins);
	sides_fini(&sides);
	json_decref(notes);
	PQfinish(to);
	return rc;
}

static int
verifiers_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	json_t *notes, *n;
	const char *role;
	PGconn *c;
	int rc;

	if (s->undo == NULL)
		return 0;
	if (move_server_of_undo(j, "the verifiers that roles were given stay there", &c, e) != 0)
		return -1;
	if (c == NULL)
		return 0;
	notes = noted(s);
	rc = db_exec(c, e, SQL_SECRETLY("false"));
	json_object_foreach(notes, role, n)
	{
		const char *was = json_string_value(json_object_get(n, "was"));
		const char *is = json_string_value(json_object_get(n, "is"));

		if (rc < 0)
			break;
		rc = put_password(j, c, role, is, was, e);
		if (rc > 0)
			job_notice(j,
				   "role %s has another password on the target by now: it keeps"
				   " that",
				   role);
	}
	json_decref(notes);
	PQfinish(c);
	return rc < 0 ? -1 : 0;
}

MOVE_STEP(move_role_verifiers, "role_verifiers", PHASE_PREPARE, CLASS_R, .has_secrets = true,
	  .act = verifiers_act, .undo = verifiers_undo);
