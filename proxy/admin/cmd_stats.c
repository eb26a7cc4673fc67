/* SPDX-License-Identifier: PostgreSQL
 *
 * Listings of counters, and of the other proxies of the fleet with theirs. Each worker writes its
 * own counters and any thread may read them, so the console reads them without asking the workers.
 */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "proxy/admin/commands.h"
#include "proxy/process/descriptors.h"
#include "proxy/process/fleet.h"
#include "proxy/process/meridian.h"
#include "proxy/process/stats.h"
#include "proxy/process/usage.h"
#include "proxy/process/worker.h"
#include "proxy/process/world.h"
#include "proxy/reads/reasons.h"
#include "proxy/session/session_int.h"
#include "proxy/session/why.h"
#include "routing/topology.h"

/* The counter at an offset of struct stats, on one worker. */
static uint64_t
counter_of(const struct worker *w, size_t offset)
{
	const char *at = (const char *)worker_stats(w) + offset;

	return stat_get((const _Atomic uint64_t *)(const void *)at);
}

static uint64_t
sum_of(const struct run *r, size_t offset)
{
	const struct meridian *m = worker_process(r->worker);
	uint64_t sum = 0;

	for (int i = 0; i < m->nworkers; i++)
		sum += counter_of(m->workers[i], offset);
	return sum;
}

/* ---- SHOW STATS ---- */

static const struct column stats_columns[] = {
	{ "counter", COLUMN_TEXT },
	{ "value", COLUMN_INT8 },
	{ "help", COLUMN_TEXT },
};

static enum step
stats_row(struct run *r)
{
	size_t n;
	const struct stats_row *table = stats_rows(&n);

	if (r->at >= n)
		return STEP_DONE;
	row_begin(&r->rows);
	row_str(&r->rows, table[r->at].name);
	row_count(&r->rows, sum_of(r, table[r->at].offset));
	row_str(&r->rows, table[r->at].text);
	row_end(&r->rows);
	r->at++;
	return STEP_MORE;
}

/* ---- SHOW WORKERS ---- */

static const struct column worker_columns[] = { { "worker", COLUMN_INT4 },
						{ "sessions", COLUMN_INT8 },
#define C(name, text) { #name, COLUMN_INT8 },
						STATS_COUNTERS(C)
#undef C
};

static enum step
workers_row(struct run *r)
{
	const struct meridian *m = worker_process(r->worker);
	const struct stats_row *table;
	const struct worker *w;
	size_t n;

	if (r->at >= (size_t)m->nworkers)
		return STEP_DONE;
	w = m->workers[r->at++];
	table = stats_rows(&n);
	row_begin(&r->rows);
	row_int(&r->rows, worker_id(w));
	row_int(&r->rows, worker_nsessions(w));
	for (size_t i = 0; i < n; i++)
		row_count(&r->rows, counter_of(w, table[i].offset));
	row_end(&r->rows);
	return STEP_MORE;
}

/* ---- SHOW ERRORS ---- */

static const struct column error_columns[] = {
	{ "reason", COLUMN_TEXT }, { "sqlstate", COLUMN_TEXT }, { "sessions", COLUMN_INT8 },
	{ "help", COLUMN_TEXT },   { "said_by", COLUMN_TEXT },  { "errors", COLUMN_INT8 },
};

/* One row for each SQLSTATE that Meridian (or a node, as `source` says) has sent. False: there was
 * none with this code. */
static bool
put_error(struct run *r, unsigned source, unsigned code)
{
	size_t at = (source * SQLSTATE_ROWS_MAX + code) * sizeof(uint64_t);
	uint64_t n = sum_of(r, offsetof(struct stats, errors) + at);
	const struct sqlstate *row = sqlstate_at(code);

	if (row == NULL || n == 0)
		return false;
	row_begin(&r->rows);
	row_str(&r->rows, row->name);
	row_str(&r->rows, code != SQLSTATE_OTHER ? row->code : NULL);
	row_null(&r->rows);
	row_str(&r->rows, source == ERROR_OF_NODE ? "error messages of nodes to their clients"
						  : "error messages of the proxy to clients");
	row_str(&r->rows, stats_error_source((enum error_source)source));
	row_count(&r->rows, n);
	row_end(&r->rows);
	return true;
}

/* First one row for each reason for which sessions ended, then one for each SQLSTATE that was sent.
 */
