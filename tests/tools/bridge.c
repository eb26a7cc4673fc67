/* SPDX-License-Identifier: PostgreSQL
 *
 * bridge - lets a client that only knows TCP (psql, pgbench, pg_dump) speak through HTTP.
 *
 *   bridge [--plain | --connect] [--tls] [--from ADDRESS] [--path PATH] [--header LINE]...
 * HOST:PORT
 *
 * Listens on a free port of 127.0.0.1, prints "port N", and carries each connection to HOST:PORT in
 * a WebSocket (RFC 6455) of its own, as a tunnel (--connect), or as it is (--plain: for comparing).
 * With --tls all of it in TLS, whose certificate is not verified; as it is, that is direct TLS of
 * PostgreSQL's. Prints what a far end says that a client does not see: "refused HTTP/1.1 404 …",
 * "ping", "close CODE", "bad frame". The end of standard input ends the program. Addresses are
 * numbers, of the loopback.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

enum { READ_BYTES = 65536, HEAD_BYTES = 14, REQUEST_BYTES = 8192 };
enum mode { WEBSOCKET, CONNECT, PLAIN };
enum { CLOSE = 0x88, PING = 0x89, PONG = 0x8a, BINARY = 0x82 };

/* Fixed before the first connection. */
struct setup {
	enum mode mode;
	struct sockaddr_in to, from;
	const char *path;
	char headers[REQUEST_BYTES / 2];
	SSL_CTX *tls; /* NULL: none */
};

/* Bytes on their way to one end. */
struct way {
	char data[HEAD_BYTES + READ_BYTES + 2 * 256];
	size_t at, end;
};

struct conn {
	const struct setup *setup;
	int near, far;
	SSL *ssl;
	struct way up, down;
	uint64_t left;         /* payload of the frame that is coming */
	uint8_t head[10];      /* its header, as far as it is there */
	size_t have;           /* … */
	uint8_t first;         /* its first byte */
	char control[128 + 8]; /* payload of a control frame that is coming; then what to answer */
	size_t ncontrol;
	bool pong; /* `control` is to be sent back */
	bool near_ended, far_ended;
};

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
say(const char *what)
{
	printf("%s\n", what);
	fflush(stdout);
}

/* ---------------------------------------------------------------- the far end */

/* As read(2) and write(2), nonblocking: -1 and EAGAIN, whatever TLS waits for. */
static ssize_t
tls_errno(const struct conn *c, int r)
{
	int why = SSL_get_error(c->ssl, r);

	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
	return -1;
}

static ssize_t
far_read(struct conn *c, char *to, size_t n)
{
	int r;

	if (c->ssl == NULL)
		return recv(c->far, to, n, 0);
	r = SSL_read(c->ssl, to, (int)n);
	return r > 0 ? r : tls_errno(c, r);
}

static ssize_t
far_write(struct conn *c, const char *p, size_t n)
{
	int r;

	if (c->ssl == NULL)
		return send(c->far, p, n, MSG_NOSIGNAL);
	r = SSL_write(c->ssl, p, (int)n);
	return r > 0 ? r : tls_errno(c, r);
}

static void
wait_far(const struct conn *c)
{
	struct pollfd p = { .fd = c->far, .events = POLLIN };

	poll(&p, 1, 100);
}

/* ---------------------------------------------------------------- frames */

/* Put a frame in front of n bytes that lie at HEAD_BYTES of an empty way. */
static void
frame_up(struct way *w, uint8_t first, size_t n)
{
	uint8_t *p = (uint8_t *)w->data + HEAD_BYTES, mask[4];
	size_t head = n < 126 ? 6 : n < 65536 ? 8 : 14;
	uint8_t *h = p - head;

	if (getrandom(mask, sizeof mask, 0) != sizeof mask)
		die("getrandom");
	h[0] = first;
	h[1] = (uint8_t)(0x80 | (head == 6 ? n : head == 8 ? 126 : 127));
	for (size_t i = 2; i < head - 4; i++)
		h[i] = (uint8_t)((uint64_t)n >> 8 * (head - 5 - i));
	memcpy(h + head - 4, mask, 4);
	for (size_t i = 0; i < n; i++)
		p[i] ^= mask[i & 3];
	w->at = HEAD_BYTES - head;
	w->end = HEAD_BYTES + n;
}

