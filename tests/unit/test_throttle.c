/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/throttle.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tests/unit/unit.h"

#define SEC(n) ((n)*USEC_PER_SEC)
#define NEVER  (-1)

static const uint8_t secret[THROTTLE_SECRET_BYTES] = "0123456789abcde";
static const struct throttle_rules rules = {
	.after = 3, .base_us = SEC(1), .max_us = SEC(60), .patience_us = SEC(8)
};

static int
setup(void **state)
{
	*state = throttle_new(secret);
	return 0;
}

static int
teardown(void **state)
{
	throttle_free(*state);
	return 0;
}

static struct addr
address(const char *text)
{
	struct addr a;

	assert_true(addr_parse(slice_str(text), &a));
	return a;
}

static int64_t
miss(struct throttle *t, const char *from, const char *user, int64_t now_us)
{
	struct addr a = address(from);

	return throttle_failed(t, &rules, &a, slice_str(user), now_us);
}

static int64_t
wait_of(struct throttle *t, const char *from, const char *user, int64_t now_us)
{
	struct addr a = address(from);

	return throttle_wait_us(t, &rules, &a, slice_str(user), now_us);
}

static void
each_failure_doubles_the_wait_up_to_the_ceiling(void **state)
{
	static const int64_t seconds[] = { 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60 };
	int64_t now_us = SEC(1000);

	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		assert_int_equal(wait_of(*state, "192.0.2.1", "tom", now_us), 0);
		assert_int_equal(miss(*state, "192.0.2.1", "tom", now_us), SEC(seconds[i]));
		assert_int_equal(wait_of(*state, "192.0.2.1", "tom", now_us), SEC(seconds[i]));
		now_us += SEC(seconds[i]);
	}
}

static void
the_wait_shrinks_with_time_and_ends(void **state)
{
	for (int i = 0; i < 5; i++)
		(void)miss(*state, "192.0.2.1", "tom", SEC(1000));
	assert_int_equal(wait_of(*state, "192.0.2.1", "tom", SEC(1000)), SEC(2));
	assert_int_equal(wait_of(*state, "192.0.2.1", "tom", SEC(1000) + 1), SEC(2) - 1);
	assert_int_equal(wait_of(*state, "192.0.2.1", "tom", SEC(1002) - 1), 1);
	assert_int_equal(wait_of(*state, "192.0.2.1", "tom", SEC(1002)), 0);
}

static void
only_the_pair_waits(void **state)
{
	for (int i = 0; i < 5; i++)
		(void)miss(*state, "192.0.2.1", "tom", SEC(1000));
	assert_int_equal(wait_of(*state, "192.0.2.2", "tom", SEC(1000)), 0);
	assert_int_equal(wait_of(*state, "192.0.2.1", "ann", SEC(1000)), 0);
	assert_int_equal(wait_of(*state, "192.0.2.1", "tomx", SEC(1000)), 0);
	assert_int_equal(wait_of(*state, "192.0.2.1", "", SEC(1000)), 0);
}

static void
an_ipv6_network_of_64_bits_is_one_address(void **state)
{
	for (int i = 0; i < 4; i++)
		(void)miss(*state, "2001:db8:1:2::1", "tom", SEC(1000));
	assert_int_equal(wait_of(*state, "2001:db8:1:2:ffff::9", "tom", SEC(1000)), SEC(1));
	assert_int_equal(wait_of(*state, "2001:db8:1:3::1", "tom", SEC(1000)), 0);
}

static void
an_ipv4_address_is_the_same_inside_ipv6(void **state)
{
	for (int i = 0; i < 4; i++)
		(void)miss(*state, "::ffff:192.0.2.1", "tom", SEC(1000));
	assert_int_equal(wait_of(*state, "192.0.2.1", "tom", SEC(1000)), SEC(1));
}

