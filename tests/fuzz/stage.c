/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "tests/fuzz/stage.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/keymaker.h"
#include "proxy/auth/md5.h"
#include "proxy/auth/throttle.h"
#include "proxy/move/redirects.h"
#include "proxy/net/sock.h"
#include "proxy/pool/pooled.h"
#include "proxy/process/usage.h"
#include "proxy/session/session_int.h"

static const struct addr local = { .family = ADDR_IPV4, .ip = { 127, 0, 0, 1 }, .port = 4711 };

/* ---- the process ---- */

static struct proxy *the_proxy;

static void
remove_socket(void)
{
	(void)unlink(the_proxy->near.path);
	(void)unlink(the_proxy->far.path);
	(void)rmdir(the_proxy->dir);
}

/* A file in memory, open for good. */
static void
name_file(int fd, char *to, size_t size)
{
	FUZZ_ASSERT(fd >= 0);
	snprintf(to, size, "/proc/self/fd/%d", fd);
}

/* The client is a, whose password is a; h has left a hash, s a verifier. The node stands for the
 * other proxy of the fleet too. */
static void
write_conf(struct proxy *p, bool has_far)
{
	int conf = memfd_create("conf", 0), users = memfd_create("users", 0);
	int keys = memfd_create("keys", 0);

	name_file(conf, p->conf, sizeof(p->conf));
	name_file(users, p->users, sizeof(p->users));
	name_file(keys, p->keys, sizeof(p->keys));
	FUZZ_ASSERT(fchmod(keys, 0600) == 0);
	dprintf(keys, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
	dprintf(users, "\"a\" \"a\"\n\"h\" \"md50123456789abcdef0123456789abcdef\"\n"
		       "\"s\" \"SCRAM-SHA-256$4096:EkOSF6RJHu4+k2gi8AUeiQ==$"
		       "zZblK1QQpT7NdVvXIkEVE4fIPiQ/coXGEl8wBEtPaQM=:"
		       "pZ+3urUipgkmQ7HFN/ka0MzcabWkmJMzWX1DudNEETM=\"\n");
	dprintf(
	    conf,
	    "[meridian]\nlog_level = fatal\nlisten = 127.0.0.1:1\ntrusted_proxies = 127.0.0.0/8\n"
	    "proxy_protocol = allow\nmax_client_conn = 3\nhttp = on\nauth_file = %s\n"
	    "peer_id = 1\nfleet_key_file = %s\npeers = 1=127.0.0.1:1, 2=%s:5432\n"
	    "[listener plain]\nlisten = 127.0.0.1:2\n"
	    "[region near]\nnodes = %s\nsslmode = disable\n"
	    "[database t]\nauth = trust\n[database s]\nauth = scram-sha-256\n"
	    "[database m]\nauth = md5\n"
	    "[database p]\nauth = trust\npool = transaction\n"
	    "[database q]\nauth = trust\npool = session\n",
	    p->users, p->keys, p->dir, p->dir);
	if (has_far)
		dprintf(conf, "[region far]\nnodes = %s:5433\nsslmode = disable\n", p->dir);
	p->args.path = p->conf;
}

static void
listen_as(struct proxy *p, struct listening *l, unsigned port)
{
	struct err e = { 0 };

	snprintf(l->path, sizeof(l->path), "%s/.s.PGSQL.%u", p->dir, port);
	l->fd = sock_listen_unix(l->path, 0600, 64, &e);
	FUZZ_ASSERT(l->fd >= 0);
}

static struct proxy *
start(bool has_far)
{
	struct proxy *p = xcalloc(1, sizeof(*p));
	struct config *config;
	struct err e = { 0 };

	the_proxy = p;
	log_set_level(LOG_LEVEL_FATAL);
	snprintf(p->dir, sizeof(p->dir), "/tmp/fuzz-session-XXXXXX");
	FUZZ_ASSERT(mkdtemp(p->dir) != NULL);
	(void)atexit(remove_socket);
	listen_as(p, &p->near, 5432);
	listen_as(p, &p->far, 5433);
	write_conf(p, has_far);
	/* no threads: a password that has to be hashed is none */
	p->process.keymaker = keymaker_new();
	keymaker_stop(p->process.keymaker);
	p->process.redirections = redirections_new();
	p->process.throttle = throttle_new((const uint8_t *)"a secret of 16 b");
	config = config_load(&p->args, &e);
	FUZZ_ASSERT(config != NULL);
	p->process.control = control_new(&p->process, &p->args, config, &e);
	FUZZ_ASSERT(p->process.control != NULL);
	p->worker = worker_new(&p->process, 1, control_make_world(p->process.control));
	p->process.workers = &p->worker;
	p->process.nworkers = 1;
	return p;
}

/* ---- turns ---- */

static void
accept_nodes(struct play *y)
{
	struct pollfd at[] = { { .fd = y->p->near.fd, .events = POLLIN },
			       { .fd = y->p->far.fd, .events = POLLIN } };
	int fd;

	for (unsigned i = 0; poll(at, 2, 0) > 0 && i < NODES_MAX; i++) {
		fd = accept4(at[at[0].revents != 0 ? 0 : 1].fd, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0 && y->nnodes < NODES_MAX)
			y->nodes[y->nnodes++] = fd;
		else if (fd >= 0)
			close(fd);
	}
}

void
stage_turn(struct play *y)
{
	for (int i = 0; i < 4; i++) {
		loop_poll(worker_loop(y->p->worker));
		accept_nodes(y);
	}
	/* not control_deliver(), which ends what is under way */
	while (mailbox_deliver(y->p->process.control->mail))
		;
}

struct session *
stage_session(struct play *y)
{
	for (unsigned i = 0; i < worker_nslots(y->p->worker); i++) {
		struct session *s = worker_session_at(y->p->worker, i);

		if (s != NULL)
			return s;
	}
	return NULL;
}

/* ---- steps ---- */

int *
stage_newest_node(struct play *y)
{
	static int none = -1;

	for (unsigned i = y->nnodes; i-- > 0;) {
		if (y->nodes[i] >= 0)
			return &y->nodes[i];
	}
	return &none;
}

struct slice
stage_take_bytes(struct play *y)
{
	size_t n = y->rest.n > 0 ? (uint8_t)y->rest.p[0] : 0;
	struct slice rest = slice_skip(y->rest, 1), head;

	n = n < rest.n ? n : rest.n;
	head = slice_of(rest.p, n);
	y->rest = slice_skip(rest, n);
	return head;
}

void
stage_put(int fd, const char *p, size_t n)
{
	if (fd >= 0)
		(void)!send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* What is said, or heard, at once. */
static char bulk[BULK];

static void
get(int fd)
{
	if (fd >= 0)
		(void)!recv(fd, bulk, sizeof(bulk), MSG_DONTWAIT);
}

static void
leave(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void
stage_connect(struct play *y)
{
	int fd[2];

	leave(&y->client);
	FUZZ_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	y->client = fd[0];
	(void)session_new(y->p->worker, fd[1], y->rest.n & 1, &local);
}

void
stage_client_bytes(struct play *y)
{
	struct slice s = stage_take_bytes(y);

	stage_put(y->client, s.p, s.n);
}

void
stage_node_bytes(struct play *y)
{
	struct slice s = stage_take_bytes(y);

	stage_put(*stage_newest_node(y), s.p, s.n);
}

void
stage_startup(struct play *y)
{
	static const char packet[] = "\0\0\0\x1b\0\3\0\0user\0a\0database\0b\0";

	stage_put(y->client, packet, sizeof(packet));
}

/* The same for the database of the next byte. */
void
stage_startup_of(struct play *y)
{
	char packet[] = "\0\0\0\x1b\0\3\0\0user\0a\0database\0b\0";
	struct slice said = stage_take_bytes(y);

	if (said.n > 0)
		packet[sizeof(packet) - 3] = said.p[0];
	if (said.n > 1)
		packet[13] = said.p[1];
	stage_put(y->client, packet, sizeof(packet));
}

static void
answer_md5(struct play *y, struct slice salt)
{
	struct buf b = { .cap = 256 };
	char text[MD5_PASSWORD_TEXT];

	FUZZ_ASSERT(md5_password(slice_str("a"), slice_str("a"), (const uint8_t *)salt.p, text));
	message_put_password(&b, slice_str(text));
	stage_put(y->client, b.p, b.n);
	buf_fini(&b);
}

static void
answer_sasl(struct play *y)
{
	struct buf data = { .cap = SCRAM_MESSAGE_MAX }, b = { .cap = 2 * SCRAM_MESSAGE_MAX };
	struct err e;

	scram_client_fini(&y->scram);
	scram_client_init(&y->scram, "a-nonce-of-no-worth");
	FUZZ_ASSERT(scram_client_first(&y->scram, slice_of("", 0), &data, &e) == 0);
	message_put_sasl_initial(&b, slice_str(SCRAM_MECHANISM), buf_view(&data));
	stage_put(y->client, b.p, b.n);
	buf_fini(&data);
	buf_fini(&b);
}

/* The salt of a plain-text user is random: the keys are made anew where it is another, once for
 * each process. */
static void
answer_challenge(struct play *y, struct slice text)
{
	static struct scram_challenge known;
	static struct scram_keys keys;
	struct buf data = { .cap = SCRAM_MESSAGE_MAX }, b = { .cap = 2 * SCRAM_MESSAGE_MAX };
	struct scram_challenge ask;
	struct err e;

	if (scram_client_challenge(&y->scram, text, &ask, &e) != 0)
		return;
	if (memcmp(&ask, &known, sizeof(ask)) != 0) {
		if (ask.iterations > SCRAM_ITERATIONS_DEFAULT)
			return;
		FUZZ_ASSERT(scram_keys_make(slice_str("a"),
					    slice_of((const char *)ask.salt, ask.salt_len),
					    ask.iterations, &keys, &e) == 0);
		known = ask;
	}
	FUZZ_ASSERT(scram_client_final(&y->scram, &keys, &data, &e) == 0);
	message_put_sasl_response(&b, buf_view(&data));
	stage_put(y->client, b.p, b.n);
	buf_fini(&data);
	buf_fini(&b);
}

/* The client does as it is asked: it proves that it is a. */
void
stage_prove(struct play *y)
{
	char bytes[4096];
	ssize_t n = y->client < 0 ? 0 : recv(y->client, bytes, sizeof(bytes), MSG_DONTWAIT);
	struct message_auth auth;
	struct frame f;

	if (n <= 0 || frame_cut(slice_of(bytes, (size_t)n), sizeof(bytes), &f) != PARSE_DONE ||
	    f.type != MSG_AUTHENTICATION || message_parse_auth(f.body, &auth) != PARSE_DONE)
		return;
	if (auth.code == AUTH_MD5)
		answer_md5(y, auth.data);
	else if (auth.code == AUTH_SASL)
		answer_sasl(y);
	else if (auth.code == AUTH_SASL_CONTINUE)
		answer_challenge(y, auth.data);
}

/* AuthenticationOk, BackendKeyData, ReadyForQuery. */
void
stage_ready(struct play *y)
{
	struct buf b = { .cap = 256 };

	message_put_auth(&b, AUTH_OK, slice_of(NULL, 0));
	message_put_key(&b, 4711, SLICE_LITERAL("abcd"));
	message_put_ready(&b, 'I');
	stage_put(*stage_newest_node(y), b.p, b.n);
	buf_fini(&b);
}

void
stage_fatal(struct play *y)
{
	struct buf b = { .cap = 1024 };
	struct err e;

	err_set(&e, y->rest.n & 1 ? SQLSTATE_CANNOT_CONNECT_NOW : "28P01", "no");
	message_put_error(&b, "FATAL", &e);
	stage_put(*stage_newest_node(y), b.p, b.n);
	buf_fini(&b);
}

/* CopyData without end, from both sides: what is not read fills every buffer. */
void
stage_bulk(struct play *y)
{
	memset(bulk, 'd', BULK);
	for (size_t i = 0; i + 100 <= BULK; i += 100)
		put_u32(bulk + i + 1, 99);
	stage_put(y->rest.n & 1 ? y->client : *stage_newest_node(y), bulk, BULK - BULK % 100);
}

/* Any message without end: the next bytes say who sends it, its type, and what is in it. Short ones
 * are answered with more than they are, or remembered. */
void
stage_flood(struct play *y)
{
	struct slice said = stage_take_bytes(y);
	bool by_node = said.n > 0 && (said.p[0] & 1) != 0;
	struct slice body = slice_skip(said, 2);
	size_t n = 5 + body.n, at = 0;

	if (said.n < 2)
		return;
	for (; at + n <= BULK; at += n) {
		bulk[at] = said.p[1];
		put_u32(bulk + at + 1, (uint32_t)(4 + body.n));
		if (body.n > 0)
			memcpy(bulk + at + 5, body.p, body.n);
		/* a name that differs */
		if (body.n > 4 && (said.p[0] & 2) != 0)
			snprintf(bulk + at + 5, 4, "%03u", (unsigned)(at / n % 1000));
	}
	stage_put(by_node ? *stage_newest_node(y) : y->client, bulk, at);
}

void
stage_read(struct play *y)
{
	get(y->client);
	for (unsigned i = 0; i < y->nnodes; i++)
		get(y->nodes[i]);
}

void
stage_client_leaves(struct play *y)
{
	leave(&y->client);
}

void
stage_node_leaves(struct play *y)
{
	leave(stage_newest_node(y));
}

void
stage_half_close(struct play *y)
{
	int fd = y->rest.n & 1 ? y->client : *stage_newest_node(y);

	if (fd >= 0)
		(void)shutdown(fd, SHUT_WR);
}

void
stage_kill(struct play *y)
{
	struct session *s = stage_session(y);

	if (s != NULL)
		session_close(s, WHY_KILLED, NULL);
}

void
stage_deadline(struct play *y)
{
	struct session *s = stage_session(y);
	int64_t late_us = clock_us() + 3600 * USEC_PER_SEC;

	if (s == NULL)
		return;
	if (websocket_tick(&s->client) != 0)
		session_abort(s, WHY_PING_TIMEOUT);
	else if (s->pooled != NULL && s->pooled->state == POOLED_WAITING)
		pooled_check_wait(s->pooled, late_us);
	else
		session_check_deadline(s, late_us);
}

void
stage_new_world(struct play *y)
{
	control_publish(y->p->process.control, y->rest.n & 1);
}

static unsigned
node_sessions(struct worker *w)
{
	const struct topology *t = worker_world(w)->topology;
	unsigned n = 0;

	for (unsigned i = 0; i < t->nnodes; i++)
		n += (unsigned)atomic_load(&t->nodes[i].live->sessions);
	return n;
}

/* Everybody leaves; a little later nothing is left of it. */
static void
clear(struct play *y, const struct stage *stage)
{
	struct worker *w = y->p->worker;

	leave(&y->client);
	for (int i = 0;
	     i < 50 && (worker_nsessions(w) > 0 || w->ncancels > 0 || node_sessions(w) > 0); i++) {
		for (unsigned k = 0; k < y->nnodes; k++)
			leave(&y->nodes[k]);
		y->nnodes = 0;
		stage_turn(y);
		stage_deadline(y);
		if (stage->no_patience != NULL)
			stage->no_patience(y);
	}
	for (unsigned k = 0; k < y->nnodes; k++)
		leave(&y->nodes[k]);
	FUZZ_ASSERT(worker_nsessions(w) == 0);
	FUZZ_ASSERT(w->ncancels == 0);
	FUZZ_ASSERT(atomic_load(&y->p->process.clients) == 0);
	FUZZ_ASSERT(atomic_load(&y->p->process.streams) == 0);
	FUZZ_ASSERT(node_sessions(w) == 0);
	for (int i = 0; i < SESSION_STATE_COUNT; i++)
		FUZZ_ASSERT(TAILQ_EMPTY(&w->states[i]));
}

static void
check_bounds(const struct play *y)
{
	int64_t now = usage_heap().used; /* of the whole process */

	FUZZ_ASSERT(now - y->allocated < HELD_MAX);
}

void
stage_play(const uint8_t *data, size_t size, const struct stage *stage)
{
	struct play y = { .rest = slice_of((const char *)data, size), .client = -1 };

	y.p = the_proxy != NULL ? the_proxy : start(stage->has_far);
	y.allocated = usage_heap().used;
	stage_connect(&y);
	for (int i = 0; i < STEPS_MAX && y.rest.n > 0; i++) {
		unsigned step = (uint8_t)y.rest.p[0] % stage->nsteps;

		y.rest = slice_skip(y.rest, 1);
		stage->steps[step](&y);
		if (data[0] & 0x80) /* else the input says when */
			stage_turn(&y);
		check_bounds(&y);
	}
	if (stage->clear != NULL)
		stage->clear(&y);
	clear(&y, stage);
	scram_client_fini(&y.scram);
}
