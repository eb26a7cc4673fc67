/* SPDX-License-Identifier: PostgreSQL
 *
 * Failed logins, counted for each pair of address and user. After a few failures the pair is
 * throttled for a while, twice as long with each further failure, up to a ceiling. Old failures are
 * forgotten: each `max_us` after that time without a failure halves the count. A successful login
 * forgets none: the failures may be those of another client behind the same address.
 *
 * While a pair is throttled, its logins take turns, one every `base_us`, and wait for them. A right
 * proof is then accepted if the pair has logged in successfully within the last day (its mark). A
 * wrong proof, and every proof of a pair without a mark, is refused. A client that guesses thus
 * learns no more than one guess every `base_us` tells, and cannot tell a pair that has a mark from
 * one that has none. The turn of a successful login is given back.
 *
 * A user (from all addresses) and an address (for all users) have ten times as many free failures.
 * After these the user or the address is limited: its pairs without a mark share one turn every
 * `base_us`. A login that finds none free is refused, right or wrong; pairs with a mark are not
 * affected. A wrong proof gets the same answer as a login that found no turn, and both count as
 * failures: a client without a mark that goes on is throttled itself, and leaves the turns to
 * others.
 *
 * An address is a whole IPv4 address, or the first 64 bits of an IPv6 address, which is what one
 * customer of a provider has. Addresses of the unix socket are never throttled: all clients of this
 * machine share them.
 *
 * The process has one table of a fixed size, for any thread: shards with a lock each, looked at
 * when a login begins and when one has failed. A pair for which there is no room takes the place of
 * the one that matters least, so a flood of made-up names pushes out other made-up names first.
 * Marks have places of their own, which only successful logins take: guesses cannot remove them.
 * Keys are hashed with a secret (SipHash-2-4, Aumasson and Bernstein 2012), so that a client cannot
 * look for a pair that collides with another client's.
 *
 * It knows no clock: the time is a parameter.
 */
#ifndef PROXY_AUTH_THROTTLE_H
#define PROXY_AUTH_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/slice.h"

#define THROTTLE_SECRET_BYTES 16

struct throttle;

struct throttle_rules {
	unsigned after; /* failures that are free */
	/* the wait after the first failure that is not free; 0: no throttling */
	int64_t base_us;
	int64_t max_us;      /* the longest wait */
	int64_t patience_us; /* the longest wait for a turn */
};

struct throttle *throttle_new(const uint8_t secret[THROTTLE_SECRET_BYTES]);
void throttle_free(struct throttle *t); /* accepts NULL */

/* The turns that a login has taken; it gives them back if it succeeds. */
struct throttle_turns {
	bool of_pair, of_user, of_address;
};

/* How long this pair is still throttled; 0: it is not. */
int64_t throttle_wait_us(struct throttle *t, const struct throttle_rules *rules,
			 const struct addr *from, struct slice user, int64_t now_us);
/* How long this user, or this address, is still limited; 0: neither is. */
int64_t throttle_limit_us(struct throttle *t, const struct throttle_rules *rules,
			  const struct addr *from, struct slice user, int64_t now_us);
/* A login has failed. Returns how long the pair has to wait from now on. */
int64_t throttle_failed(struct throttle *t, const struct throttle_rules *rules,
			const struct addr *from, struct slice user, int64_t now_us);
/* A login of a throttled pair takes a turn. Returns when that is, from now; more than patience_us:
 * too many logins wait, and it gets none. */
int64_t throttle_turn_us(struct throttle *t, const struct throttle_rules *rules,
			 const struct addr *from, struct slice user, int64_t now_us,
			 struct throttle_turns *taken);
/* A login of a pair without a mark, whose user or address is limited: whether there is a turn now,
 * which it takes. */
bool throttle_share(struct throttle *t, const struct throttle_rules *rules, const struct addr *from,
		    struct slice user, int64_t now_us, struct throttle_turns *taken);
/* A login has succeeded: the turns that it has taken are given back. */
void throttle_passed(struct throttle *t, const struct throttle_rules *rules,
		     const struct addr *from, struct slice user, struct throttle_turns *taken,
		     int64_t now_us);
/* Whether this pair has logged in successfully within the last day. */
bool throttle_trusts(struct throttle *t, const struct addr *from, struct slice user,
		     int64_t now_us);

/* What is in the table now, of all users or of one. Old failures count until the next one. */
struct throttle_count {
	uint64_t failures;  /* that still count */
	unsigned throttled; /* pairs, or addresses of the user */
	unsigned trusted;   /* pairs that have logged in successfully within a day */
	int64_t until_us;   /* when the last one ceases to be throttled; 0: none is throttled */
	unsigned limited_users, limited_addresses;
	int64_t limited_until_us;
};

struct throttle_count throttle_count(struct throttle *t, int64_t now_us);
struct throttle_count throttle_count_user(struct throttle *t, struct slice user, int64_t now_us);

#endif
