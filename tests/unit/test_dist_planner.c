/* SPDX-License-Identifier: PostgreSQL
 *
 * Catalogs in, plans out: the shop with its stores, products, orders and line items first.
 */
#include "config.h"

#include "migration/distribute/dist_planner.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tests/unit/unit.h"

#define MB ((int64_t)1 << 20)

/* Names as the grammar would have made them. */
static char n_countries[] = "countries";
static char n_line_items[] = "line_items";
static char n_nosuch[] = "nosuch";
static char n_orders[] = "orders";
static char n_products[] = "products";
static char n_stores[] = "stores";

static struct dist_table *
table(struct dist_catalog *c, const char *name)
{
	struct dist_table *t = dist_catalog_add_table(c, "public", name);

	t->column_type = xstrdup("bigint");
	t->is_ours = t->has_identity = true;
	t->bytes = MB;
	return t;
}

/* "products -> stores (store_id -> store_id)" by the numbers of tables. */
static struct dist_key *
key(struct dist_catalog *c, size_t from, size_t to)
{
	char name[64];
	struct dist_key *k;

	(void)snprintf(name, sizeof(name), "%s_%s_fkey", c->tables[from].table,
		       c->tables[to].table);
	k = dist_catalog_add_key(c, name, from, to);
	strlist_add(&k->columns, "store_id");
	strlist_add(&k->refers, "store_id");
	k->definition = xstrdup("FOREIGN KEY …");
	return k;
}

enum { LINE_ITEMS, ORDERS, PRODUCTS, STORES };

static void
cluster(struct dist_catalog *c)
{
	c->server.has_citus = c->server.is_coordinator = c->server.is_registered = true;
	c->server.workers = 2;
	c->server.wal_level = xstrdup("logical");
	c->server.slots_free = c->server.senders_free = 10;
	c->server.replication_factor = 1;
	c->server.bytes_per_second = 10 * (double)MB;
}

static void
shop(struct dist_catalog *c)
{
	memset(c, 0, sizeof(*c));
	table(c, "line_items")->bytes = 900 * MB;
	table(c, "orders")->bytes = 400 * MB;
	table(c, "products");
	table(c, "stores")->is_primary_key = true;
	(void)key(c, LINE_ITEMS, ORDERS);
	(void)key(c, LINE_ITEMS, PRODUCTS);
	(void)key(c, LINE_ITEMS, STORES);
	(void)key(c, ORDERS, STORES);
	(void)key(c, PRODUCTS, STORES);
	cluster(c);
}

static const struct dist_wish standard = { .column = "store_id",
					   .lock_budget_us = 2000000,
					   .orphans_stop = true };

static const char *const act_names[] = {
#define DIST_NAME(constant, word) [constant] = word,
	DIST_ACTS(DIST_NAME)
#undef DIST_NAME
};

/* "keys;distribute stores;drop_keys orders orders_stores_fkey …" */
static void
text_of(struct buf *b, const struct dist_plan *p, const struct dist_catalog *c)
{
	for (size_t i = 0; i < p->nsteps; i++) {
		const struct dist_step *s = &p->steps[i];

		buf_printf(b, "%s%s", i > 0 ? "\n" : "", act_names[s->act]);
		if (s->table < c->ntables)
			buf_printf(b, " %s", c->tables[s->table].table);
		if (s->colocated < c->ntables)
			buf_printf(b, " by %s", c->tables[s->colocated].table);
		for (size_t j = 0; s->act == DIST_ALL && j < s->ntables; j++)
			buf_printf(b, " %s", c->tables[s->tables[j]].table);
		if (s->act == DIST_KEEP_KEYS)
			buf_printf(b, " %zu", s->nkeys);
		else
			for (size_t j = 0; j < s->nkeys; j++)
				buf_printf(b, " %s", c->keys[s->keys[j]].name);
	}
}

static void
plan_is(const struct dist_catalog *c, const struct dist_wish *w, const char *text)
{
	struct dist_plan p;
	struct buf b = { 0 };

	dist_plan_make(&p, c, w);
	text_of(&b, &p, c);
	assert_string_equal(buf_text(&b), text);
	buf_fini(&b);
	dist_plan_fini(&p);
}

