/* SPDX-License-Identifier: PostgreSQL
 *
 * node - stands in for a PostgreSQL with ten thousand sessions, where only the proxy in front of it
 * is measured: it trusts everybody, says at login what PostgreSQL 15 says, and answers each SELECT
 * with one row of one column, every other statement with a tag.
 *
 *   node PORT
 */
#include "config.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/loopback.h"

#define MESSAGE_MAX 2048
#define BATCH       256

enum {
	CODE_SSL = 80877103,
	CODE_GSS = 80877104,
	CODE_CANCEL = 80877102,
};

struct conn {
	int fd;
	uint32_t id;
	bool in; /* logged in */
	size_t n;
	uint8_t bytes[MESSAGE_MAX];
};

/* What is said at one go. */
struct say {
	size_t n;
	uint8_t bytes[65536];
};

static const char *const settings[][2] = {
	{ "application_name", "" },
	{ "client_encoding", "UTF8" },
	{ "DateStyle", "ISO, MDY" },
	{ "default_transaction_read_only", "off" },
	{ "in_hot_standby", "off" },
	{ "integer_datetimes", "on" },
	{ "IntervalStyle", "postgres" },
	{ "is_superuser", "on" },
	{ "server_encoding", "UTF8" },
	{ "server_version", "15.14" },
	{ "session_authorization", "bench" },
	{ "standard_conforming_strings", "on" },
	{ "TimeZone", "Etc/UTC" },
};

static uint32_t
be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return ntohl(v);
}

static void
put(struct say *s, const void *bytes, size_t n)
{
	if (n > sizeof(s->bytes) - s->n)
		exit(1);
	memcpy(s->bytes + s->n, bytes, n);
	s->n += n;
}

static void
message(struct say *s, char type, const void *body, size_t n)
{
	uint32_t length = htonl((uint32_t)n + 4);

	put(s, &type, 1);
	put(s, &length, 4);
	put(s, body, n);
}

static void
welcome(struct say *s, uint32_t id)
{
	uint32_t key[2] = { htonl(id), htonl(id * 2654435761U) };

	message(s, 'R', "\0\0\0\0", 4);
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		char text[128];
		int n = snprintf(text, sizeof(text), "%s%c%s", settings[i][0], 0, settings[i][1]);

		message(s, 'S', text, (size_t)n + 1);
	}
	message(s, 'K', key, sizeof(key));
	message(s, 'Z', "I", 1);
}

static void
answer_query(struct say *s, const char *text, size_t n)
{
	static const char columns[] = "\0\1?column?\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0";
	static const char row[] = "\0\1\0\0\0\1"
				  "1";

	if (n >= 6 && strncasecmp(text, "select", 6) == 0) {
		message(s, 'T', columns, sizeof(columns));
		message(s, 'D', row, sizeof(row) - 1);
		message(s, 'C', "SELECT 1", 9);
	} else {
		message(s, 'C', "SET", 4);
	}
	message(s, 'Z', "I", 1);
}

/* False: the end. */
static bool
answer(struct say *s, char type, const char *body, size_t n)
{
	static const struct {
		char asked, type;
		const char *body;
		size_t n;
	} table[] = {
		{ 'P', '1', "", 0 }, { 'B', '2', "", 0 },         { 'C', '3', "", 0 },
		{ 'D', 'n', "", 0 }, { 'E', 'C', "SELECT 0", 9 }, { 'S', 'Z', "I", 1 },
	};

	if (type == 'Q')
		answer_query(s, body, n);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].asked == type)
			message(s, table[i].type, table[i].body, table[i].n);
	}
	return type != 'X';
}

static bool
answer_startup(struct conn *c, struct say *s, uint32_t code)
{
	if (code == CODE_SSL || code == CODE_GSS) {
		put(s, "N", 1);
		return true;
	}
	if (code == CODE_CANCEL)
		return false;
	c->in = true;
	welcome(s, c->id);
	return true;
}

/* The messages that are whole. */
static bool
converse(struct conn *c, struct say *s)
{
	bool more = true;

	while (more) {
		size_t head = c->in ? 5 : 4, total;

		if (c->n < head + (c->in ? 0 : 4))
			return true;
		total = be32(c->bytes + head - 4) + head - 4;
		if (total < head || total > MESSAGE_MAX)
			return false;
		if (c->n < total)
			return true;
		more = c->in ? answer(s, (char)c->bytes[0], (char *)c->bytes + 5, total - 5)
			     : answer_startup(c, s, be32(c->bytes + 4));
		c->n -= total;
		memmove(c->bytes, c->bytes + total, c->n);
	}
	return false;
}

static void
conn_event(struct conn *c)
{
	static struct say s;
	ssize_t got = recv(c->fd, c->bytes + c->n, MESSAGE_MAX - c->n, 0);
	bool goes_on = got > 0;

	s.n = 0;
	if (goes_on) {
		c->n += (size_t)got;
		goes_on = converse(c, &s);
	}
	if (s.n > 0 && send(c->fd, s.bytes, s.n, MSG_NOSIGNAL) != (ssize_t)s.n)
		goes_on = false;
	if (!goes_on) {
		close(c->fd);
		free(c);
	}
}

static void
accept_all(int ep, int listener)
{
	static uint32_t id;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

		if (c == NULL || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0)
			die("a connection");
		no_delay(fd);
		c->fd = fd;
		c->id = ++id;
	}
}

int
main(int argc, char **argv)
{
	struct epoll_event events[BATCH], e = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC), listener;

	if (argc != 2) {
		fprintf(stderr, "usage: node PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	listener = loopback_listen(argv[1]);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) != 0)
		die("epoll_ctl");
	for (;;) {
		int n = epoll_wait(ep, events, BATCH, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				accept_all(ep, listener);
			else
				conn_event(events[i].data.ptr);
		}
	}
}
