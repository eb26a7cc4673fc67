/* SPDX-License-Identifier: PostgreSQL
 *
 * The prober against a server made for the test, which hangs, refuses, talks nonsense, or stands in
 * for Citus and CockroachDB: it speaks just enough of the protocol to log in and to answer one row.
 */
#include "config.h"

#include "routing/watch/probe.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "routing/watch/pgdial.h"
#include "routing/watch/probe_int.h"

#include "tests/unit/unit.h"

#define MS USEC_PER_MSEC

#define CONNINFO "user=x sslmode=disable"

enum manner { SILENT, ANSWERS, HANGS_UP, NONSENSE, SPEAKS };

/* What the server is and does; `row` answers the questions, cells separated by '|', "" is NULL. */
struct fake {
	struct loop *loop;
	struct evconnlistener *listener;
	struct bufferevent *peers[64];
	unsigned npeers, connections, queries;
	unsigned leave_after; /* hang up at the n-th question; 0: never */
	uint16_t port;
	enum manner manner;
	const char *parameter, *value; /* a ParameterStatus at login */
	const char *row;
	const char *error;       /* SQLSTATE instead of the first row */
	const char *login_error; /* SQLSTATE instead of a welcome */
	const char *citus;       /* answer to the question for metadata */
	char last_query[2000];
};

struct world {
	struct loop *loop;
	struct prober *prober;
	struct topology *t;
	struct probe_conf conf;
	struct fake fake;
	struct event timeout, poll;
	bool (*wanted)(struct world *w);
	bool timed_out;
	int changes;
};

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

static void
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

static void
fake_hang_up(struct fake *f)
{
	while (f->npeers > 0)
		peer_drop(f, f->peers[0]);
}

/* From now on connections are refused. */
static void
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

static struct node *
node(struct world *w)
{
	return &w->t->nodes[0];
}

static void
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
				       .timeout_us = 150 * MS };
	w->prober = prober_new(w->loop, on_changed, w);
	event_assign(&w->timeout, loop_base(w->loop), -1, 0, on_timeout, w);
	topology_add_region(w->t, "here");
	topology_add_node(w->t, "127.0.0.1", w->fake.port, NULL);
	assert_true(addr_parse(slice_str("127.0.0.1"), &node(w)->addrs[0]));
	node(w)->naddrs = 1;
	prober_configure(w->prober, &w->conf, w->t);
}

static void
run(struct world *w, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	w->timed_out = false;
	event_add(&w->timeout, &tv);
	loop_run(w->loop);
	event_del(&w->timeout);
}

static void
run_until(struct world *w, bool (*wanted)(struct world *w))
{
	w->wanted = wanted;
	run(w, 20000);
	w->wanted = NULL;
	assert_false(w->timed_out);
}

static void
stop(struct world *w)
{
	prober_free(w->prober);
	fake_stop(&w->fake);
	topology_unref(w->t);
	loop_free(w->loop);
}

static bool
is_up(struct world *w)
{
	return node(w)->state == NODE_UP;
}

static bool
is_down(struct world *w)
{
	return node(w)->state == NODE_DOWN;
}

static bool
is_suspect(struct world *w)
{
	return node(w)->state == NODE_SUSPECT;
}

static bool
round_done(struct world *w)
{
	return prober_round_done(w->prober);
}

/* ---- bare handshakes ---- */

static void
any_answer_means_alive(void **state)
{
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	assert_false(prober_round_done(w.prober));
	run_until(&w, round_done);
	assert_int_equal(node(&w)->state, NODE_UP);
	assert_true(node(&w)->rtt_us > 0 && node(&w)->connect_us > 0);
	assert_true(node(&w)->sampled_at_us > 0);
	assert_int_equal(node(&w)->role, ROLE_UNKNOWN);
	assert_false(node(&w)->probed);
	assert_string_equal(node(&w)->reason, "");
	stop(&w);
}

