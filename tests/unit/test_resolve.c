/* SPDX-License-Identifier: PostgreSQL
 *
 * Only names that every machine knows: "localhost", and one under .invalid (RFC 2606).
 */
#include "config.h"

#include "routing/watch/resolve.h"

#include "tests/unit/unit.h"

struct world {
	struct loop *loop;
	struct resolver *resolver;
	struct topology *t;
	struct event timeout;
	int changes;
};

static void
on_changed(void *arg)
{
	struct world *w = arg;

	w->changes++;
	if (resolver_settled(w->resolver))
		loop_stop(w->loop);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct world *w = arg;

	(void)fd, (void)what;
	loop_stop(w->loop);
}

static void
start(struct world *w, const char *const *hosts)
{
	*w = (struct world){ .loop = loop_new(), .t = topology_new() };
	w->resolver = resolver_new(w->loop, on_changed, w);
	event_assign(&w->timeout, loop_base(w->loop), -1, 0, on_timeout, w);
	topology_add_region(w->t, "here");
	for (; *hosts != NULL; hosts++)
		topology_add_node(w->t, *hosts, 5432, NULL);
}

static void
run(struct world *w, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	event_add(&w->timeout, &tv);
	loop_run(w->loop);
	event_del(&w->timeout);
}

static void
stop(struct world *w)
{
	resolver_free(w->resolver);
	topology_unref(w->t);
	loop_free(w->loop);
}

static void
literal_addresses_and_directories_need_no_lookup(void **state)
{
	static const char *const hosts[] = { "192.0.2.7", "2001:db8::7", "/run/postgresql", NULL };
	char text[ADDR_TEXT_MAX];
	struct world w;

	(void)state;
	start(&w, hosts);
	resolver_configure(w.resolver, w.t, 1000000);
	assert_true(resolver_settled(w.resolver));
	resolver_fill(w.resolver, w.t);
	assert_string_equal(addr_print(&w.t->nodes[0].addrs[0], text), "192.0.2.7:5432");
	assert_string_equal(addr_print(&w.t->nodes[1].addrs[0], text), "[2001:db8::7]:5432");
	assert_int_equal(w.t->nodes[2].naddrs, 0);
	assert_int_equal(w.changes, 0);
	stop(&w);
}

static void
names_are_found_without_blocking(void **state)
{
	static const char *const hosts[] = { "localhost", "LOCALHOST", NULL };
	struct world w;

	(void)state;
	start(&w, hosts);
	resolver_configure(w.resolver, w.t, 0);
	assert_false(resolver_settled(w.resolver));
	run(&w, 20000);
	assert_true(resolver_settled(w.resolver));
	assert_int_equal(w.changes, 1);
	resolver_fill(w.resolver, w.t);
	for (int i = 0; i < 2; i++) {
		assert_true(w.t->nodes[i].naddrs >= 1);
		assert_int_equal(w.t->nodes[i].addrs[0].port, 5432);
	}
	stop(&w);
}

static void
who_cannot_wait_for_the_loop_may_block_for_the_names(void **state)
{
	static const char *const hosts[] = { "localhost", NULL };
	struct world w;

	(void)state;
	start(&w, hosts);
	resolver_configure(w.resolver, w.t, 0);
	resolver_wait(w.resolver, 20000000);
	assert_true(resolver_settled(w.resolver));
	resolver_fill(w.resolver, w.t);
	assert_true(w.t->nodes[0].naddrs >= 1);
	run(&w, 10);
	assert_int_equal(w.changes, 0);
	stop(&w);
}

static void
a_name_that_does_not_exist_settles_as_an_error(void **state)
{
	static const char *const hosts[] = { "no-such-host.invalid", NULL };
	struct world w;

	(void)state;
	start(&w, hosts);
	resolver_configure(w.resolver, w.t, 0);
	run(&w, 20000);
	assert_true(resolver_settled(w.resolver));
	resolver_fill(w.resolver, w.t);
	assert_int_equal(w.t->nodes[0].naddrs, 0);
	stop(&w);
}

static void
refreshing_tells_only_of_changes(void **state)
{
	static const char *const hosts[] = { "localhost", NULL };
	struct topology *none = topology_new();
	struct world w;

	(void)state;
	start(&w, hosts);
	resolver_configure(w.resolver, w.t, 10000);
	run(&w, 20000);
	run(&w, 100); /* several refreshes */
	assert_int_equal(w.changes, 1);
	resolver_configure(w.resolver, w.t, 10000); /* what stays keeps its addresses */
	assert_true(resolver_settled(w.resolver));
	resolver_configure(w.resolver, none, 10000); /* a late answer finds nobody */
	run(&w, 50);
	assert_int_equal(w.changes, 1);
	topology_unref(none);
	stop(&w);
}

static void
leaving_does_not_wait_for_a_lookup(void **state)
{
	static const char *const hosts[] = { "localhost", "no-such-host.invalid", NULL };
	struct world w;

	(void)state;
	for (int i = 0; i < 20; i++) {
		start(&w, hosts);
		resolver_configure(w.resolver, w.t, 0);
		if (i % 2 == 0)
			run(&w, 1);
		stop(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literal_addresses_and_directories_need_no_lookup),
		cmocka_unit_test(names_are_found_without_blocking),
		cmocka_unit_test(who_cannot_wait_for_the_loop_may_block_for_the_names),
		cmocka_unit_test(a_name_that_does_not_exist_settles_as_an_error),
		cmocka_unit_test(refreshing_tells_only_of_changes),
		cmocka_unit_test(leaving_does_not_wait_for_a_lookup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
