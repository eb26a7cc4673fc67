/* SPDX-License-Identifier: PostgreSQL
 *
 * Work that a thread without a loop gives to threads that have one, and waits for: a letter to
 * control, or one to each worker. The caller may give up waiting first; therefore the question and
 * the answers live as long as the last letter.
 */
#ifndef PROXY_MOVE_ERRAND_H
#define PROXY_MOVE_ERRAND_H

#include <stdbool.h>
#include <stdint.h>

struct control;
struct errand;
struct meridian;
struct worker;

/* `what` is freed with free_what() at the last reference; NULL: it is not freed. */
struct errand *errand_new(struct meridian *m, void *take_what, void (*free_what)(void *what));
struct errand *errand_ref(struct errand *e);
void errand_unref(struct errand *e); /* accepts NULL */
void *errand_what(const struct errand *e);

/* Have `run` called on the workers, or on control. Its part is over when it returns true; where it
 * returns false, when errand_done() is called with the reference that `run` has kept for that. One
 * errand is sent once. */
void errand_to_workers(struct errand *e, bool (*run)(struct errand *e, struct worker *w));
void errand_to_control(struct errand *e, bool (*run)(struct errand *e, struct control *c));
/* Any thread: a part that was left open is over; takes the reference. */
void errand_done(struct errand *take_e);
/* Wait until all parts are over (true) or until the deadline (monotonic). After the deadline others
 * may still write into `what`: it must not be read. */
bool errand_wait(struct errand *e, int64_t deadline_us);

#endif
