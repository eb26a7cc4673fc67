/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/job_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "migration/db.h"
#include "migration/migrations_int.h"
#include "migration/options.h"

/* ---- life ---- */

struct job *
job_open(struct migrations *ms, const struct migration *m, struct err *e)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->ms = ms;
	j->site = migrations_site(ms);
	j->kind = migrations_kind(ms, m->kind);
	migration_copy(&j->m, m);
	j->retired = json_array();
	job_load_options(j, m->options);
	if (spec_parse(slice_str(j->m.spec), &j->spec, e) == 0 && j->kind->resolve(j, e) == 0) {
		if (j->nplaces > 0)
			return j;
		err_set(e, "XX000", "the migration has no place");
	}
	job_close(j);
	return NULL;
}

void
job_close(struct job *j)
{
	if (j == NULL)
		return;
	if (j->memory_fini != NULL)
		j->memory_fini(j->memory);
	free(j->memory);
	for (size_t i = 0; i < j->nplaces; i++) {
		PQfinish(j->places[i].c);
		free(j->places[i].name);
		free(j->places[i].dbname);
	}
	free(j->places);
	plan_fini(&j->plan);
	json_decref(j->options);
	json_decref(j->retired);
	spec_fini(&j->spec);
	migration_fini(&j->m);
	free(j);
}

const struct kind *
job_kind(const struct job *j)
{
	return j->kind;
}

int
job_checks(struct job *j, enum migration_phase before, struct checks *out, struct err *e)
{
	*out = (struct checks){ 0 };
	if (j->kind->check == NULL || j->kind->check(j, before, out, e) == 0)
		return 0;
	checks_fini(out);
	return -1;
}

int
job_may_begin(struct job *j, enum migration_phase phase, struct err *e)
{
	return j->kind->may_begin == NULL ? 0 : j->kind->may_begin(j, phase, e);
}

/* ---- places ---- */

int
job_add_place(struct job *j, const char *place, const struct site_node *n, const char *dbname,
	      struct err *e)
{
	if (job_place(j, place) != NULL)
		return err_set(e, "42710", "place %s is there twice", place);
	j->places = xreallocarray(j->places, j->nplaces + 1, sizeof(*j->places));
	j->places[j->nplaces++] =
	    (struct place){ .name = xstrdup(place), .node = *n, .dbname = xstrdup(dbname) };
	return 0;
}

struct place *
job_place(const struct job *j, const char *name)
{
	for (size_t i = 0; i < j->nplaces; i++)
		if (strcmp(j->places[i].name, name) == 0)
			return &j->places[i];
	return NULL;
}

static struct place *
known_place(const struct job *j, const char *name, struct err *e)
{
	struct place *p = job_place(j, name);

	if (p == NULL)
		err_set(e, "XX000", "migration %d has no place %s", j->m.id, name);
	return p;
}

static PGconn *
connect_to(struct job *j, const struct place *p, const char *dbname, struct err *e)
{
	const struct site *s = j->site;
	char *words = s->ops->conninfo(s->arg, &p->node, dbname != NULL ? dbname : p->dbname);
	PGconn *c = db_connect(words, j->x != NULL ? j->m.id : 0, e);

	free(words);
	if (c != NULL && j->is_read_only &&
	    db_exec(c, e, "SET default_transaction_read_only = on") < 0) {
		PQfinish(c);
		c = NULL;
	}
	if (c == NULL)
		err_prefix(e, "%s (%s)", p->name, p->node.name);
	return c;
}

void
job_set_read_only(struct job *j)
{
	j->is_read_only = true;
	for (size_t i = 0; i < j->nplaces; i++) {
		PQfinish(j->places[i].c);
		j->places[i].c = NULL;
	}
}

void
job_set_cancel(struct job *j, bool (*is_cancelled)(void *arg), void *arg)
{
	j->is_cancelled = is_cancelled;
	j->cancel_arg = arg;
}

/* Another executor may have taken over while we were cut off: without a fresh heartbeat the lease
 * is read at the home before a new connection is opened. */
static int
still_ours(struct job *j, const struct place *p, struct err *e)
{
	int64_t last;

	if (j->x == NULL || p == &j->places[j->home])
		return 0;
	pthread_mutex_lock(&j->x->heartbeat.lock);
	last = j->x->heartbeat.last_us;
	pthread_mutex_unlock(&j->x->heartbeat.lock);
	if (clock_us() - last < j->x->lease.lease_us / 2)
		return 0;
	PGconn *home = job_home(j, e);

	return home != NULL ? lease_check(home, &j->x->lease, e) : -1;
}

/* End what an older executor has left there; not the backends of our own connections. */
static int
evict(struct job *j, struct place *p, struct err *e)
{
	int *own = xcalloc(j->nplaces + 1, sizeof(*own));
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < j->nplaces; i++)
		if (j->places[i].c != NULL)
			own[n++] = PQbackendPID(j->places[i].c);
	own[n++] = atomic_load(&j->x->heartbeat.pid);
	rc = lease_evict(p->c, &j->x->lease, own, n, e);
	free(own);
	p->is_evicted = rc == 0;
	return rc;
}

/* The lease of this place's control schema, where it has one. */
static int
claim(struct job *j, struct place *p, struct err *e)
{
	bool is_there;
	int64_t seen = 0;

	if (store_exists(p->c, &is_there, e) < 0)
		return -1;
	if (!is_there)
		return 0;
	if (lease_claim(p->c, &j->x->lease, &seen, e) < 0) {
		j->x->higher_token = seen;
		return -1;
	}
	p->is_claimed = true;
	return 0;
}

