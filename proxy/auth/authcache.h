/* SPDX-License-Identifier: PostgreSQL
 *
 * The answers of auth_query, kept for a while: users with their secrets, and names that are no
 * user. The process has one cache, for any thread: a lock around two tables, taken when a login
 * begins.
 *
 * Both tables are bounded; the answer that was not used for longest makes room. Names that are no
 * user have a table of their own, so that a client that invents names cannot crowd out real users.
 *
 * It knows no clock: the time is a parameter. Secrets are wiped with the last reference (INV-20).
 */
#ifndef PROXY_AUTH_AUTHCACHE_H
#define PROXY_AUTH_AUTHCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/snapshot.h"
#include "proxy/auth/authfile.h"

#define AUTHCACHE_KEY_MAX 512
/* The longest time to remember that a user does not exist: it may be created meanwhile. */
#define AUTHCACHE_MISSING_MAX_US INT64_C(5000000)

/* A user as auth_query has returned it. Immutable; any thread may take and give back references. */
struct authrecord {
	struct refcount refs;
	int64_t fetched_at_us;
	struct authfile_user user; /* its name is in `name`; `line` is 0 */
	char name[AUTHFILE_NAME_MAX + 1];
};

/* NULL and *e: the text is no secret; *e does not quote it. Takes about a millisecond for plain
 * text. `secret` is that of authfile_load(). */
struct authrecord *authrecord_new(struct slice name, struct slice text,
				  const uint8_t secret[SCRAM_KEY_BYTES], int64_t now_us,
				  struct err *e) MUST_CHECK;
struct authrecord *authrecord_ref(struct authrecord *r);
void authrecord_unref(struct authrecord *r); /* accepts NULL */

struct authcache;

struct authcache *authcache_new(size_t found_max, size_t missing_max);
void authcache_free(struct authcache *c); /* accepts NULL */

enum authcached { AUTHCACHED_NOT, AUTHCACHED_FOUND, AUTHCACHED_MISSING };

/* What is known for a key (bytes that name the question and the user) and not older than `ttl_us`.
 * FOUND: *out is a reference of the caller's. */
enum authcached authcache_get(struct authcache *c, struct slice key, int64_t ttl_us, int64_t now_us,
			      struct authrecord **out);
/* Keep an answer; take_record NULL: there is no such user. Replaces an earlier one. */
void authcache_put(struct authcache *c, struct slice key, struct authrecord *take_record,
		   int64_t now_us);
/* Drop what is older than `ttl_us`. */
void authcache_sweep(struct authcache *c, int64_t ttl_us, int64_t now_us);
/* Calls `visit` for every known user, under the lock. */
void authcache_walk(struct authcache *c, void (*visit)(const struct authrecord *r, void *arg),
		    void *arg);
size_t authcache_count(struct authcache *c, bool missing);

#endif
