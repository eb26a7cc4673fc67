/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/http/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "proxy/pool/pool.h"
#include "proxy/reads/reasons.h"
#include "proxy/session/states.h"
#include "proxy/session/why.h"
#include "routing/roster.h"

/* A metric. `put` writes its samples; the fields below are for `put` functions that several rows
 * share. */
struct metric {
	struct metric_family family;
	const char *labels; /* for the document; arrays use the first */
	void (*put)(struct exposition *x, const struct metrics *m, const struct metric *row);
	size_t at; /* in struct stats, or in what `put` reads: struct metrics, struct node_live */
	unsigned from, to;               /* the rows of an array … */
	const char *(*name)(unsigned i); /* … and their names */
	bool (*of_region)(const struct metrics *m, uint16_t region, double *v);
	bool (*of_node)(const struct metrics *m, const struct node *n, double *v);
	double (*of_source)(const struct metrics *m, const struct roster_source *s);
};

static uint64_t
counter_at(const struct metrics *m, size_t at)
{
	const char *p = (const char *)m->stats + at;

	return stat_get((const _Atomic uint64_t *)(const void *)p);
}

static double
seconds(int64_t us)
{
	return (double)us / (double)USEC_PER_SEC;
}

static struct metric_label
label(const char *name, const char *value)
{
	return (struct metric_label){ name, slice_str(value) };
}

/* ---- samples of the counters ---- */

static void
put_counter(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	exposition_value(x, NULL, 0, (double)counter_at(m, row->at));
}

static void
put_array(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	for (unsigned i = row->from; i < row->to; i++) {
		struct metric_label l = label(row->labels, row->name(i));
		uint64_t n = counter_at(m, row->at + i * sizeof(uint64_t));

		exposition_value(x, &l, 1, (double)n);
	}
}

static void
put_routes(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	(void)row;
	for (unsigned s = 0; s < SOURCE_COUNT; s++) {
		for (unsigned o = 0; o < ROUTE_OUTCOMES; o++) {
			const char *source = locality_source_name((enum locality_source)s);
			const char *outcome = route_outcome_name((enum route_outcome)o);
			struct metric_label l[] = { label("source", source),
						    label("verdict", outcome) };

			exposition_value(x, l, 2, (double)stat_get(&m->stats->routes[s][o]));
		}
	}
}

/* Only errors that have occurred: most rows of the table never do. */
static void
put_errors(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	(void)row;
	for (unsigned s = 0; s < ERROR_SOURCES; s++) {
		for (unsigned i = 0; sqlstate_at(i) != NULL; i++) {
			uint64_t n = stat_get(&m->stats->errors[s][i]);
			struct metric_label l[] = {
				label("said_by", stats_error_source((enum error_source)s)),
				label("sqlstate", sqlstate_at(i)->code),
			};

			if (n > 0)
				exposition_value(x, l, 2, (double)n);
		}
	}
}

/* Only reasons that there were. */
static void
put_reads(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	(void)row;
	for (const struct readtally *t = m->reads; t != NULL; t = t->next) {
		for (unsigned i = 0; i < READTALLY_REASONS; i++) {
			uint64_t n = stat_get(&t->n[i]);
			struct metric_label l[] = {
				label("database", t->database),
				label("region", t->region),
				label("runs", reads_is_near(i) ? "near" : "home"),
				label("reason", reads_reason_name(i)),
			};

			if (n > 0)
				exposition_value(x, l, 4, (double)n);
		}
	}
}

static void
put_reads_waited(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	(void)row;
	for (const struct readtally *t = m->reads; t != NULL; t = t->next) {
		struct metric_label l[] = { label("database", t->database),
					    label("region", t->region) };
		uint64_t n = 0;

		for (unsigned i = 0; i < READTALLY_REASONS; i++)
			n += stat_get(&t->waited[i]);
		if (n > 0)
			exposition_value(x, l, 2, (double)n);
	}
}

static void
put_answers(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	char status[16];

	for (unsigned i = 0; i < STATS_STATUSES; i++) {
		uint64_t n = stat_get(&m->stats->http_answers[i]);
		struct metric_label l;

		if (n == 0)
			continue;
		snprintf(status, sizeof(status), "%u", STATS_STATUS_FIRST + i);
		l = label(row->labels, status);
		exposition_value(x, &l, 1, (double)n);
	}
}

