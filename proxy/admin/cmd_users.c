/* SPDX-License-Identifier: PostgreSQL
 *
 * SHOW USERS: users of the console, of auth_file, those that auth_query has answered lately, and
 * all others that have a session. It shows the kind of a secret, never the secret. SHOW HBA: the
 * rules of hba_file, which say who may log in from where.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

/* the default falls through its switch, which clang warns of */
#define HASH_FUNCTION(key, n, hash) HASH_FNV(key, n, hash)
#include <uthash.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/fanout.h"
#include "proxy/auth/authcache.h"
#include "proxy/auth/hba.h"
#include "proxy/auth/throttle.h"
#include "proxy/pool/pool.h"
#include "proxy/process/meridian.h"
#include "proxy/process/worker.h"
#include "proxy/process/world.h"
#include "proxy/session/session.h"

enum user_source { USER_OF_NOBODY, USER_OF_FILE, USER_OF_QUERY, USER_OF_NODE };

struct user {
	UT_hash_handle hh;
	enum user_source source;
	const char *secret;    /* the kind of the secret; NULL: Meridian knows none */
	const char *privilege; /* the user has it at the console; NULL: none */
	uint64_t sessions, servers;
	char name[];
};

struct tally {
	struct user *users;
	uint64_t seed;     /* of the hashes of their names */
	struct user *next; /* the next to be shown, once all are counted */
	bool sorted;
};

static struct user *
user_of(struct tally *t, struct slice name)
{
	uint32_t hash = hash_slice(t->seed, name);
	struct user *u;

	HASH_FIND_BYHASHVALUE(hh, t->users, name.p, name.n, hash, u);
	if (u != NULL)
		return u;
	u = xcalloc(1, sizeof(*u) + name.n + 1);
	memcpy(u->name, name.p, name.n);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->users, u->name, name.n, hash, u);
	return u;
}

static void
tally_free(void *arg)
{
	struct tally *t = arg;
	struct user *u, *next;

	HASH_ITER(hh, t->users, u, next)
	{
		HASH_DEL(t->users, u);
		free(u);
	}
	free(t);
}

static const char *
kind_of(const struct authfile_user *u)
{
	static const char *const kinds[] = {
		[AUTHFILE_SCRAM] = "scram-sha-256",
		[AUTHFILE_MD5] = "md5",
		[AUTHFILE_NONE] = "none",
	};

	return u->was_plain ? "plain" : kinds[u->kind];
}

static void
add_listed(const struct authfile_user *listed, void *arg)
{
	struct user *u = user_of(arg, slice_of(listed->name, listed->name_len));

	u->source = USER_OF_FILE;
	u->secret = kind_of(listed);
}

static void
add_told(const struct authrecord *r, void *arg)
{
	struct user *u = user_of(arg, slice_str(r->name));

	if (u->source != USER_OF_NOBODY)
		return;
	u->source = USER_OF_QUERY;
	u->secret = kind_of(&r->user);
}

/* Counts one session; runs on the worker that owns it. */
static void
count_session(struct fanout *a, const struct session *s)
{
	struct session_facts f;
	struct user *u;

	session_facts(s, false, &f);
	if (f.user.n == 0 || f.console)
		return;
	u = user_of(a->tally, f.user);
	if (u->source == USER_OF_NOBODY)
		u->source = USER_OF_NODE;
	u->sessions++;
	u->servers += f.node[0] != '\0' && !f.pooled;
}

/* Counts the connections of the worker's pools, lent or not, for their users, and its sessions. */
static enum answer
count_worker(struct fanout *a)
{
	const struct pool *p;
	struct user *u;
	if (a->slot == 0) {
		TAILQ_FOREACH (p, pools_of_worker(a->to), all) {
			u = user_of(a->tally, slice_str(p->user));
			for (int i = 0; i < SERVER_PLACES; i++)
				u->servers += p->n[i];
		}
	}
	return fanout_sessions(a);
}

static void
add_console_users(struct tally *t, const struct strlist *users, const char *privilege)
{
	for (size_t i = 0; i < users->n; i++) {
		struct user *u = user_of(t, slice_str(users->v[i]));

		if (u->privilege == NULL)
			u->privilege = privilege;
	}
}

static int
users_begin(struct run *r)
{
	const struct config *config = r->world->config;
	const struct meridian *m = worker_process(r->worker);
	struct fanout *a = fanout_begin(r, count_worker);
	struct tally *t = xcalloc(1, sizeof(*t));

	a->row = count_session;
	t->seed = hash_new_seed();
	a->tally = t;
	a->tally_free = tally_free;
	add_console_users(t, &config->main.admin_users, "admin");
	add_console_users(t, &config->main.migration_users, "migration");
	add_console_users(t, &config->main.stats_users, "stats");
	if (config->auth != NULL)
		authfile_walk(config->auth, add_listed, t);
	authcache_walk(m->authcache, add_told, t);
	return 0;
}

