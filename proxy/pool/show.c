/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/pool/show.h"

#include "base/clock.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/statements.h"

static const char *
mode_of(const struct pool *p)
{
	const struct config *c = p->worker->world->config;

	return pool_mode_words[config_database(c, slice_str(p->database))->pool];
}

static void
pool_facts(struct pool *p, int64_t now_us, struct pool_facts *out)
{
	const struct pooled *first = TAILQ_FIRST(&p->waiting);

	*out = (struct pool_facts){
		.database = p->database,
		.user = p->user,
		.region = p->live->region,
		.node = p->live->name,
		.options = p->options,
		.mode = mode_of(p),
		.reason = p->retry_us > 0 ? p->reason : "",
		.cl_active = p->nsessions - p->nwaiting,
		.cl_waiting = p->nwaiting,
		.sv_used = p->n[SERVER_LENT],
		.sv_idle = p->n[SERVER_IDLE],
		.sv_login = p->n[SERVER_LAUNCHING],
		.sv_reset = p->n[SERVER_BUSY],
		.sv_held = p->n[SERVER_HELD],
		.size = pool_share(p->worker, pool_sizes(p)->size),
		.paused = p->paused,
		.lent = p->lent,
		.waited = p->waited,
		.wait_us = p->wait_us,
		.maxwait_us = first != NULL ? now_us - first->waiting_since_us : 0,
	};
}

void
pools_show(struct worker *w, void (*row)(void *arg, const struct pool_facts *f), void *arg)
{
	int64_t now_us = clock_us();
	struct pool_facts f;
	struct pool *p;

	TAILQ_FOREACH (p, pools_list(w->pools), all) {
		pool_facts(p, now_us, &f);
		row(arg, &f);
	}
}

static int64_t
wall_of(int64_t monotonic_us, int64_t now_us)
{
	return monotonic_us > 0 ? clock_wall_us() - (now_us - monotonic_us) : 0;
}

static void
server_facts(const struct server *sv, int64_t now_us, struct server_facts *out)
{
	*out = (struct server_facts){
		.database = sv->pool->database,
		.user = sv->pool->user,
		.region = sv->live->region,
		.node = sv->live->name,
		.state = server_place_name((enum server_place)sv->place),
		.mode = mode_of(sv->pool),
		.tls = stream_tls_version(&sv->stream),
		.tls_cipher = stream_tls_cipher(&sv->stream),
		.session = sv->session != NULL ? sv->session->id : 0,
		.pid = sv->pid,
		.close_needed = sv->close_needed,
		.prepared =
		    sv->statements != NULL ? (unsigned)server_statements_count(sv->statements) : 0,
		.connected_at_us = wall_of(sv->launched_us, now_us),
		.since_us = wall_of(sv->since_us, now_us),
		.rtt_us = stream_rtt_us(&sv->stream),
	};
}

void
pools_show_servers(struct worker *w, void (*row)(void *arg, const struct server_facts *f),
		   void *arg)
{
	int64_t now_us = clock_us();
	const struct server *sv;
	struct server_facts f;
	struct pool *p;

	TAILQ_FOREACH (p, pools_list(w->pools), all) {
		for (int i = SERVER_LAUNCHING; i < SERVER_PLACES; i++) {
			TAILQ_FOREACH (sv, &p->places[i], in_place) {
				server_facts(sv, now_us, &f);
				row(arg, &f);
			}
		}
	}
}

static bool
is_meant(const char *wanted, const char *name)
{
	return wanted == NULL || strcmp(wanted, name) == 0;
}

unsigned
pools_renew(struct worker *w, const char *database, const char *region)
{
	unsigned own = 0;
	struct pool *p;

	TAILQ_FOREACH (p, pools_list(w->pools), all) {
		if (is_meant(database, p->database) && is_meant(region, p->live->region))
			pool_reconnect(p);
	}
	for (uint32_t i = 0; i < w->nslots; i++) {
		const struct session *s = w->slots[i];

		own += s != NULL && s->server != NULL && s->server->pool == NULL &&
		       (database == NULL || slice_is(session_name(s, NAME_DATABASE), database)) &&
		       is_meant(region, s->server->live->region);
	}
	return own;
}