static void
put_histogram(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	const char *p = (const char *)m->stats + row->at;
	struct histogram_view *view = xmalloc(sizeof(*view));

	histogram_read((const struct histogram *)(const void *)p, view);
	exposition_histogram(x, NULL, 0, view);
	free(view);
}

static const char *
why_name(unsigned i)
{
	return why_get((enum why)i)->counter;
}

static const char *
source_name(unsigned i)
{
	return locality_source_name((enum locality_source)i);
}

static const char *
state_name(unsigned i)
{
	return session_state_row((enum session_state)i)->label;
}

static const char *
place_name(unsigned i)
{
	return server_place_name((enum server_place)i);
}

/* ---- the process ---- */

static void
put_value(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	double v = *(const double *)(const void *)((const char *)m + row->at);
	if (v >= 0)
		exposition_value(x, NULL, 0, v);
}

static void
put_build(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	struct metric_label l = label(row->labels, PACKAGE_VERSION);

	(void)m;
	exposition_value(x, &l, 1, 1);
}

/* ---- regions ---- */

static void
put_regions(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	double v;

	for (uint16_t i = 0; i < m->topology->nregions; i++) {
		struct metric_label l = label("region", m->topology->regions[i].name);

		if (row->of_region(m, i, &v))
			exposition_value(x, &l, 1, v);
	}
}

static bool
region_is_usable(const struct metrics *m, uint16_t region, double *v)
{
	*v = region_usable(m->topology, region, m->now_us);
	return true;
}

static bool
region_is_drained(const struct metrics *m, uint16_t region, double *v)
{
	*v = m->topology->regions[region].drained;
	return true;
}

static const struct node *
node_of(const struct metrics *m, uint16_t region, unsigned i)
{
	return &m->topology->nodes[m->topology->regions[region].first_node + i];
}

static bool
region_nodes_usable(const struct metrics *m, uint16_t region, double *v)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->topology->regions[region].nnodes; i++)
		n += node_usable(m->topology, node_of(m, region, i), m->now_us);
	*v = n;
	return true;
}

static bool
region_sessions(const struct metrics *m, uint16_t region, double *v)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < m->topology->regions[region].nnodes; i++)
		n += atomic_load_explicit(&node_of(m, region, i)->live->sessions,
					  memory_order_relaxed);
	*v = (double)n;
	return true;
}

static bool
region_rtt(const struct metrics *m, uint16_t region, double *v)
{
	int64_t best = 0;

	for (unsigned i = 0; i < m->topology->regions[region].nnodes; i++) {
		const struct node *n = node_of(m, region, i);

		if (n->rtt_us > 0 && node_usable(m->topology, n, m->now_us) &&
		    (best == 0 || n->rtt_us < best))
			best = n->rtt_us;
	}
	*v = seconds(best);
	return best > 0;
}

/* ---- nodes ---- */

enum { NODE_LABELS = 2 };

static void
node_labels(const struct metrics *m, const struct node *n, struct metric_label l[NODE_LABELS])
{
	l[0] = label("region", m->topology->regions[n->region].name);
	l[1] = label("node", n->name);
}

static void
put_nodes(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	struct metric_label l[NODE_LABELS];
	double v;

	for (unsigned i = 0; i < m->topology->nnodes; i++) {
		const struct node *n = &m->topology->nodes[i];

		if (!row->of_node(m, n, &v))
			continue;
		node_labels(m, n, l);
		exposition_value(x, l, NODE_LABELS, v);
	}
}

/* A counter of the nodes' struct node_live. */
static void
put_node_counters(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	struct metric_label l[NODE_LABELS];

	for (unsigned i = 0; i < m->topology->nnodes; i++) {
		const char *live = (const char *)m->topology->nodes[i].live;
		uint64_t n = stat_get((const _Atomic uint64_t *)(const void *)(live + row->at));

		node_labels(m, &m->topology->nodes[i], l);
		exposition_value(x, l, NODE_LABELS, (double)n);
	}
}

static void
put_node_info(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	struct metric_label l[NODE_LABELS + 3];
	char version[16];

	(void)row;
	for (unsigned i = 0; i < m->topology->nnodes; i++) {
		const struct node *n = &m->topology->nodes[i];

		snprintf(version, sizeof(version), "%d", n->server_version);
		node_labels(m, n, l);
		l[NODE_LABELS] = label("kind", node_kind_name(n->kind));
		l[NODE_LABELS + 1] = label("role", node_role_name(n->role));
		l[NODE_LABELS + 2] = label("version", n->server_version > 0 ? version : "");
		exposition_value(x, l, NODE_LABELS + 3, 1);
	}
}

