/* SPDX-License-Identifier: PostgreSQL
 *
 * meridian with a door to its gate (proxy/move/gate.h), for tests of what migrations do to
 * sessions: all of the program, and a thread that takes orders on the unix socket MERIDIAN_GATE,
 * one line each, words separated by blanks:
 *
 *   serve DATABASE PLACE|- NEWDB|- EPOCH       served
 *   prewarm M DATABASE FROM TO NEWDB|- MS      freeze M DATABASE FROM TO NEWDB|- MS EXPIRES_MS
 *   stragglers M DATABASE FROM                 settle M DATABASE FROM ID=aborted|committed|unknown
 * … switch M DATABASE FROM TO NEWDB|-          resume M DATABASE FROM sessions M DATABASE FROM
 *
 * Answers are lines, the last of which is "ok …" or "error …".
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "proxy/control_int.h"
#include "proxy/move/gate.h"

static void run_with_door(struct control *c);
#define control_run run_with_door
#include "proxy/main.c"
#undef control_run

#define STRAGGLERS_MAX 64

struct door {
	struct meridian *process;
	int fd;
	pthread_t thread;
	FILE *out; /* to whom it is being talked */
	char *words[80];
	size_t n;
	struct gate_straggler stragglers[STRAGGLERS_MAX];
};

static const char *
word(const struct door *d, size_t i)
{
	return i < d->n && strcmp(d->words[i], "-") != 0 ? d->words[i] : "";
}

static struct gate_move
move_of(const struct door *d)
{
	return (struct gate_move){ .migration = atoi(word(d, 1)),
				   .database = word(d, 2),
				   .from = word(d, 3),
				   .to = word(d, 4),
				   .newdb = word(d, 5)[0] != '\0' ? word(d, 5) : NULL };
}

static int64_t
ms(const struct door *d, size_t i)
{
	return atoll(word(d, i)) * USEC_PER_MSEC;
}

static void
answer(struct door *d, int rc, const struct gate_counts *c, const struct err *e)
{
	if (rc != 0)
		fprintf(d->out, "error %s %s\n", e->sqlstate, e->msg);
	else
		fprintf(d->out, "ok sessions=%u open=%u kept=%u closed=%u aborted=%u\n",
			c->sessions, c->open, c->kept, c->closed, c->aborted);
}

static void
print_served(void *to, const struct gate_served *v)
{
	fprintf(to, "%s %s %s %lld %d\n", v->database, v->place, v->newdb[0] ? v->newdb : "-",
		(long long)v->epoch, v->is_known);
}

static void
print_session(void *to, const struct gate_session *s)
{
	fprintf(to, "%llu|%s|%s|%s|%s|%d|%s\n", (unsigned long long)s->id, s->user,
		s->application_name, s->pool, s->state, s->movable, s->why);
}

static void
do_serve(struct door *d, const struct gate_move *m)
{
	(void)m;
	gate_serve(d->process, word(d, 1), word(d, 2), word(d, 3), atoll(word(d, 4)));
	fprintf(d->out, "ok\n");
}

static void
do_served(struct door *d, const struct gate_move *m)
{
	(void)m;
	gate_each_served(d->process, print_served, d->out);
	fprintf(d->out, "ok\n");
}

static void
do_prewarm(struct door *d, const struct gate_move *m)
{
	struct gate_counts c = { 0 };
	struct err e = { 0 };
	int rc = proxy_gate_ops.prewarm(d->process, m, clock_us() + ms(d, 6), &e);

	answer(d, rc, &c, &e);
}

static void
do_freeze(struct door *d, const struct gate_move *m)
{
	struct gate_move move = *m;
	struct gate_counts c;
	struct err e = { 0 };
	int rc;

	move.expires_us = ms(d, 7);
	rc = proxy_gate_ops.freeze(d->process, &move, clock_us() + ms(d, 6), &c, &e);
	answer(d, rc, &c, &e);
}

static void
do_stragglers(struct door *d, const struct gate_move *m)
{
	size_t n = proxy_gate_ops.stragglers(d->process, m, d->stragglers, STRAGGLERS_MAX);

	for (size_t i = 0; i < n; i++)
		fprintf(d->out, "%llu %u %d %d\n", (unsigned long long)d->stragglers[i].session,
			d->stragglers[i].pid, d->stragglers[i].in_flight,
			d->stragglers[i].in_commit);
	fprintf(d->out, "ok\n");
}

static void
do_settle(struct door *d, const struct gate_move *m)
{
	size_t n = 0;

	for (size_t i = 4; i < d->n && n < STRAGGLERS_MAX; i++) {
		const char *what = strchr(d->words[i], '=');

		if (what == NULL)
			continue;
		d->stragglers[n++] = (struct gate_straggler){
			.session = strtoull(d->words[i], NULL, 10),
			.outcome = what[1] == 'a'   ? GATE_ABORTED
				   : what[1] == 'c' ? GATE_COMMITTED
						    : GATE_UNKNOWN,
		};
	}
	proxy_gate_ops.settle(d->process, m, d->stragglers, n);
	fprintf(d->out, "ok\n");
}

static void
do_switch(struct door *d, const struct gate_move *m)
{
	struct gate_counts c;
	struct err e = { 0 };
	int rc = proxy_gate_ops.switch_over(d->process, m, &c, &e);

	answer(d, rc, &c, &e);
}

static void
do_resume(struct door *d, const struct gate_move *m)
{
	proxy_gate_ops.resume(d->process, m);
	fprintf(d->out, "ok\n");
}

static void
do_sessions(struct door *d, const struct gate_move *m)
{
	proxy_gate_ops.sessions(d->process, m, print_session, d->out);
	fprintf(d->out, "ok\n");
}

static const struct {
	const char *word;
	void (*run)(struct door *d, const struct gate_move *m);
} orders[] = {
	{ "serve", do_serve },   { "served", do_served },         { "prewarm", do_prewarm },
	{ "freeze", do_freeze }, { "stragglers", do_stragglers }, { "settle", do_settle },
	{ "switch", do_switch }, { "resume", do_resume },         { "sessions", do_sessions },
};

static void
obey(struct door *d, char *line)
{
	struct gate_move m;

	d->n = 0;
	for (char *w = strtok(line, " \n"); w != NULL && d->n < 80; w = strtok(NULL, " \n"))
		d->words[d->n++] = w;
	m = move_of(d);
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (strcmp(word(d, 0), orders[i].word) == 0) {
			orders[i].run(d, &m);
			return;
		}
	}
	fprintf(d->out, "error 42601 no such order\n");
}

static void *
keep_door(void *arg)
{
	struct door *d = arg;
	char *line = NULL;
	size_t size = 0;

	for (;;) {
		int fd = accept(d->fd, NULL, NULL);
		FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;

		if (in == NULL)
			break;
		d->out = fdopen(dup(fd), "w");
		while (getline(&line, &size, in) > 0) {
			obey(d, line);
			fflush(d->out);
		}
		fclose(d->out);
		fclose(in);
	}
	free(line);
	return NULL;
}

static int
open_door(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)text_copy(sa.sun_path, sizeof(sa.sun_path), slice_str(path));
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, 4) != 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

static void
run_with_door(struct control *c)
{
	struct door d = { .process = c->process };
	const char *path = getenv("MERIDIAN_GATE");

	if (path != NULL) {
		d.fd = open_door(path);
		BUG_ON(pthread_create(&d.thread, NULL, keep_door, &d) != 0);
	}
	control_run(c);
	if (path != NULL) {
		shutdown(d.fd, SHUT_RDWR);
		pthread_join(d.thread, NULL);
		close(d.fd);
	}
}