static const struct check *
finding(const struct dist_plan *p, const char *check, const char *object)
{
	for (size_t i = 0; i < p->findings.n; i++)
		if (strcmp(p->findings.v[i].check, check) == 0 &&
		    (object == NULL || strcmp(p->findings.v[i].object, object) == 0))
			return &p->findings.v[i];
	return NULL;
}

static void
found(const struct dist_catalog *c, const struct dist_wish *w, enum check_severity severity,
      const char *check, const char *object)
{
	struct dist_plan p;
	const struct check *f;

	dist_plan_make(&p, c, w);
	f = finding(&p, check, object);
	if (f == NULL)
		fail_msg("no finding %s for %s", check, object != NULL ? object : "anything");
	else
		assert_int_equal(f->severity, severity);
	dist_plan_fini(&p);
}

static void
stores_come_first_then_orders_and_products_then_line_items(void **state)
{
	struct dist_catalog c;

	(void)state;
	shop(&c);
	for (size_t i = 0; i < c.ntables; i++)
		c.tables[i].bytes = 0;
	plan_is(&c, &standard,
		"keys 5\n"
		"distribute stores\n"
		"orphans orders orders_stores_fkey\n"
		"distribute orders by stores orders_stores_fkey\n"
		"orphans products products_stores_fkey\n"
		"distribute products by stores products_stores_fkey\n"
		"orphans line_items line_items_orders_fkey line_items_products_fkey "
		"line_items_stores_fkey\n"
		"distribute line_items by stores line_items_orders_fkey line_items_products_fkey "
		"line_items_stores_fkey\n"
		"truncate_local stores\n"
		"truncate_local orders\n"
		"truncate_local products\n"
		"truncate_local line_items");
	dist_catalog_fini(&c);
}

static void
the_concurrent_choice_drops_every_key_also_to_tables_that_are_done(void **state)
{
	struct dist_catalog c;

	(void)state;
	shop(&c);
	plan_is(&c, &standard,
		"keys 5\n"
		"distribute stores\n"
		"orphans orders orders_stores_fkey\n"
		"drop_keys orders line_items_orders_fkey orders_stores_fkey\n"
		"distribute_concurrently orders by stores\n"
		"add_keys orders orders_stores_fkey\n"
		"validate_key orders orders_stores_fkey\n"
		"orphans products products_stores_fkey\n"
		"distribute products by stores products_stores_fkey\n"
		"orphans line_items line_items_products_fkey line_items_stores_fkey\n"
		"drop_keys line_items line_items_products_fkey line_items_stores_fkey\n"
		"distribute_concurrently line_items by stores\n"
		"add_keys line_items line_items_orders_fkey line_items_products_fkey "
		"line_items_stores_fkey\n"
		"validate_key line_items line_items_orders_fkey\n"
		"validate_key line_items line_items_products_fkey\n"
		"validate_key line_items line_items_stores_fkey\n"
		"truncate_local stores\n"
		"truncate_local products");
	found(&c, &standard, CHECK_WARN, "key_not_enforced",
	      "line_items_stores_fkey on public.line_items");
	dist_catalog_fini(&c);
}

static void
busy_tables_are_not_blocked_however_small(void **state)
{
	struct dist_catalog c;
	struct dist_plan p;

	(void)state;
	shop(&c);
	c.tables[PRODUCTS].writes = DIST_WRITES_MAX;
	dist_plan_make(&p, &c, &standard);
	assert_int_equal(p.choice[PRODUCTS].method, METHOD_CONCURRENT);
	assert_int_equal(p.choice[STORES].method, METHOD_BLOCKING);
	assert_non_null(strstr(p.choice[PRODUCTS].why, "10.0 changes a second"));
	dist_plan_fini(&p);
	dist_catalog_fini(&c);
}

