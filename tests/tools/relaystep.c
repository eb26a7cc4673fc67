/* SPDX-License-Identifier: PostgreSQL
 *
 * The relay by itself: a worker with one session, whose client is a socketpair and whose nodes, a
 * primary here and a standby nearby, are unix sockets, all of them played here from a transcript.
 *
 *   relaystep WHAT N    N times the transcript WHAT; `relaystep list` says which there are
 *   relaystep built     the compiler it was built by, and "optimized" or "plain"
 *
 * All that Meridian does is done inside loop_poll(): what that costs for N + M times, less what it
 * costs for N, is what M steps cost, the login aside. tests/t/422_instructions.t counts it.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/auth/keymaker.h"
#include "proxy/auth/throttle.h"
#include "proxy/control_int.h"
#include "proxy/net/sock.h"
#include "proxy/session/session_int.h"

#define BULK_ROWS  640
#define BULK_BYTES 102 /* of a row: 640 of them are 64 kB less a little */
#define NAME_SLACK 16

#define NODES      2
#define CLUSTER_ID 4711

#define COPY_IN_RESPONSE  'G'
#define COPY_OUT_RESPONSE 'H'

/* Everything. */
struct stage {
	struct meridian process;
	struct config_args args;
	struct worker *worker;
	char dir[NODES][32], socket[NODES][64], conf[32];
	int listening[NODES], client;
	int node; /* the server that is asked */
};

/* What one step is: what the client says, and what the node answers; either may be nothing. */
struct transcript {
	const char *name, *database;
	void (*before)(struct buf *ask, struct buf *answer); /* once; or NULL */
	void (*ask)(struct buf *b, int i);                   /* the i-th time; or NULL */
	void (*answer)(struct buf *b);                       /* or NULL */
};

static void
must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "relaystep: %s (%s)\n", what, strerror(errno));
	exit(1);
}

/* ---- transcripts ---- */

static void
put_bytes(struct buf *b, char type, const char *bytes, size_t n)
{
	size_t at = buf_message(b, type);

	buf_put(b, bytes, n);
	buf_message_end(b, at);
}

#define PUT(b, type, literal) put_bytes(b, type, literal, sizeof(literal) - 1)

/* One row of one column, as SELECT abalance … is answered. */
static void
put_rows(struct buf *b)
{
	PUT(b, MSG_ROW_DESCRIPTION,
	    "\0\1abalance\0\0\0\x40\5\0\3\0\0\0\x17\0\4\xff\xff\xff\xff\0\0");
	PUT(b, MSG_DATA_ROW, "\0\1\0\0\0\5-4711");
	message_put_command_complete(b, "SELECT 1");
	message_put_ready(b, 'I');
}

static void
ask_simple(struct buf *b, int i)
{
	(void)i;
	message_put_query(b,
			  SLICE_LITERAL("SELECT abalance FROM pgbench_accounts WHERE aid = 4711;"));
}

/* No text comes twice. */
static void
ask_another(struct buf *b, int i)
{
	char sql[64];

	snprintf(sql, sizeof(sql), "SELECT abalance FROM pgbench_accounts WHERE aid = %d;",
		 1000 + i);
	message_put_query(b, slice_str(sql));
}

static void
prepare(struct buf *ask, struct buf *answer)
{
	PUT(ask, MSG_PARSE, "P_0\0SELECT abalance FROM pgbench_accounts WHERE aid = $1;\0\0\0");
	message_put_bare(ask, MSG_SYNC);
	message_put_bare(answer, MSG_PARSE_COMPLETE);
	message_put_ready(answer, 'I');
}

static void
ask_prepared(struct buf *b, int i)
{
	(void)i;
	PUT(b, MSG_BIND,
	    "\0P_0\0\0\0\0\1\0\0\0\4"
	    "4711\0\1\0\0");
	PUT(b, MSG_DESCRIBE, "P\0");
	PUT(b, MSG_EXECUTE, "\0\0\0\0\0");
	message_put_bare(b, MSG_SYNC);
}