static const struct column user_columns[] = {
	{ "user", COLUMN_TEXT },
	{ "privilege", COLUMN_TEXT },
	{ "secret", COLUMN_TEXT },
	{ "source", COLUMN_TEXT },
	{ "sessions", COLUMN_INT8 },
	{ "server_connections", COLUMN_INT8 },
	{ "max_user_connections", COLUMN_INT8 },
	{ "throttled_until", COLUMN_TIME },
	{ "throttled_addresses", COLUMN_INT8 },
	{ "trusted_addresses", COLUMN_INT8 },
	{ "limited_until", COLUMN_TIME },
};

static void
put_until(struct run *r, int64_t until_us, int64_t now_us)
{
	if (until_us > 0)
		row_time(&r->rows, clock_wall_us() + until_us - now_us);
	else
		row_null(&r->rows);
}

static void
put_user(struct run *r, const struct user *u)
{
	static const char *const sources[] = {
		[USER_OF_NOBODY] = NULL,
		[USER_OF_FILE] = "auth_file",
		[USER_OF_QUERY] = "auth_query",
		[USER_OF_NODE] = "node",
	};
	const struct meridian *m = worker_process(r->worker);
	int64_t now_us = clock_us();
	struct throttle_count n = throttle_count_user(m->throttle, slice_str(u->name), now_us);
	row_begin(&r->rows);
	row_str(&r->rows, u->name);
	row_str(&r->rows, u->privilege);
	row_str(&r->rows, u->secret);
	row_str(&r->rows, sources[u->source]);
	row_count(&r->rows, u->sessions);
	row_count(&r->rows, u->servers);
	row_int(&r->rows, r->world->config->main.max_user_connections);
	put_until(r, n.until_us, now_us);
	row_count(&r->rows, n.throttled);
	row_count(&r->rows, n.trusted);
	put_until(r, n.limited_until_us, now_us);
	row_end(&r->rows);
}

static int
by_name(const struct user *a, const struct user *b)
{
	return strcmp(a->name, b->name);
}

static enum step
users_row(struct run *r)
{
	struct fanout *a = r->state;
	struct tally *t = a->tally;
	enum step step = t->sorted ? STEP_DONE : fanout_row(r);

	if (step != STEP_DONE)
		return step;
	if (!t->sorted) {
		HASH_SORT(t->users, by_name);
		t->next = t->users;
		t->sorted = true;
	}
	if (t->next == NULL)
		return STEP_DONE;
	put_user(r, t->next);
	t->next = t->next->hh.next;
	return STEP_MORE;
}

/* ---- SHOW HBA ---- */

static const struct column hba_columns[] = {
	{ "rule", COLUMN_INT4 },    { "file", COLUMN_TEXT },     { "line", COLUMN_INT4 },
	{ "type", COLUMN_TEXT },    { "database", COLUMN_TEXT }, { "user", COLUMN_TEXT },
	{ "address", COLUMN_TEXT }, { "method", COLUMN_TEXT },   { "options", COLUMN_TEXT },
};

static enum step
hba_row(struct run *r)
{
	const struct hba *h = r->world->config->hba;
	const struct hba_rule *rule;
	struct buf b = { 0 };
	if (h == NULL || r->at >= hba_count(h))
		return STEP_DONE;
	rule = hba_rule(h, r->at++);
	row_begin(&r->rows);
	row_int(&r->rows, (int64_t)r->at);
	row_str(&r->rows, rule->file);
	row_int(&r->rows, rule->line);
	for (int column = HBA_TYPE; column <= HBA_OPTIONS; column++) {
		buf_clear(&b);
		hba_put(&b, rule, (enum hba_column)column);
		row_str(&r->rows, b.n > 0 ? buf_text(&b) : NULL);
	}
	buf_fini(&b);
	row_end(&r->rows);
	return STEP_MORE;
}

static const struct command commands[] = {
	{ .words = "SHOW USERS",
	  COLUMNS(user_columns),
	  .begin = users_begin,
	  .row = users_row,
	  .end = fanout_end,
	  .help = "one row per user: of the console, of auth_file, lately told by auth_query, or "
		  "known to its node alone; what kind of secret it has, until when its logins are "
		  "throttled from an address where too many have failed, from how many addresses "
		  "they are, from how many it has logged in right within a day, so that it gets "
		  "in all the same, and until when its logins from elsewhere are limited, as too "
		  "many have failed from all addresses together",
	  .brief = "one row per user: where it is known from, and its sessions",
	  .example = "SHOW USERS",
	  .answer = "admin|admin|scram|auth_file|1|0|||0|1|\n"
		    "app|user||auth_query|12|4|40||0|3|" },
	{ .words = "SHOW HBA",
	  COLUMNS(hba_columns),
	  .row = hba_row,
	  .help = "the rules of hba_file in their order, as PostgreSQL would write them",
	  .brief = "the rules of hba_file in their order",
	  .example = "SHOW HBA",
	  .answer = "1|/etc/meridian/hba.conf|3|hostssl|movr|app|10.0.0.0/8|scram-sha-256|" },
};

COMMAND_TABLE(commands_users, commands);