static void
atomic_is_one_step_and_needs_blocking_methods(void **state)
{
	struct spec_table tables[] = { { { NULL, n_stores }, METHOD_CHOOSE },
				       { { NULL, n_products }, METHOD_CONCURRENT } };
	struct dist_wish w = standard, two = standard;
	struct dist_catalog c;

	(void)state;
	shop(&c);
	w.is_atomic = true;
	plan_is(&c, &w,
		"keys 5\n"
		"distribute_all stores orders products line_items\n"
		"truncate_local stores\n"
		"truncate_local orders\n"
		"truncate_local products\n"
		"truncate_local line_items");
	found(&c, &w, CHECK_WARN, "lock_budget", "atomic");
	two.is_atomic = true;
	two.tables = tables;
	two.ntables = 2;
	found(&c, &two, CHECK_ERROR, "atomic_concurrent", "public.products");
	dist_catalog_fini(&c);
	shop(&c);
	c.tables[ORDERS].bytes = c.tables[LINE_ITEMS].bytes = 0;
	found(&c, &standard, CHECK_INFO, "atomic_possible", "atomic");
	dist_catalog_fini(&c);
}

static void
a_circle_is_opened_and_closed_again(void **state)
{
	struct dist_catalog c;

	(void)state;
	memset(&c, 0, sizeof(c));
	(void)table(&c, "a");
	(void)table(&c, "b");
	(void)key(&c, 0, 1);
	(void)key(&c, 1, 0);
	cluster(&c);
	plan_is(&c, &standard,
		"keys 2\n"
		"drop_keys a a_b_fkey\n"
		"distribute a\n"
		"orphans b b_a_fkey\n"
		"distribute b by a b_a_fkey\n"
		"add_keys b a_b_fkey\n"
		"validate_key a a_b_fkey\n"
		"truncate_local a\n"
		"truncate_local b");
	found(&c, &standard, CHECK_WARN, "circle_of_keys", "a_b_fkey on public.a");
	dist_catalog_fini(&c);
}

static void
a_key_of_a_table_to_itself_stays(void **state)
{
	struct dist_catalog c;

	(void)state;
	memset(&c, 0, sizeof(c));
	table(&c, "a")->writes = 1000;
	(void)key(&c, 0, 0);
	cluster(&c);
	plan_is(&c, &standard, "keys 1\ndistribute_concurrently a");
	found(&c, &standard, CHECK_INFO, "self_reference", "a_a_fkey on public.a");
	dist_catalog_fini(&c);
}

/* countries has no store_id, and stores refers to it. */
static void
parents_without_the_column_become_reference_tables(void **state)
{
	struct dist_catalog c;
	struct dist_table *t;

	(void)state;
	shop(&c);
	t = table(&c, "countries");
	free(t->column_type);
	t->column_type = NULL;
	(void)key(&c, STORES, 4);
	c.tables[STORES].writes = 100;
	found(&c, &standard, CHECK_INFO, "reference_table", "public.countries");
	for (size_t i = 0; i < c.ntables; i++)
		c.tables[i].bytes = 0;
	plan_is(&c, &standard,
		"keys 6\n"
		"reference countries\n"
		"orphans stores stores_countries_fkey\n"
		"drop_keys stores line_items_stores_fkey orders_stores_fkey products_stores_fkey "
		"stores_countries_fkey\n"
		"distribute_concurrently stores\n"
		"add_keys stores stores_countries_fkey\n"
		"validate_key stores stores_countries_fkey\n"
		"distribute orders by stores\n"
		"add_keys orders orders_stores_fkey\n"
		"validate_key orders orders_stores_fkey\n"
		"distribute products by stores\n"
		"add_keys products products_stores_fkey\n"
		"validate_key products products_stores_fkey\n"
		"orphans line_items line_items_orders_fkey line_items_products_fkey\n"
		"distribute line_items by stores line_items_orders_fkey line_items_products_fkey\n"
		"add_keys line_items line_items_stores_fkey\n"
		"validate_key line_items line_items_stores_fkey\n"
		"truncate_local countries\n"
		"truncate_local orders\n"
		"truncate_local products\n"
		"truncate_local line_items");
	c.tables[4].bytes = DIST_REFERENCE_MAX + 1;
	found(&c, &standard, CHECK_ERROR, "missing_distribution_column", "public.countries");
	dist_catalog_fini(&c);
}

