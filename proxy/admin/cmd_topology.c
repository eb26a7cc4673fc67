/* SPDX-License-Identifier: PostgreSQL
 *
 * Listings of regions, nodes, overrides, databases and listeners. All of them are read from the
 * world that the run holds, so a listing is of one moment however long it takes to send.
 */
#include "config.h"

#include "base/clock.h"
#include "proxy/admin/commands.h"
#include "proxy/process/meridian.h"
#include "proxy/process/worker.h"
#include "proxy/process/world.h"

static unsigned
sessions_of(const struct node *n)
{
	return n->live != NULL ? atomic_load_explicit(&n->live->sessions, memory_order_relaxed) : 0;
}

static int64_t
known_us(int64_t us)
{
	return us > 0 ? us : -1;
}

/* ---- SHOW REGIONS ---- */

static const struct column region_columns[] = {
	{ "region", COLUMN_TEXT },    { "lat", COLUMN_FLOAT8 },    { "lon", COLUMN_FLOAT8 },
	{ "nodes", COLUMN_INT4 },     { "usable", COLUMN_INT4 },   { "drained", COLUMN_BOOL },
	{ "sessions", COLUMN_INT8 },  { "rtt_ms", COLUMN_FLOAT8 }, { "bias", COLUMN_INT4 },
	{ "self", COLUMN_BOOL },      { "strict", COLUMN_BOOL },   { "cities", COLUMN_TEXT },
	{ "countries", COLUMN_TEXT }, { "networks", COLUMN_TEXT },
};

static void
row_list(struct rows *rows, const struct strlist *list)
{
	struct buf text = { 0 };

	for (size_t i = 0; i < list->n; i++)
		buf_printf(&text, "%s%s", i > 0 ? ", " : "", list->v[i]);
	row_text(rows, buf_view(&text));
	buf_fini(&text);
}

/* The address blocks of a region, and the private endpoints that `networks` lists among them. */
static void
row_networks(struct rows *rows, const struct region *region)
{
	const struct cidrlist *list = &region->networks;
	const struct strlist *endpoints = &region->endpoints;
	char one[ADDR_TEXT_MAX];
	struct buf text = { 0 };

	for (size_t i = 0; i < list->n; i++)
		buf_printf(&text, "%s%s", i > 0 ? ", " : "", cidr_print(&list->v[i], one));
	for (size_t i = 0; i < endpoints->n; i++)
		buf_printf(&text, "%s%s", text.n > 0 ? ", " : "", endpoints->v[i]);
	row_text(rows, buf_view(&text));
	buf_fini(&text);
}

static void
row_degrees(struct rows *rows, const struct region *region, double v)
{
	if (region->has_location)
		row_float(rows, v);
	else
		row_null(rows);
}

static enum step
regions_row(struct run *r)
{
	const struct topology *t = r->world->topology;
	const struct region *region;
	int64_t now_us = clock_us(), sessions = 0, rtt_us = -1;
	int usable = 0;

	if (r->at >= t->nregions)
		return STEP_DONE;
	region = &t->regions[r->at];
	for (unsigned i = 0; i < region->nnodes; i++) {
		const struct node *n = &t->nodes[region->first_node + i];

		sessions += sessions_of(n);
		if (!node_usable(t, n, now_us))
			continue;
		usable++;
		if (n->rtt_us > 0 && (rtt_us < 0 || n->rtt_us < rtt_us))
			rtt_us = n->rtt_us;
	}
	row_begin(&r->rows);
	row_str(&r->rows, region->name);
	row_degrees(&r->rows, region, region->lat);
	row_degrees(&r->rows, region, region->lon);
	row_int(&r->rows, region->nnodes);
	row_int(&r->rows, usable);
	row_bool(&r->rows, region->drained);
	row_int(&r->rows, sessions);
	row_ms(&r->rows, rtt_us);
	row_int(&r->rows, region->bias);
	row_bool(&r->rows, t->self_region == (int)r->at);
	row_bool(&r->rows, region->strict);
	row_list(&r->rows, &region->cities);
	row_list(&r->rows, &region->countries);
	row_networks(&r->rows, region);
	row_end(&r->rows);
	r->at++;
	return STEP_MORE;
}

/* ---- SHOW NODES ---- */