/* The rest of a header; true when it is complete. */
static bool
take_head(struct conn *c, uint8_t byte)
{
	size_t need = 2;

	c->head[c->have++] = byte;
	if (c->have >= 2)
		need = c->head[1] == 127 ? 10 : c->head[1] == 126 ? 4 : 2;
	if (c->have < need)
		return false;
	c->left = need == 2 ? c->head[1] : 0;
	for (size_t i = 2; i < need; i++)
		c->left = c->left << 8 | c->head[i];
	c->first = c->head[0];
	c->have = 0;
	c->ncontrol = 0;
	return true;
}

static void
end_control(struct conn *c)
{
	char said[40];

	if (c->first == PING) {
		c->pong = true;
		say("ping");
	} else if (c->first == CLOSE) {
		snprintf(said, sizeof said, "close %d",
			 c->ncontrol >= 2 ? (uint8_t)c->control[0] << 8 | (uint8_t)c->control[1]
					  : 0);
		say(said);
		c->far_ended = true;
	} else if (c->first != PONG) {
		say("bad frame");
		c->far_ended = true;
	}
}

/* Payload of n framed bytes to the end of the way down. */
static void
unframe(struct conn *c, const char *p, size_t n)
{
	for (size_t i = 0; i < n && !c->far_ended;) {
		size_t here;

		if (c->left == 0) {
			if (take_head(c, (uint8_t)p[i++]) && c->left == 0 && c->first != BINARY)
				end_control(c);
			continue;
		}
		here = c->left < n - i ? c->left : n - i;
		if (c->first == BINARY) {
			memcpy(c->down.data + c->down.end, p + i, here);
			c->down.end += here;
		} else {
			here = 1;
			if (c->ncontrol < sizeof c->control)
				c->control[c->ncontrol++] = p[i];
		}
		i += here;
		c->left -= here;
		if (c->left == 0 && c->first != BINARY)
			end_control(c);
	}
}

/* ---------------------------------------------------------------- one connection */

static bool
is_fatal(ssize_t n)
{
	return n < 0 && errno != EAGAIN && errno != EINTR;
}

static void
read_near(struct conn *c)
{
	ssize_t n = recv(c->near, c->up.data + HEAD_BYTES, READ_BYTES, 0);

	if (n > 0 && c->setup->mode == WEBSOCKET) {
		frame_up(&c->up, BINARY, (size_t)n);
	} else if (n > 0) {
		c->up.at = HEAD_BYTES;
		c->up.end = HEAD_BYTES + (size_t)n;
	} else if (n == 0 || is_fatal(n)) {
		c->near_ended = true;
		if (c->setup->mode == WEBSOCKET) {
			memcpy(c->up.data + HEAD_BYTES, "\x03\xe8", 2);
			frame_up(&c->up, CLOSE, 2);
		}
	}
}

static void
answer_ping(struct conn *c)
{
	memcpy(c->up.data + HEAD_BYTES, c->control, c->ncontrol);
	frame_up(&c->up, PONG, c->ncontrol);
	c->pong = false;
}

static void
read_far(struct conn *c)
{
	char some[READ_BYTES];
	ssize_t n = far_read(c, some, sizeof some);

	if (n == 0 || is_fatal(n)) {
		c->far_ended = true;
		return;
	}
	if (n < 0)
		return;
	c->down.at = c->down.end = 0;
	if (c->setup->mode == WEBSOCKET) {
		unframe(c, some, (size_t)n);
	} else {
		memcpy(c->down.data, some, (size_t)n);
		c->down.end = (size_t)n;
	}
}

static bool
is_waiting(const struct way *w)
{
	return w->at < w->end;
}

static void
write_way(struct way *w, ssize_t n, bool *ended)
{
	if (n > 0)
		w->at += (size_t)n;
	else if (is_fatal(n))
		*ended = true;
}