static void
what_is_done_already_is_left_alone(void **state)
{
	struct dist_catalog c;

	(void)state;
	shop(&c);
	for (size_t i = 0; i < c.ntables; i++) {
		c.tables[i].bytes = 0;
		c.tables[i].state = DIST_HASH;
		c.tables[i].distributed_by = xstrdup("store_id");
	}
	plan_is(&c, &standard, "");
	c.tables[LINE_ITEMS].state = DIST_HALF;
	c.tables[LINE_ITEMS].writes = 100;
	plan_is(&c, &standard,
		"keys 3\n"
		"orphans line_items line_items_orders_fkey line_items_products_fkey "
		"line_items_stores_fkey\n"
		"drop_keys line_items line_items_orders_fkey line_items_products_fkey "
		"line_items_stores_fkey\n"
		"distribute_concurrently line_items by stores\n"
		"add_keys line_items line_items_orders_fkey line_items_products_fkey "
		"line_items_stores_fkey\n"
		"validate_key line_items line_items_orders_fkey\n"
		"validate_key line_items line_items_products_fkey\n"
		"validate_key line_items line_items_stores_fkey");
	found(&c, &standard, CHECK_INFO, "half_way", "public.line_items");
	dist_catalog_fini(&c);
}

/* Each: one thing wrong with the shop, and the finding that says so. */
static void
on_generated(struct dist_catalog *c)
{
	c->tables[STORES].is_generated = true;
}

static void
on_nulls(struct dist_catalog *c)
{
	c->tables[STORES].has_nulls = true;
}

static void
on_unlogged(struct dist_catalog *c)
{
	c->tables[ORDERS].is_unlogged = true;
}

static void
on_no_identity(struct dist_catalog *c)
{
	c->tables[ORDERS].has_identity = false;
}

static void
on_heir(struct dist_catalog *c)
{
	c->tables[STORES].is_heir = true;
}

static void
on_stranger(struct dist_catalog *c)
{
	c->tables[STORES].is_ours = false;
}

static void
on_trigger(struct dist_catalog *c)
{
	strlist_add(&c->tables[STORES].triggers, "audit");
}

static void
on_identity(struct dist_catalog *c)
{
	strlist_add(&c->tables[ORDERS].identities, "id");
}

static void
on_serial(struct dist_catalog *c)
{
	strlist_add(&c->tables[ORDERS].serials, "id");
}

static void
on_unique(struct dist_catalog *c)
{
	strlist_add(&c->tables[PRODUCTS].keys_without, "products_pkey");
}

static void
on_type(struct dist_catalog *c)
{
	free(c->tables[ORDERS].column_type);
	c->tables[ORDERS].column_type = xstrdup("integer");
}

static void
on_other_column(struct dist_catalog *c)
{
	c->tables[ORDERS].state = DIST_HASH;
	c->tables[ORDERS].distributed_by = xstrdup("order_id");
}

static void
on_ordinal(struct dist_catalog *c)
{
	free(c->keys[3].refers.v[0]);
	c->keys[3].refers.v[0] = xstrdup("id");
}

static void
on_set_null(struct dist_catalog *c)
{
	c->keys[3].on_delete = 'n';
}

static void
on_no_citus(struct dist_catalog *c)
{
	c->server.has_citus = false;
}

static void
on_worker(struct dist_catalog *c)
{
	c->server.is_coordinator = false;
}

static void
on_no_workers(struct dist_catalog *c)
{
	c->server.workers = 0;
}

static void
on_unregistered(struct dist_catalog *c)
{
	c->server.is_registered = false;
}

static void
on_unreachable(struct dist_catalog *c)
{
	strlist_add(&c->server.unreachable, "a:1 -> b:2");
}

static void
on_wal_level(struct dist_catalog *c)
{
	free(c->server.wal_level);
	c->server.wal_level = xstrdup("replica");
}

static void
on_plugins(struct dist_catalog *c)
{
	c->server.plugins = xstrdup("pgoutput, test_decoding");
}

static void
on_slots(struct dist_catalog *c)
{
	c->server.slots_free = 1;
}

