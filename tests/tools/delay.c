/* SPDX-License-Identifier: PostgreSQL
 *
 * delay - a TCP relay that stands in for distance, and for the ways in which a far host fails.
 *
 *   delay [--listen PORT] [--ms N] [--keep] HOST:PORT
 *
 * Listens on 127.0.0.1 (a free port unless told), prints "port N" and relays to HOST:PORT. Each
 * byte arrives N milliseconds after it was sent, each way; the first bytes of a connection one
 * round trip later still, because the kernel has answered the TCP handshake that a far host would
 * have. Order and amounts are kept, the bytes on the way are bounded (4 MiB each way), the end of
 * the stream travels like a byte.
 *
 * Commands on standard input, one per line, each answered with "ok":
 *   ms N     from now on N milliseconds      hang    accept, but relay nothing any more
 *   split N  at most N bytes per write, a turn of the loop between them; 0: as they come
 *   refuse   stop listening                  cut     reset every connection
 *   pass     relay and listen again          count   answers "ok N": connections now open
 *   hold     what servers say from now on waits, until pass; what clients say does not
 *   step N   N bytes of it go on             held    answers "ok N": bytes that wait
 * The end of standard input ends the program, so it never outlives the test that started it; --keep
 * ignores it.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 65536, WAY_MAX_BYTES = 4 << 20 };

struct chunk {
	struct chunk *next;
	int64_t due_us;
	size_t len, sent; /* len 0: the end of the stream */
	char data[];
};

/* One direction of a connection. */
struct way {
	struct chunk *head, **tail;
	size_t bytes;
	bool read_ended, write_ended;
	bool blocked; /* the receiver's socket is full */
};

struct conn {
	struct conn *next;
	int fd[2];         /* 0 the client, 1 the server */
	struct way way[2]; /* way[i] carries from fd[i] to fd[!i] */
	int64_t opened_us;
	size_t slot; /* of fd[0] in the poll set; fd[1] follows */
	bool broken;
};

struct relay {
	struct sockaddr_in to, at;
	int listener;
	int64_t delay_us;
	size_t split; /* bytes per write; SIZE_MAX: no limit */
	bool hang, hold, keep, done;
	struct conn *conns;
	size_t nconns;
	struct pollfd *set;
	size_t nset, cap;
	char line[128];
	size_t nline;
};

static int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void *
need(void *p)
{
	if (p == NULL)
		die("memory");
	return p;
}

/* A socket at the relay's port. The first never listens: nobody else gets the port while
 * connections are refused. */
static int
relay_bind(struct relay *r)
{
	socklen_t len = sizeof r->at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&r->at, sizeof r->at) != 0)
		die("bind");
	getsockname(fd, (struct sockaddr *)&r->at, &len);
	return fd;
}

static void
relay_listen(struct relay *r)
{
	r->listener = relay_bind(r);
	if (listen(r->listener, 1024) != 0)
		die("listen");
}

static void
relay_refuse(struct relay *r)
{
	if (r->listener >= 0)
		close(r->listener);
	r->listener = -1;
}

/* ---------------------------------------------------------------- one direction */

static void
way_init(struct way *w)
{
	memset(w, 0, sizeof *w);
	w->tail = &w->head;
}

static void
way_pop(struct way *w)
{
	struct chunk *c = w->head;

	w->head = c->next;
	if (w->head == NULL)
		w->tail = &w->head;
	w->bytes -= c->len;
	free(c);
}

static void
way_push(struct way *w, const char *data, size_t len, int64_t due_us)
{
	struct chunk *c = need(malloc(sizeof *c + len));

	c->next = NULL;
	c->due_us = due_us;
	c->len = len;
	c->sent = 0;
	memcpy(c->data, data, len);
	*w->tail = c;
	w->tail = &c->next;
	w->bytes += len;
}

/* A chunk that is waiting becomes two of them. */
static void
way_cut(struct way *w, struct chunk *c, size_t len)
{
	struct chunk *rest = need(malloc(sizeof *rest + c->len - len));

	*rest = (struct chunk){ .next = c->next, .due_us = c->due_us, .len = c->len - len };
	memcpy(rest->data, c->data + len, rest->len);
	c->len = len;
	c->next = rest;
	if (w->tail == &c->next)
		w->tail = &rest->next;
}

/* What is due goes out, or `split` bytes of it; false when the connection is broken. */
static bool
way_flush(struct way *w, int to, int64_t now, size_t split)
{
	while (w->head != NULL && w->head->due_us <= now && !w->blocked) {
		struct chunk *c = w->head;
		size_t len = c->len - c->sent < split ? c->len - c->sent : split;
		ssize_t n;

		if (c->len == 0) {
			shutdown(to, SHUT_WR);
			w->write_ended = true;
			way_pop(w);
			continue;
		}
		n = send(to, c->data + c->sent, len, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN)
			return false;
		if (n > 0)
			c->sent += (size_t)n;
		if (n < (ssize_t)len)
			w->blocked = true;
		if (c->sent == c->len)
			way_pop(w);
		if (split != SIZE_MAX)
			break;
	}
	return true;
}

