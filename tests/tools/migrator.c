/* SPDX-License-Identifier: PostgreSQL
 *
 * The engine of migrations by itself, for tests: one process stands for one proxy, with a kind
 * whose steps write down in table `did` what they have done.
 *
 *     migrator -i ID [-l LEASE_MS] [-w] REGION=HOST:PORT … -- COMMAND …
 *
 * create DB NAME      make a migration; prints its number
 * run M WHAT          WHAT: prepare, data, finalize, reverse, complete, all, next, again, abort;
 * returns when its executor has ended request M WORD      "pause", "abort" ack M GUARD         as
 * ACK MIGRATION show M              state, step, error list, executors     a line for each hold
 * SECONDS        keep the process
 *
 * -w: the watcher runs too. Exit status 1 and "SQLSTATE: message" where a command fails.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "migration/db.h"
#include "migration/fleet.h"
#include "migration/gate.h"
#include "migration/migrations.h"
#include "migration/migrations_int.h"

#define REGIONS_MAX 4

struct tool {
	const char *id;
	int64_t lease_us;
	struct site_node nodes[REGIONS_MAX];
	size_t nnodes;
	struct migrations *ms;
	struct err e;
};

/* ---- what a proxy lends ---- */

static int
site_nodes(void *arg, const char *place, struct site_node v[SITE_NODES_MAX], struct err *e)
{
	const struct tool *t = arg;

	for (size_t i = 0; i < t->nnodes; i++)
		if (strcmp(place, t->nodes[i].region) == 0 ||
		    strcmp(place, t->nodes[i].name) == 0) {
			v[0] = t->nodes[i];
			return 1;
		}
	return err_set(e, "42704", "there is no region %s", place);
}

static void
site_regions(void *arg, struct strlist *out)
{
	const struct tool *t = arg;

	for (size_t i = 0; i < t->nnodes; i++)
		strlist_add(out, t->nodes[i].region);
}

static char *
site_conninfo(void *arg, const struct site_node *n, const char *dbname)
{
	(void)arg;
	return xasprintf("host=%s port=%u user=postgres dbname='%s' connect_timeout=2", n->host,
			 n->port, dbname);
}

static void
site_settings(void *arg, struct site_settings *out)
{
	const struct tool *t = arg;

	*out = (struct site_settings){ .lease_us = t->lease_us, .crash_points = true };
	snprintf(out->authority_file, sizeof(out->authority_file), "%s",
		 getenv("AUTHORITY_FILE") != NULL ? getenv("AUTHORITY_FILE") : "");
}

static const char *
site_id(void *arg)
{
	return ((const struct tool *)arg)->id;
}

static const char *
site_address(void *arg)
{
	(void)arg;
	return "127.0.0.1";
}

static void
site_serve(void *arg, const char *database, const char *place, const char *newdb, int64_t epoch)
{
	(void)arg;
	printf("serve %s at %s as %s epoch %" PRId64 "\n", database, place, newdb, epoch);
	fflush(stdout);
}

static int
gate_freeze(void *arg, const struct gate_move *m, int64_t deadline_us, struct gate_counts *out,
	    struct err *e)
{
	(void)arg;
	(void)deadline_us;
	(void)e;
	*out = (struct gate_counts){ .sessions = 2 };
	printf("gate freeze %s\n", m->database);
	fflush(stdout);
	return 0;
}

static int
gate_switch(void *arg, const struct gate_move *m, struct gate_counts *out, struct err *e)
{
	(void)arg;
	(void)e;
	*out = (struct gate_counts){ .kept = 2 };
	printf("gate switch %s to %s\n", m->database, m->to);
	fflush(stdout);
	return 0;
}

static int
gate_prewarm(void *arg, const struct gate_move *m, int64_t deadline_us, struct err *e)
{
	(void)arg;
	(void)m;
	(void)deadline_us;
	(void)e;
	return 0;
}