static const struct column node_columns[] = {
	{ "region", EVERYDAY_CUT(COLUMN_TEXT, 15) },
	{ "node", EVERYDAY_CUT(COLUMN_TEXT, 21) },
	{ "kind", COLUMN_TEXT },
	{ "role", EVERYDAY(COLUMN_TEXT) },
	{ "state", EVERYDAY(COLUMN_TEXT) },
	{ "drained", EVERYDAY(COLUMN_BOOL) },
	{ "rtt_ms", EVERYDAY(COLUMN_FLOAT8) },
	{ "lag_ms", EVERYDAY(COLUMN_FLOAT8) },
	{ "lag_bytes", COLUMN_INT8 },
	{ "sample_age_ms", COLUMN_FLOAT8 },
	{ "sessions", COLUMN_INT8 },
	{ "version", COLUMN_TEXT },
	{ "reason", EVERYDAY_CUT(COLUMN_TEXT, 15) },
	{ "addresses", COLUMN_TEXT },
	{ "connect_ms", COLUMN_FLOAT8 },
	{ "connects", COLUMN_INT8 },
	{ "failures", COLUMN_INT8 },
	{ "read_only", COLUMN_BOOL },
	{ "timeline", COLUMN_INT8 },
	{ "system_identifier", COLUMN_TEXT },
	{ "used_connections", COLUMN_INT4 },
	{ "max_connections", COLUMN_INT4 },
	{ "tls", EVERYDAY_CUT(COLUMN_TEXT, 7) },
	{ "tls_cipher", COLUMN_TEXT },
	{ "origin", COLUMN_TEXT },
};

/* Shows the number 150006 as 15.6, and 90603 as 9.6.3. */
static void
row_version(struct rows *rows, int num)
{
	if (num <= 0)
		row_null(rows);
	else if (num >= 100000)
		row_printf(rows, "%d.%d", num / 10000, num % 10000);
	else
		row_printf(rows, "%d.%d.%d", num / 10000, num / 100 % 100, num % 100);
}

/* The columns that only SHOW NODES FULL has. */
static void
node_details(struct rows *rows, const struct node *n)
{
	bool live = n->live != NULL;
	/* of Meridian's last connection to the node */
	const char *tls = live ? atomic_load(&n->live->tls_version) : NULL;
	row_addresses(rows, n->addrs, n->naddrs);
	row_ms(rows, known_us(n->connect_us));
	row_count(rows, live ? atomic_load(&n->live->connects) : 0);
	row_count(rows, live ? atomic_load(&n->live->failures) : 0);
	row_bool(rows, n->read_only);
	row_int_known(rows, n->timeline > 0 ? (int64_t)n->timeline : -1);
	if (n->system_id == 0)
		row_null(rows);
	else
		row_printf(rows, "%llu", (unsigned long long)n->system_id);
	row_int_known(rows, n->max_connections > 0 ? n->used_connections : -1);
	row_int_known(rows, n->max_connections > 0 ? n->max_connections : -1);
	row_str(rows, tls != NULL && tls[0] == '\0' ? "off" : tls);
	row_str(rows, live ? atomic_load(&n->live->tls_cipher) : NULL);
	row_str(rows, n->origin != NULL ? n->origin : "configured");
}

static enum step
nodes_row(struct run *r)
{
	const struct topology *t = r->world->topology;
	int64_t now_us = clock_us();
	const struct node *n;

	if (r->at >= t->nnodes)
		return STEP_DONE;
	n = &t->nodes[r->at];
	row_begin(&r->rows);
	row_str(&r->rows, t->regions[n->region].name);
	row_str(&r->rows, n->name);
	row_str(&r->rows, node_kind_name(n->kind));
	row_str(&r->rows, node_role_name(n->role));
	row_str(&r->rows, node_state_name(node_state_at(t, n, now_us)));
	row_bool(&r->rows, n->drained);
	row_ms(&r->rows, known_us(n->rtt_us));
	row_ms(&r->rows, node_lag_us(n, now_us));
	row_int_known(&r->rows, n->lag_bytes);
	row_ms(&r->rows, n->sampled_at_us > 0 ? now_us - n->sampled_at_us : -1);
	row_int(&r->rows, sessions_of(n));
	row_version(&r->rows, n->server_version);
	row_str(&r->rows, n->reason);
	node_details(&r->rows, n);
	row_end(&r->rows);
	r->at++;
	return STEP_MORE;
}

/* ---- SHOW OVERRIDES ---- */

static const struct column override_columns[] = {
	{ "kind", COLUMN_TEXT },
	{ "value", COLUMN_TEXT },
	{ "region", COLUMN_TEXT },
	{ "until", COLUMN_TIME },
};

static enum step
overrides_row(struct run *r)
{
	static const char *const kinds[] = {
		[OVERRIDE_CITY] = "city",
		[OVERRIDE_COUNTRY] = "country",
		[OVERRIDE_NETWORK] = "network",
	};
	const struct topology *t = r->world->topology;
	const struct override *o;
	int64_t now_us = clock_us();

	if (r->at >= t->noverrides)
		return STEP_DONE;
	o = &t->overrides[r->at];
	r->at++;
	if (o->until_us > 0 && o->until_us <= now_us)
		return STEP_MORE;
	row_begin(&r->rows);
	row_str(&r->rows, kinds[o->kind]);
	row_str(&r->rows, o->value);
	row_str(&r->rows, t->regions[o->region].name);
	if (o->until_us > 0)
		row_time(&r->rows, clock_wall_us() + o->until_us - now_us);
	else
		row_null(&r->rows);
	row_end(&r->rows);
	return STEP_MORE;
}