static void
on_senders(struct dist_catalog *c)
{
	c->server.senders_free = 1;
}

static void
on_connect_back(struct dist_catalog *c)
{
	c->server.connects_back = xstrdup("no pg_hba.conf entry");
}

static void
on_factor(struct dist_catalog *c)
{
	c->server.replication_factor = 2;
}

static void
whatever_citus_would_refuse_is_known_before(void **state)
{
	static const struct {
		void (*wrong)(struct dist_catalog *c);
		enum check_severity severity;
		const char *check, *object;
	} rows[] = {
		{ on_generated, CHECK_ERROR, "generated_column", "public.stores" },
		{ on_nulls, CHECK_ERROR, "null_values", "public.stores" },
		{ on_unlogged, CHECK_ERROR, "unlogged_table", "public.orders" },
		{ on_no_identity, CHECK_WARN, "no_replica_identity", "public.orders" },
		{ on_heir, CHECK_ERROR, "inheritance", "public.stores" },
		{ on_stranger, CHECK_ERROR, "not_owner", "public.stores" },
		{ on_trigger, CHECK_ERROR, "triggers", "public.stores" },
		{ on_identity, CHECK_WARN, "irreversible", "public.orders" },
		{ on_serial, CHECK_WARN, "serial_on_workers", "public.orders" },
		{ on_unique, CHECK_ERROR, "key_without_column", "public.products" },
		{ on_type, CHECK_ERROR, "column_type", "public.orders" },
		{ on_other_column, CHECK_ERROR, "distributed_otherwise", "public.orders" },
		{ on_ordinal, CHECK_ERROR, "key_without_column",
		  "orders_stores_fkey on public.orders" },
		{ on_set_null, CHECK_ERROR, "key_sets_column",
		  "orders_stores_fkey on public.orders" },
		{ on_no_citus, CHECK_ERROR, "citus_extension", "citus" },
		{ on_worker, CHECK_ERROR, "not_coordinator", "" },
		{ on_no_workers, CHECK_ERROR, "no_workers", "pg_dist_node" },
		{ on_unregistered, CHECK_ERROR, "coordinator_not_registered", "pg_dist_node" },
		{ on_unreachable, CHECK_ERROR, "node_unreachable", "a:1 -> b:2" },
		{ on_wal_level, CHECK_ERROR, "wal_level", "wal_level" },
		{ on_plugins, CHECK_ERROR, "output_plugin_libraries", "output_plugin_libraries" },
		{ on_slots, CHECK_ERROR, "replication_slots", "max_replication_slots" },
		{ on_senders, CHECK_ERROR, "wal_senders", "max_wal_senders" },
		{ on_connect_back, CHECK_ERROR, "connect_back", "citus.local_hostname" },
		{ on_factor, CHECK_ERROR, "shard_replication_factor",
		  "citus.shard_replication_factor" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dist_catalog c;
		struct dist_plan p;

		shop(&c);
		dist_plan_make(&p, &c, &standard);
		assert_null(finding(&p, rows[i].check, rows[i].object));
		dist_plan_fini(&p);
		rows[i].wrong(&c);
		found(&c, &standard, rows[i].severity, rows[i].check, rows[i].object);
		dist_catalog_fini(&c);
	}
}

static void
set_null_of_other_columns_is_no_obstacle(void **state)
{
	struct dist_catalog c;
	struct dist_plan p;

	(void)state;
	shop(&c);
	c.keys[3].on_delete = 'n';
	strlist_add(&c.keys[3].sets, "order_id");
	dist_plan_make(&p, &c, &standard);
	assert_null(finding(&p, "key_sets_column", NULL));
	dist_plan_fini(&p);
	dist_catalog_fini(&c);
}

/* A list is the whole choice: what hangs on it and is not named is told. */
static void
named_tables_are_the_choice(void **state)
{
	struct spec_table tables[] = { { { NULL, n_orders }, METHOD_BLOCKING },
				       { { NULL, n_stores }, METHOD_BLOCKING },
				       { { NULL, n_nosuch }, METHOD_CHOOSE },
				       { { NULL, n_line_items }, METHOD_LOCAL } };
	struct dist_wish w = standard;
	struct dist_catalog c;

	(void)state;
	shop(&c);
	w.tables = tables;
	w.ntables = 4;
	plan_is(&c, &w,
		"keys 4\n"
		"distribute stores\n"
		"orphans orders orders_stores_fkey\n"
		"distribute orders by stores orders_stores_fkey");
	found(&c, &w, CHECK_ERROR, "no_such_table", "nosuch");
	found(&c, &w, CHECK_WARN, "child_stays_local",
	      "line_items_orders_fkey on public.line_items");
	found(&c, &w, CHECK_ERROR, "child_stays_local", "products_stores_fkey on public.products");
	tables[0].method = METHOD_CONCURRENT;
	found(&c, &w, CHECK_ERROR, "child_stays_local",
	      "line_items_orders_fkey on public.line_items");
	found(&c, &w, CHECK_ERROR, "key_lost", "line_items_orders_fkey on public.line_items");
	w.ntables = 1;
	found(&c, &w, CHECK_ERROR, "parent_stays_local", "orders_stores_fkey on public.orders");
	tables[0].method = METHOD_REFERENCE;
	tables[1].method = METHOD_BLOCKING;
	w.ntables = 2;
	found(&c, &w, CHECK_ERROR, "reference_to_distributed",
	      "orders_stores_fkey on public.orders");
	dist_catalog_fini(&c);
}

static void
the_root_is_the_one_that_was_said_or_whose_key_is_the_column(void **state)
{
	struct spec_name root = { NULL, n_products }, none = { NULL, n_countries };
	struct dist_wish w = standard;
	struct dist_catalog c;
	struct dist_plan p;

	(void)state;
	shop(&c);
	dist_plan_make(&p, &c, &w);
	assert_int_equal(p.root, STORES);
	dist_plan_fini(&p);
	w.root = &root;
	dist_plan_make(&p, &c, &w);
	assert_int_equal(p.root, PRODUCTS);
	dist_plan_fini(&p);
	w.root = &none;
	found(&c, &w, CHECK_ERROR, "no_such_table", "countries");
	w.root = NULL;
	w.column = "tenant";
	for (size_t i = 0; i < c.ntables; i++) {
		free(c.tables[i].column_type);
		c.tables[i].column_type = NULL;
	}
	found(&c, &w, CHECK_ERROR, "nothing_to_distribute", "tenant");
	dist_catalog_fini(&c);
}

static void
a_key_that_was_not_valid_comes_back_as_it_was(void **state)
{
	struct dist_catalog c;

	(void)state;
	memset(&c, 0, sizeof(c));
	(void)table(&c, "a");
	table(&c, "b")->writes = 99;
	key(&c, 1, 0)->is_valid = false;
	cluster(&c);
	plan_is(&c, &standard,
		"keys 1\n"
		"distribute a\n"
		"orphans b b_a_fkey\n"
		"drop_keys b b_a_fkey\n"
		"distribute_concurrently b by a\n"
		"add_keys b b_a_fkey\n"
		"truncate_local a");
	dist_catalog_fini(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stores_come_first_then_orders_and_products_then_line_items),
		cmocka_unit_test(
		    the_concurrent_choice_drops_every_key_also_to_tables_that_are_done),
		cmocka_unit_test(busy_tables_are_not_blocked_however_small),
		cmocka_unit_test(atomic_is_one_step_and_needs_blocking_methods),
		cmocka_unit_test(a_circle_is_opened_and_closed_again),
		cmocka_unit_test(a_key_of_a_table_to_itself_stays),
		cmocka_unit_test(parents_without_the_column_become_reference_tables),
		cmocka_unit_test(what_is_done_already_is_left_alone),
		cmocka_unit_test(whatever_citus_would_refuse_is_known_before),
		cmocka_unit_test(set_null_of_other_columns_is_no_obstacle),
		cmocka_unit_test(named_tables_are_the_choice),
		cmocka_unit_test(the_root_is_the_one_that_was_said_or_whose_key_is_the_column),
		cmocka_unit_test(a_key_that_was_not_valid_comes_back_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
