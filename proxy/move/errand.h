/* SPDX-License-Identifier: PostgreSQL
 *
 * Something that a thread without a loop wants to have done on the threads that have one, and waits
 * for: a letter to control, or one to each worker. Whoever waits may give up first, so what is
 * asked and answered lives as long as the last letter does.
 */
#ifndef PROXY_MOVE_ERRAND_H
#define PROXY_MOVE_ERRAND_H

#include <stdbool.h>
#include <stdint.h>

struct control;
struct errand;
struct meridian;
struct worker;

/* `what` is freed by `free_what` (NULL: not at all) with the last reference. */
struct errand *errand_new(struct meridian *m, void *take_what, void (*free_what)(void *what));
struct errand *errand_ref(struct errand *e);
void errand_unref(struct errand *e); /* accepts NULL */
void *errand_what(const struct errand *e);

/* Have it done. Each part is over when `run` returns true; false: when errand_done() is called for
 * it, with the reference that `run` has kept for that. One errand is sent once. */
void errand_to_workers(struct errand *e, bool (*run)(struct errand *e, struct worker *w));
void errand_to_control(struct errand *e, bool (*run)(struct errand *e, struct control *c));
/* Any thread: a part that was kept is over; takes the reference. */
void errand_done(struct errand *take_e);
/* Until all parts are over (true), or until then (monotonic): what the others write into `what` may
 * not be read then. */
bool errand_wait(struct errand *e, int64_t deadline_us);

#endif