static enum step
errors_row(struct run *r)
{
	const size_t end = WHY_COUNT + ERROR_SOURCES * SQLSTATE_ROWS_MAX;
	size_t i = ++r->at; /* skips WHY_NONE, which is no reason */
	const struct why_row *why;

	if (i < WHY_COUNT) {
		why = why_get((enum why)i);
		row_begin(&r->rows);
		row_str(&r->rows, why->counter);
		row_str(&r->rows, why->sqlstate[0] != '\0' ? why->sqlstate : NULL);
		row_count(&r->rows, sum_of(r, offsetof(struct stats, why) + i * sizeof(uint64_t)));
		row_str(&r->rows, why->text);
		row_null(&r->rows);
		row_null(&r->rows);
		row_end(&r->rows);
		return STEP_MORE;
	}
	for (; i < end; i = ++r->at) {
		unsigned at = (unsigned)(i - WHY_COUNT);

		if (put_error(r, at / SQLSTATE_ROWS_MAX, at % SQLSTATE_ROWS_MAX))
			return STEP_MORE;
	}
	return STEP_DONE;
}

/* ---- SHOW READS ---- */

static const struct column read_columns[] = {
	{ "database", COLUMN_TEXT }, { "region", COLUMN_TEXT },       { "runs", COLUMN_TEXT },
	{ "reason", COLUMN_TEXT },   { "transactions", COLUMN_INT8 }, { "waited", COLUMN_INT8 },
	{ "help", COLUMN_TEXT },
};

/* The sum over the workers, and how far it has been shown. */
struct reads_shown {
	readtally_list sum;
	const struct readtally *at;
	unsigned reason;
};

static int
reads_begin_rows(struct run *r)
{
	const struct meridian *m = worker_process(r->worker);
	struct reads_shown *x = xcalloc(1, sizeof(*x));

	for (int i = 0; i < m->nworkers; i++)
		readtally_sum(&x->sum, worker_reads(m->workers[i]));
	x->at = readtally_first(&x->sum);
	r->state = x;
	return 0;
}

static void
put_reads(struct run *r, const struct readtally *t, unsigned reason)
{
	bool is_near = reads_is_near(reason);

	row_begin(&r->rows);
	row_str(&r->rows, t->database);
	row_str(&r->rows, t->region);
	row_str(&r->rows, is_near ? "near" : "home");
	row_str(&r->rows, reads_reason_name(reason));
	row_count(&r->rows, stat_get(&t->n[reason]));
	if (is_near)
		row_count(&r->rows, stat_get(&t->waited[reason]));
	else
		row_null(&r->rows);
	row_str(&r->rows, reads_reason_text(reason));
	row_end(&r->rows);
}

/* One row for each reason for which transactions of a database ran in a region. */
static enum step
reads_row(struct run *r)
{
	struct reads_shown *x = r->state;

	for (; x->at != NULL; x->at = x->at->next, x->reason = 0) {
		while (x->reason < READS_REASON_COUNT) {
			unsigned reason = x->reason++;

			if (stat_get(&x->at->n[reason]) == 0)
				continue;
			put_reads(r, x->at, reason);
			return STEP_MORE;
		}
	}
	return STEP_DONE;
}

static void
reads_end(struct run *r)
{
	struct reads_shown *x = r->state;

	if (x != NULL)
		readtally_fini(&x->sum);
	free(x);
}

/* ---- SHOW LOCALITY SOURCES ---- */

static const struct column source_columns[] = {
	{ "rank", COLUMN_INT4 },   { "source", COLUMN_TEXT },    { "decided", COLUMN_INT8 },
	{ "claims", COLUMN_INT8 }, { "untrusted", COLUMN_INT8 }, { "detail", COLUMN_TEXT },
};

/* The i-th source: first those that the option lists, then those that it leaves out, with *rank 0.
 */
static enum locality_source
source_at(const struct conf_main *conf, size_t i, int *rank)
{
	size_t left_out = conf->nlocality;
	bool listed[SOURCE_COUNT] = { false };

	*rank = i < conf->nlocality ? (int)i + 1 : 0;
	if (*rank > 0)
		return conf->locality[i];
	for (size_t k = 0; k < conf->nlocality; k++)
		listed[conf->locality[k]] = true;
	for (unsigned s = 0; s < SOURCE_COUNT; s++)
		if (!listed[s] && left_out++ == i)
			return (enum locality_source)s;
	return SOURCE_COUNT;
}