static void
failures_are_told_apart(void **state)
{
	static const struct {
		enum manner manner;
		const char *conninfo, *reason;
	} table[] = {
		{ SILENT, NULL, "no answer within 150 ms" },
		{ HANGS_UP, NULL, "closed the connection without an answer" },
		{ SILENT, "user=x sslmode=disable", "no answer within 150 ms" },
		{ HANGS_UP, "user=x sslmode=disable", "server closed the connection unexpectedly" },
		{ NONSENSE, "user=x sslmode=disable", NULL },
		{ NONSENSE, "user=x sslmode=require", NULL },
		{ ANSWERS, "user=x sslmode=require",
		  "server does not support SSL, but SSL was required" },
		{ ANSWERS, "user='x", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct world w;

		start(&w, table[i].manner, table[i].conninfo);
		run_until(&w, round_done);
		assert_int_equal(node(&w)->state, NODE_SUSPECT);
		assert_int_equal(node(&w)->sampled_at_us, 0);
		if (table[i].reason != NULL)
			assert_string_equal(node(&w)->reason, table[i].reason);
		else
			assert_true(strlen(node(&w)->reason) > 10);
		stop(&w);
	}
}

static void
nobody_there_is_told_and_a_return_noticed(void **state)
{
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	fake_stop(&w.fake);
	run_until(&w, is_down);
	assert_string_equal(node(&w)->reason, "connection refused");
	assert_int_equal(node(&w)->up_since_us, 0);
	fake_start(&w.fake, w.loop);
	node(&w)->port = w.fake.port; /* another port is another node: the prober is told by id */
	w.t->nodes[0].live->id = 99;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, is_up);
	w.fake.manner = SILENT;
	run_until(&w, is_down);
	w.fake.manner = ANSWERS;
	run_until(&w, is_up);
	assert_true(node(&w)->up_since_us > 0);
	assert_string_equal(node(&w)->reason, "");
	stop(&w);
}

static void
the_second_address_is_tried(void **state)
{
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	node(&w)->addrs[1] = node(&w)->addrs[0];
	assert_true(addr_parse(slice_str("127.0.0.2"), &node(&w)->addrs[0]));
	node(&w)->naddrs = 2;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, round_done);
	assert_int_equal(node(&w)->state, NODE_UP);
	stop(&w);
}

static void
a_name_without_an_address_waits_for_one(void **state)
{
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	node(&w)->naddrs = 0;
	node(&w)->live->id = 99;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, is_suspect);
	assert_string_equal(node(&w)->reason, "the host name has no address");
	node(&w)->live->id = 100;
	w.conf.timeout_us = 3600 * USEC_PER_SEC;
	prober_configure(w.prober, &w.conf, w.t);
	run(&w, 50);
	node(&w)->naddrs = 1; /* it comes while a probe waits for it */
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, is_up);
	stop(&w);
}

static void
evidence_makes_suspect_and_probes_at_once(void **state)
{
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	w.conf.health.interval_us = 3600 * USEC_PER_SEC;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, is_up);
	prober_evidence(w.prober, 12345, "nobody knows this node");
	w.fake.manner = SILENT;
	prober_evidence(w.prober, node(&w)->live->id, "it died during startup");
	run_until(&w, is_suspect);
	assert_string_equal(node(&w)->reason,
			    "a session could not be opened: it died during startup");
	run_until(&w, is_down);
	prober_evidence(w.prober, node(&w)->live->id, "down is down");
	run(&w, 50);
	assert_int_equal(node(&w)->state, NODE_DOWN);
	stop(&w);
}

static void
evidence_does_not_become_a_storm(void **state)
{
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	run_until(&w, is_up);
	w.fake.connections = 0;
	for (int i = 0; i < 50; i++) {
		prober_evidence(w.prober, node(&w)->live->id, "again");
		run(&w, 10);
	}
	assert_true(w.fake.connections >= 1 && w.fake.connections <= 6);
	stop(&w);
}