static void
ports_do_not_matter(void **state)
{
	struct addr a = address("192.0.2.1");

	for (int i = 0; i < 4; i++) {
		a.port++;
		(void)throttle_failed(*state, &rules, &a, slice_str("tom"), SEC(1000));
	}
	assert_int_equal(wait_of(*state, "192.0.2.1", "tom", SEC(1000)), SEC(1));
}

static void
the_unix_socket_never_waits(void **state)
{
	struct addr a = { .family = ADDR_UNIX };

	for (int i = 0; i < 100; i++)
		assert_int_equal(throttle_failed(*state, &rules, &a, slice_str("tom"), SEC(1000)),
				 0);
	assert_int_equal(throttle_wait_us(*state, &rules, &a, slice_str("tom"), SEC(1000)), 0);
}

static void
pass_with(struct throttle *t, const char *from, const char *user, struct throttle_turns *taken,
	  int64_t now_us)
{
	struct addr a = address(from);

	throttle_passed(t, &rules, &a, slice_str(user), taken, now_us);
}

static void
pass(struct throttle *t, const char *from, const char *user, int64_t now_us)
{
	struct throttle_turns none = { 0 };

	pass_with(t, from, user, &none, now_us);
}

static bool
trusts(struct throttle *t, const char *from, const char *user, int64_t now_us)
{
	struct addr a = address(from);

	return throttle_trusts(t, &a, slice_str(user), now_us);
}

static int64_t
turn_of(struct throttle *t, const char *from, const char *user, int64_t now_us,
	struct throttle_turns *taken)
{
	struct addr a = address(from);

	return throttle_turn_us(t, &rules, &a, slice_str(user), now_us, taken);
}

static int64_t
turn(struct throttle *t, const char *from, const char *user, int64_t now_us)
{
	struct throttle_turns taken = { 0 };

	return turn_of(t, from, user, now_us, &taken);
}

static int64_t
limit_of(struct throttle *t, const char *from, const char *user, int64_t now_us)
{
	struct addr a = address(from);

	return throttle_limit_us(t, &rules, &a, slice_str(user), now_us);
}

static bool
shares(struct throttle *t, const char *from, const char *user, int64_t now_us,
       struct throttle_turns *taken)
{
	struct addr a = address(from);

	return throttle_share(t, &rules, &a, slice_str(user), now_us, taken);
}

/* Else one who guesses beside an application would have new guesses at each of its logins. */
static void
a_right_login_forgets_no_failure(void **state)
{
	for (int i = 0; i < 5; i++)
		(void)miss(*state, "192.0.2.1", "tom", SEC(1000));
	pass(*state, "192.0.2.1", "tom", SEC(1000));
	assert_int_equal(wait_of(*state, "192.0.2.1", "tom", SEC(1000)), SEC(2));
	assert_int_equal(miss(*state, "192.0.2.1", "tom", SEC(1002)), SEC(4));
}

static void
who_has_logged_in_right_is_trusted_for_a_day(void **state)
{
	struct addr unix_socket = { .family = ADDR_UNIX };
	struct throttle_turns none = { 0 };

	assert_false(trusts(*state, "192.0.2.1", "tom", SEC(1000)));
	pass(*state, "192.0.2.1", "tom", SEC(1000));
	assert_true(trusts(*state, "192.0.2.1", "tom", SEC(1000)));
	assert_true(trusts(*state, "192.0.2.1", "tom", SEC(1000 + 86400)));
	assert_false(trusts(*state, "192.0.2.1", "tom", SEC(1001 + 86400)));
	assert_false(trusts(*state, "192.0.2.2", "tom", SEC(1000)));
	assert_false(trusts(*state, "192.0.2.1", "ann", SEC(1000)));
	throttle_passed(*state, &rules, &unix_socket, slice_str("tom"), &none, SEC(1000));
	assert_false(throttle_trusts(*state, &unix_socket, slice_str("tom"), SEC(1000)));
}