/* ---------------------------------------------------------------- connections */

static void
conn_close(struct conn *c, bool reset)
{
	struct linger rst = { .l_onoff = 1, .l_linger = 0 };

	for (int i = 0; i < 2; i++) {
		if (reset)
			setsockopt(c->fd[i], SOL_SOCKET, SO_LINGER, &rst, sizeof rst);
		close(c->fd[i]);
		while (c->way[i].head != NULL)
			way_pop(&c->way[i]);
	}
	free(c);
}

static void
relay_accept(struct relay *r)
{
	int on = 1, fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct conn *c;

	if (fd < 0)
		return;
	c = need(calloc(1, sizeof *c));
	c->fd[0] = fd;
	c->fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd[1] < 0)
		die("socket");
	for (int i = 0; i < 2; i++) {
		setsockopt(c->fd[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		way_init(&c->way[i]);
	}
	c->opened_us = now_us();
	if (connect(c->fd[1], (struct sockaddr *)&r->to, sizeof r->to) != 0 && errno != EINPROGRESS)
		c->broken = true;
	c->next = r->conns;
	r->conns = c;
	r->nconns++;
}

static void
conn_read(struct relay *r, struct conn *c, int from)
{
	static char scratch[READ_BYTES];
	struct way *w = &c->way[from];
	int64_t due, now = now_us();
	ssize_t n = recv(c->fd[from], scratch, sizeof scratch, 0);

	if (n < 0) {
		c->broken = errno != EAGAIN && errno != EINTR;
		return;
	}
	due = now + r->delay_us;
	if (from == 0 && due < c->opened_us + 3 * r->delay_us)
		due = c->opened_us + 3 * r->delay_us;
	if (from == 1 && r->hold)
		due = INT64_MAX;
	way_push(w, scratch, (size_t)n, due);
	w->read_ended = n == 0;
}

static bool
conn_over(const struct conn *c)
{
	return c->broken || (c->way[0].write_ended && c->way[1].write_ended);
}

static void
conn_serve(struct relay *r, struct conn *c)
{
	int64_t now = now_us();

	for (int i = 0; i < 2 && !c->broken; i++) {
		short got = r->set[c->slot + (size_t)i].revents;

		if (got & POLLOUT)
			c->way[!i].blocked = false;
		if (got & (POLLIN | POLLERR | POLLHUP) && !c->way[i].read_ended)
			conn_read(r, c, i);
		else if (got & POLLERR)
			c->broken = true;
	}
	for (int i = 0; i < 2 && !c->broken; i++)
		c->broken = !way_flush(&c->way[i], c->fd[!i], now, r->split);
}

static void
relay_reap(struct relay *r, bool all)
{
	for (struct conn **at = &r->conns; *at != NULL;) {
		struct conn *c = *at;

		if (all || conn_over(c)) {
			*at = c->next;
			r->nconns--;
			conn_close(c, all || c->broken);
		} else {
			at = &c->next;
		}
	}
}

/* ---------------------------------------------------------------- commands */

/* How many bytes of servers are held; of each connection so many go on. */
static size_t
relay_held(struct relay *r, size_t go)
{
	size_t n = 0;

	for (struct conn *c = r->conns; c != NULL; c = c->next) {
		size_t left = go;

		for (struct chunk *at = c->way[1].head; at != NULL; at = at->next) {
			if (at->due_us != INT64_MAX)
				continue;
			n += at->len;
			if (left > 0 && left < at->len)
				way_cut(&c->way[1], at, left);
			if (left > 0)
				at->due_us = 0;
			left -= at->len < left ? at->len : left;
		}
	}
	return n;
}

static void
command_run(struct relay *r, const char *line)
{
	int n;

	if (sscanf(line, "ms %d", &n) == 1 && n >= 0)
		r->delay_us = (int64_t)n * 1000;
	else if (sscanf(line, "split %d", &n) == 1 && n >= 0)
		r->split = n == 0 ? SIZE_MAX : (size_t)n;
	else if (strcmp(line, "hang") == 0)
		r->hang = true;
	else if (strcmp(line, "hold") == 0)
		r->hold = true;
	else if (sscanf(line, "step %d", &n) == 1 && n > 0)
		relay_held(r, (size_t)n);
	else if (strcmp(line, "cut") == 0)
		relay_reap(r, true);
	else if (strcmp(line, "refuse") == 0)
		relay_refuse(r);
	else if (strcmp(line, "pass") == 0) {
		r->hang = r->hold = false;
		relay_held(r, SIZE_MAX);
		if (r->listener < 0)
			relay_listen(r);
	} else if (strcmp(line, "count") == 0 || strcmp(line, "held") == 0) {
		printf("ok %zu\n", *line == 'c' ? r->nconns : relay_held(r, 0));
		return;
	} else {
		printf("what? %s\n", line);
		return;
	}
	printf("ok\n");
}

static void
relay_command(struct relay *r)
{
	ssize_t n = read(STDIN_FILENO, r->line + r->nline, sizeof r->line - 1 - r->nline);
	char *end;

	if (n <= 0) {
		r->done = !r->keep;
		return;
	}
	r->nline += (size_t)n;
	r->line[r->nline] = '\0';
	while ((end = strchr(r->line, '\n')) != NULL) {
		*end = '\0';
		command_run(r, r->line);
		r->nline -= (size_t)(end + 1 - r->line);
		memmove(r->line, end + 1, r->nline + 1);
	}
	if (r->nline == sizeof r->line - 1)
		r->nline = 0;
	fflush(stdout);
}

/* ---------------------------------------------------------------- the loop */

static void
set_add(struct relay *r, int fd, short events)
{
	if (r->nset == r->cap) {
		r->cap = r->cap * 2 + 16;
		r->set = need(realloc(r->set, r->cap * sizeof *r->set));
	}
	r->set[r->nset++] = (struct pollfd){ .fd = fd, .events = events };
}

/* Fill the poll set; returns when the next byte is due, or INT64_MAX. */
static int64_t
relay_prepare(struct relay *r)
{
	int64_t due = INT64_MAX;

	r->nset = 0;
	set_add(r, r->keep ? -1 : STDIN_FILENO, POLLIN);
	set_add(r, r->listener, POLLIN);
	for (struct conn *c = r->conns; c != NULL; c = c->next) {
		c->slot = r->nset;
		for (int i = 0; i < 2; i++) {
			const struct way *in = &c->way[i], *out = &c->way[!i];
			short want = 0;

			if (!in->read_ended && in->bytes < WAY_MAX_BYTES)
				want |= POLLIN;
			if (out->blocked)
				want |= POLLOUT;
			set_add(r, r->hang || want == 0 ? -1 : c->fd[i], want);
			if (!r->hang && out->head != NULL && !out->blocked &&
			    out->head->due_us < due)
				due = out->head->due_us;
		}
	}
	return due;
}

static void
relay_turn(struct relay *r)
{
	int64_t due = relay_prepare(r), wait = due - now_us();
	struct timespec ts = { 0, 0 };

	if (wait > 0 && due != INT64_MAX) {
		ts.tv_sec = (time_t)(wait / 1000000);
		ts.tv_nsec = (long)(wait % 1000000) * 1000;
	}
	if (ppoll(r->set, r->nset, due == INT64_MAX ? NULL : &ts, NULL) < 0 && errno != EINTR)
		die("ppoll");
	if (!r->hang) {
		for (struct conn *c = r->conns; c != NULL; c = c->next)
			conn_serve(r, c);
	}
	relay_reap(r, false);
	if (r->set[1].revents != 0)
		relay_accept(r);
	if (r->set[0].revents != 0)
		relay_command(r);
}

static int
parse_target(struct sockaddr_in *to, char *text)
{
	char *colon = strrchr(text, ':');

	if (colon == NULL)
		return -1;
	*colon = '\0';
	to->sin_family = AF_INET;
	to->sin_port = htons((uint16_t)atoi(colon + 1));
	return inet_pton(AF_INET, text, &to->sin_addr) == 1 ? 0 : -1;
}

int
main(int argc, char **argv)
{
	struct relay r = { .listener = -1, .split = SIZE_MAX };
	int i;

	signal(SIGPIPE, SIG_IGN);
	r.at.sin_family = AF_INET;
	r.at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		if (strcmp(argv[i], "--keep") == 0)
			r.keep = true;
		else if (strcmp(argv[i], "--ms") == 0 && i + 1 < argc)
			r.delay_us = (int64_t)atoi(argv[++i]) * 1000;
		else if (strcmp(argv[i], "--listen") == 0 && i + 1 < argc)
			r.at.sin_port = htons((uint16_t)atoi(argv[++i]));
		else
			break;
	}
	if (i != argc - 1 || parse_target(&r.to, argv[i]) != 0) {
		fprintf(stderr, "usage: delay [--listen PORT] [--ms N] [--keep] HOST:PORT\n");
		return 2;
	}
	(void)relay_bind(&r);
	relay_listen(&r);
	printf("port %d\n", ntohs(r.at.sin_port));
	fflush(stdout);
	while (!r.done)
		relay_turn(&r);
	relay_reap(&r, true);
	free(r.set);
	return 0;
}
