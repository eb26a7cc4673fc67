/* SPDX-License-Identifier: PostgreSQL
 *
 * Launching: a pool opens a connection to its node and logs in with its credential. What the node
 * says of itself on the way becomes the pool's welcome for its sessions.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/bug.h"
#include "base/clock.h"
#include "protocol/frame.h"
#include "protocol/sqlstate.h"
#include "protocol/startup.h"
#include "proxy/pool/pool_int.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/signon.h"
#include "proxy/sqlstate/reports.h"
#include "proxy/sqlstate/statements.h"
#include "proxy/sqlstate/vars.h"

/* Up to a tenth less than server_lifetime, at random. */
static int64_t
expiry(int64_t lifetime, int64_t now_us)
{
	uint32_t random;

	if (lifetime == 0)
		return 0;
	BUG_ON(getrandom(&random, sizeof(random), 0) != sizeof(random));
	return now_us + lifetime - (int64_t)((double)lifetime / 10 * random / UINT32_MAX);
}

static void
on_signed_on(void *arg, struct server *sv, enum signon_end how, const struct err *e)
{
	struct pool *p = arg;
	struct worker *w = p->worker;
	int64_t now_us = clock_us();

	if (how != SIGNON_READY) {
		if (strcmp(e->sqlstate, SQLSTATE_CONNECTION_FAILURE) == 0)
			snprintf(p->reason, sizeof(p->reason), "%.199s", e->msg);
		else
			snprintf(p->reason, sizeof(p->reason), "%.180s (%.5s)", e->msg,
				 e->sqlstate);
		p->retry_us = now_us + w->world->config->main.server_login_retry;
		server_free(sv);
		pool_refuse(p, e, how);
		/* a descriptor may be there at any time, and the node has done nothing wrong */
		if (how == SIGNON_SCARCE)
			p->retry_us = 0;
		pools_arm(w->pools);
		return;
	}
	p->retry_us = 0;
	sv->vars = vars_empty(w->vars);
	sv->settled = vars_ref(sv->reported);
	greetings_restart(p->greetings, sv->vars, sv->reported);
	sv->statements = server_statements_new(w->texts);
	sv->launched_us = now_us;
	sv->expires_us = expiry(w->world->config->main.server_lifetime, now_us);
	pool_give(sv);
}

void
launch_begin(struct pool *p)
{
	struct buf about = { 0 }, startup = { .cap = 2 * STARTUP_BYTES_MAX };
	struct server *sv = server_new(p->worker, NULL, p->live);
	struct signon_order order = { .server = sv,
				      .credential = p->credential,
				      .user = p->user,
				      .access = p->access,
				      .done = on_signed_on,
				      .arg = p };
	const struct topology *t = worker_world(p->worker)->topology;
	const struct node *n = topology_node_by_live(t, p->live);
	struct startup_param set[] = {
		{ slice_str("user"), slice_str(p->user) },
		{ slice_str("database"), slice_str(p->dbname) },
		{ slice_str("meridian.region"), slice_str(p->live->region) },
		{ slice_str("options"), slice_str(p->options) },
	};
	struct startup st = { .kind = STARTUP_V3, .major = 3 };
	struct startup_edit edit = { .set = set, .set_n = 2 };

	sv->pool = p;
	pool_put(sv, SERVER_LAUNCHING);
	buf_printf(&about, "pool %s/%s", p->database, p->user);
	if (n != NULL && t->regions[n->region].export_locality)
		edit.set_n++;
	if (p->options[0] != '\0')
		set[edit.set_n++] = set[3];
	startup_build(&startup, &st, &edit);
	order.startup = startup.failed ? slice_of(NULL, 0) : buf_view(&startup);
	order.about = buf_text(&about);
	signon_begin(&order);
	buf_fini(&startup);
	buf_fini(&about);
}
