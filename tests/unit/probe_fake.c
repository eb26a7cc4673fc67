/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "tests/unit/probe_fake.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"

#include "tests/unit/unit.h"

/* ---- the server ---- */

static void
send_message(struct bufferevent *be, char type, const void *p, size_t n)
{
	struct buf b = { .cap = 4096 };
	size_t at = buf_message(&b, type);

	buf_put(&b, p, n);
	buf_message_end(&b, at);
	bufferevent_write(be, b.p, b.n);
	buf_fini(&b);
}

static void
send_error(struct bufferevent *be, const char *severity, const char *sqlstate)
{
	struct buf b = { .cap = 4096 };

	buf_printf(&b, "S%s%cV%s%cC%s%cMit does not like you%c%c", severity, 0, severity, 0,
		   sqlstate, 0, 0, 0);
	send_message(be, 'E', b.p, b.n);
	buf_fini(&b);
}

static void
welcome(struct fake *f, struct bufferevent *be)
{
	struct buf b = { .cap = 4096 };

	if (f->login_error != NULL) {
		send_error(be, "FATAL", f->login_error);
		return;
	}
	send_message(be, 'R', "\0\0\0\0", 4);
	buf_printf(&b, "server_version%c15.4%c", 0, 0);
	send_message(be, 'S', b.p, b.n);
	buf_clear(&b);
	if (f->parameter != NULL) {
		buf_printf(&b, "%s%c%s%c", f->parameter, 0, f->value, 0);
		send_message(be, 'S', b.p, b.n);
	}
	buf_fini(&b);
	send_message(be, 'Z', "I", 1);
}

static void
send_row(struct bufferevent *be, const char *cells)
{
	struct slice rest = slice_str(cells);
	struct buf d = { .cap = 4096 }, r = { .cap = 4096 };
	uint16_t n = 0;

	while (rest.p != NULL) {
		struct slice cell = slice_cut(&rest, '|');

		n++;
		buf_printf(&d, "c%c", 0);
		buf_put(&d, "\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0", 18);
		buf_u32(&r, cell.n > 0 ? (uint32_t)cell.n : UINT32_MAX);
		buf_slice(&r, cell);
	}
	for (int i = 0; i < 2; i++) {
		struct buf b = { .cap = 4096 };

		buf_u16(&b, n);
		buf_slice(&b, buf_view(i == 0 ? &d : &r));
		send_message(be, "TD"[i], b.p, b.n);
		buf_fini(&b);
	}
	send_message(be, 'C', "SELECT 1", 9);
	buf_fini(&d);
	buf_fini(&r);
}

static void
peer_drop(struct fake *f, struct bufferevent *be)
{
	for (unsigned i = 0; i < f->npeers; i++)
		if (f->peers[i] == be)
			f->peers[i] = f->peers[--f->npeers];
	bufferevent_free(be);
}

/* Take a connection away in the middle of a question; true where it is gone. */
static bool
leave(struct fake *f, struct bufferevent *be)
{
	if (f->leave_after == 0 || --f->leave_after > 0)
		return false;
	peer_drop(f, be);
	return true;
}

static void
answer_query(struct fake *f, struct bufferevent *be, const char *sql)
{
	const char *error = f->error;

	f->queries++;
	if (sql[0] == '\0') {
		send_message(be, 'I', "", 0);
	} else if (error != NULL) {
		f->error = NULL;
		send_error(be, "ERROR", error);
	} else if (strstr(sql, "pg_dist_node") != NULL) {
		send_row(be, f->citus);
	} else {
		snprintf(f->last_query, sizeof(f->last_query), "%s", sql);
		send_row(be, f->row);
	}
	send_message(be, 'Z', "I", 1);
}

/* One packet of a client that speaks: SSLRequest and startup have no type byte. */
static bool
read_packet(struct fake *f, struct bufferevent *be, struct evbuffer *in)
{
	size_t have = evbuffer_get_length(in);
	const uint8_t *p = evbuffer_pullup(in, -1);
	bool startup = have > 0 && p[0] == 0;
	size_t head = startup ? 0 : 1, total;

	if (have < head + 8 && (startup || have < 5))
		return false;
	total = head + get_u32(p + head);
	if (have < total)
		return false;
	if (startup && total == 8)
		bufferevent_write(be, "N", 1);
	else if (startup)
		welcome(f, be);
	else if (p[0] == 'Q' && leave(f, be))
		return false;
	else if (p[0] == 'Q')
		answer_query(f, be, (const char *)p + 5);
	evbuffer_drain(in, total);
	return true;
}