/* ---- SHOW DATABASES ---- */

static const struct column database_columns[] = {
	{ "database", COLUMN_TEXT }, { "dbname", COLUMN_TEXT },    { "regions", COLUMN_TEXT },
	{ "access", COLUMN_TEXT },   { "residency", COLUMN_TEXT },
};

static enum step
databases_row(struct run *r)
{
	const struct config *config = r->world->config;
	const struct conf_database *d;

	if (r->at >= config->ndatabases)
		return STEP_DONE;
	d = &config->databases[r->at++];
	row_begin(&r->rows);
	row_str(&r->rows, d->name);
	row_str(&r->rows, d->dbname);
	row_list(&r->rows, &d->regions);
	row_str(&r->rows, access_words[d->access]);
	row_str(&r->rows, d->residency == RESIDENCY_STRICT ? "strict" : "prefer");
	row_end(&r->rows);
	return STEP_MORE;
}

/* ---- SHOW LISTENERS ---- */

static const struct column listener_columns[] = {
	{ "listener", COLUMN_TEXT },       { "listen", COLUMN_TEXT },
	{ "proxy_protocol", COLUMN_TEXT }, { "tls", COLUMN_TEXT },
	{ "tls_cert_file", COLUMN_TEXT },  { "sni_suffix", COLUMN_TEXT },
};

/* The n-th address of all listeners, and which listener that is: both are as the process has
 * started with them, without changes of the configuration that need a restart. */
static const char *
listener_address(const struct config *begun, size_t n, size_t *listener)
{
	for (size_t i = 0; i < begun->nlisteners; i++) {
		const struct strlist *at = &begun->listeners[i].listen;

		*listener = i;
		if (n < at->n)
			return at->v[n];
		n -= at->n;
	}
	return NULL;
}

static enum step
listeners_row(struct run *r)
{
	size_t listener = 0;
	const char *address =
	    listener_address(worker_process(r->worker)->begun, r->at++, &listener);
	const struct conf_listener *l;

	if (address == NULL)
		return STEP_DONE;
	l = &r->world->config->listeners[listener];
	row_begin(&r->rows);
	row_str(&r->rows, l->name);
	row_str(&r->rows, address);
	row_str(&r->rows, tri_mode_words[l->proxy_protocol]);
	row_str(&r->rows, tri_mode_words[l->tls]);
	row_str(&r->rows, l->tls_cert_file);
	row_str(&r->rows, l->sni_suffix);
	row_end(&r->rows);
	return STEP_MORE;
}

static const struct command commands[] = {
	{ .words = "SHOW REGIONS",
	  COLUMNS(region_columns),
	  .row = regions_row,
	  .help = "one row per region: where it is, how many of its nodes can take sessions, the "
		  "shortest round trip to one of them",
	  .brief = "one row per region: where it is, and its usable nodes",
	  .example = "SHOW REGIONS",
	  .answer = "us-east1|33.1963|-80.0143|2|2|f|12|0.802|0|t|f|new york||10.0.0.0/16" },
	{ .words = "SHOW NODES",
	  .args = "[FULL]",
	  COLUMNS(node_columns),
	  .row = nodes_row,
	  .help = "one row per node: what it is, how it is, and why it is not used",
	  .example = "SHOW NODES",
	  .answer = "us-east1|10.0.10.15:5432|primary|up|f|4.473|0||TLSv1.3\n"
		    "us-east1|10.0.10.16:5432|standby|up|f|0.802|1979.576||" },
	{ .words = "SHOW DATABASES",
	  COLUMNS(database_columns),
	  .row = databases_row,
	  .help = "one row per [database] section: where it is served, and which nodes it wants",
	  .brief = "one row per [database] section: where it is served",
	  .example = "SHOW DATABASES",
	  .answer = "movr|movr|us-east1, europe-west1|read-write|prefer" },
	{ .words = "SHOW LISTENERS",
	  COLUMNS(listener_columns),
	  .row = listeners_row,
	  .help = "one row per address that is listened on",
	  .example = "SHOW LISTENERS",
	  .answer = "main|0.0.0.0:6433|off|on|/etc/meridian/server.crt|\n"
		    "main|/run/meridian|off|off||" },
	{ .words = "SHOW OVERRIDES",
	  COLUMNS(override_columns),
	  .row = overrides_row,
	  .help = "one row per override, and until when it holds",
	  .example = "SHOW OVERRIDES",
	  .answer = "city|paris|us-east1|2026-11-21 14:16:28.070612+00" },
};

COMMAND_TABLE(commands_topology, commands);