static void
turn(struct conn *c)
{
	struct pollfd p[2] = { { .fd = c->near }, { .fd = c->far } };
	bool up = is_waiting(&c->up), down = is_waiting(&c->down), more = false;

	if (!up && !c->near_ended)
		p[0].events |= POLLIN;
	if (down)
		p[0].events |= POLLOUT;
	if (!down)
		p[1].events |= POLLIN;
	if (up)
		p[1].events |= POLLOUT;
	if (c->ssl != NULL && !down)
		more = SSL_pending(c->ssl) > 0;
	if (p[0].events == 0)
		p[0].fd = -1;
	if (poll(p, 2, more ? 0 : -1) < 0 && errno != EINTR)
		die("poll");
	if (down && p[0].revents != 0)
		write_way(&c->down,
			  send(c->near, c->down.data + c->down.at, c->down.end - c->down.at,
			       MSG_NOSIGNAL),
			  &c->far_ended);
	if (up && p[1].revents != 0)
		write_way(&c->up, far_write(c, c->up.data + c->up.at, c->up.end - c->up.at),
			  &c->far_ended);
	if (!down && (p[1].revents != 0 || more))
		read_far(c);
	if (!up && !c->near_ended && c->pong)
		answer_ping(c);
	else if (!up && !c->near_ended && (p[0].revents & (POLLIN | POLLHUP | POLLERR)))
		read_near(c);
}

/* Until either end is through, and what the far one has said is delivered. */
static void
carry(struct conn *c)
{
	while (!c->far_ended && (!c->near_ended || is_waiting(&c->up)))
		turn(c);
	if (c->near_ended && !c->far_ended && c->setup->mode != WEBSOCKET)
		shutdown(c->far, SHUT_WR);
	while (c->near_ended && !c->far_ended)
		turn(c);
	(void)fcntl(c->near, F_SETFL, 0);
	while (is_waiting(&c->down)) {
		ssize_t n = send(c->near, c->down.data + c->down.at, c->down.end - c->down.at,
				 MSG_NOSIGNAL);

		if (n <= 0)
			break;
		c->down.at += (size_t)n;
	}
}

/* ---------------------------------------------------------------- its beginning */

static bool
write_all(struct conn *c, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = far_write(c, p, n);

		if (is_fatal(w))
			return false;
		if (w < 0) {
			wait_far(c);
			continue;
		}
		p += w;
		n -= (size_t)w;
	}
	return true;
}

/* Ask, and read the answer; what comes behind it is the session's. */
static bool
ask(struct conn *c)
{
	static const char upgrade[] = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
				      "Sec-WebSocket-Version: 13\r\n"
				      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
	bool websocket = c->setup->mode == WEBSOCKET;
	char text[REQUEST_BYTES], *end = NULL;
	size_t have = 0, head;

	snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: database.test\r\n%s%s\r\n",
		 websocket ? "GET" : "CONNECT", websocket ? c->setup->path : "database.test:5432",
		 websocket ? upgrade : "", c->setup->headers);
	if (!write_all(c, text, strlen(text)))
		return false;
	while (end == NULL && have + 1 < sizeof text) {
		ssize_t n = far_read(c, text + have, sizeof text - 1 - have);

		if (n == 0 || is_fatal(n))
			return false;
		if (n < 0) {
			wait_far(c);
			continue;
		}
		have += (size_t)n;
		text[have] = '\0';
		end = strstr(text, "\r\n\r\n");
	}
	if (end == NULL || strncmp(text, websocket ? "HTTP/1.1 101" : "HTTP/1.1 200", 12) != 0) {
		printf("refused %.*s\n", (int)strcspn(text, "\r"), text);
		fflush(stdout);
		return false;
	}
	head = (size_t)(end + 4 - text);
	if (websocket) {
		unframe(c, text + head, have - head);
	} else {
		memcpy(c->down.data, text + head, have - head);
		c->down.end = have - head;
	}
	return true;
}

static bool
start_tls(struct conn *c)
{
	int r;

	if (c->ssl == NULL)
		return true;
	SSL_set_fd(c->ssl, c->far);
	if (c->setup->mode == PLAIN)
		SSL_set_alpn_protos(c->ssl, (const unsigned char *)"\012postgresql", 11);
	while ((r = SSL_connect(c->ssl)) != 1) {
		if (is_fatal(tls_errno(c, r)))
			return false;
		wait_far(c);
	}
	return true;
}