/* One sample for each state, of which one is 1: alerts are written with names, not numbers. */
static void
put_node_states(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	struct metric_label l[NODE_LABELS + 1];

	(void)row;
	for (unsigned i = 0; i < m->topology->nnodes; i++) {
		const struct node *n = &m->topology->nodes[i];
		enum node_state now = node_state_at(m->topology, n, m->now_us);

		node_labels(m, n, l);
		for (unsigned s = NODE_UNKNOWN; s <= NODE_DOWN; s++) {
			l[NODE_LABELS] = label("state", node_state_name((enum node_state)s));
			exposition_value(x, l, NODE_LABELS + 1, s == now);
		}
	}
}

static bool
known(int64_t measured, double shown, double *v)
{
	*v = shown;
	return measured >= 0;
}

static bool
node_is_usable(const struct metrics *m, const struct node *n, double *v)
{
	*v = node_usable(m->topology, n, m->now_us);
	return true;
}

static bool
node_is_drained(const struct metrics *m, const struct node *n, double *v)
{
	*v = n->drained || m->topology->regions[n->region].drained;
	return true;
}

static bool
node_sessions(const struct metrics *m, const struct node *n, double *v)
{
	(void)m;
	*v = atomic_load_explicit(&n->live->sessions, memory_order_relaxed);
	return true;
}

static bool
node_rtt(const struct metrics *m, const struct node *n, double *v)
{
	(void)m;
	return known(n->rtt_us - 1, seconds(n->rtt_us), v);
}

static bool
node_connect(const struct metrics *m, const struct node *n, double *v)
{
	(void)m;
	return known(n->connect_us - 1, seconds(n->connect_us), v);
}

static bool
node_lag(const struct metrics *m, const struct node *n, double *v)
{
	int64_t lag = node_lag_us(n, m->now_us);

	return known(lag, seconds(lag), v);
}

static bool
node_lag_bytes(const struct metrics *m, const struct node *n, double *v)
{
	(void)m;
	return known(n->lag_bytes, (double)n->lag_bytes, v);
}

static bool
node_sample_age(const struct metrics *m, const struct node *n, double *v)
{
	return known(n->sampled_at_us - 1, seconds(m->now_us - n->sampled_at_us), v);
}

static bool
node_used(const struct metrics *m, const struct node *n, double *v)
{
	(void)m;
	return known(n->max_connections - 1, n->used_connections, v);
}

static bool
node_max(const struct metrics *m, const struct node *n, double *v)
{
	(void)m;
	return known(n->max_connections - 1, n->max_connections, v);
}

/* ---- discovery ---- */

static void
put_found(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	const struct roster *r = m->topology->roster;
	struct metric_label l;
	unsigned n[FOUND_GONE + 1] = { 0 };

	(void)row;
	for (size_t i = 0; r != NULL && i < r->nfound; i++)
		n[r->found[i].state]++;
	for (unsigned s = FOUND_NEW; r != NULL && s <= FOUND_GONE; s++) {
		l = label("state", found_state_name((enum found_state)s));
		exposition_value(x, &l, 1, n[s]);
	}
}

static void
put_sources(struct exposition *x, const struct metrics *m, const struct metric *row)
{
	const struct roster *r = m->topology->roster;

	for (size_t i = 0; r != NULL && i < r->nsources; i++) {
		const struct roster_source *s = &r->sources[i];
		const struct metric_label l[] = { label("source", discover_source_name(s->kind)),
						  label("asked", s->node) };

		exposition_value(x, l, 2, row->of_source(m, s));
	}
}

static double
source_age(const struct metrics *m, const struct roster_source *s)
{
	return seconds(m->now_us - s->asked_us);
}

static double
source_alarm(const struct metrics *m, const struct roster_source *s)
{
	(void)m;
	return s->alarm[0] != '\0';
}

/* ---- the table ---- */

#define COUNTER(name, help)   .family = { "meridian_" name, help, METRIC_COUNTER }
#define GAUGE(name, help)     .family = { "meridian_" name, help, METRIC_GAUGE }
#define HISTOGRAM(name, help) .family = { "meridian_" name, help, METRIC_HISTOGRAM }
#define PROCESS(name, help)   .put = put_value, .family = { "process_" name, help, METRIC_GAUGE }
#define IN(member)            .at = offsetof(struct stats, member)
#define ARRAY(member, first, end, names) \
	.put = put_array, IN(member), .from = (first), .to = (end), .name = (names)