static void
answer_prepared(struct buf *b)
{
	message_put_bare(b, MSG_BIND_COMPLETE);
	put_rows(b);
}

static void
begin_copy_out(struct buf *ask, struct buf *answer)
{
	message_put_query(ask, SLICE_LITERAL("COPY t TO STDOUT"));
	PUT(answer, COPY_OUT_RESPONSE, "\0\0\1\0\0");
}

static void
begin_copy_in(struct buf *ask, struct buf *answer)
{
	message_put_query(ask, SLICE_LITERAL("COPY t FROM STDIN"));
	PUT(answer, COPY_IN_RESPONSE, "\0\0\1\0\0");
}

static void
put_copy_data(struct buf *b)
{
	char row[BULK_BYTES - 5];

	memset(row, 'x', sizeof(row));
	for (int i = 0; i < BULK_ROWS; i++)
		put_bytes(b, MSG_COPY_DATA, row, sizeof(row));
}

static void
ask_copy_data(struct buf *b, int i)
{
	(void)i;
	put_copy_data(b);
}

static const struct transcript transcripts[] = {
	{ "simple", "own", NULL, ask_simple, put_rows },
	{ "prepared", "own", prepare, ask_prepared, answer_prepared },
	{ "copy-out", "own", begin_copy_out, NULL, put_copy_data },
	{ "copy-in", "own", begin_copy_in, ask_copy_data, NULL },
	{ "pooled-simple", "pooled", NULL, ask_simple, put_rows },
	{ "pooled-another", "pooled", NULL, ask_another, put_rows },
	{ "pooled-prepared", "pooled", prepare, ask_prepared, answer_prepared },
	{ "near-simple", "near", NULL, ask_simple, put_rows },
	{ "near-another", "near", NULL, ask_another, put_rows },
	{ "near-prepared", "near", prepare, ask_prepared, answer_prepared },
};

/* ---- the stage ---- */

static void
write_conf(struct stage *st)
{
	int fd = memfd_create("conf", 0);

	must(fd >= 0, "memfd");
	snprintf(st->conf, sizeof(st->conf), "/proc/self/fd/%d", fd);
	dprintf(fd,
		"[meridian]\nlog_level = fatal\nlisten = 127.0.0.1:1\nregion = nearby\n"
		"[region here]\nnodes = %s\nsslmode = disable\nlocation = 50, 0\n"
		"[region nearby]\nnodes = %s\nsslmode = disable\nlocation = 0, 0\n"
		"[database own]\n"
		"[database pooled]\nauth = trust\npool = transaction\n"
		"[database near]\nauth = trust\npool = transaction\nreads = nearest\n",
		st->dir[0], st->dir[1]);
	st->args.path = st->conf;
}

static void
listen_as_node(struct stage *st, int i)
{
	struct err e = { 0 };

	snprintf(st->dir[i], sizeof(st->dir[i]), "/tmp/relaystep-XXXXXX");
	must(mkdtemp(st->dir[i]) != NULL, "mkdtemp");
	snprintf(st->socket[i], sizeof(st->socket[i]), "%s/.s.PGSQL.5432", st->dir[i]);
	st->listening[i] = sock_listen_unix(st->socket[i], 0600, 64, &e);
	must(st->listening[i] >= 0, e.msg);
}

/* What probes would have said of the nodes: a primary, and a standby of it that is not behind. */
static struct world *
probed(struct world *w)
{
	must(w->topology->nnodes == NODES, "there are two nodes");
	for (int i = 0; i < NODES; i++) {
		struct node *n = &w->topology->nodes[i];

		n->state = NODE_UP;
		n->role = i == 0 ? ROLE_PRIMARY : ROLE_STANDBY;
		n->probed = true;
		n->system_id = CLUSTER_ID;
		n->timeline = 1;
		n->lag_us = 0;
		n->sampled_at_us = clock_us() + 3600 * USEC_PER_SEC; /* never stale */
	}
	return w;
}