static void
gate_resume(void *arg, const struct gate_move *m)
{
	(void)arg;
	printf("gate resume %s\n", m->database);
	fflush(stdout);
}

static const struct gate_ops gate = { .prewarm = gate_prewarm,
				      .freeze = gate_freeze,
				      .switch_over = gate_switch,
				      .resume = gate_resume };
static const struct site_ops ops = { .nodes = site_nodes,
				     .regions = site_regions,
				     .conninfo = site_conninfo,
				     .peer_conninfo = site_conninfo,
				     .settings = site_settings,
				     .proxy_id = site_id,
				     .proxy_address = site_address,
				     .proxy_region = site_id,
				     .serve = site_serve,
				     .gate = &gate };

/* ---- the kind: every act leaves a row in `did`, which is there from the first step on ---- */

static int
did(struct job *j, const char *what, const struct migration_step *s, struct err *e)
{
	PGconn *c = job_db(j, s->place, e);

	if (c == NULL)
		return -1;
	return db_execf(c, e, "INSERT INTO did (mig, what, label) VALUES (%d, '%s:%s', '%s')",
			job_id(j), s->def->name, what, s->label);
}

static int
make_table(struct job *j, const struct migration_step *s, struct err *e)
{
	return db_exec(
	    job_db(j, s->place, e), e,
	    "CREATE TABLE IF NOT EXISTS did (n serial, mig int, what text, label text, at "
	    "timestamptz DEFAULT clock_timestamp())");
}

static int
write_row(struct job *j, const struct migration_step *s, struct err *e)
{
	const char *slow = getenv("MIGRATOR_SLOW");

	if (slow != NULL && db_execf(job_db(j, s->place, e), e, "SELECT pg_sleep(%s)", slow) < 0)
		return -1;
	return did(j, "act", s, e);
}

static int
write_undo(struct job *j, const struct migration_step *s, struct err *e)
{
	return did(j, "undo", s, e);
}

static int
write_slowly(struct job *j, const struct migration_step *s, struct err *e)
{
	const char *ms = getenv("MIGRATOR_WAIT_MS");

	for (int i = 0; ms != NULL && i < atoi(ms) / 50; i++) {
		job_progress(j, i, "step %d of %d", i, atoi(ms) / 50);
		if (job_sleep(j, 50 * USEC_PER_MSEC, e) < 0)
			return -1;
	}
	return did(j, "act", s, e);
}

static int
is_written(struct job *j, const struct migration_step *s, bool *is_done, struct err *e)
{
	char id[16];
	const char *params[] = { s->def->name, id };

	snprintf(id, sizeof(id), "%d", job_id(j));

	return db_is(
	    job_db(j, s->place, e), is_done, e,
	    "SELECT count(*) FILTER (WHERE what = $1 || ':act') > count(*) FILTER (WHERE what "
	    "= $1 || ':undo') FROM did WHERE mig = CAST($2 AS int)",
	    2, params);
}

static int
note_before(struct job *j, const struct migration_step *s, char **json, struct err *e)
{
	(void)j;
	(void)s;
	(void)e;
	*json = xstrdup("{\"was\": \"nothing\"}");
	return 0;
}

static int
fail_on_order(struct job *j, const struct migration_step *s, struct err *e)
{
	bool fails;

	if (db_is(job_db(j, s->place, e), &fails, e,
		  "SELECT to_regclass('public.fail') IS NOT NULL", 0, NULL) < 0)
		return -1;
	if (fails)
		return err_set(e, "P0001", "the test wants %s to fail", s->def->name);
	return did(j, "act", s, e);
}

static int
wait_for_ack(struct job *j, const struct migration_step *s, struct err *e)
{
	if (getenv("MIGRATOR_ACK") != NULL && job_wait_ack(j, "ready", "say so", e) < 0)
		return -1;
	return did(j, "act", s, e);
}