static void
a_round_can_be_asked_for(void **state)
{
	struct world w;
	int64_t before;

	(void)state;
	start(&w, ANSWERS, NULL);
	w.conf.health.interval_us = 3600 * USEC_PER_SEC;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, round_done);
	before = node(&w)->sampled_at_us;
	prober_probe_now(w.prober);
	assert_false(prober_round_done(w.prober));
	run_until(&w, round_done);
	assert_true(node(&w)->sampled_at_us > before);
	stop(&w);
}

static void
no_nodes_is_a_round_at_once(void **state)
{
	struct topology *none = topology_new();
	struct world w;

	(void)state;
	start(&w, SILENT, NULL);
	run(&w, 20); /* a probe is under way when its node goes */
	prober_configure(w.prober, &w.conf, none);
	assert_true(prober_round_done(w.prober));
	w.changes = 0;
	prober_probe_now(w.prober);
	run_until(&w, round_done);
	assert_int_equal(w.changes, 1);
	topology_unref(none);
	stop(&w);
}

static void
want_of_our_own_is_no_word_against_the_node(void **state)
{
	struct rlimit limit, none;
	struct world w;
	char why[128];

	(void)state;
	for (int login = 0; login < 2; login++) {
		start(&w, login ? SPEAKS : ANSWERS, login ? CONNINFO : NULL);
		w.fake.row = "f|off|7|1|1||f||97|1|f";
		run_until(&w, is_up);
		fake_hang_up(&w.fake);
		getrlimit(RLIMIT_NOFILE, &limit);
		none = (struct rlimit){ 3, limit.rlim_max };
		setrlimit(RLIMIT_NOFILE, &none);
		for (int i = 0; i < 4; i++) {
			prober_probe_now(w.prober);
			run_until(&w, round_done);
		}
		setrlimit(RLIMIT_NOFILE, &limit);
		assert_int_equal(node(&w)->state, NODE_UP);
		stop(&w);
	}
	snprintf(why, sizeof(why), "could not create socket: %s", strerror(EMFILE));
	assert_true(login_is_our_fault(why));
	assert_false(login_is_our_fault("connection refused"));
}

/* ---- roles that logins tell ---- */

static void
roles_are_learnt_from_logins(void **state)
{
	struct probe_learned said = { 1, 0, 150004, KIND_POSTGRES };
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	run_until(&w, is_up);
	prober_learned(w.prober, node(&w)->live->id, &said);
	prober_fill(w.prober, w.t);
	assert_int_equal(node(&w)->role, ROLE_STANDBY);
	assert_int_equal(node(&w)->server_version, 150004);
	assert_int_equal(node(&w)->kind, KIND_POSTGRES);
	assert_int_equal(node(&w)->lag_us, -1);
	assert_false(node(&w)->probed);
	said = (struct probe_learned){ 0, 1, 150004, KIND_POSTGRES };
	prober_learned(w.prober, node(&w)->live->id, &said);
	prober_fill(w.prober, w.t);
	assert_int_equal(node(&w)->role, ROLE_PRIMARY);
	assert_true(node(&w)->read_only);
	said = (struct probe_learned){ 0, 0, 130000, KIND_COCKROACHDB };
	prober_learned(w.prober, node(&w)->live->id, &said);
	prober_fill(w.prober, w.t);
	assert_int_equal(node(&w)->role, ROLE_MULTI);
	stop(&w);
}