static void
who_is_throttled_takes_turns(void **state)
{
	assert_int_equal(turn(*state, "192.0.2.1", "tom", SEC(1000)), 0);
	assert_int_equal(turn(*state, "192.0.2.1", "tom", SEC(1000)), 0);
	for (int i = 0; i < 10; i++)
		(void)miss(*state, "192.0.2.1", "tom", SEC(1000));
	for (int i = 0; i <= 8; i++)
		assert_int_equal(turn(*state, "192.0.2.1", "tom", SEC(1000)), SEC(i));
	/* nine have one: whoever comes now is refused, and moves nobody back */
	for (int i = 0; i < 5; i++)
		assert_int_equal(turn(*state, "192.0.2.1", "tom", SEC(1000)), SEC(9));
	assert_int_equal(turn(*state, "192.0.2.1", "tom", SEC(1001)), SEC(8));
	assert_int_equal(turn(*state, "192.0.2.1", "ann", SEC(1000)), 0);
	/* turns that nobody took are lost */
	assert_int_equal(turn(*state, "192.0.2.1", "tom", SEC(1050)), 0);
	assert_int_equal(turn(*state, "192.0.2.1", "tom", SEC(1050)), SEC(1));
}

static void
a_right_login_gives_its_turn_back(void **state)
{
	for (int i = 0; i < 10; i++)
		(void)miss(*state, "192.0.2.1", "tom", SEC(1000));
	for (int i = 0; i < 100; i++) {
		struct throttle_turns taken = { 0 };

		assert_int_equal(turn_of(*state, "192.0.2.1", "tom", SEC(1000), &taken), 0);
		assert_true(taken.of_pair);
		pass_with(*state, "192.0.2.1", "tom", &taken, SEC(1000));
		assert_false(taken.of_pair);
	}
}

static void
a_turn_is_short_where_the_first_wait_is_long(void **state)
{
	struct throttle_rules slow = {
		.after = 0, .base_us = SEC(60), .max_us = SEC(600), .patience_us = SEC(8)
	};
	struct addr a = address("192.0.2.1");
	struct throttle_turns taken = { 0 };

	(void)throttle_failed(*state, &slow, &a, slice_str("tom"), SEC(1000));
	for (int i = 0; i <= 4; i++)
		assert_int_equal(
		    throttle_turn_us(*state, &slow, &a, slice_str("tom"), SEC(1000), &taken),
		    SEC(2 * i));
}

static void
no_guess_takes_a_mark_away(void **state)
{
	char user[32];

	pass(*state, "192.0.2.1", "tom", SEC(1000));
	for (int i = 0; i < 100000; i++) {
		snprintf(user, sizeof(user), "x%d", i);
		(void)miss(*state, "192.0.2.1", user, SEC(1001));
	}
	assert_true(trusts(*state, "192.0.2.1", "tom", SEC(1001)));
}

static void
the_oldest_mark_makes_room(void **state)
{
	unsigned n = 0;
	char user[32];

	for (int i = 0; i < 100000; i++) {
		snprintf(user, sizeof(user), "x%d", i);
		pass(*state, "192.0.2.1", user, SEC(1000 + i % 1000) + i);
	}
	for (int i = 0; i < 100000; i++) {
		snprintf(user, sizeof(user), "x%d", i);
		n += trusts(*state, "192.0.2.1", user, SEC(2000));
	}
	assert_int_equal(n, 64 * 64);
	assert_true(trusts(*state, "192.0.2.1", "x99999", SEC(2000)));
}

/* One address: an application that logs in once a second, and `n` who guess without a pause. Each
 * guess is seen where it was looked at, whatever was told. */
struct siege {
	int64_t seconds;
	unsigned guessers, seen, refused, in;
	int64_t longest_us;
};

/* What the session does with a login that has its turn (proxy/login/guard.c). True: it was looked
 * at. */
