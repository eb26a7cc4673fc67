/* SPDX-License-Identifier: PostgreSQL
 *
 * How the relay asks a session's observers: one function for each hook, laid into the relay. They
 * differ in what ends the walk.
 */
#ifndef PROXY_SESSION_OBSERVERS_INT_H
#define PROXY_SESSION_OBSERVERS_INT_H

#include <assert.h>

#include "base/hot.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/observers.h"
#include "proxy/session/session_int.h"

/* The next of those in `hook` that the session has, from *at on; NULL: there is none. One may come
 * or go while others are asked. */
static HOT_INLINE const struct observer *
observers_next(const struct session *s, unsigned hook, unsigned *at)
{
	bool is_one = (hook & (hook - 1)) == 0; /* no other has it: known when this is compiled */
	unsigned left = is_one && *at > 0 ? 0 : (session_observers_of(s) & hook) >> *at;

	if (left == 0)
		return NULL;
	*at += (unsigned)__builtin_ctz(is_one ? hook : left) + 1;
	return session_observers[*at - 1];
}

#define ASK_EACH(which, hook, ...)                                                         \
	do {                                                                               \
		const struct observer *o;                                                  \
		for (unsigned at = 0; (o = observers_next(s, HOOK_##which, &at)) != NULL;) \
			o->hook(__VA_ARGS__);                                              \
	} while (0)

/* Returns the answer of the first that gives it. */
#define ASK_UNTIL(answer, which, hook, ...)                                                  \
	do {                                                                                 \
		const struct observer *o;                                                    \
		for (unsigned at = 0; (o = observers_next(s, HOOK_##which, &at)) != NULL;) { \
			if (o->hook(__VA_ARGS__) == (answer))                                \
				return answer;                                               \
		}                                                                            \
		return !(answer);                                                            \
	} while (0)

static HOT_INLINE bool
observers_hold_client(struct session *s)
{
	ASK_UNTIL(true, HOLDS_CLIENT, holds_client, s);
}

static HOT_INLINE void
observers_client_read(struct session *s, const char *p, size_t n)
{
	ASK_EACH(ON_CLIENT_READ, on_client_read, s, p, n);
}

static HOT_INLINE bool
observers_client(struct session *s, const char **p, size_t *n)
{
	ASK_UNTIL(false, ON_CLIENT, on_client, s, p, n);
}

static HOT_INLINE bool
observers_terminate(struct session *s, size_t n)
{
	ASK_UNTIL(false, ON_TERMINATE, on_terminate, s, n);
}

static HOT_INLINE void
observers_client_sent(struct session *s)
{
	ASK_EACH(ON_CLIENT_SENT, on_client_sent, s);
}

static HOT_INLINE bool
observers_take_server(struct session *s, short what)
{
	ASK_UNTIL(true, TAKES_SERVER, takes_server, s, what);
}

static HOT_INLINE bool
observers_server_lost(struct session *s, bool is_gone)
{
	ASK_UNTIL(true, ON_SERVER_LOST, on_server_lost, s, is_gone);
}

static HOT_INLINE size_t
observers_client_part(struct session *s, const char *p, size_t n)
{
	unsigned at = 0;

	static_assert((HOOK_CLIENT_PART & ~HOOK_PASSES) == 0, "the relay asks no others");
	return observers_next(s, HOOK_CLIENT_PART, &at)->client_part(s, p, n);
}

static HOT_INLINE void
observers_server_read(struct session *s, const struct answer *a)
{
	ASK_EACH(ON_SERVER_READ, on_server_read, s, a);
}

static HOT_INLINE bool
observers_pass(struct session *s, const struct answer *a)
{
	ASK_UNTIL(false, PASSES, passes, s, a);
}

static HOT_INLINE void
observers_server_sent(struct session *s, const struct answer *a)
{
	ASK_EACH(ON_SERVER_SENT, on_server_sent, s, a);
}

static HOT_INLINE bool
observers_server_drained(struct session *s)
{
	ASK_UNTIL(true, ON_SERVER_DRAINED, on_server_drained, s);
}

static HOT_INLINE void
observers_client_drained(struct session *s)
{
	ASK_EACH(ON_CLIENT_DRAINED, on_client_drained, s);
}

static HOT_INLINE bool
observers_hold_server(const struct session *s)
{
	ASK_UNTIL(true, HOLDS_SERVER, holds_server, s);
}

#endif
