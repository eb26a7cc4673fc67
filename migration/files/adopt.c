/* SPDX-License-Identifier: PostgreSQL
 *
 * What other tools say of themselves in the databases that they have migrated: which of our files
 * are applied there already. Their tables are read, never written.
 *
 * Sources: the tables as Flyway 9 (flyway_schema_history), Liquibase 4 (databasechangelog), Alembic
 * (alembic_version), sqitch (sqitch.changes) and Atlas (atlas_schema_revisions) make them.
 */
#include "config.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/files/files_int.h"
#include "migration/files/names.h"

/* A row of the tool, as its question below answers: what it names, and whether all before it is
 * meant too; and what keeps it from being taken over. */
struct adopted_row {
	const char *name;  /* a file, or a version */
	bool is_version;   /* … */
	bool is_all_up_to; /* everything up to it */
	const char *wrong; /* "" : nothing */
};

struct tool {
	const char *name;
	const char *table;
	/* name, is_version, is_all_up_to, wrong; %s: the table */
	const char *question;
};

static const struct tool tools[] = {
	{ "flyway", "flyway_schema_history",
	  "SELECT CASE WHEN type = 'BASELINE' THEN version ELSE regexp_replace(script, '^.*/', '') "
	  "END, type = 'BASELINE', type = 'BASELINE', CASE WHEN success THEN '' ELSE 'it failed' "
	  "END FROM %s h WHERE type <> 'SCHEMA' AND type NOT LIKE 'UNDO%%' AND type <> 'DELETE' "
	  "AND NOT EXISTS (SELECT FROM %s u WHERE u.version = h.version AND u.installed_rank > "
	  "h.installed_rank AND (u.type LIKE 'UNDO%%' OR u.type = 'DELETE')) ORDER BY "
	  "installed_rank" },
	{ "liquibase", "databasechangelog",
	  "SELECT regexp_replace(filename, '^.*/', '') || chr(10) || author || ':' || id, false, "
	  "false, '' FROM %s h WHERE exectype IN ('EXECUTED', 'RERAN', 'MARK_RAN') ORDER BY "
	  "orderexecuted" },
	{ "alembic", "alembic_version",
	  "SELECT version_num, true, true, '' FROM %s h ORDER BY version_num" },
	{ "sqitch", "changes",
	  "SELECT change || '.sql', false, false, '' FROM %s h ORDER BY committed_at" },
	{ "atlas", "atlas_schema_revisions",
	  "SELECT version, true, type & 1 = 1, CASE WHEN applied < total THEN 'statement ' || "
	  "applied || ' of ' || total ELSE '' END FROM %s h ORDER BY version" },
};

/* ---- which file is meant ---- */

/* A version in front of the name: "20240101" of 20240101_x.sql, "ae10" of ae10_add.sql. */
static bool
begins_with_version(const char *file, const char *version)
{
	struct slice v = slice_str(version);
	const char *p = *file == 'V' && names_version(file).n > 0 ? file + 1 : file;

	if (names_same_version(names_version(file), v) && v.n > 0)
		return true;
	return v.n > 0 && strncmp(p, version, v.n) == 0 && strchr("._-", p[v.n]) != NULL;
}

/* liquibase: each changeset of the file has to be there. */
static bool
has_changesets(const struct sqlfile *f, const struct strlist *rows)
{
	struct slice rest = slice_of(f->up.text, f->up.size);
	unsigned sets = 0;

	while (rest.n > 0) {
		struct slice line = slice_trim(slice_cut(&rest, '\n'));
		struct slice id;
		bool found = false;

		if (!slice_starts(line, "--"))
			continue;
		line = slice_trim(slice_skip(line, 2));
		if (!slice_starts(line, "changeset "))
			continue;
		line = slice_trim(slice_skip(line, strlen("changeset ")));
		id = slice_cut(&line, ' ');
		sets++;
		for (size_t i = 0; i < rows->n && !found; i++) {
			const char *key = strchr(rows->v[i], '\n');

			found = key != NULL && slice_is(id, key + 1) &&
				strncmp(rows->v[i], f->up.name, (size_t)(key - rows->v[i])) == 0 &&
				strlen(f->up.name) == (size_t)(key - rows->v[i]);
		}
		if (!found)
			return false;
	}
	return sets > 0;
}

static int
take_row(const struct tool *tool, const struct tree *t, const struct adopted_row *row,
	 struct strlist *out, struct err *e)
{
	const struct sqlfile *f = NULL;

