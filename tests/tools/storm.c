/* SPDX-License-Identifier: PostgreSQL
 *
 * storm - logins by SCRAM, many a second, beside a session that is there already.
 *
 *   storm RATE SECONDS PORT USER PASSWORD DATABASE [PROBE_PASSWORD]
 *
 * Makes RATE logins a second to 127.0.0.1:PORT by four threads (0: none), each of which ends with
 * ReadyForQuery, or with an error where PASSWORD is wrong. Beside them one session, logged in with
 * PROBE_PASSWORD where that differs, runs SELECT 1 five hundred times a second. Prints
 *
 *   logins N refused R login_p50_us L login_p99_us L query_p50_us Q query_p99_us Q query_max_us Q
 *
 * The password is hashed once, not at each login as libpq does: that is the client's work, and
 * would leave none of the machine to whom it is tested against.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/scram.h"
#include "protocol/startup.h"

#define THREADS     4
#define QUERIES     500 /* a second */
#define MESSAGE_MAX 65536

struct times {
	int64_t *us;
	size_t n, max;
};

struct storm {
	int port;
	double rate; /* of this thread */
	int64_t begin_us, end_us;
	const char *user, *password, *database;
	struct scram_keys keys; /* of the password, once the salt is known */
	bool has_keys;
	size_t refused;
	struct times times;
};

/* One connection. */
struct wire {
	int fd;
	struct buf in;
	struct scram_client scram;
};

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
note(struct times *t, int64_t us)
{
	if (t->n == t->max) {
		t->max = t->max > 0 ? 2 * t->max : 1024;
		t->us = xreallocarray(t->us, t->max, sizeof(*t->us));
	}
	t->us[t->n++] = us;
}

static int
compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static long long
quantile(struct times *t, size_t percent)
{
	if (t->n == 0)
		return 0;
	qsort(t->us, t->n, sizeof(*t->us), compare);
	return t->us[(t->n - 1) * percent / 100];
}

static void
say(struct wire *w, struct buf *b)
{
	if (b->failed || send(w->fd, b->p, b->n, MSG_NOSIGNAL) != (ssize_t)b->n)
		die("send");
	buf_fini(b);
}

/* The next message; its body is valid until the next call. False at the end of the stream. */
static bool
hear(struct wire *w, struct frame *f, size_t *used)
{
	char bytes[8192];

	buf_drop(&w->in, *used);
	*used = 0;
	while (frame_cut(buf_view(&w->in), MESSAGE_MAX, f) != PARSE_DONE) {
		ssize_t n = recv(w->fd, bytes, sizeof(bytes), 0);

		if (n <= 0)
			return false;
		buf_put(&w->in, bytes, (size_t)n);
	}
	*used = f->total;
	return true;
}

static void
put_startup(struct buf *b, const struct storm *s)
{
	size_t at = buf_message(b, 0);

	buf_u16(b, 3);
	buf_u16(b, 0);
	buf_put(b, "user", 5);
	buf_put(b, s->user, strlen(s->user) + 1);
	buf_put(b, "database", 9);
	buf_put(b, s->database, strlen(s->database) + 1);
	buf_u8(b, 0);
	buf_message_end(b, at);
}

static void
answer_challenge(struct storm *s, struct wire *w, struct slice data, struct buf *out)
{
	struct buf final = { .cap = SCRAM_MESSAGE_MAX };
	struct scram_challenge ask;
	struct err e;

	if (scram_client_challenge(&w->scram, data, &ask, &e) != 0)
		die(e.msg);
	if (!s->has_keys) {
		struct slice salt = slice_of((const char *)ask.salt, ask.salt_len);

		if (scram_keys_make(slice_str(s->password), salt, ask.iterations, &s->keys, &e) !=
		    0)
			die(e.msg);
		s->has_keys = true;
	}
	if (scram_client_final(&w->scram, &s->keys, &final, &e) != 0)
		die(e.msg);
	message_put_sasl_response(out, buf_view(&final));
	buf_fini(&final);
}

static void
begin_scram(struct wire *w, struct buf *out)
{
	struct buf first = { .cap = SCRAM_MESSAGE_MAX };
	uint8_t random[SCRAM_NONCE_BYTES];
	char nonce[SCRAM_NONCE_TEXT + 1];
	struct err e;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		die("getrandom");
	scram_nonce(random, nonce);
	scram_client_init(&w->scram, nonce);
	if (scram_client_first(&w->scram, slice_of("", 0), &first, &e) != 0)
		die(e.msg);
	message_put_sasl_initial(out, slice_str(SCRAM_MECHANISM), buf_view(&first));
	buf_fini(&first);
}

static void
answer(struct storm *s, struct wire *w, const struct frame *f)
{
	struct buf out = { .cap = MESSAGE_MAX };
	struct message_auth auth;

	if (message_parse_auth(f->body, &auth) != PARSE_DONE)
		die("authentication");
	if (auth.code == AUTH_SASL)
		begin_scram(w, &out);
	else if (auth.code == AUTH_SASL_CONTINUE)
		answer_challenge(s, w, auth.data, &out);
	if (out.n > 0)
		say(w, &out);
}