/* As they come: each ParameterStatus of a login is a lesson of its own. */
static void
a_login_tells_one_thing_at_a_time(void **state)
{
	static const struct probe_learned lessons[] = { { -1, 1, 0, KIND_UNKNOWN },
							{ 1, -1, 0, KIND_UNKNOWN },
							{ -1, -1, 150004, KIND_UNKNOWN },
							{ -1, -1, 0, KIND_COCKROACHDB } };
	struct world w;

	(void)state;
	start(&w, ANSWERS, NULL);
	run_until(&w, is_up);
	for (size_t i = 0; i < 3; i++)
		prober_learned(w.prober, node(&w)->live->id, &lessons[i]);
	prober_fill(w.prober, w.t);
	assert_int_equal(node(&w)->role, ROLE_STANDBY);
	assert_true(node(&w)->read_only);
	assert_int_equal(node(&w)->server_version, 150004);
	prober_learned(w.prober, node(&w)->live->id, &lessons[3]);
	prober_fill(w.prober, w.t);
	assert_int_equal(node(&w)->kind, KIND_COCKROACHDB);
	assert_int_equal(node(&w)->role, ROLE_STANDBY);
	stop(&w);
}

static void
a_standby_is_not_believed_for_ever(void **state)
{
	struct watch w = { .said = { 1, 0, 0, KIND_UNKNOWN },
			   .said_at_us = 1000,
			   .health = { .last_good_us = 1000 } };

	(void)state;
	assert_int_equal(facts_role(&w, 59 * USEC_PER_SEC), ROLE_STANDBY);
	assert_int_equal(facts_role(&w, 61 * USEC_PER_SEC), ROLE_UNKNOWN);
	w.said.in_hot_standby = 0;
	assert_int_equal(facts_role(&w, 61 * USEC_PER_SEC), ROLE_PRIMARY);
	/* by a probe: as long as the node does not answer without saying so again */
	w = (struct watch){ .facts = { .at_us = 1000, .recovery = true },
			    .said = { -1, -1, 0, KIND_UNKNOWN },
			    .health = { .last_good_us = 1000 } };
	assert_int_equal(facts_role(&w, 600 * USEC_PER_SEC), ROLE_STANDBY);
	w.health.last_good_us = 62 * USEC_PER_SEC;
	assert_int_equal(facts_role(&w, 62 * USEC_PER_SEC), ROLE_UNKNOWN);
}

/* ---- questions ---- */

static bool
is_probed(struct world *w)
{
	return node(w)->probed;
}

static void
the_answer_is_read(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.row = "f|on|7710592690727318555|3|4096||f||97|12|f";
	run_until(&w, is_probed);
	assert_int_equal(node(&w)->state, NODE_UP);
	assert_int_equal(node(&w)->role, ROLE_PRIMARY);
	assert_int_equal(node(&w)->kind, KIND_POSTGRES);
	assert_true(node(&w)->read_only);
	assert_true(node(&w)->system_id == UINT64_C(7710592690727318555));
	assert_int_equal(node(&w)->timeline, 3);
	assert_int_equal(node(&w)->max_connections, 97);
	assert_int_equal(node(&w)->used_connections, 12);
	assert_int_equal(node(&w)->server_version, 150004);
	assert_int_equal(node(&w)->lag_us, 0);
	run(&w, 500);
	assert_int_equal(w.fake.connections, 1); /* kept */
	assert_true(w.fake.queries >= 4);
	stop(&w);
}

static void
a_standby_without_its_primary_tells_its_own_lag(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.row = "t|off|7|1|4000|5000|t|2000000|97|1|f";
	run_until(&w, is_probed);
	assert_int_equal(node(&w)->role, ROLE_STANDBY);
	assert_int_equal(node(&w)->lag_us, 2000000);
	assert_int_equal(node(&w)->lag_bytes, 1000);
	stop(&w);
}

static void
answers_that_make_no_sense_read_as_unknown(void **state)
{
	static const char *const rows[] = {
		"f|on",
		"|||||||||||||",
		"x|y|-1|99999999999999999999|-|-|-|-|-|-|-",
		"t|off|18446744073709551616|4294967296|99999999999999999999|x|t|-5|-7|2147483648|f",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w;

		start(&w, SPEAKS, CONNINFO);
		w.fake.row = rows[i];
		run_until(&w, round_done);
		assert_int_equal(node(&w)->state, NODE_UP);
		assert_int_equal(node(&w)->timeline, 0);
		assert_int_equal(node(&w)->max_connections, 0);
		assert_int_equal(node(&w)->used_connections, 0);
		stop(&w);
	}
}