static void
build(struct stage *st)
{
	struct config *config;
	struct err e = { 0 };

	log_set_level(LOG_LEVEL_FATAL);
	for (int i = 0; i < NODES; i++)
		listen_as_node(st, i);
	write_conf(st);
	st->process.keymaker = keymaker_new();
	keymaker_stop(st->process.keymaker);
	st->process.throttle = throttle_new((const uint8_t *)"a secret of 16 b");
	config = config_load(&st->args, &e);
	must(config != NULL, e.msg);
	st->process.control = control_new(&st->process, &st->args, config, &e);
	must(st->process.control != NULL, e.msg);
	st->worker = worker_new(&st->process, 1, probed(control_make_world(st->process.control)));
	st->process.workers = &st->worker;
	st->process.nworkers = 1;
}

static void
say(int fd, const struct buf *b)
{
	must(send(fd, b->p, b->n, MSG_NOSIGNAL) == (ssize_t)b->n, "not all of it was taken");
}

/* How many bytes have come. */
static size_t
hear(int fd)
{
	static char nowhere[256 * 1024];
	size_t have = 0;
	ssize_t n;

	while ((n = recv(fd, nowhere, sizeof(nowhere), MSG_DONTWAIT)) > 0)
		have += (size_t)n;
	return have;
}

static void
turns(struct stage *st, int n)
{
	while (n-- > 0)
		loop_poll(worker_loop(st->worker));
}

/* A node lets the proxy in. */
static void
answer_login(struct stage *st, int i)
{
	struct buf b = { .cap = 4096 };

	st->node = accept(st->listening[i], NULL, NULL);
	must(st->node >= 0, "nobody has come to the node");
	message_put_auth(&b, AUTH_OK, slice_of(NULL, 0));
	message_put_parameter(&b, SLICE_LITERAL("server_version"), SLICE_LITERAL("15.4"));
	message_put_parameter(&b, SLICE_LITERAL("client_encoding"), SLICE_LITERAL("UTF8"));
	message_put_key(&b, 4711, SLICE_LITERAL("abcd"));
	message_put_ready(&b, 'I');
	turns(st, 4);
	(void)hear(st->node);
	say(st->node, &b);
	turns(st, 8);
	buf_fini(&b);
}

/* A session that is ready, and has a server. */
static void
log_in(struct stage *st, const char *database)
{
	static const struct addr local = { .family = ADDR_IPV4, .ip = { 127, 0, 0, 1 } };
	struct buf b = { .cap = 4096 };
	int fd[2];
	size_t at;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0, "pair");
	st->client = fd[0];
	(void)session_new(st->worker, fd[1], 0, &local);
	at = buf_message(&b, 0);
	buf_slice(&b, SLICE_LITERAL("\0\3\0\0user\0a\0database\0"));
	buf_str(&b, database);
	buf_slice(&b, SLICE_LITERAL("\0\0"));
	buf_message_end(&b, at);
	say(st->client, &b);
	turns(st, 4);
	answer_login(st, 0);
	(void)hear(st->client);
	(void)hear(st->node);
	must(!TAILQ_EMPTY(&st->worker->states[SESSION_RELAY]), "the session is not ready");
	buf_fini(&b);
}

/* In a pool the client's statement has another name. */
static void
step(struct stage *st, const struct buf *ask, const struct buf *answer)
{
	if (ask->n > 0) {
		say(st->client, ask);
		turns(st, 1);
		must(hear(st->node) + NAME_SLACK >= ask->n, "the node has not heard the client");
	}
	if (answer->n > 0) {
		say(st->node, answer);
		turns(st, 1);
		must(hear(st->client) == answer->n, "the client has not heard the node");
	}
}

