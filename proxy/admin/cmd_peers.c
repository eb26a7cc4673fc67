/* SPDX-License-Identifier: PostgreSQL
 *
 * SHOW PEERS: the other proxies of the fleet, and how many cancel requests were handed on to each.
 */
#include "config.h"

#include "proxy/admin/commands.h"
#include "proxy/process/fleet.h"
#include "proxy/process/world.h"
#include "routing/topology.h"

static const struct column peer_columns[] = {
	{ "peer_id", COLUMN_INT4 }, { "host", COLUMN_TEXT },       { "port", COLUMN_INT4 },
	{ "state", COLUMN_TEXT },   { "forwarded", COLUMN_INT8 },  { "received", COLUMN_INT8 },
	{ "failed", COLUMN_INT8 },  { "last_error", COLUMN_TEXT }, { "addresses", COLUMN_TEXT },
};

static const char *
state_of(const struct run *r, const struct peer *p)
{
	if (p->id == r->world->config->main.peer_id)
		return "self";
	return peer_state_name((enum peer_state)atomic_load(&p->state));
}

static enum step
peers_row(struct run *r)
{
	const struct fleet *f = r->world->fleet;
	char last_error[PEER_ERROR_MAX];
	const struct node *n;
	struct peer *p;

	if (f == NULL || r->at >= f->n)
		return STEP_DONE;
	p = f->peers[r->at];
	n = &f->nodes->nodes[r->at++];
	peer_last_error(p, last_error);
	row_begin(&r->rows);
	row_int(&r->rows, p->id);
	row_str(&r->rows, n->host);
	row_int(&r->rows, n->port);
	row_str(&r->rows, state_of(r, p));
	row_count(&r->rows, atomic_load(&p->forwarded));
	row_count(&r->rows, atomic_load(&p->received));
	row_count(&r->rows, atomic_load(&p->failed));
	row_str(&r->rows, last_error[0] != '\0' ? last_error : NULL);
	row_addresses(&r->rows, n->addrs, n->naddrs);
	row_end(&r->rows);
	return STEP_MORE;
}

static const struct command commands[] = {
	{ .words = "SHOW PEERS",
	  COLUMNS(peer_columns),
	  .row = peers_row,
	  .help =
	      "one row per proxy of the fleet: where it is, whether the last cancel request that "
	      "it was handed arrived, and how many went which way",
	  .brief = "one row per proxy of the fleet, and cancel requests to it",
	  .example = "SHOW PEERS",
	  .answer = "2|proxy2.example.com|6433|up|4|1|0||10.0.20.2:6433" },
};

COMMAND_TABLE(commands_peers, commands);