static void
put_geo_files(const struct world *w, struct buf *out)
{
	struct geo_file files[16];
	size_t n = w->geo != NULL ? geo_files(w->geo, files, sizeof(files) / sizeof(files[0])) : 0;
	char built[TIME_TEXT_MAX];

	if (n == 0)
		buf_str(out, "no database");
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s%s (%s, built %.10s)", i > 0 ? ", " : "", files[i].path,
			   files[i].type, time_text(files[i].build_epoch * 1000000, built));
}

static void
put_tlvs(const struct conf_main *conf, struct buf *out)
{
	const struct tlv_rules *t = &conf->tlv;
	const struct {
		const char *name;
		int type;
	} all[] = {
		{ "city", t->city },     { "location", t->location }, { "country", t->country },
		{ "region", t->region }, { "pairs", t->pairs },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].type > 0)
			buf_printf(out, "%s 0x%02x, ", all[i].name, (unsigned)all[i].type);
	}
	buf_printf(out, "unique_id %s; from %zu trusted networks", unique_id_words[t->unique_id],
		   conf->trusted_proxies.n);
}

static void
put_source_detail(const struct world *w, enum locality_source s, struct buf *out)
{
	const struct topology *t = w->topology;

	const struct conf_main *conf = &w->config->main;

	if (s == SOURCE_HEADER) {
		for (size_t i = 0; i < conf->header_names.n; i++)
			buf_printf(out, "%s%s", i > 0 ? ", " : "", conf->header_names.v[i]);
		buf_printf(out, "%sfrom %zu trusted networks", conf->header_names.n > 0 ? "; " : "",
			   conf->trusted_proxies.n);
	} else if (s == SOURCE_TLV) {
		put_tlvs(conf, out);
	} else if (s == SOURCE_GEOIP) {
		put_geo_files(w, out);
	} else if (s == SOURCE_OVERRIDE) {
		buf_printf(out, "%u overrides", t->noverrides);
	} else if (s == SOURCE_SELF) {
		buf_str(out, t->self_region >= 0 ? t->regions[t->self_region].name
						 : "the proxy's own region is not configured");
	}
}

static enum step
sources_row(struct run *r)
{
	int rank;
	enum locality_source s = source_at(&r->world->config->main, r->at++, &rank);
	size_t at = (size_t)s * sizeof(uint64_t);
	struct buf detail = { 0 };

	if (s == SOURCE_COUNT)
		return STEP_DONE;
	put_source_detail(r->world, s, &detail);
	row_begin(&r->rows);
	row_int_known(&r->rows, rank > 0 ? rank : -1);
	row_str(&r->rows, locality_source_name(s));
	row_count(&r->rows, sum_of(r, offsetof(struct stats, located) + at));
	row_count(&r->rows, sum_of(r, offsetof(struct stats, claimed) + at));
	row_count(&r->rows, sum_of(r, offsetof(struct stats, untrusted) + at));
	row_text(&r->rows, buf_view(&detail));
	row_end(&r->rows);
	buf_fini(&detail);
	return STEP_MORE;
}

/* ---- SHOW MEMORY, SHOW DESCRIPTORS ---- */

static const struct column memory_columns[] = {
	{ "item", COLUMN_TEXT },
	{ "bytes", COLUMN_INT8 },
	{ "help", COLUMN_TEXT },
};

struct measured {
	const char *item;
	int64_t n; /* below 0: unknown */
	const char *help;
};

static enum step
measured_row(struct run *r, const struct measured *items, size_t n)
{
	if (r->at >= n)
		return STEP_DONE;
	row_begin(&r->rows);
	row_str(&r->rows, items[r->at].item);
	row_int_known(&r->rows, items[r->at].n);
	row_str(&r->rows, items[r->at].help);
	row_end(&r->rows);
	r->at++;
	return STEP_MORE;
}

static enum step
memory_row(struct run *r)
{
	struct usage_heap heap = usage_heap();
	const struct measured items[] = {
		{ "resident", usage_resident_bytes(), "memory of the process that is in RAM" },
		{ "heap_used", heap.used, "allocated by the program" },
		{ "heap_free", heap.free, "freed, kept by the allocator" },
		{ "heap_mapped", heap.mapped, "of what is allocated, in mappings of its own" },
	};

	return measured_row(r, items, sizeof(items) / sizeof(items[0]));
}
static const struct column descriptor_columns[] = {
	{ "item", COLUMN_TEXT },
	{ "descriptors", COLUMN_INT8 },
	{ "help", COLUMN_TEXT },
};

