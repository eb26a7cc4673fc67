/* SPDX-License-Identifier: PostgreSQL
 *
 * What auth_query has answered, kept for a while: users with their secrets, and names that are no
 * user. One for the process, for any thread: a lock around two tables, taken when a login begins.
 *
 * Both tables are bounded; the answer that was not used for longest makes room. Names that are no
 * user have a table of their own, so that who invents names crowds out nobody who has one.
 * Knows no clock: the time is a parameter. Secrets are wiped with the last reference.
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
/* That there is no such user is kept for so long at most: somebody may be about to create it. */
#define AUTHCACHE_MISSING_MAX_US INT64_C(5000000)

/* A user as auth_query has told it. Immutable; references may be taken and given by any thread. */
struct authrecord {
	struct refcount refs;
	int64_t fetched_at_us;
	struct authfile_user user; /* its name is in `name`; `line` is 0 */
	char name[AUTHFILE_NAME_MAX + 1];
};

/* NULL and *e where the text is no secret; it is never quoted. About a millisecond for plain text.
 * `secret` is that of authfile_load(). */
struct authrecord *authrecord_new(struct slice name, struct slice text,
				  const uint8_t secret[SCRAM_KEY_BYTES], int64_t now_us,
				  struct err *e) MUST_CHECK;
struct authrecord *authrecord_ref(struct authrecord *r);
void authrecord_unref(struct authrecord *r); /* accepts NULL */

struct authcache;

struct authcache *authcache_new(size_t found_max, size_t missing_max);
void authcache_free(struct authcache *c); /* accepts NULL */

enum authcached { AUTHCACHED_NOT, AUTHCACHED_FOUND, AUTHCACHED_MISSING };

/* What is known of a key (bytes that say who is asked about what) and not older than `ttl_us`.
 * FOUND: *out is a reference of the caller's. */
enum authcached authcache_get(struct authcache *c, struct slice key, int64_t ttl_us, int64_t now_us,
			      struct authrecord **out);
/* Keep an answer; take_record NULL: there is no such user. Replaces what was known. */
void authcache_put(struct authcache *c, struct slice key, struct authrecord *take_record,
		   int64_t now_us);
/* Forget what is older than `ttl_us`. */
void authcache_sweep(struct authcache *c, int64_t ttl_us, int64_t now_us);
/* Every user that is known, under the lock. */
void authcache_walk(struct authcache *c, void (*visit)(const struct authrecord *r, void *arg),
		    void *arg);
size_t authcache_count(struct authcache *c, bool missing);

#endif