#define OF(member)    .at = offsetof(struct metrics, member)
#define VALUE(member) .put = put_value, OF(member)
#define REGION(fn)    .put = put_regions, .labels = "region", .of_region = (fn)
#define NODE(fn)      .put = put_nodes, .labels = "region, node", .of_node = (fn)
#define SOURCE(fn)    .put = put_sources, .labels = "source, asked", .of_source = (fn)
#define COUNTED(member) \
	.put = put_node_counters, .labels = "region, node", .at = offsetof(struct node_live, member)

/* clang-format off */
static const struct metric rows[] = {
	{ GAUGE("build_info", "the version; always 1"), .labels = "version", .put = put_build },
	{ PROCESS("start_time_seconds", "when the process began, seconds since 1970"),
	  OF(started_at_s) },
	{ .family = { "process_cpu_seconds", "processor time used", METRIC_COUNTER },
	  VALUE(cpu_s) },
	{ PROCESS("resident_memory_bytes", "memory of the process that is in RAM"),
	  OF(resident_bytes) },
	{ PROCESS("open_fds", "descriptors that are open"), OF(open_fds) },
	{ PROCESS("max_fds", "descriptors that the process may have"), OF(max_fds) },
	{ GAUGE("workers", "worker threads"), VALUE(workers) },
	{ GAUGE("clients", "connections that count against max_client_conn"), VALUE(clients) },
	{ GAUGE("clients_max", "connections that max_client_conn allows"), VALUE(clients_max) },
	{ GAUGE("http_streams", "sessions that came by WebSocket or CONNECT and are there now"),
	  VALUE(streams) },
	{ GAUGE("logins_throttled_pairs", "pairs of address and user whose logins are throttled"),
	  VALUE(throttled) },
	{ GAUGE("logins_trusted_pairs", "pairs of address and user that logged in within a day"),
	  VALUE(trusted) },
	{ GAUGE("logins_limited_users", "users of whom too many logins have failed from wherever"),
	  VALUE(limited_users) },
	{ GAUGE("logins_limited_addresses", "addresses from which too many logins have failed"),
	  VALUE(limited_addresses) },
	{ GAUGE("sessions", "connections of clients, by what they are doing"), .labels = "state",
	  ARRAY(states, 0, SESSION_CLOSED, state_name) },

	{ GAUGE("pool_servers", "server connections of pools, by what they are doing"),
	  .labels = "state", ARRAY(pool_servers, 1, STATS_POOL_PLACES, place_name) },
	{ GAUGE("pool_waiting", "sessions that wait for a server connection now"),
	  IN(pool_waiting), .put = put_counter },

#define C(counter, text) { COUNTER(#counter, text), IN(counter), .put = put_counter },
	STATS_COUNTERS(C)
#undef C
	{ COUNTER("session_ends", "sessions that ended, by reason (SHOW ERRORS explains each)"),
	  .labels = "reason", ARRAY(why, 1, WHY_COUNT, why_name) },
	{ COUNTER("errors",
		  "ErrorResponse messages, by who said them (meridian, node) and SQLSTATE; codes "
		  "that are not PostgreSQL's own are counted as \"other\""),
	  .labels = "said_by, sqlstate", .put = put_errors },
	{ COUNTER("http_answers", "HTTP answers, by status"), .labels = "status",
	  .put = put_answers },
	{ COUNTER("localities", "localities decided, by the source that won"), .labels = "source",
	  ARRAY(located, 0, SOURCE_COUNT, source_name) },
	{ COUNTER("claims", "places said of callers, by source"), .labels = "source",
	  ARRAY(claimed, 0, SOURCE_COUNT, source_name) },
	{ COUNTER("claims_untrusted", "places said of callers that did not count, by source"),
	  .labels = "source", ARRAY(untrusted, 0, SOURCE_COUNT, source_name) },
	{ COUNTER("routes",
		  "route decisions, by the source of the locality and what came of them: nearest; "
		  "kept: the region of last time, as no other was better by enough; spilled: "
		  "another region, as the nearest was down, drained, full, behind or slow; none"),
	  .labels = "source, verdict", .put = put_routes },

	{ COUNTER("reads",
		  "transactions of sessions that may read nearby, by database, the region where they "
		  "ran (near, home), and why (SHOW READS explains each)"),
	  .labels = "database, region, runs, reason", .put = put_reads },
	{ COUNTER("reads_waited",
		  "of those nearby, the ones that the standby had to replay something for"),
	  .labels = "database, region", .put = put_reads_waited },

	{ HISTOGRAM("login_seconds", "from the connection of a client to its ReadyForQuery"),
	  IN(login), .put = put_histogram },
	{ HISTOGRAM("attach_seconds", "from a route decision to the answer of a node"),
	  IN(attach), .put = put_histogram },
	{ HISTOGRAM("http_request_seconds", "from the head of an HTTP request to its answer"),
	  IN(http), .put = put_histogram },
	{ HISTOGRAM("pool_wait_seconds", "how long a session waited for a server connection"),
	  IN(pool_wait), .put = put_histogram },
	{ HISTOGRAM("attempt_seconds", "from the beginning of a connection to a node to its answer"),
	  IN(attempt), .put = put_histogram },

	{ GAUGE("region_usable", "1: the region may take new sessions"), REGION(region_is_usable) },
	{ GAUGE("region_drained", "1: the region is drained"), REGION(region_is_drained) },
	{ GAUGE("region_nodes_usable", "nodes that may take new sessions"),
	  REGION(region_nodes_usable) },
	{ GAUGE("region_sessions", "server connections now"), REGION(region_sessions) },
	{ GAUGE("region_rtt_seconds", "round trip to the nearest usable node"),
	  REGION(region_rtt) },

	{ GAUGE("node_info", "what is known of the node; always 1"),
	  .labels = "region, node, kind, role, version", .put = put_node_info },
	{ GAUGE("node_state", "1 for the state that the node is in: unknown, up, suspect, down"),
	  .labels = "region, node, state", .put = put_node_states },
	{ GAUGE("node_usable", "1: the node may take new sessions"), NODE(node_is_usable) },
	{ GAUGE("node_drained", "1: the node, or its region, is drained"), NODE(node_is_drained) },
	{ GAUGE("node_sessions", "server connections now"), NODE(node_sessions) },
	{ COUNTER("node_attempts", "connections begun for sessions"), COUNTED(attempts) },
	{ COUNTER("node_attached", "sessions that were attached"), COUNTED(connects) },
	{ COUNTER("node_failures", "connections that failed before the client was told anything"),
	  COUNTED(failures) },
	{ GAUGE("node_rtt_seconds", "round trip, as the prober averages it"), NODE(node_rtt) },
	{ GAUGE("node_connect_seconds", "time that a TCP connection takes, averaged"),
	  NODE(node_connect) },
	{ GAUGE("node_lag_seconds", "how far it is behind in time; the sample's age is added"),
	  NODE(node_lag) },
	{ GAUGE("node_lag_bytes", "how far it was behind in bytes when sampled"),
	  NODE(node_lag_bytes) },
	{ GAUGE("node_sample_age_seconds", "time since the last good probe"),
	  NODE(node_sample_age) },
	{ GAUGE("node_connections_used", "connections that the server has, of all clients"),
	  NODE(node_used) },
	{ GAUGE("node_connections_max", "connections that it takes, less what is reserved"),
	  NODE(node_max) },

	{ GAUGE("discovered_nodes", "nodes that were discovered: new, used, missing, gone"),
	  .labels = "state", .put = put_found },
	{ GAUGE("discovery_answer_age_seconds", "time since the source last answered anything"),
	  SOURCE(source_age) },
	{ GAUGE("discovery_alarm", "1: the source's last answer was not taken (SHOW DISCOVERY)"),
	  SOURCE(source_alarm) },
};
/* clang-format on */

#define ROWS (sizeof(rows) / sizeof(rows[0]))

void
metrics_put(struct buf *out, enum exposition_format format, const struct metrics *m)
{
	struct exposition x = { .out = out, .format = format };

	for (size_t i = 0; i < ROWS; i++) {
		exposition_begin(&x, &rows[i].family);
		rows[i].put(&x, m, &rows[i]);
		exposition_end(&x);
	}
	exposition_finish(&x);
}

void
metrics_doc(struct buf *out)
{
	buf_str(out, "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
	for (size_t i = 0; i < ROWS; i++) {
		const struct metric *r = &rows[i];

		buf_printf(out, "| `%s%s` | %s | %s | %s |\n", r->family.name,
			   r->family.type == METRIC_COUNTER ? "_total" : "",
			   metric_type_name(r->family.type), r->labels != NULL ? r->labels : "",
			   r->family.help);
	}
}
