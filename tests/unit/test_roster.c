/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

#define SEC INT64_C(1000000)

static const struct roster_conf conf = { .min_keep_pct = 50, .grace_us = 60 * SEC };
static int64_t now_us = 1000 * SEC;
static bool has_session;

/* An answer of the server `node`: names of nodes, separated by blanks; '-' in front: takes no
 * queries. */
static enum roster_news
answer(struct roster *r, const char *node, const char *names)
{
	static char host[] = "h", region[] = "us-east1";
	struct told_node told[16] = { 0 };
	struct slice rest = slice_str(names), one;
	enum roster_news news;
	size_t n = 0;

	now_us += SEC;
	while (rest.n > 0) {
		one = slice_cut(&rest, ' ');
		told[n].serves = !slice_starts(one, "-");
		if (!told[n].serves)
			one = slice_skip(one, 1);
		told[n].name = xstrndup(one.p, one.n);
		told[n].host = host;
		told[n].region = region;
		n++;
	}
	news = roster_take(r, &conf, node, DISCOVER_REPLICATION, 7, told, n, now_us);
	for (size_t i = 0; i < n; i++)
		free(told[i].name);
	return news;
}

/* "a:used b:new": what is known, each with its state. */
static const char *
known(const struct roster *r)
{
	static char text[256];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < r->nfound; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s:%s", i > 0 ? " " : "",
				      r->found[i].is.name, found_state_name(r->found[i].state));
	return text;
}

static bool
sessions(void *arg, const struct found_node *f)
{
	(void)arg;
	(void)f;
	return has_session;
}

static void
a_node_is_used_when_it_has_answered(void **state)
{
	struct roster *r = roster_new();

	(void)state;
	assert_int_equal(answer(r, "p", "a b"), ROSTER_CHANGED);
	assert_string_equal(known(r), "a:new b:new");
	assert_false(found_usable(&r->found[0]));
	assert_string_equal(r->found[0].asked, "p");
	assert_false(roster_probed(r, "a", false, 7));
	assert_false(roster_probed(r, "a", true, 8));
	assert_string_equal(r->found[0].why, "a server of another cluster answers there");
	assert_false(roster_probed(r, "a", true, 0));
	assert_true(roster_probed(r, "A", true, 7));
	assert_false(roster_probed(r, "a", true, 7));
	assert_string_equal(known(r), "a:used b:new");
	assert_true(found_usable(&r->found[0]));
	assert_int_equal(answer(r, "p", "a b"), ROSTER_SAME);
	roster_unref(r);
}

static void
what_takes_no_queries_is_not_used(void **state)
{
	struct roster *r = roster_new();

	(void)state;
	answer(r, "p", "-a");
	assert_true(roster_probed(r, "a", true, 7));
	assert_false(found_usable(&r->found[0]));
	assert_non_null(strstr(r->found[0].why, "takes no queries"));
	assert_int_equal(answer(r, "p", "a"), ROSTER_CHANGED);
	assert_true(found_usable(&r->found[0]));
	assert_int_equal(answer(r, "p", "-a"), ROSTER_CHANGED);
	assert_false(found_usable(&r->found[0]));
	roster_unref(r);
}

static void
what_is_told_no_more_is_missing_then_gone_then_forgotten(void **state)
{
	struct roster *r = roster_new();

	(void)state;
	answer(r, "p", "a b new");
	roster_probed(r, "a", true, 7);
	roster_probed(r, "b", true, 7);
	has_session = true;
	assert_int_equal(answer(r, "p", "a b"), ROSTER_CHANGED); /* it never answered */
	assert_string_equal(known(r), "a:used b:used");
	assert_int_equal(answer(r, "p", "a"), ROSTER_CHANGED);
	assert_string_equal(known(r), "a:used b:missing");
	assert_true(found_usable(&r->found[1]));
	assert_false(roster_tick(r, &conf, now_us + 59 * SEC, sessions, NULL));
	assert_true(roster_tick(r, &conf, now_us + 60 * SEC, sessions, NULL));
	assert_string_equal(known(r), "a:used b:gone");
	assert_false(found_usable(&r->found[1]));
	assert_false(roster_tick(r, &conf, now_us + 600 * SEC, sessions, NULL));
	assert_int_equal(answer(r, "p", "a b"), ROSTER_CHANGED);
	assert_string_equal(known(r), "a:used b:used");
	answer(r, "p", "a");
	roster_tick(r, &conf, now_us + 60 * SEC, sessions, NULL);
	has_session = false;
	assert_true(roster_tick(r, &conf, now_us + 61 * SEC, sessions, NULL));
	assert_string_equal(known(r), "a:used");
	roster_unref(r);
}

static void
one_source_is_enough(void **state)
{
	struct roster *r = roster_new();

	(void)state;
	answer(r, "p", "a b");
	answer(r, "q", "b c");
	for (const char *n = "abc"; *n != '\0'; n++)
		roster_probed(r, (char[]){ *n, '\0' }, true, 7);
	answer(r, "p", "a");
	assert_string_equal(known(r), "a:used b:used c:used");
	answer(r, "q", "c");
	assert_string_equal(known(r), "a:used b:missing c:used");
	roster_unref(r);
}