/* What comes first may be said otherwise, and takes its time. */
static void
begin(struct stage *st, const struct transcript *t)
{
	struct buf ask = { .cap = 4096 }, answer = { .cap = 4096 };

	if (t->before == NULL)
		return;
	t->before(&ask, &answer);
	say(st->client, &ask);
	turns(st, 4);
	(void)hear(st->node);
	say(st->node, &answer);
	turns(st, 4);
	(void)hear(st->client);
	buf_fini(&ask);
	buf_fini(&answer);
}

/* Questions of Meridian's own are known by what they begin with: how far the standby has replayed,
 * and which run of it this is. */
static void
answer_query(struct buf *b, struct slice sql)
{
	size_t at = buf_message(b, MSG_DATA_ROW);

	if (slice_starts(sql, "SELECT 'w', "))
		buf_slice(b, SLICE_LITERAL("\0\3\0\0\0\1w\0\0\0\0044711\0\0\0\0"));
	else
		buf_slice(b, SLICE_LITERAL("\0\1\0\0\0\0044711"));
	buf_message_end(b, at);
	message_put_command_complete(b, "SELECT 1");
	message_put_ready(b, 'I');
}

/* The standby answers what it has been asked; returns how many queries that were. */
static int
answer_nearby(struct stage *st)
{
	char asked[4096];
	struct buf b = { .cap = 4096 };
	ssize_t n = recv(st->node, asked, sizeof(asked), MSG_DONTWAIT);
	struct slice rest = slice_of(asked, n > 0 ? (size_t)n : 0);
	struct frame f;
	int queries = 0;

	while (frame_cut(rest, INT32_MAX, &f) == PARSE_DONE) {
		answer_query(&b, f.body);
		rest = slice_skip(rest, f.total);
		queries++;
	}
	say(st->node, &b);
	turns(st, 4);
	buf_fini(&b);
	return queries;
}

/* The first reads nearby: one finds out how far the standby is, the next which run of it this is,
 * and from then on nothing is asked but what the client asks. */
static void
begin_nearby(struct stage *st)
{
	struct buf b = { .cap = 4096 };
	int asked, queries = 0; /* for the last of them */

	message_put_query(&b, SLICE_LITERAL("SELECT 1"));
	for (int i = 0; i < 4; i++) {
		say(st->client, &b);
		turns(st, 4);
		if (i == 0)
			answer_login(st, 1);
		for (queries = 0; hear(st->client) == 0; queries += asked) {
			asked = answer_nearby(st);
			must(asked > 0, "the standby is not asked");
		}
	}
	must(queries == 1, "a read nearby is not warm");
	buf_fini(&b);
}

static void
run(const struct transcript *t, int n)
{
	struct stage *st = xcalloc(1, sizeof(*st));
	struct buf ask = { .cap = 1 << 20 }, answer = { .cap = 1 << 20 };

	build(st);
	log_in(st, t->database);
	if (strcmp(t->database, "near") == 0)
		begin_nearby(st);
	begin(st, t);
	if (t->answer != NULL)
		t->answer(&answer);
	for (int i = 0; i < n; i++) {
		buf_clear(&ask);
		if (t->ask != NULL)
			t->ask(&ask, i);
		step(st, &ask, &answer);
	}
	printf("%zu bytes asked, %zu answered\n", ask.n, answer.n);
	for (int i = 0; i < NODES; i++) {
		(void)unlink(st->socket[i]);
		(void)rmdir(st->dir[i]);
	}
}

int
main(int argc, char **argv)
{
	size_t n = sizeof(transcripts) / sizeof(transcripts[0]);

	if (argc == 2 && strcmp(argv[1], "built") == 0) {
#ifdef __OPTIMIZE__
		puts(__VERSION__ " optimized");
#else
		puts(__VERSION__ " plain");
#endif
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (argc == 2 && strcmp(argv[1], "list") == 0)
			puts(transcripts[i].name);
		else if (argc == 3 && strcmp(argv[1], transcripts[i].name) == 0) {
			run(&transcripts[i], atoi(argv[2]));
			return 0;
		}
	}
	return argc == 2 && strcmp(argv[1], "list") == 0 ? 0 : 2;
}