static bool
reach(struct conn *c)
{
	int on = 1;

	c->far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->far < 0 ||
	    bind(c->far, (const struct sockaddr *)&c->setup->from, sizeof c->setup->from) != 0 ||
	    connect(c->far, (const struct sockaddr *)&c->setup->to, sizeof c->setup->to) != 0)
		return false;
	(void)setsockopt(c->far, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	(void)setsockopt(c->near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	(void)fcntl(c->far, F_SETFL, O_NONBLOCK);
	(void)fcntl(c->near, F_SETFL, O_NONBLOCK);
	return start_tls(c) && (c->setup->mode == PLAIN || ask(c));
}

static void *
serve(void *arg)
{
	struct conn *c = arg;

	if (reach(c))
		carry(c);
	if (c->ssl != NULL)
		(void)SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	if (c->far >= 0)
		close(c->far);
	close(c->near);
	free(c);
	return NULL;
}

/* ---------------------------------------------------------------- the program */

static struct sockaddr_in
parse_address(char *text)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	char *colon = strrchr(text, ':');

	if (colon != NULL) {
		*colon = '\0';
		a.sin_port = htons((uint16_t)atoi(colon + 1));
	}
	if (inet_pton(AF_INET, text, &a.sin_addr) != 1 || ntohl(a.sin_addr.s_addr) >> 24 != 127) {
		fprintf(stderr, "bridge: no address of the loopback: %s\n", text);
		exit(2);
	}
	return a;
}

static void
add_header(struct setup *s, const char *line)
{
	size_t n = strlen(s->headers);

	snprintf(s->headers + n, sizeof s->headers - n, "%s\r\n", line);
}

/* The value of the option at argv[*i], or NULL. */
static char *
value_of(const char *name, int argc, char **argv, int *i)
{
	if (strcmp(argv[*i], name) != 0 || *i + 1 >= argc)
		return NULL;
	return argv[++*i];
}

static void
parse_options(struct setup *s, int argc, char **argv)
{
	char loopback[] = "127.0.0.1", *v;

	s->from = parse_address(loopback);
	s->path = "/v2";
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--plain") == 0)
			s->mode = PLAIN;
		else if (strcmp(argv[i], "--connect") == 0)
			s->mode = CONNECT;
		else if (strcmp(argv[i], "--tls") == 0)
			s->tls = SSL_CTX_new(TLS_client_method());
		else if ((v = value_of("--from", argc, argv, &i)) != NULL)
			s->from = parse_address(v);
		else if ((v = value_of("--path", argc, argv, &i)) != NULL)
			s->path = v;
		else if ((v = value_of("--header", argc, argv, &i)) != NULL)
			add_header(s, v);
		else
			s->to = parse_address(argv[i]);
	}
	if (s->to.sin_port == 0) {
		fprintf(stderr, "usage: bridge [--plain | --connect] [--tls] [--from ADDRESS] "
				"[--path PATH] [--header LINE]... HOST:PORT\n");
		exit(2);
	}
}

static int
listen_anywhere(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof at;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 1024) != 0)
		die("listen");
	getsockname(fd, (struct sockaddr *)&at, &len);
	printf("port %d\n", ntohs(at.sin_port));
	fflush(stdout);
	return fd;
}

static void
accept_one(const struct setup *s, int listener)
{
	struct conn *c = calloc(1, sizeof *c);
	pthread_attr_t small;
	pthread_t thread;

	if (c == NULL)
		die("memory");
	c->setup = s;
	c->far = -1;
	c->ssl = s->tls != NULL ? SSL_new(s->tls) : NULL;
	c->near = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (c->near < 0) {
		SSL_free(c->ssl);
		free(c);
		return;
	}
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 256 * 1024);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &small, serve, c) != 0)
		die("thread");
	pthread_attr_destroy(&small);
}

int
main(int argc, char **argv)
{
	struct setup s = { 0 };
	struct pollfd p[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .events = POLLIN } };
	char some[100];

	signal(SIGPIPE, SIG_IGN);
	parse_options(&s, argc, argv);
	p[1].fd = listen_anywhere();
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (p[0].revents != 0 && read(STDIN_FILENO, some, sizeof some) <= 0)
			break;
		if (p[1].revents & POLLIN)
			accept_one(&s, p[1].fd);
	}
	SSL_CTX_free(s.tls); /* connections that are open have references of their own */
	return 0;
}