static bool
judge(struct throttle *t, const char *from, const char *user, bool right, int64_t now_us,
      struct throttle_turns *taken)
{
	bool throttled = wait_of(t, from, user, now_us) > 0;
	bool limited = !throttled && limit_of(t, from, user, now_us) > 0;
	bool seen = (!throttled && !limited) || trusts(t, from, user, now_us);

	/* a wrong one takes a turn, whoever's it is */
	if (limited && !(right && seen))
		seen |= shares(t, from, user, now_us, taken);
	if (right && seen)
		pass_with(t, from, user, taken, now_us);
	else if (!throttled)
		(void)miss(t, from, user, now_us);
	return seen;
}

static bool
try_at(struct throttle *t, const char *user, bool right, int64_t now_us, int64_t *wait_us)
{
	struct throttle_turns taken = { 0 };

	*wait_us = turn_of(t, "192.0.2.1", user, now_us, &taken);
	return *wait_us <= rules.patience_us &&
	       judge(t, "192.0.2.1", user, right, now_us + *wait_us, &taken);
}

static void
besiege(struct throttle *t, struct siege *g)
{
	int64_t end_us = SEC(1000 + g->seconds), free_at_us[16] = { 0 }, wait_us;

	for (int64_t now_us = SEC(1000); now_us < end_us; now_us += SEC(1) / 20) {
		for (unsigned i = 0; i < g->guessers; i++) {
			if (free_at_us[i] > now_us)
				continue;
			g->seen += try_at(t, "tom", false, now_us, &wait_us);
			free_at_us[i] = now_us + (wait_us <= rules.patience_us ? wait_us : 0);
		}
		if (now_us % SEC(1) != 0)
			continue;
		if (try_at(t, "tom", true, now_us, &wait_us))
			g->in++;
		else
			g->refused++;
		if (wait_us > g->longest_us)
			g->longest_us = wait_us;
	}
}