static void
peer_on_data(struct bufferevent *be, void *arg)
{
	struct fake *f = arg;
	struct evbuffer *in = bufferevent_get_input(be);

	if (f->manner == HANGS_UP) {
		peer_drop(f, be);
		return;
	}
	while (f->manner == SPEAKS && read_packet(f, be, in))
		;
	if (f->manner == ANSWERS)
		bufferevent_write(be, "N", 1);
	if (f->manner == NONSENSE)
		bufferevent_write(be, "\x7f\xff\xff\xff\xff\xff\xff\xff", 8);
	if (f->manner != SPEAKS)
		evbuffer_drain(in, evbuffer_get_length(in));
}

static void
peer_on_event(struct bufferevent *be, short what, void *arg)
{
	(void)what;
	peer_drop(arg, be);
}

static void
fake_on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len,
	       void *arg)
{
	struct fake *f = arg;
	struct bufferevent *be =
	    bufferevent_socket_new(loop_base(f->loop), fd, BEV_OPT_CLOSE_ON_FREE);

	(void)l, (void)sa, (void)len;
	assert_true(f->npeers < 64);
	f->peers[f->npeers++] = be;
	f->connections++;
	bufferevent_setcb(be, peer_on_data, NULL, peer_on_event, f);
	bufferevent_enable(be, EV_READ | EV_WRITE);
}

void
fake_start(struct fake *f, struct loop *l)
{
	struct addr a = { .family = ADDR_IPV4, .ip = { 127, 0, 0, 1 } };
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&a, &ss);

	f->loop = l;
	f->listener =
	    evconnlistener_new_bind(loop_base(l), fake_on_accept, f, LEV_OPT_CLOSE_ON_FREE, 16,
				    (struct sockaddr *)&ss, (int)len);
	assert_non_null(f->listener);
	len = sizeof(ss);
	assert_int_equal(
	    getsockname(evconnlistener_get_fd(f->listener), (struct sockaddr *)&ss, &len), 0);
	assert_true(addr_from_sockaddr((struct sockaddr *)&ss, &a));
	f->port = a.port;
}

void
fake_hang_up(struct fake *f)
{
	while (f->npeers > 0)
		peer_drop(f, f->peers[0]);
}

/* From now on connections are refused. */
void
fake_stop(struct fake *f)
{
	fake_hang_up(f);
	if (f->listener != NULL)
		evconnlistener_free(f->listener);
	f->listener = NULL;
}

/* ---- the prober ---- */

static void
on_changed(void *arg)
{
	struct world *w = arg;

	w->changes++;
	prober_fill(w->prober, w->t);
	if (w->wanted != NULL && w->wanted(w))
		loop_stop(w->loop);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct world *w = arg;

	(void)fd, (void)what;
	w->timed_out = true;
	loop_stop(w->loop);
}

struct node *
node(struct world *w)
{
	return &w->t->nodes[0];
}

void
start(struct world *w, enum manner manner, const char *conninfo)
{
	*w = (struct world){ .loop = loop_new(), .t = topology_new() };
	fake_start(&w->fake, w->loop);
	w->fake.manner = manner;
	w->conf = (struct probe_conf){ .conninfo = conninfo,
				       .health = { .rise = 2,
						   .fall = 3,
						   .interval_us = 200 * MS,
						   .max_backoff_us = 400 * MS },
				       /* what speaks is not to be too late on a busy machine */
				       .timeout_us = (manner == SPEAKS ? 5000 : 150) * MS };
	w->prober = prober_new(w->loop, on_changed, w);
	event_assign(&w->timeout, loop_base(w->loop), -1, 0, on_timeout, w);
	topology_add_region(w->t, "here");
	topology_add_node(w->t, "127.0.0.1", w->fake.port, NULL);
	assert_true(addr_parse(slice_str("127.0.0.1"), &node(w)->addrs[0]));
	node(w)->naddrs = 1;
	prober_configure(w->prober, &w->conf, w->t);
}

void
run(struct world *w, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	w->timed_out = false;
	event_add(&w->timeout, &tv);
	loop_run(w->loop);
	event_del(&w->timeout);
}

void
run_until(struct world *w, bool (*wanted)(struct world *w))
{
	w->wanted = wanted;
	run(w, 20000);
	w->wanted = NULL;
	assert_false(w->timed_out);
}

void
stop(struct world *w)
{
	prober_free(w->prober);
	fake_stop(&w->fake);
	topology_unref(w->t);
	loop_free(w->loop);
}

bool
is_up(struct world *w)
{
	return node(w)->state == NODE_UP;
}

bool
is_down(struct world *w)
{
	return node(w)->state == NODE_DOWN;
}

bool
is_suspect(struct world *w)
{
	return node(w)->state == NODE_SUSPECT;
}

bool
round_done(struct world *w)
{
	return prober_round_done(w->prober);
}