static void
a_node_stays_what_its_first_source_says(void **state)
{
	struct roster *r = roster_new();

	(void)state;
	answer(r, "p", "a b");
	roster_probed(r, "a", true, 7);
	assert_int_equal(answer(r, "q", "-a"), ROSTER_SAME);
	assert_string_equal(r->found[0].asked, "p");
	assert_true(found_usable(&r->found[0]));
	assert_int_equal(answer(r, "p", "b"), ROSTER_SAME);
	assert_int_equal(answer(r, "q", "-a"), ROSTER_CHANGED);
	assert_string_equal(r->found[0].asked, "q");
	assert_false(found_usable(&r->found[0]));
	assert_int_equal(answer(r, "p", "a b"), ROSTER_SAME);
	assert_int_equal(answer(r, "q", "-a"), ROSTER_SAME);
	roster_unref(r);
}

static bool
is_p(void *arg, const struct roster_source *s)
{
	(void)arg;
	return strcmp(s->node, "p") == 0;
}

static void
a_source_that_is_asked_no_more_is_forgotten(void **state)
{
	struct roster *r = roster_new();

	(void)state;
	answer(r, "p", "a");
	answer(r, "q", "b");
	roster_probed(r, "a", true, 7);
	roster_probed(r, "b", true, 7);
	assert_true(roster_keep_sources(r, is_p, NULL, now_us));
	assert_false(roster_keep_sources(r, is_p, NULL, now_us));
	assert_int_equal(r->nsources, 1);
	assert_string_equal(known(r), "a:used b:missing");
	roster_unref(r);
}

static void
half_of_them_at_once_is_not_believed(void **state)
{
	static const struct {
		const char *before, *after;
		enum roster_news news;
	} table[] = {
		{ "a b c d", "a b", ROSTER_CHANGED },
		{ "a b c d", "a", ROSTER_REFUSED },
		{ "a b c d", "", ROSTER_REFUSED },
		{ "a b", "", ROSTER_REFUSED },
		{ "a", "", ROSTER_CHANGED }, /* one may always go */
		{ "a b", "b", ROSTER_CHANGED },
		{ "a b c", "x y z", ROSTER_REFUSED },
		{ "a b c", "a b x y", ROSTER_CHANGED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct roster *r = roster_new();
		char was[256];

		answer(r, "p", table[i].before);
		snprintf(was, sizeof(was), "%s", known(r));
		assert_int_equal(answer(r, "p", table[i].after), table[i].news);
		if (table[i].news == ROSTER_REFUSED) {
			assert_string_equal(known(r), was);
			assert_non_null(strstr(roster_alarm(r, "p", DISCOVER_REPLICATION),
					       "discover_min_keep"));
			/* the same again is no news; what the operator believes is taken */
			assert_int_equal(answer(r, "p", table[i].after), ROSTER_SAME);
			roster_believe(r);
			assert_string_equal(known(r), was);
			assert_int_equal(answer(r, "p", table[i].after), ROSTER_CHANGED);
		}
		assert_string_equal(roster_alarm(r, "p", DISCOVER_REPLICATION), "");
		roster_unref(r);
	}
}

static void
a_complaint_changes_nothing(void **state)
{
	struct roster *r = roster_new();

	(void)state;
	answer(r, "p", "a b");
	assert_int_equal(roster_complain(r, "p", DISCOVER_REPLICATION, "no", now_us),
			 ROSTER_REFUSED);
	assert_int_equal(roster_complain(r, "p", DISCOVER_REPLICATION, "no", now_us), ROSTER_SAME);
	assert_string_equal(known(r), "a:new b:new");
	assert_string_equal(roster_alarm(r, "p", DISCOVER_REPLICATION), "no");
	assert_string_equal(roster_alarm(r, "p", DISCOVER_CITUS), "");
	assert_int_equal(answer(r, "p", "a b"), ROSTER_CHANGED); /* the alarm is over */
	assert_string_equal(roster_alarm(r, "p", DISCOVER_REPLICATION), "");
	assert_string_equal(known(r), "a:new b:new");
	assert_int_equal(answer(r, "p", "a b"), ROSTER_SAME);
	roster_unref(r);
}

static void
a_copy_stands_by_itself(void **state)
{
	struct roster *r = roster_new(), *copy;

	(void)state;
	answer(r, "p", "a b");
	copy = roster_dup(r);
	roster_unref(r);
	assert_string_equal(known(copy), "a:new b:new");
	assert_int_equal(copy->sources[0].ntold, 2);
	assert_non_null(roster_find(copy, "B"));
	assert_null(roster_find(copy, "c"));
	roster_unref(copy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_is_used_when_it_has_answered),
		cmocka_unit_test(what_takes_no_queries_is_not_used),
		cmocka_unit_test(what_is_told_no_more_is_missing_then_gone_then_forgotten),
		cmocka_unit_test(one_source_is_enough),
		cmocka_unit_test(a_node_stays_what_its_first_source_says),
		cmocka_unit_test(a_source_that_is_asked_no_more_is_forgotten),
		cmocka_unit_test(half_of_them_at_once_is_not_believed),
		cmocka_unit_test(a_complaint_changes_nothing),
		cmocka_unit_test(a_copy_stands_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