static void
an_application_gets_in_beside_who_guesses(void **state)
{
	static const struct {
		unsigned guessers, longest_s;
	} rows[] = { { 0, 0 }, { 1, 2 }, { 2, 3 }, { 4, 5 }, { 7, 8 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct siege g = { .seconds = 600, .guessers = rows[i].guessers };
		struct throttle *t = throttle_new(secret);

		(void)state;
		pass(t, "192.0.2.1", "tom", SEC(999));
		besiege(t, &g);
		assert_int_equal(g.in, 600);
		assert_int_equal(g.refused, 0);
		assert_true(g.longest_us <= SEC(rows[i].longest_s));
		/* the free ones, and one each second */
		assert_true(g.seen <= (rows[i].guessers > 0 ? 3 + 8 + 600 + 60 : 0));
		throttle_free(t);
	}
}

/* Without an application nothing is told at all but one guess per ceiling. */
static void
who_guesses_alone_is_seen_once_in_a_ceiling(void **state)
{
	int64_t wait_us;
	unsigned seen = 0;

	for (int64_t now_us = SEC(1000); now_us < SEC(1600); now_us += SEC(1) / 20)
		seen += try_at(*state, "tom", false, now_us, &wait_us);
	assert_true(seen >= 3 + 6 && seen <= 3 + 6 + 10 + 2);
}

/* Many users, one address: who has logged in from there does not notice. */
static void
guesses_from_one_address_are_bounded_over_all_users(void **state)
{
	unsigned seen = 0, in = 0, n = 0;
	int64_t wait_us, longest_us = 0;
	char user[32];

	pass(*state, "192.0.2.1", "tom", SEC(999));
	for (int64_t now_us = SEC(1000); now_us < SEC(1600); now_us += SEC(1) / 20) {
		snprintf(user, sizeof(user), "x%u", n++);
		seen += try_at(*state, user, false, now_us, &wait_us);
		if (now_us % SEC(1) == 0) {
			in += try_at(*state, "tom", true, now_us, &wait_us);
			longest_us = wait_us > longest_us ? wait_us : longest_us;
		}
	}
	assert_int_equal(in, 600);
	assert_int_equal(longest_us, 0);
	assert_in_range(seen, 30, 30 + 600 + 1);
	/* nobody at another address notices anything */
	assert_int_equal(limit_of(*state, "192.0.2.2", "tom", SEC(1600)), 0);
}

/* One client of one address and user, which tries again as soon as it has its answer. */
struct client {
	char from[32];
	bool right;
	int64_t due_us; /* it waits for its turn; 0: it does not */
	struct throttle_turns taken;
};

static bool
step(struct throttle *t, struct client *c, int64_t now_us)
{
	if (c->due_us == 0) {
		c->taken = (struct throttle_turns){ 0 };
		c->due_us = now_us + turn_of(t, c->from, "tom", now_us, &c->taken);
		if (c->due_us > now_us + rules.patience_us)
			c->due_us = 0;
	}
	if (c->due_us == 0 || c->due_us > now_us)
		return false;
	c->due_us = 0;
	return judge(t, c->from, "tom", c->right, now_us, &c->taken);
}

/* Ten minutes of it, beside an application; after five a newcomer comes, once a second. Returns how
 * many guesses were looked at. */
static unsigned
guess_from_everywhere(struct throttle *t, unsigned addresses, int64_t *new_at_us)
{
	struct client *c = calloc(addresses, sizeof(*c)), app = { "192.0.2.1", .right = true },
		      newcomer = { "203.0.113.1", .right = true };
	unsigned seen = 0;

	*new_at_us = 0;
	for (unsigned n = 0; n < addresses; n++)
		snprintf(c[n].from, sizeof(c[n].from), "198.18.%u.%u", n / 256, n % 256);
	pass(t, app.from, "tom", SEC(999));
	for (int64_t now_us = SEC(1000); now_us < SEC(1600); now_us += SEC(1) / 5) {
		/* one after the other begins, or their pairs would wait in step */
		for (unsigned n = 0; n < addresses; n++) {
			if (now_us >= SEC(1000) + SEC(60) / addresses * n)
				seen += step(t, &c[n], now_us + n);
		}
		if (now_us % SEC(1) != 0)
			continue;
		assert_true(step(t, &app, now_us + SEC(1) / 10));
		if (now_us >= SEC(1300) && *new_at_us == 0 &&
		    step(t, &newcomer, now_us + SEC(1) / 10))
			*new_at_us = now_us;
	}
	free(c);
	return seen;
}

/* One user, many addresses that guess without a pause: who has logged in from his address does not
 * notice, and who comes new gets in soon where they are not too many. */
static void
guesses_of_one_user_are_bounded_over_all_addresses(void **state)
{
	static const struct {
		unsigned addresses, guesses;
		int64_t newcomer_s; /* NEVER: not within five minutes */
	} rows[] = { { 5, 90, 0 },
		     { 10, 150, 0 },
		     { 60, 631, 10 },
		     { 200, 631, 60 },
		     { 1000, 631, NEVER } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct throttle *t = throttle_new(secret);
		int64_t new_at_us;
		unsigned seen = guess_from_everywhere(t, rows[i].addresses, &new_at_us);

		assert_in_range(seen, 30, rows[i].guesses);
		if (rows[i].newcomer_s == NEVER)
			assert_int_equal(new_at_us, 0);
		else
			assert_in_range(new_at_us, SEC(1300), SEC(1300 + rows[i].newcomer_s));
		throttle_free(t);
	}
}

static void
who_comes_new_and_is_right_gives_the_turn_back(void **state)
{
	struct throttle_turns taken = { 0 }, other = { 0 };
	char from[32];

	for (int i = 0; i < 40; i++) {
		snprintf(from, sizeof(from), "198.18.0.%d", i);
		(void)miss(*state, from, "tom", SEC(1000));
		(void)miss(*state, "203.0.113.1", from, SEC(1000));
	}
	assert_true(shares(*state, "203.0.113.1", "tom", SEC(1000), &taken));
	assert_true(taken.of_user && taken.of_address);
	assert_false(shares(*state, "203.0.113.2", "tom", SEC(1000), &other));
	assert_false(shares(*state, "203.0.113.1", "ann", SEC(1000), &other));
	pass_with(*state, "203.0.113.1", "tom", &taken, SEC(1000));
	/* who finds the user's turn, and not the address's, takes neither */
	assert_true(shares(*state, "203.0.113.1", "ann", SEC(1000), &other));
	assert_false(shares(*state, "203.0.113.1", "tom", SEC(1000), &taken));
	assert_true(shares(*state, "203.0.113.2", "tom", SEC(1000), &taken));
}

/* The limits are ten times what is free to a pair, and ten where that is nothing. */
static void
the_limits_follow_the_rules(void **state)
{
	static const struct {
		unsigned after, failures;
	} rows[] = { { 0, 10 }, { 1, 10 }, { 10, 100 }, { 1000, 10000 } };
	struct addr other = address("203.0.113.1");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct throttle_rules r = rules;
		struct throttle *t = throttle_new(secret);

		r.after = rows[i].after;
		for (unsigned n = 0; n < rows[i].failures + 1000; n++) {
			struct addr a = { .family = ADDR_IPV4 };

			a.ip[0] = 10;
			a.ip[1] = (uint8_t)(n >> 8);
			a.ip[2] = (uint8_t)n;
			assert_int_equal(
			    throttle_limit_us(t, &r, &other, slice_str("tom"), SEC(1000)) > 0,
			    n > rows[i].failures);
			(void)throttle_failed(t, &r, &a, slice_str("tom"), SEC(1000));
		}
		assert_int_equal(throttle_limit_us(t, &r, &other, slice_str("tom"), SEC(1000)),
				 SEC(60));
		assert_int_equal(throttle_limit_us(t, &r, &other, slice_str("ann"), SEC(1000)), 0);
		throttle_free(t);
	}
}

