/* SPDX-License-Identifier: PostgreSQL
 *
 * GET of HTTP and HTTPS on a loop, by libcurl's multi interface: what a service beside the database
 * servers says. Nothing blocks: names are looked up by libcurl's own thread. Redirections are not
 * followed, the environment's proxies not used, and no connection outlives its answer.
 *
 * Source: libcurl, "multi_socket_action" and "hiperfifo" (the multi interface on libevent).
 */
#ifndef BASE_EV_FETCH_H
#define BASE_EV_FETCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ev/loop.h"
#include "base/slice.h"

struct fetcher; /* of one loop */
struct fetch;   /* a request under way */

struct fetch_request {
	const char *url;     /* http:// or https:// */
	const char *ca_file; /* whom an https server must be certified by; NULL: the system's */
	int64_t timeout_us;  /* all of it, from the look-up of the name */
	size_t max;          /* bytes of the answer; a longer one is an error */
};

/* The answer's body, where its status is 200; else `body.p` is NULL and *e (08006, 08P01 or 57014)
 * says why. Called from the loop, once, never from inside fetch_start(); the fetch is over by then.
 */
typedef void (*fetch_fn)(void *arg, struct slice body, const struct err *e);

struct fetcher *fetcher_new(struct loop *l);
/* What is under way is cancelled. Accepts NULL. */
void fetcher_free(struct fetcher *f);
/* The request is copied. */
struct fetch *fetch_start(struct fetcher *f, const struct fetch_request *r, fetch_fn done,
			  void *arg);
/* `done` is not called. Accepts NULL. */
void fetch_cancel(struct fetch *x);

#endif