/* An idle connection may have been closed by the server; its last message is one read, the end of
 * the stream is another. */
static bool
is_open(PGconn *c)
{
	if (c == NULL || PQstatus(c) != CONNECTION_OK)
		return false;
	if (PQtransactionStatus(c) != PQTRANS_IDLE)
		return true;
	return PQconsumeInput(c) == 1 && PQconsumeInput(c) == 1 && PQstatus(c) == CONNECTION_OK;
}

static int
place_open(struct job *j, struct place *p, struct err *e)
{
	if (is_open(p->c))
		return 0;
	PQfinish(p->c);
	p->is_claimed = false;
	p->c = NULL;
	if (still_ours(j, p, e) < 0)
		return -1;
	p->c = connect_to(j, p, NULL, e);
	return p->c != NULL ? 0 : -1;
}

PGconn *
job_db(struct job *j, const char *place, struct err *e)
{
	struct place *p = known_place(j, place, e);

	if (p == NULL || place_open(j, p, e) < 0)
		return NULL;
	if (j->x == NULL || j->x->lease.token == 0)
		return p->c;
	if ((!p->is_evicted && evict(j, p, e) < 0) ||
	    (!p->is_claimed && PQtransactionStatus(p->c) == PQTRANS_IDLE && claim(j, p, e) < 0))
		return NULL;
	return p->c;
}

PGconn *
job_db_new(struct job *j, const char *place, const char *dbname, struct err *e)
{
	struct place *p = known_place(j, place, e);

	if (p == NULL || still_ours(j, p, e) < 0)
		return NULL;
	return connect_to(j, p, dbname, e);
}

PGconn *
job_home(struct job *j, struct err *e)
{
	return job_db(j, j->places[j->home].name, e);
}

int
job_claim_places(struct job *j, struct err *e)
{
	for (size_t i = 0; i < j->nplaces; i++) {
		struct place *p = &j->places[i];
		struct err why = { .msg = "" };

		/* What cannot be reached is asked again when a step needs it. */
		if (place_open(j, p, &why) < 0)
			continue;
		if (job_db(j, p->name, &why) != NULL || PQstatus(p->c) != CONNECTION_OK)
			continue;
		*e = why;
		return -1;
	}
	return 0;
}

const char *
job_first_place(const struct job *j)
{
	return j->places[0].name;
}

const struct site_node *
job_node(const struct job *j, const char *place)
{
	const struct place *p = job_place(j, place);

	return p != NULL ? &p->node : NULL;
}

const char *
job_dbname(const struct job *j, const char *place)
{
	const struct place *p = job_place(j, place);

	return p != NULL ? p->dbname : NULL;
}

char *
job_conninfo(struct job *j, const char *place, const char *dbname)
{
	const struct place *p = job_place(j, place);
	char *words, *out;

	if (p == NULL)
		return NULL;
	words = j->site->ops->conninfo(j->site->arg, &p->node, dbname != NULL ? dbname : p->dbname);
	out = db_conninfo(words, j->m.id);
	free(words);
	return out;
}

int
job_check_lease(struct job *j, PGconn *c, struct err *e)
{
	return j->x != NULL ? lease_check(c, &j->x->lease, e) : 0;
}

void *
job_memory(struct job *j, size_t n, void (*fini)(void *memory))
{
	if (j->memory == NULL) {
		j->memory = xcalloc(1, n);
		j->memory_fini = fini;
	}
	return j->memory;
}

/* ---- what is known of it ---- */

int
job_id(const struct job *j)
{
	return j->m.id;
}

const char *
job_database(const struct job *j)
{
	return j->m.database;
}

const struct spec *
job_spec(const struct job *j)
{
	return &j->spec;
}

const struct site *
job_site(const struct job *j)
{
	return j->site;
}

uint64_t
job_attempt(const struct job *j)
{
	return j->x != NULL ? (uint64_t)j->x->lease.token : 0;
}

enum migration_state
job_state(const struct job *j)
{
	return j->m.state;
}

bool
job_step_done(const struct job *j, const char *name, const char *label)
{
	for (size_t i = 0; i < j->plan.n; i++) {
		const struct migration_step *s = &j->plan.v[i];

		if (strcmp(s->def->name, name) == 0 &&
		    (label == NULL || strcmp(s->label, label) == 0))
			return step_is_done(s);
	}
	return false;
}

/* ---- options ---- */

void
job_load_options(struct job *j, const char *json)
{
	json_t *read = json_loads(json, 0, NULL);

	if (j->options != NULL)
		json_array_append_new(j->retired, j->options);
	j->options = json_is_object(read) ? read : json_object();
	if (j->options != read)
		json_decref(read);
}

const char *
job_option(const struct job *j, const char *name)
{
	const char *value = json_string_value(json_object_get(j->options, name));
	const struct migration_option *def;
	struct err e;

	if (value != NULL)
		return value;
	def = migration_option_find(j->m.kind, name, &e);
	return def != NULL ? def->standard : "";
}

bool
job_option_is(const struct job *j, const char *name, const char *value)
{
	return strcmp(job_option(j, name), value) == 0;
}

int64_t
job_option_usec(const struct job *j, const char *name)
{
	return migration_option_usec(job_option(j, name));
}

int64_t
job_option_int(const struct job *j, const char *name)
{
	return migration_option_int(job_option(j, name));
}