static void
the_unix_socket_is_never_limited(void **state)
{
	struct addr a = { .family = ADDR_UNIX };
	struct throttle_turns taken = { 0 };
	char from[32];

	for (int i = 0; i < 100; i++) {
		snprintf(from, sizeof(from), "198.18.0.%d", i);
		(void)miss(*state, from, "tom", SEC(1000));
	}
	assert_true(limit_of(*state, "203.0.113.1", "tom", SEC(1000)) > 0);
	assert_int_equal(throttle_limit_us(*state, &rules, &a, slice_str("tom"), SEC(1000)), 0);
	assert_true(throttle_share(*state, &rules, &a, slice_str("tom"), SEC(1000), &taken));
	assert_false(taken.of_user || taken.of_address);
}

/* Neither a pair, nor a user, nor an address is freed by names that are made up. */
static void
no_flood_lifts_a_limit(void **state)
{
	char name[32];

	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "192.0.2.%d", i);
		(void)miss(*state, name, "tom", SEC(1000));
		(void)miss(*state, "198.51.100.1", "ann", SEC(1000));
	}
	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "198.18.%d.%d", i / 256 % 256, i % 256);
		(void)miss(*state, name, name, SEC(1001));
	}
	assert_true(limit_of(*state, "203.0.113.1", "tom", SEC(1001)) > 0);
	assert_true(wait_of(*state, "198.51.100.1", "ann", SEC(1001)) > 0);
	assert_true(limit_of(*state, "198.51.100.1", "eve", SEC(1001)) > 0);
}

/* Else those of last week would fill the table, and nobody new be counted. */
static void
who_was_throttled_long_ago_makes_room(void **state)
{
	char user[32];

	for (int i = 0; i < 20000; i++) {
		snprintf(user, sizeof(user), "x%d", i);
		for (int k = 0; k < 5; k++)
			(void)miss(*state, "192.0.2.1", user, SEC(1000));
	}
	for (int k = 0; k < 4; k++) {
		for (int i = 0; i < 1000; i++) {
			snprintf(user, sizeof(user), "y%d", i);
			(void)miss(*state, "192.0.2.2", user, SEC(100000));
		}
	}
	assert_int_equal(throttle_count(*state, SEC(100000)).throttled, 1000);
}