static void
a_refused_question_is_asked_smaller(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.error = "42501";
	w.fake.row = "t|off|||||||||";
	run_until(&w, is_probed);
	assert_int_equal(node(&w)->state, NODE_UP);
	assert_int_equal(node(&w)->role, ROLE_STANDBY);
	assert_int_equal(node(&w)->lag_us, -1);
	assert_null(strstr(w.fake.last_query, "pg_control_system"));
	run(&w, 400);
	assert_null(strstr(w.fake.last_query, "pg_control_system"));
	stop(&w);
}

static void
an_error_of_the_moment_changes_nothing(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.error = "55000";
	w.fake.row = "f|off|7|1|1||f||97|1|f";
	run_until(&w, round_done);
	assert_int_equal(node(&w)->state, NODE_UP);
	assert_int_equal(node(&w)->role, ROLE_UNKNOWN);
	run_until(&w, is_probed);
	assert_non_null(strstr(w.fake.last_query, "pg_control_system"));
	stop(&w);
}

static void
cockroachdb_takes_writes_everywhere(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.parameter = "crdb_version";
	w.fake.value = "CockroachDB CCL v21.1.0";
	w.fake.row = "f|off|||||||||";
	run_until(&w, is_probed);
	assert_int_equal(node(&w)->kind, KIND_COCKROACHDB);
	assert_int_equal(node(&w)->role, ROLE_MULTI);
	assert_null(strstr(w.fake.last_query, "pg_is_in_recovery"));
	stop(&w);
}

static void
citus_takes_writes_where_it_has_metadata(void **state)
{
	(void)state;
	for (int has = 0; has < 2; has++) {
		struct world w;

		start(&w, SPEAKS, CONNINFO);
		w.fake.row = "f|off|7|1|1||f||97|1|t";
		w.fake.citus = has ? "t" : "f";
		run_until(&w, is_probed);
		assert_int_equal(node(&w)->kind, KIND_CITUS);
		assert_int_equal(node(&w)->role, has ? ROLE_MULTI : ROLE_PRIMARY);
		stop(&w);
	}
}

static void
a_role_that_is_refused_leaves_the_node_up(void **state)
{
	static const struct {
		const char *sqlstate;
		enum node_state expect;
	} table[] = {
		{ "28P01", NODE_UP },      { "3D000", NODE_UP },      { "53300", NODE_UP },
		{ "57P03", NODE_SUSPECT }, { "XX000", NODE_SUSPECT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct world w;

		start(&w, SPEAKS, CONNINFO);
		w.fake.login_error = table[i].sqlstate;
		run_until(&w, round_done);
		assert_int_equal(node(&w)->state, table[i].expect);
		assert_int_equal(node(&w)->role, ROLE_UNKNOWN);
		if (table[i].expect != NODE_UP)
			assert_string_equal(node(&w)->reason, "it does not like you");
		stop(&w);
	}
}

static void
a_connection_that_breaks_under_a_question_is_made_anew(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.row = "f|off|7|1|1||f||97|1|f";
	w.conf.health.interval_us = 3600 * USEC_PER_SEC;
	w.conf.health.fall = 1;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, is_probed);
	run(&w, 250);
	w.fake.leave_after = 2;
	prober_probe_now(w.prober);
	run_until(&w, round_done);
	assert_int_equal(node(&w)->state, NODE_UP);
	assert_int_equal(w.fake.connections, 2);
	run(&w, 250);
	w.fake.leave_after = 1; /* once more, and then not even a login */
	w.fake.login_error = "57P01";
	prober_probe_now(w.prober);
	run_until(&w, is_down);
	stop(&w);
}