/* False: refused. */
static bool
log_in(struct storm *s, struct wire *w)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)s->port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct buf b = { .cap = MESSAGE_MAX };
	struct frame f;
	size_t used = 0;
	int on = 1;

	*w = (struct wire){ .fd = socket(AF_INET, SOCK_STREAM, 0), .in.cap = 2 * MESSAGE_MAX };
	if (w->fd < 0 || connect(w->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("connect");
	(void)setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	put_startup(&b, s);
	say(w, &b);
	while (hear(w, &f, &used)) {
		if (f.type == MSG_ERROR)
			return false;
		if (f.type == MSG_READY) {
			buf_drop(&w->in, used);
			return true;
		}
		if (f.type == MSG_AUTHENTICATION)
			answer(s, w, &f);
	}
	return false;
}

static void
hang_up(struct wire *w, bool politely)
{
	struct buf b = { .cap = 16 };

	message_put_bare(&b, MSG_TERMINATE);
	if (politely)
		say(w, &b);
	else
		buf_fini(&b);
	scram_client_fini(&w->scram);
	buf_fini(&w->in);
	close(w->fd);
}

static void
sleep_until(int64_t us)
{
	int64_t left = us - clock_us();
	struct timespec ts = { .tv_sec = left / USEC_PER_SEC,
			       .tv_nsec = left % USEC_PER_SEC * 1000 };

	if (left > 0)
		(void)nanosleep(&ts, NULL);
}

static void *
run_logins(void *arg)
{
	struct storm *s = arg;

	for (size_t i = 0; s->rate > 0; i++) {
		int64_t due = s->begin_us + (int64_t)((double)i * USEC_PER_SEC / s->rate), now;
		struct wire w;
		bool in;

		if (due >= s->end_us || clock_us() >= s->end_us)
			break;
		sleep_until(due);
		now = clock_us();
		in = log_in(s, &w);
		note(&s->times, clock_us() - now);
		s->refused += !in;
		hang_up(&w, in);
	}
	return NULL;
}

static void
run_queries(struct storm *s)
{
	struct wire w;

	if (!log_in(s, &w)) {
		fprintf(stderr, "the session that is to be there already was refused\n");
		exit(1);
	}
	for (size_t i = 0; clock_us() < s->end_us; i++) {
		struct buf b = { .cap = 256 };
		size_t used = 0;
		struct frame f;
		int64_t now;

		sleep_until(s->begin_us + (int64_t)i * USEC_PER_SEC / QUERIES);
		now = clock_us();
		message_put_query(&b, slice_str("SELECT 1"));
		say(&w, &b);
		while (hear(&w, &f, &used) && f.type != MSG_READY)
			continue;
		buf_drop(&w.in, used);
		note(&s->times, clock_us() - now);
	}
	hang_up(&w, true);
}

static void
report(struct storm *logins, struct storm *probe)
{
	struct times all = { 0 };
	size_t refused = 0;

	for (int i = 0; i < THREADS; i++) {
		for (size_t j = 0; j < logins[i].times.n; j++)
			note(&all, logins[i].times.us[j]);
		refused += logins[i].refused;
	}
	printf("logins %zu refused %zu login_p50_us %lld login_p99_us %lld query_p50_us %lld "
	       "query_p99_us %lld query_max_us %lld\n",
	       all.n, refused, quantile(&all, 50), quantile(&all, 99), quantile(&probe->times, 50),
	       quantile(&probe->times, 99), quantile(&probe->times, 100));
}

int
main(int argc, char **argv)
{
	struct storm logins[THREADS], probe = { 0 };
	pthread_t threads[THREADS];

	if (argc < 7) {
		fprintf(stderr,
			"usage: storm RATE SECONDS PORT USER PASSWORD DATABASE [PROBE_PASSWORD]\n");
		return 2;
	}
	probe.begin_us = clock_us() + 100 * USEC_PER_MSEC;
	probe.end_us = probe.begin_us + (int64_t)(atof(argv[2]) * USEC_PER_SEC);
	probe.port = atoi(argv[3]);
	probe.user = argv[4];
	probe.password = argv[5];
	probe.database = argv[6];
	for (int i = 0; i < THREADS; i++) {
		logins[i] = probe;
		logins[i].rate = atof(argv[1]) / THREADS;
		/* not all of them at the same time */
		logins[i].begin_us += (int64_t)(i * USEC_PER_SEC / (atof(argv[1]) + 1));
	}
	if (argc > 7)
		probe.password = argv[7];
	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], NULL, run_logins, &logins[i]) != 0)
			die("pthread_create");
	}
	run_queries(&probe);
	for (int i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	report(logins, &probe);
	return 0;
}
