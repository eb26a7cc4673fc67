/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/snapshot.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tests/unit/unit.h"

#define VERSIONS 100000

static atomic_int made, freed;

struct thing {
	struct refcount refs;
	unsigned version;
	unsigned copy; /* of version: not equal in one that is half written */
};

static struct thing *
thing_new(unsigned version)
{
	struct thing *t = xcalloc(1, sizeof(*t));

	refcount_init(&t->refs);
	t->version = t->copy = version;
	atomic_fetch_add(&made, 1);
	return t;
}

static void
thing_unref(struct thing *t)
{
	if (t == NULL || !refcount_put(&t->refs))
		return;
	atomic_fetch_add(&freed, 1);
	free(t);
}

struct pair {
	struct snapshot_slot slots[2];
	atomic_int done;
};

static void *
publisher_main(void *arg)
{
	struct pair *p = arg;

	for (unsigned v = 1; v <= VERSIONS; v++) {
		struct thing *t = thing_new(v);

		for (int i = 0; i < 2; i++) {
			refcount_get(&t->refs);
			thing_unref(snapshot_slot_put(&p->slots[i], t));
		}
		thing_unref(t);
	}
	atomic_store(&p->done, 1);
	return NULL;
}

/* What a reader saw that it must not see. */
struct reader {
	struct pair *pair;
	int slot;
	unsigned wrong, last;
};

static void *
reader_main(void *arg)
{
	struct reader *r = arg;
	struct thing *mine = NULL;
	bool over = false;

	while (!over) {
		struct thing *fresh;

		over = atomic_load(&r->pair->done) != 0;
		fresh = snapshot_slot_take(&r->pair->slots[r->slot]);
		if (fresh == NULL)
			continue;
		r->wrong += fresh->version != fresh->copy || fresh->version <= r->last;
		r->last = fresh->version;
		thing_unref(mine);
		mine = fresh;
	}
	thing_unref(mine);
	return NULL;
}

static void
readers_see_whole_versions_that_grow_and_the_last_one(void **arg)
{
	struct pair p = { .done = 0 };
	struct reader r[2] = { { &p, 0, 0, 0 }, { &p, 1, 0, 0 } };
	pthread_t publisher, readers[2];

	(void)arg;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, reader_main, &r[i]), 0);
	assert_int_equal(pthread_create(&publisher, NULL, publisher_main, &p), 0);
	pthread_join(publisher, NULL);
	for (int i = 0; i < 2; i++) {
		pthread_join(readers[i], NULL);
		assert_int_equal(r[i].wrong, 0);
		assert_int_equal(r[i].last, VERSIONS);
	}
	assert_int_equal(atomic_load(&made), atomic_load(&freed));
}

static void
a_slot_gives_what_was_put_once(void **arg)
{
	struct snapshot_slot slot = { .fresh = NULL };
	struct thing *a = thing_new(1), *b = thing_new(2);

	(void)arg;
	assert_null(snapshot_slot_take(&slot));
	assert_null(snapshot_slot_put(&slot, a));
	assert_ptr_equal(snapshot_slot_put(&slot, b), a); /* never taken: the publisher's again */
	assert_ptr_equal(snapshot_slot_take(&slot), b);
	assert_null(snapshot_slot_take(&slot));
	thing_unref(a);
	thing_unref(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slot_gives_what_was_put_once),
		cmocka_unit_test(readers_see_whole_versions_that_grow_and_the_last_one),
	};

	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
