/* SPDX-License-Identifier: PostgreSQL
 *
 * Failed logins, per address and user: after a few of them the pair is throttled for a while, twice
 * as long with each further failure, up to a ceiling. What lies back long enough is forgotten: each
 * `max_us` after that time without a failure halves the count. A right login forgets nothing: the
 * failures may be those of somebody else behind the same address.
 *
 * While a pair is throttled its logins take turns, one every `base_us`, and wait for them. Then a
 * right proof is let in where the pair has logged in right within the last day (its mark); a wrong
 * one, and every one of a pair without a mark, is refused. So somebody who guesses learns nothing
 * but what one guess every `base_us` tells, and cannot tell a pair that has a mark from one that
 * has none. The turn of a right login is given back.
 *
 * Ten times as many failures are free to a user from wherever, and to an address whoever the users.
 * Then that user, or that address, is limited: pairs without a mark have one turn every `base_us`
 * together. Who finds none free is refused, right or wrong; pairs with a mark do not notice. No
 * wrong proof is told from one that found no turn, and both count as failures, so that who goes on
 * without a mark is throttled by himself, and leaves the turns to others.
 *
 * An address is a whole IPv4 address or the first 64 bits of an IPv6 address, which is what one
 * customer of a provider has. Addresses of the unix socket are never throttled: who is on this
 * machine would only be confused with all others who are.
 *
 * One table for the process, of a fixed size, for any thread: shards with a lock each, looked at
 * when a login begins and when one has failed. A pair for which there is no room takes the place of
 * the one that matters least, so a flood of made-up names forgets other made-up names first. Marks
 * have places of their own, which only right logins take: no guess takes one away. Keys are hashed
 * with a secret (SipHash-2-4, Aumasson and Bernstein 2012): nobody can find a pair that is taken
 * for somebody else's.
 *
 * Knows no clock: the time is a parameter.
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
	unsigned after;      /* so many failures are free */
	int64_t base_us;     /* the wait after the first one that is not; 0: no throttling */
	int64_t max_us;      /* the longest wait */
	int64_t patience_us; /* the longest wait for a turn */
};

struct throttle *throttle_new(const uint8_t secret[THROTTLE_SECRET_BYTES]);
void throttle_free(struct throttle *t); /* accepts NULL */

/* What a login has taken, and gives back where it is right. */
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
 * too many wait, and it has none. */
int64_t throttle_turn_us(struct throttle *t, const struct throttle_rules *rules,
			 const struct addr *from, struct slice user, int64_t now_us,
			 struct throttle_turns *taken);
/* A login of a pair without a mark, whose user or address is limited: whether there is a turn now,
 * which it takes. */
bool throttle_share(struct throttle *t, const struct throttle_rules *rules, const struct addr *from,
		    struct slice user, int64_t now_us, struct throttle_turns *taken);
/* A login has succeeded. What it has taken is given back. */
void throttle_passed(struct throttle *t, const struct throttle_rules *rules,
		     const struct addr *from, struct slice user, struct throttle_turns *taken,
		     int64_t now_us);
/* Whether this pair has logged in right within the last day. */
bool throttle_trusts(struct throttle *t, const struct addr *from, struct slice user,
		     int64_t now_us);

/* What is in the table now, of everybody or of one user. A failure that lies back counts until the
 * next one. */
struct throttle_count {
	uint64_t failures;  /* that count */
	unsigned throttled; /* pairs, or addresses of the user */
	unsigned trusted;   /* those that have logged in right within a day */
	int64_t until_us;   /* when the last one ceases to be throttled; 0: none is */
	unsigned limited_users, limited_addresses;
	int64_t limited_until_us;
};

struct throttle_count throttle_count(struct throttle *t, int64_t now_us);
struct throttle_count throttle_count_user(struct throttle *t, struct slice user, int64_t now_us);

#endif