	for (size_t i = 0; i < t->n && f == NULL; i++)
		if (row->is_version ? begins_with_version(t->v[i].up.name, row->name)
				    : strcmp(t->v[i].up.name, row->name) == 0)
			f = &t->v[i];
	if (f == NULL && row->is_all_up_to) {
		err_set(e, "55000", "%s says version %s, and no file has it", tool->name,
			row->name);
		return err_hint(e, "A file's name begins with its version: %s_name.sql.",
				row->name);
	}
	if (f == NULL)
		return 0; /* one that has no file here any more */
	if (row->wrong[0] != '\0') {
		err_set(e, "55000", "%s has not finished %s: %s", tool->name, f->up.name,
			row->wrong);
		return err_hint(e, "Let it end its work first.");
	}
	for (const struct sqlfile *first = t->v; row->is_all_up_to && first < f; first++)
		strlist_add_once(out, first->up.name);
	strlist_add_once(out, f->up.name);
	return 0;
}

static int
take_rows(const struct tool *tool, const struct tree *t, const PGresult *r, struct strlist *out,
	  struct err *e)
{
	struct strlist changesets = { 0 };
	int rc = 0;

	for (int i = 0; i < PQntuples(r) && rc == 0; i++) {
		struct adopted_row row = {
			.name = PQgetvalue(r, i, 0),
			.is_version = PQgetvalue(r, i, 1)[0] == 't',
			.is_all_up_to = PQgetvalue(r, i, 2)[0] == 't',
			.wrong = PQgetvalue(r, i, 3),
		};

		if (strchr(row.name, '\n') != NULL)
			strlist_add(&changesets, row.name);
		else
			rc = take_row(tool, t, &row, out, e);
	}
	for (size_t i = 0; i < t->n && changesets.n > 0; i++)
		if (has_changesets(&t->v[i], &changesets))
			strlist_add_once(out, t->v[i].up.name);
	strlist_fini(&changesets);
	return rc;
}

int
adopt_list(PGconn *c, const char *tool_name, const struct tree *t, struct strlist *out,
	   struct err *e)
{
	const struct tool *tool = NULL;
	const char *params[2];
	char *table;
	PGresult *r;
	int rc;

	for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]) && tool == NULL; i++)
		if (strcmp(tools[i].name, tool_name) == 0)
			tool = &tools[i];
	if (tool == NULL)
		return err_set(e, "22023", "nothing is known of %s", tool_name);
	params[0] = tool->table;
	params[1] = strcmp(tool->name, "sqitch") == 0 ? "sqitch" : "";
	rc = db_value(
	    c, &table, e,
	    "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c "
	    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = $1 AND "
	    "c.relkind IN ('r', 'p') AND ($2 = '' OR n.nspname = $2) ORDER BY "
	    "pg_catalog.pg_table_is_visible(c.oid) DESC LIMIT 1",
	    2, params);
	if (rc < 0)
		return -1;
	if (rc == 0)
		return err_set(e, "42P01", "%s has no table in this database", tool_name);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	r = db_queryf(c, e, tool->question, table, table);
#pragma GCC diagnostic pop
	free(table);
	if (r == NULL)
		return -1;
	rc = take_rows(tool, t, r, out, e);
	PQclear(r);
	return rc;
}

/* ---- the step ---- */

int
adopt_done(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	(void)j;
	(void)s;
	(void)e;
	*is_done = false; /* rows that are there stay as they are */
	return 0;
}

int
adopt_act(struct job *j, const struct migration_step *s, struct err *e)
{
	const struct tree *t = files_tree(j, e);
	PGconn *c = t != NULL ? job_db(j, s->place, e) : NULL;
	struct strlist files = { 0 };
	int rc;

	if (c == NULL)
		return -1;
	rc = adopt_list(c, job_option(j, "adopt"), t, &files, e);
	if (rc == 0)
		rc = files_begin(j, c, e);
	for (size_t i = 0; rc == 0 && i < files.n; i++)
		rc = history_adopt(c, tree_find(t, files.v[i]), s->place, job_id(j),
				   job_option(j, "adopt"), e);
	if (rc == 0)
		rc = db_exec(c, e, "COMMIT");
	files_roll_back(c);
	if (rc == 0)
		job_notice(j, "%zu files are applied in %s already, says %s", files.n, s->place,
			   job_option(j, "adopt"));
	strlist_fini(&files);
	return rc;
}
