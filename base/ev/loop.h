/* SPDX-License-Identifier: PostgreSQL
 *
 * One thread's event loop: libevent's base plus work deferred to the end of the tick, which is when
 * objects are freed (never inside a callback chain: INV-12).
 */
#ifndef BASE_EV_LOOP_H
#define BASE_EV_LOOP_H

#include <stdint.h>

#include <event2/event.h>
#include <event2/event_struct.h>

struct loop;
typedef void (*loop_fn)(void *arg);

struct loop *loop_new(void);
/* Runs what is still deferred, then frees. Accepts NULL. */
void loop_free(struct loop *l);
struct event_base *loop_base(struct loop *l);
/* Until loop_stop(); runs deferred work after each turn that queued some. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* The turn of loop_run() that this is: they are counted. */
uint64_t loop_turn(const struct loop *l);
/* One turn that does not wait: what is ready now, and what is deferred by then. */
void loop_poll(struct loop *l);
/* Monotonic time as of this turn: the clock is read when it is first asked for in a turn, and what
 * is said does not move until the next one. For those who ask for each query. */
int64_t loop_now_us(struct loop *l);
/* Call fn(arg) after the current turn's callbacks, in the order of the calls. */
void loop_defer(struct loop *l, loop_fn fn, void *arg);
/* Have the callback of an event that is added called once more with `what`, though the kernel has
 * nothing to say about it: after all others that are known to be ready. Deferred work is done and
 * the kernel is asked before that, so that no event waits for more than one such call of each
 * other. Taking the event out takes it back. */
void loop_again(struct event *ev, short what);

#endif
