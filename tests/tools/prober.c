/* SPDX-License-Identifier: PostgreSQL
 *
 * The prober by itself, for tests: watches nodes and prints a report whenever there is something to
 * publish.
 *
 *     prober [-c CONNINFO] [-r WORDS] [-i INTERVAL_MS] [-t TIMEOUT_MS] HOST PORT [HOST PORT …]
 *
 * A report is one line per node, "node=0 state=up role=primary …", and "end round=1" (whether every
 * node has answered). Lines on standard input: "now", "evidence N", "standby N", "primary N",
 * "report", "quit".
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "routing/watch/probe.h"
#include "routing/watch/resolve.h"

struct tool {
	struct loop *loop;
	struct prober *prober;
	struct resolver *resolver;
	struct topology *t;
	struct probe_conf conf;
	const char *words[1];
	struct event input;
};

static void
report(void *arg)
{
	struct tool *tool = arg;
	struct topology *t = topology_dup(tool->t);

	prober_fill(tool->prober, t);
	for (unsigned i = 0; i < t->nnodes; i++) {
		const struct node *n = &t->nodes[i];

		printf("node=%u state=%s role=%s kind=%s probed=%d read_only=%d version=%d "
		       "timeline=%u system=%" PRIu64 " rtt=%" PRId64 " connect=%" PRId64
		       " lag=%" PRId64 " lag_bytes=%" PRId64 " up_since=%" PRId64
		       " max=%d used=%d fenced=%d reason=%s\n",
		       i, node_state_name(n->state), node_role_name(n->role),
		       node_kind_name(n->kind), n->probed, n->read_only, n->server_version,
		       n->timeline, n->system_id, n->rtt_us, n->connect_us, n->lag_us, n->lag_bytes,
		       n->up_since_us, n->max_connections, n->used_connections, node_fenced(t, n),
		       n->reason);
	}
	printf("end round=%d\n", prober_round_done(tool->prober));
	fflush(stdout);
	topology_unref(t);
}

static void
configure(void *arg)
{
	struct tool *tool = arg;

	resolver_fill(tool->resolver, tool->t);
	prober_configure(tool->prober, &tool->conf, tool->t);
}

static void
obey(struct tool *tool, const char *line)
{
	char verb[16] = "";
	unsigned n = 0;

	sscanf(line, "%15s %u", verb, &n);
	if (n >= tool->t->nnodes)
		return;
	if (strcmp(verb, "now") == 0)
		prober_probe_now(tool->prober);
	else if (strcmp(verb, "evidence") == 0)
		prober_evidence(tool->prober, tool->t->nodes[n].live->id, "it was said so");
	else if (strcmp(verb, "report") == 0)
		report(tool);
	else if (strcmp(verb, "quit") == 0)
		loop_stop(tool->loop);
	else if (strcmp(verb, "standby") == 0 || strcmp(verb, "primary") == 0)
		prober_learned(tool->prober, tool->t->nodes[n].live->id,
			       &(struct probe_learned){ verb[0] == 's', 0, 150000, KIND_POSTGRES });
}

static void
tool_on_input(evutil_socket_t fd, short what, void *arg)
{
	struct tool *tool = arg;
	char text[512], *save, *line;
	ssize_t n = read(fd, text, sizeof(text) - 1);

	(void)what;
	if (n <= 0) {
		loop_stop(tool->loop);
		return;
	}
	text[n] = '\0';
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		obey(tool, line);
}

static int
read_options(struct tool *tool, int argc, char **argv)
{
	int c;

	tool->conf = (struct probe_conf){ .health = { 2, 3, 500 * USEC_PER_MSEC, USEC_PER_SEC },
					  .timeout_us = USEC_PER_SEC,
					  .region_conninfo = tool->words };
	while ((c = getopt(argc, argv, "c:r:i:t:v")) != -1) {
		if (c == 'c')
			tool->conf.conninfo = optarg;
		else if (c == 'r')
			tool->words[0] = optarg;
		else if (c == 'i')
			tool->conf.health.interval_us = atoi(optarg) * USEC_PER_MSEC;
		else if (c == 't')
			tool->conf.timeout_us = atoi(optarg) * USEC_PER_MSEC;
		else if (c == 'v')
			log_set_level(LOG_LEVEL_DEBUG);
		else
			return -1;
	}
	topology_add_region(tool->t, "here");
	for (; optind + 1 < argc; optind += 2)
		topology_add_node(tool->t, argv[optind], (uint16_t)atoi(argv[optind + 1]), NULL);
	return tool->t->nnodes > 0 ? 0 : -1;
}

int
main(int argc, char **argv)
{
	struct tool tool = { .loop = loop_new(), .t = topology_new() };

	if (read_options(&tool, argc, argv) != 0) {
		fprintf(stderr, "usage: see the head of tests/tools/prober.c\n");
		return 2;
	}
	tool.prober = prober_new(tool.loop, report, &tool);
	tool.resolver = resolver_new(tool.loop, configure, &tool);
	resolver_configure(tool.resolver, tool.t, 15 * USEC_PER_SEC);
	configure(&tool);
	event_assign(&tool.input, loop_base(tool.loop), 0, EV_READ | EV_PERSIST, tool_on_input,
		     &tool);
	event_add(&tool.input, NULL);
	loop_run(tool.loop);
	event_del(&tool.input);
	resolver_free(tool.resolver);
	prober_free(tool.prober);
	topology_unref(tool.t);
	loop_free(tool.loop);
	return 0;
}
