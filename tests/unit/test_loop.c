/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/ev/loop.h"

#include <stdbool.h>

#include "base/clock.h"
#include "tests/unit/unit.h"

struct job {
	struct loop *loop;
	struct job *next; /* deferred by this one */
	char *said;       /* what was done, in order */
	char name;
	bool stops;
};

static void
do_job(void *arg)
{
	struct job *j = arg;
	size_t n = strlen(j->said);

	j->said[n] = j->name;
	j->said[n + 1] = '\0';
	if (j->next != NULL)
		loop_defer(j->loop, do_job, j->next);
	if (j->stops)
		loop_stop(j->loop);
}

static void
what_is_deferred_runs_in_order_and_may_defer(void **arg)
{
	struct loop *l = loop_new();
	char said[16] = "";
	struct job d = { .loop = l, .said = said, .name = 'd', .stops = true };
	struct job c = { .loop = l, .said = said, .name = 'c' };
	struct job b = { .loop = l, .said = said, .name = 'b' };
	struct job a = { .loop = l, .said = said, .name = 'a', .next = &d };

	(void)arg;
	loop_defer(l, do_job, &a);
	loop_defer(l, do_job, &b);
	loop_defer(l, do_job, &c);
	assert_string_equal(said, "");
	loop_poll(l);
	assert_string_equal(said, "abcd");
	loop_free(l);
}

static void
what_is_still_deferred_runs_before_the_loop_goes(void **arg)
{
	struct loop *l = loop_new();
	char said[16] = "";
	struct job a = { .loop = l, .said = said, .name = 'a' };

	(void)arg;
	loop_defer(l, do_job, &a);
	loop_free(l);
	assert_string_equal(said, "a");
	loop_free(NULL);
}

static void
what_was_done_can_be_deferred_again(void **arg)
{
	struct loop *l = loop_new();
	char said[16] = "";
	struct job a = { .loop = l, .said = said, .name = 'a' };

	(void)arg;
	for (int i = 0; i < 3; i++) {
		loop_defer(l, do_job, &a);
		loop_poll(l);
	}
	assert_string_equal(said, "aaa");
	loop_free(l);
}

static void
test_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct job *j = arg;

	(void)fd;
	(void)what;
	loop_defer(j->loop, do_job, j);
	strcat(j->said, "t");
	loop_stop(j->loop);
}

/* The callback's own work comes first, what it deferred behind it, and the loop ends after that. */
static void
a_stopped_loop_still_does_what_the_turn_deferred(void **arg)
{
	static const struct timeval now = { 0, 0 };
	struct loop *l = loop_new();
	char said[16] = "";
	struct job a = { .loop = l, .said = said, .name = 'a' };
	struct event timer;

	(void)arg;
	evtimer_assign(&timer, loop_base(l), test_on_timer, &a);
	event_add(&timer, &now);
	loop_run(l);
	assert_string_equal(said, "ta");
	event_add(&timer, &now);
	loop_run(l); /* it can be run again */
	assert_string_equal(said, "tata");
	loop_free(l);
}

/* However long it takes. */
static void
the_time_of_a_turn_moves_with_the_next_one_only(void **arg)
{
	struct loop *l = loop_new();
	int64_t before = clock_us(), now;

	(void)arg;
	now = loop_now_us(l);
	assert_in_range(now, before, clock_us());
	while (clock_us() <= now)
		;
	assert_int_equal(loop_now_us(l), now);
	loop_poll(l);
	assert_true(loop_now_us(l) > now);
	loop_free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_deferred_runs_in_order_and_may_defer),
		cmocka_unit_test(what_is_still_deferred_runs_before_the_loop_goes),
		cmocka_unit_test(what_was_done_can_be_deferred_again),
		cmocka_unit_test(a_stopped_loop_still_does_what_the_turn_deferred),
		cmocka_unit_test(the_time_of_a_turn_moves_with_the_next_one_only),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