static enum step
descriptors_row(struct run *r)
{
	const struct descriptors *d = worker_process(r->worker)->descriptors;
	const struct measured items[] = {
		{ "limit", descriptors_limit(), "the process may have so many (ulimit -n)" },
		{ "open", usage_descriptors(), "it has now, those in reserve included" },
		{ "reserve", descriptors_held(d),
		  "held in reserve, so that consoles are reached when there are no others" },
		{ "needed", descriptors_needed(d, r->world->config),
		  "what max_client_conn sessions and as many server connections would take" },
	};

	return measured_row(r, items, sizeof(items) / sizeof(items[0]));
}

/* ---- SHOW PEERS ---- */

static const struct column peer_columns[] = {
	{ "peer_id", COLUMN_INT4 }, { "host", COLUMN_TEXT },       { "port", COLUMN_INT4 },
	{ "state", COLUMN_TEXT },   { "forwarded", COLUMN_INT8 },  { "received", COLUMN_INT8 },
	{ "failed", COLUMN_INT8 },  { "last_error", COLUMN_TEXT }, { "addresses", COLUMN_TEXT },
};

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
	row_str(&r->rows, p->id == r->world->config->main.peer_id
			      ? "self"
			      : peer_state_name((enum peer_state)atomic_load(&p->state)));
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
	{ .words = "SHOW WORKERS",
	  COLUMNS(worker_columns),
	  .row = workers_row,
	  .help = "one row per worker thread: its sessions and its counters",
	  .example = "SHOW WORKERS",
#define NONE(name, text) "|0"
	  .answer = "1|12" STATS_COUNTERS(NONE) },
#undef NONE
	{ .words = "SHOW STATS",
	  COLUMNS(stats_columns),
	  .row = stats_row,
	  .help = "every counter, summed over the workers",
	  .example = "SHOW STATS",
	  .answer = "clients_accepted|672|connections accepted\n"
		    "clients_refused|0|connections refused at max_client_conn" },
	{ .words = "SHOW READS",
	  COLUMNS(read_columns),
	  .begin = reads_begin_rows,
	  .row = reads_row,
	  .end = reads_end,
	  .help = "where transactions of databases with reads = nearest (or observe) went, near or "
		  "home, and why; by database and the region where they ran. waited: of those "
		  "nearby, the ones that the standby had to replay something for",
	  .brief = "where transactions went that may read nearby, and why",
	  .example = "SHOW READS",
	  .answer = "movr|europe-west1|near|READ|1204|17|reads only\n"
		    "movr|us-east1|home|CHANGES|380||changes data" },
	{ .words = "SHOW ERRORS",
	  COLUMNS(error_columns),
	  .row = errors_row,
	  .help =
	      "why sessions ended and how many; below it the error messages that clients got, by "
	      "SQLSTATE and by who said them",
	  .brief = "why sessions ended, and the errors that clients got",
	  .example = "SHOW ERRORS",
	  .answer = "client_done||649|client disconnected||\n"
		    "login_timeout|08P01|0|login took too long||" },
	{ .words = "SHOW LOCALITY SOURCES",
	  COLUMNS(source_columns),
	  .row = sources_row,
	  .help = "where localities came from, in the order in which sources are asked",
	  .brief = "where localities came from, in the order of asking",
	  .example = "SHOW LOCALITY SOURCES",
	  .answer = "1|override|0|0|0|0 overrides\n"
		    "2|startup|649|649|0|" },
	{ .words = "SHOW MEMORY",
	  COLUMNS(memory_columns),
	  .row = memory_row,
	  .help = "what the process uses",
	  .example = "SHOW MEMORY",
	  .answer = "resident|15728640|memory of the process that is in RAM\n"
		    "heap_used|1269200|allocated by the program" },
	{ .words = "SHOW DESCRIPTORS",
	  COLUMNS(descriptor_columns),
	  .row = descriptors_row,
	  .help = "how many descriptors the process may have, has, and could need",
	  .example = "SHOW DESCRIPTORS",
	  .answer = "limit|20000|the process may have so many (ulimit -n)\n"
		    "open|44|it has now, those in reserve included" },
};

COMMAND_TABLE(commands_stats, commands);