static int
freeze_all(struct job *j, const struct migration_step *s, struct err *e)
{
	struct gate_move m = { .migration = job_id(j),
			       .attempt = job_attempt(j),
			       .database = job_database(j),
			       .from = "a",
			       .to = "b",
			       .expires_us = 60 * USEC_PER_SEC };
	struct gate_counts n;

	if (fleet_freeze(j, &m, clock_us() + 10 * USEC_PER_SEC, &n, e) < 0)
		return -1;
	job_notice(j, "frozen: %u sessions", n.sessions);
	return write_row(j, s, e);
}

static int
resume_all(struct job *j, const struct migration_step *s, struct err *e)
{
	struct gate_move m = { .migration = job_id(j), .database = job_database(j) };

	fleet_resume(j, &m);
	return write_undo(j, s, e);
}

static int
home_to_b(struct job *j, const struct migration_step *s, struct err *e)
{
	return job_set_home(j, "b", e) < 0 ? -1 : write_row(j, s, e);
}

/* clang-format off */
static const struct step_def table_def = { .name = "table", .phase = PHASE_PREPARE, .class = CLASS_R, .act = make_table };
static const struct step_def one_def = { .name = "one", .phase = PHASE_PREPARE, .class = CLASS_T, .before = note_before,
	.act = write_row, .undo = write_undo };
static const struct step_def two_def = { .name = "two", .phase = PHASE_PREPARE, .class = CLASS_I, .done = is_written,
	.act = write_row, .undo = write_undo };
static const struct step_def slow_def = { .name = "slow", .phase = PHASE_DATA, .class = CLASS_R, .act = write_slowly,
	.undo = write_undo };
static const struct step_def ack_def = { .name = "ack", .phase = PHASE_DATA, .class = CLASS_R, .act = wait_for_ack };
static const struct step_def freeze_def = { .name = "freeze", .phase = PHASE_FINALIZE, .class = CLASS_R,
	.in_pause = true, .act = freeze_all, .undo = resume_all };
static const struct step_def fence_def = { .name = "fence", .phase = PHASE_FINALIZE, .class = CLASS_I, .in_pause = true,
	.done = is_written, .act = fail_on_order, .undo = write_undo };
static const struct step_def decide_def = { .name = "decide", .phase = PHASE_FINALIZE, .class = CLASS_I,
	.in_pause = true, .once_decided = true, .done = is_written, .act = write_row };
static const struct step_def switch_def = { .name = "switch", .phase = PHASE_FINALIZE, .class = CLASS_I,
	.in_pause = true, .done = is_written, .act = write_row };
static const struct step_def home_def = { .name = "home", .phase = PHASE_FINALIZE, .class = CLASS_R, .act = home_to_b };
static const struct step_def tidy_def = { .name = "tidy", .phase = PHASE_COMPLETE, .class = CLASS_T, .act = write_row };
static const struct step_def *const defs[] = { &table_def, &one_def, &two_def, &slow_def, &ack_def, &freeze_def,
	&fence_def, &decide_def, &switch_def, &home_def, &tidy_def, NULL };
/* clang-format on */

static int
kind_resolve(struct job *j, struct err *e)
{
	const struct site *s = job_site(j);
	struct site_node v[SITE_NODES_MAX];

	for (const char *const *r = (const char *const[]){ "a", "b", NULL }; *r != NULL; r++)
		if (s->ops->nodes(s->arg, *r, v, e) < 0 ||
		    job_add_place(j, *r, &v[0], job_database(j), e) < 0)
			return -1;
	return 0;
}

static int
kind_check(struct job *j, enum migration_phase before, struct checks *out, struct err *e)
{
	bool stands;

	if (db_is(job_db(j, "a", e), &stands, e,
		  "SELECT to_regclass('public.in_the_way') IS NOT NULL", 0, NULL) < 0)
		return -1;
	if (stands)
		checks_add(out, CHECK_ERROR, "in_the_way", "public.in_the_way", "a table",
			   "DROP TABLE in_the_way");
	checks_add(out, CHECK_INFO, "phase", migration_phase_name(before), "", "");
	return 0;
}