static void
each_ceiling_without_a_failure_halves_the_count(void **state)
{
	static const struct {
		int64_t later_s, wait_s;
	} rows[] = {
		/* eight failures, a wait of 16 s; the ninth after … */
		{ 75, 32 }, { 76, 2 }, { 135, 2 }, { 136, 0 }, { 100000000, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char user[16];

		snprintf(user, sizeof(user), "tom%zu", i);
		for (int k = 0; k < 8; k++)
			(void)miss(*state, "192.0.2.1", user, SEC(1000));
		assert_int_equal(miss(*state, "192.0.2.1", user, SEC(1000 + rows[i].later_s)),
				 SEC(rows[i].wait_s));
	}
}

static void
a_clock_that_stands_still_or_goes_back_does_no_harm(void **state)
{
	for (int i = 0; i < 8; i++)
		(void)miss(*state, "192.0.2.1", "tom", SEC(1000));
	assert_int_equal(miss(*state, "192.0.2.1", "tom", SEC(900)), SEC(32));
}

static void
rules_may_change_while_it_runs(void **state)
{
	struct throttle_rules strict = { .after = 0, .base_us = SEC(5), .max_us = SEC(7) };
	struct throttle_rules off = { .after = 3, .base_us = 0, .max_us = SEC(60) };
	struct addr a = address("192.0.2.1");
	struct slice tom = slice_str("tom");
	struct throttle_turns taken = { 0 };

	for (int i = 0; i < 12; i++)
		(void)miss(*state, "192.0.2.1", "tom", SEC(1000));
	assert_int_equal(throttle_wait_us(*state, &off, &a, tom, SEC(1000)), 0);
	assert_int_equal(throttle_failed(*state, &off, &a, tom, SEC(1000)), 0);
	assert_int_equal(throttle_wait_us(*state, &strict, &a, tom, SEC(1000)), SEC(7));
	assert_int_equal(throttle_turn_us(*state, &off, &a, tom, SEC(1000), &taken), 0);
	assert_int_equal(throttle_limit_us(*state, &off, &a, tom, SEC(1000)), 0);
}

static void
huge_times_do_not_overflow(void **state)
{
	struct throttle_rules huge = { .after = 0,
				       .base_us = SEC(86400),
				       .max_us = SEC(INT64_C(86400) * 365) };
	struct addr a = address("192.0.2.1");
	int64_t last_us = 0;

	for (int i = 0; i < 200; i++) {
		int64_t w = throttle_failed(*state, &huge, &a, slice_str("tom"), SEC(1000));

		assert_true(w >= last_us && w <= huge.max_us);
		last_us = w;
	}
	assert_int_equal(last_us, huge.max_us);
}

static void
a_flood_of_names_does_not_free_who_is_throttled(void **state)
{
	char user[32];

	for (int i = 0; i < 10; i++)
		(void)miss(*state, "192.0.2.1", "tom", SEC(1000));
	for (int i = 0; i < 100000; i++) {
		snprintf(user, sizeof(user), "x%d", i);
		(void)miss(*state, "192.0.2.1", user, SEC(1001));
	}
	assert_int_equal(wait_of(*state, "192.0.2.1", "tom", SEC(1001)), SEC(59));
	/* and whoever comes new is still counted */
	for (int i = 0; i < 4; i++)
		(void)miss(*state, "192.0.2.9", "ann", SEC(1002));
	assert_int_equal(wait_of(*state, "192.0.2.9", "ann", SEC(1002)), SEC(1));
}

static void
a_user_is_counted_over_its_addresses(void **state)
{
	struct throttle_count n = throttle_count_user(*state, slice_str("tom"), SEC(1000));

	assert_int_equal(n.until_us, 0);
	assert_int_equal(n.failures + n.throttled + n.trusted, 0);
	for (int i = 0; i < 4; i++)
		(void)miss(*state, "192.0.2.1", "tom", SEC(1000));
	for (int i = 0; i < 5; i++)
		(void)miss(*state, "192.0.2.2", "tom", SEC(1000));
	(void)miss(*state, "192.0.2.3", "tom", SEC(1000));
	pass(*state, "192.0.2.2", "tom", SEC(1000));
	pass(*state, "192.0.2.2", "ann", SEC(1000));
	n = throttle_count_user(*state, slice_str("tom"), SEC(1000));
	assert_int_equal(n.until_us, SEC(1002));
	assert_int_equal(n.failures, 10);
	assert_int_equal(n.throttled, 2);
	assert_int_equal(n.trusted, 1);
	n = throttle_count_user(*state, slice_str("tom"), SEC(1001));
	assert_int_equal(n.throttled, 1);
	n = throttle_count_user(*state, slice_str("tom"), SEC(1002));
	assert_int_equal(n.until_us, 0);
	assert_int_equal(n.throttled, 0);
	n = throttle_count_user(*state, slice_str("ann"), SEC(1000));
	assert_int_equal(n.throttled, 0);
	assert_int_equal(n.trusted, 1);
	n = throttle_count(*state, SEC(1000));
	assert_int_equal(n.throttled, 2);
	assert_int_equal(n.trusted, 2);
	n = throttle_count(*state, SEC(1001 + 86400));
	assert_int_equal(n.trusted, 0);
}

static const struct throttle_rules many = { .after = 4000, .base_us = SEC(1), .max_us = SEC(60) };

static void *
miss_often(void *arg)
{
	struct addr a = address("192.0.2.1");

	for (int i = 0; i < 1000; i++)
		(void)throttle_failed(arg, &many, &a, slice_str("tom"), SEC(1000));
	return NULL;
}

static void
threads_share_one_count(void **state)
{
	struct addr a = address("192.0.2.1");
	pthread_t threads[4];

	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, miss_often, *state), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(throttle_failed(*state, &many, &a, slice_str("tom"), SEC(1000)), SEC(1));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(each_failure_doubles_the_wait_up_to_the_ceiling),
		T(the_wait_shrinks_with_time_and_ends),
		T(only_the_pair_waits),
		T(an_ipv6_network_of_64_bits_is_one_address),
		T(an_ipv4_address_is_the_same_inside_ipv6),
		T(ports_do_not_matter),
		T(the_unix_socket_never_waits),
		T(a_right_login_forgets_no_failure),
		T(who_has_logged_in_right_is_trusted_for_a_day),
		T(who_is_throttled_takes_turns),
		T(a_right_login_gives_its_turn_back),
		T(a_turn_is_short_where_the_first_wait_is_long),
		T(no_guess_takes_a_mark_away),
		T(the_oldest_mark_makes_room),
		T(an_application_gets_in_beside_who_guesses),
		T(who_guesses_alone_is_seen_once_in_a_ceiling),
		T(guesses_from_one_address_are_bounded_over_all_users),
		T(guesses_of_one_user_are_bounded_over_all_addresses),
		T(who_comes_new_and_is_right_gives_the_turn_back),
		T(the_limits_follow_the_rules),
		T(the_unix_socket_is_never_limited),
		T(no_flood_lifts_a_limit),
		T(who_was_throttled_long_ago_makes_room),
		T(each_ceiling_without_a_failure_halves_the_count),
		T(a_clock_that_stands_still_or_goes_back_does_no_harm),
		T(rules_may_change_while_it_runs),
		T(huge_times_do_not_overflow),
		T(a_flood_of_names_does_not_free_who_is_throttled),
		T(a_user_is_counted_over_its_addresses),
		T(threads_share_one_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
