/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/regions/steps.h"

#include <stdlib.h>

#include "migration/regions/read.h"

/* ---- what they have in common ---- */

const char *
regions_database(struct job *j)
{
	return job_dbname(j, REGIONS_PLACE);
}

int
regions_table_now(struct job *j, const struct regions_step *s, struct regions_catalog *out,
		  struct err *e)
{
	PGconn *c = job_db(j, REGIONS_PLACE, e);

	*out = (struct regions_catalog){ .database = xstrdup(regions_database(j)) };
	return c == NULL ? -1 : regions_read_table(c, s->schema, s->table, out, e);
}

int
regions_database_now(struct job *j, struct regions_catalog *out, struct err *e)
{
	PGconn *c = job_db(j, REGIONS_PLACE, e);

	*out = (struct regions_catalog){ .database = xstrdup(regions_database(j)) };
	if (c == NULL || regions_read_database(c, out, e) < 0)
		return -1;
	return regions_read_regions(c, out, e);
}

char *
regions_note(const char *key, json_t *take_value)
{
	json_t *o = json_object();
	char *text;

	json_object_set_new(o, key, take_value);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

json_t *
regions_text_or_null(const char *s)
{
	return s != NULL ? json_string(s) : json_null();
}

json_t *
regions_before(const struct regions_step *s)
{
	return json_loads(s->row->before != NULL ? s->row->before : "{}", 0, NULL);
}

/* ---- between the engine's steps and ours: the arguments ---- */

static const struct regions_ops *const ops[REGIONS_NSTEPS] = {
	[REGIONS_PARTITIONS] = &regions_ops_partitions, [REGIONS_PRIMARY] = &regions_ops_primary,
	[REGIONS_NODES] = &regions_ops_nodes,           [REGIONS_ADD] = &regions_ops_region,
	[REGIONS_PRIMARY_LATER] = &regions_ops_primary, [REGIONS_SURVIVAL] = &regions_ops_survival,
	[REGIONS_FEEDS] = &regions_ops_feeds,           [REGIONS_COLUMN] = &regions_ops_column,
	[REGIONS_LOCALITY] = &regions_ops_locality,     [REGIONS_VISIBLE] = &regions_ops_visible,
	[REGIONS_DEPLOYED] = &regions_ops_deployed,     [REGIONS_BACKFILL] = &regions_ops_backfill,
};

/* NULL and *e; else fini *s. */
static const struct regions_ops *
begin(struct job *j, const struct migration_step *m, struct regions_step *s, struct err *e)
{
	enum regions_step_kind kind = 0;

	while (regions_defs[kind] != m->def)
		kind++;
	if (regions_step_parse(kind, m->args, s, e) < 0)
		return NULL;
	s->row = m;
	s->database = regions_database(j);
	return ops[kind];
}

static int
describe(struct job *j, const struct migration_step *m, struct step_text *out, struct err *e)
{
	struct regions_step s;
	const struct regions_ops *o = begin(j, m, &s, e);

	if (o == NULL)
		return -1;
	buf_str(&out->lock, "none: an online change of the schema");
	o->text(&s, out);
	regions_step_fini(&s);
	return 0;
}

static int
done(struct job *j, const struct migration_step *m, bool *is_done, struct err *e)
{
	struct regions_step s;
	const struct regions_ops *o = begin(j, m, &s, e);
	int rc = 0;

	*is_done = false;
	if (o == NULL)
		return -1;
	rc = o->done(j, &s, is_done, e);
	regions_step_fini(&s);
	return rc;
}

static int
before(struct job *j, const struct migration_step *m, char **json, struct err *e)
{
	struct regions_step s;
	const struct regions_ops *o = begin(j, m, &s, e);
	int rc = 0;

	*json = NULL;
	if (o == NULL)
		return -1;
	if (o->before != NULL)
		rc = o->before(j, &s, json, e);
	if (rc < 0) {
		free(*json);
		*json = NULL;
	}
	regions_step_fini(&s);
	return rc;
}

static int
act(struct job *j, const struct migration_step *m, struct err *e)
{
	struct regions_step s;
	const struct regions_ops *o = begin(j, m, &s, e);
	int rc;

	if (o == NULL)
		return -1;
	rc = o->act(j, &s, e);
	regions_step_fini(&s);
	return rc;
}

static int
undo(struct job *j, const struct migration_step *m, struct err *e)
{
	struct regions_step s;
	const struct regions_ops *o = begin(j, m, &s, e);
	int rc = 0;

	if (o == NULL)
		return -1;
	if (o->undo != NULL)
		rc = o->undo(j, &s, e);
	regions_step_fini(&s);
	return rc;
}

/* ---- the definitions ---- */

#define REGIONS_DEF(constant, word, in)                 \
	static const struct step_def def_##constant = { \
		.name = word,                           \
		.phase = in,                            \
		.class = CLASS_I,                       \
		.describe = describe,                   \
		.done = done,                           \
		.before = before,                       \
		.act = act,                             \
		.undo = undo,                           \
	};
REGIONS_STEPS(REGIONS_DEF)

#define REGIONS_POINTER(constant, word, in) [constant] = &def_##constant,
const struct step_def *const regions_defs[REGIONS_NSTEPS + 1] = { REGIONS_STEPS(REGIONS_POINTER) };