static int
kind_plan(struct job *j, struct plan *out, struct err *e)
{
	(void)j;
	(void)e;
	plan_add(out, &table_def, "a", NULL, NULL);
	plan_add(out, &table_def, "b", NULL, NULL);
	plan_add(out, &one_def, "a", "x", "{\"k\": 1}");
	plan_add(out, &one_def, "b", "y", NULL);
	for (size_t i = 2; defs[i] != NULL; i++)
		plan_add(out, defs[i], i % 2 == 0 ? "a" : "b", NULL, NULL);
	return 0;
}

static const struct kind kind = { .id = KIND_FILES,
				  .defs = defs,
				  .resolve = kind_resolve,
				  .check = kind_check,
				  .plan = kind_plan };

/* ---- commands ---- */

static int
do_create(struct tool *t, char **v)
{
	struct migration m;
	int rc;

	migration_init(&m);
	m.kind = KIND_FILES;
	free(m.name);
	m.name = xstrdup(v[1]);
	free(m.database);
	m.database = xstrdup(v[0]);
	free(m.spec);
	m.spec = xasprintf("%s OF DATABASE %s FROM FILES '/'", v[1], v[0]);
	rc = migrations_create(t->ms, &m, "tester", &t->e);
	if (rc == 0)
		printf("%d\n", m.id);
	migration_fini(&m);
	return rc;
}

static void
print_at(void *to, const struct migration_at *at)
{
	(void)to;
	printf("%d %s %s|%s|%d %s|%s|%s\n", at->m.id, at->m.name, migration_state_name(at->m.state),
	       at->node.region, at->m.step_n, at->m.step, at->m.detail, at->m.error);
}

static int
do_show(struct tool *t, char **v)
{
	struct migration_at at;

	if (migrations_find(t->ms, v[0], &at, &t->e) < 0)
		return -1;
	print_at(NULL, &at);
	migration_at_fini(&at);
	return 0;
}

static int
do_list(struct tool *t, char **v)
{
	(void)v;
	migrations_list(t->ms, print_at, NULL, &t->e);
	return 0;
}

static void
print_executor(void *to, const struct executor_row *row)
{
	(void)to;
	printf("%d %s %s %s token %" PRId64 " %s\n", row->migration, row->database, row->place,
	       row->proxy, row->token, row->is_alive ? "alive" : "dead");
}

static int
do_executors(struct tool *t, char **v)
{
	(void)v;
	executors_list(t->ms, print_executor, NULL, &t->e);
	return 0;
}

static void
nap_ms(long ms)
{
	struct timespec nap = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&nap, NULL);
}

static struct run_request
request_of(const char *what)
{
	static const struct {
		const char *word;
		enum run_what what;
	} words[] = { { "all", RUN_ALL },         { "next", RUN_NEXT },
		      { "abort", RUN_ABORT },     { "again", RUN_AGAIN },
		      { "reverse", RUN_REVERSE }, { "complete", RUN_COMPLETE } };
	struct run_request rq = { .what = RUN_PHASE, .user = "tester" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(what, words[i].word) == 0)
			rq.what = words[i].what;
	if (rq.what == RUN_PHASE)
		rq.phase = (enum migration_phase)migration_phase_of(what);
	rq.force = getenv("MIGRATOR_FORCE");
	return rq;
}

static int
do_run(struct tool *t, char **v)
{
	struct run_request rq = request_of(v[1]);
	struct migration_at at;
	char uuid[UUID_SIZE];
	int rc;

	if (migrations_find(t->ms, v[0], &at, &t->e) < 0)
		return -1;
	snprintf(uuid, sizeof(uuid), "%s", at.m.uuid);
	rc = executor_start(t->ms, &at, &rq, &t->e);
	migration_at_fini(&at);
	printf("started %d\n", rc);
	fflush(stdout);
	while (rc == 0 && executor_is_here(t->ms, uuid))
		nap_ms(10);
	return rc < 0 ? -1 : do_show(t, v);
}

