/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/ev/mailbox.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tests/unit/unit.h"

#define SENDERS 4
#define LETTERS 20000

struct office {
	struct loop *loop;
	struct mailbox *box;
	unsigned got[SENDERS]; /* letters of each sender so far */
	unsigned wrong, total, last_total;
};

struct numbered {
	struct letter letter; /* first */
	unsigned sender, number;
};

struct sender {
	pthread_t thread;
	struct office *office;
	unsigned id;
};

static void
on_numbered(struct letter *take_letter, void *owner)
{
	struct numbered *n = (struct numbered *)take_letter;
	struct office *o = owner;

	o->wrong += n->number != o->got[n->sender];
	o->got[n->sender]++;
	if (++o->total == o->last_total)
		loop_stop(o->loop);
	free(n);
}

static void
post_number(struct office *o, unsigned sender, unsigned number)
{
	struct numbered *n = xcalloc(1, sizeof(*n));

	n->sender = sender;
	n->number = number;
	mailbox_post(o->box, &n->letter, on_numbered);
}

static void *
sender_main(void *arg)
{
	struct sender *s = arg;

	for (unsigned i = 0; i < LETTERS; i++)
		post_number(s->office, s->id, i);
	return NULL;
}

static struct office *
office_new(void)
{
	struct office *o = xcalloc(1, sizeof(*o));

	o->loop = loop_new();
	o->box = mailbox_new(o->loop, o);
	return o;
}

static void
office_free(struct office *o)
{
	mailbox_free(o->box);
	loop_free(o->loop);
	free(o);
}

static void
letters_of_several_threads_arrive_all_and_in_order(void **arg)
{
	struct office *o = office_new();
	struct sender s[SENDERS];

	(void)arg;
	o->last_total = SENDERS * LETTERS;
	for (unsigned i = 0; i < SENDERS; i++) {
		s[i] = (struct sender){ .office = o, .id = i };
		assert_int_equal(pthread_create(&s[i].thread, NULL, sender_main, &s[i]), 0);
	}
	loop_run(o->loop);
	for (unsigned i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_join(s[i].thread, NULL), 0);
	assert_int_equal(o->total, SENDERS * LETTERS);
	assert_int_equal(o->wrong, 0);
	office_free(o);
}

/* A letter whose delivery posts the next one to the same box. */
static void
on_chain(struct letter *take_letter, void *owner)
{
	struct numbered *n = (struct numbered *)take_letter;
	struct office *o = owner;

	o->total++;
	if (n->number == 0)
		loop_stop(o->loop);
	else {
		n->number--;
		mailbox_post(o->box, &n->letter, on_chain);
		return;
	}
	free(n);
}

static void
a_delivery_may_post_again(void **arg)
{
	struct office *o = office_new();
	struct numbered *n = xcalloc(1, sizeof(*n));

	(void)arg;
	n->number = 100;
	mailbox_post(o->box, &n->letter, on_chain);
	loop_run(o->loop);
	assert_int_equal(o->total, 101);
	office_free(o);
}

static void
letters_can_be_delivered_without_the_loop(void **arg)
{
	struct office *o = office_new();

	(void)arg;
	assert_false(mailbox_deliver(o->box));
	post_number(o, 0, 0);
	post_number(o, 1, 0);
	post_number(o, 0, 1);
	assert_true(mailbox_deliver(o->box));
	assert_false(mailbox_deliver(o->box));
	assert_int_equal(o->got[0], 2);
	assert_int_equal(o->got[1], 1);
	assert_int_equal(o->wrong, 0);
	office_free(o);
}

static void
what_was_never_delivered_is_when_the_box_goes(void **arg)
{
	struct office *o = office_new();
	struct office *seen = xcalloc(1, sizeof(*seen));
	struct loop *loop = o->loop;

	(void)arg;
	mailbox_free(o->box);
	o->box = mailbox_new(loop, seen);
	post_number(o, 2, 0);
	post_number(o, 2, 1);
	mailbox_free(o->box);
	assert_int_equal(seen->got[2], 2);
	assert_int_equal(seen->wrong, 0);
	loop_free(loop);
	free(seen);
	free(o);
	mailbox_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_of_several_threads_arrive_all_and_in_order),
		cmocka_unit_test(a_delivery_may_post_again),
		cmocka_unit_test(letters_can_be_delivered_without_the_loop),
		cmocka_unit_test(what_was_never_delivered_is_when_the_box_goes),
	};

	return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