static void
a_lost_connection_is_made_anew(void **state)
{
	struct world w;

	(void)state;
	start(&w, SPEAKS, CONNINFO);
	w.fake.row = "f|off|7|1|1||f||97|1|f";
	w.conf.health.interval_us = 3600 * USEC_PER_SEC;
	prober_configure(w.prober, &w.conf, w.t);
	run_until(&w, is_probed);
	fake_hang_up(&w.fake);
	prober_probe_now(w.prober);
	run_until(&w, round_done);
	assert_int_equal(node(&w)->state, NODE_UP);
	assert_int_equal(w.fake.connections, 2);
	run(&w, 250);
	fake_stop(&w.fake); /* and nobody answers any more: no waiting for the next probe */
	run_until(&w, is_suspect);
	assert_string_equal(node(&w)->reason, "connection refused");
	stop(&w);
}

/* ---- messages ---- */

static void
messages_are_cut_to_what_matters(void **state)
{
	static const struct {
		const char *message, *why, *sqlstate;
	} table[] = {
		{ "connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n"
		  "\tIs the server running on that host and accepting TCP/IP connections?\n",
		  "connection refused", "" },
		{ "connection to server at \"::1\", port 1 failed: Connection refused\n\tIs it?\n"
		  "connection to server at \"127.0.0.1\", port 1 failed: FATAL:  28P01: password "
		  "authentication failed for user \"x\"\nLOCATION:  auth_failed, auth.c:342\n",
		  "password authentication failed for user \"x\"", "28P01" },
		{ "connection to server at \"h\", port 1 failed: SSL error: certificate verify "
		  "failed\n",
		  "SSL error: certificate verify failed", "" },
		{ "connection to server on socket \"/x/.s.PGSQL.1\" failed: FATAL:  57P03: the "
		  "database system is starting up\n",
		  "the database system is starting up", "57P03" },
		{ "server closed the connection unexpectedly\n\tThis probably means …\n",
		  "server closed the connection unexpectedly", "" },
		{ "FATAL:  bad\a thing\n", "bad? thing", "" },
		{ "FATAL:  28P0", "28P0", "" },
		{ ":  ", "", "" },
		{ "", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char why[128], sqlstate[6];
		char *copy = strdup(table[i].message); /* so that reading past it is seen */

		pgdial_explain(copy, why, sqlstate);
		assert_string_equal(why, table[i].why);
		assert_string_equal(sqlstate, table[i].sqlstate);
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_answer_means_alive),
		cmocka_unit_test(failures_are_told_apart),
		cmocka_unit_test(nobody_there_is_told_and_a_return_noticed),
		cmocka_unit_test(the_second_address_is_tried),
		cmocka_unit_test(a_name_without_an_address_waits_for_one),
		cmocka_unit_test(evidence_makes_suspect_and_probes_at_once),
		cmocka_unit_test(evidence_does_not_become_a_storm),
		cmocka_unit_test(a_round_can_be_asked_for),
		cmocka_unit_test(no_nodes_is_a_round_at_once),
		cmocka_unit_test(want_of_our_own_is_no_word_against_the_node),
		cmocka_unit_test(roles_are_learnt_from_logins),
		cmocka_unit_test(a_login_tells_one_thing_at_a_time),
		cmocka_unit_test(a_standby_is_not_believed_for_ever),
		cmocka_unit_test(the_answer_is_read),
		cmocka_unit_test(a_standby_without_its_primary_tells_its_own_lag),
		cmocka_unit_test(answers_that_make_no_sense_read_as_unknown),
		cmocka_unit_test(a_refused_question_is_asked_smaller),
		cmocka_unit_test(an_error_of_the_moment_changes_nothing),
		cmocka_unit_test(cockroachdb_takes_writes_everywhere),
		cmocka_unit_test(citus_takes_writes_where_it_has_metadata),
		cmocka_unit_test(a_role_that_is_refused_leaves_the_node_up),
		cmocka_unit_test(a_connection_that_breaks_under_a_question_is_made_anew),
		cmocka_unit_test(a_lost_connection_is_made_anew),
		cmocka_unit_test(messages_are_cut_to_what_matters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