static int
do_request(struct tool *t, char **v)
{
	struct migration_at at;
	int rc;

	if (migrations_find(t->ms, v[0], &at, &t->e) < 0)
		return -1;
	rc = executor_request(t->ms, &at, v[1], &t->e);
	migration_at_fini(&at);
	return rc;
}

static int
do_ack(struct tool *t, char **v)
{
	struct migration_at at;
	int rc;

	if (migrations_find(t->ms, v[0], &at, &t->e) < 0)
		return -1;
	rc = store_ack(at.db, at.m.uuid, v[1], "", &t->e);
	migration_at_fini(&at);
	return rc;
}

static int
do_hold(struct tool *t, char **v)
{
	(void)t;
	nap_ms(atol(v[0]) * 1000);
	return 0;
}

static const struct {
	const char *word;
	int nargs;
	int (*run)(struct tool *t, char **v);
} commands[] = { { "create", 2, do_create },   { "run", 2, do_run },
		 { "request", 2, do_request }, { "ack", 2, do_ack },
		 { "show", 1, do_show },       { "list", 0, do_list },
		 { "hold", 1, do_hold },       { "executors", 0, do_executors } };

static int
command(struct tool *t, int argc, char **argv)
{
	for (size_t i = 0; argc > 0 && i < sizeof(commands) / sizeof(*commands); i++)
		if (strcmp(argv[0], commands[i].word) == 0 && argc > commands[i].nargs)
			return commands[i].run(t, argv + 1);
	return err_set(&t->e, "42601", "no such command");
}

static bool
add_region(struct tool *t, const char *arg)
{
	struct site_node *n = &t->nodes[t->nnodes];
	const char *eq = strchr(arg, '='), *colon = strrchr(arg, ':');

	if (eq == NULL || colon == NULL || colon < eq || t->nnodes == REGIONS_MAX)
		return false;
	snprintf(n->region, sizeof(n->region), "%.*s", (int)(eq - arg), arg);
	snprintf(n->host, sizeof(n->host), "%.*s", (int)(colon - eq - 1), eq + 1);
	n->port = (uint16_t)atoi(colon + 1);
	snprintf(n->name, sizeof(n->name), "%.*s:%u", (int)(colon - eq - 1), eq + 1, n->port);
	snprintf(n->kind, sizeof(n->kind), "postgres");
	n->is_primary = n->is_usable = true;
	t->nnodes++;
	return true;
}

int
main(int argc, char **argv)
{
	struct tool t = { .id = "p1", .lease_us = 5 * USEC_PER_SEC };
	struct site site = { .ops = &ops, .arg = &t };
	bool watches = false;
	int opt, rc;

	while ((opt = getopt(argc, argv, "+i:l:w")) != -1) {
		if (opt == 'i')
			t.id = optarg;
		else if (opt == 'l')
			t.lease_us = atol(optarg) * USEC_PER_MSEC;
		else if (opt == 'w')
			watches = true;
		else
			return 2;
	}
	while (optind < argc && add_region(&t, argv[optind]))
		optind++;
	if (optind < argc && strcmp(argv[optind], "--") == 0)
		optind++;
	t.ms = migrations_new(&site);
	t.ms->kinds[KIND_FILES] = &kind;
	if (watches)
		migrations_start(t.ms);
	rc = command(&t, argc - optind, argv + optind);
	if (rc < 0)
		printf("%s: %s%s%s\n", t.e.sqlstate, t.e.msg, *t.e.detail != '\0' ? " / " : "",
		       t.e.detail);
	migrations_free(t.ms);
	return rc < 0 ? 1 : 0;
}
