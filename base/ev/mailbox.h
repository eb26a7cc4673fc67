/* SPDX-License-Identifier: PostgreSQL
 *
 * Letters from any thread to the thread that owns a loop, which alone touches its objects (INV-13):
 * a lock-free stack and an eventfd, which the loop reads like any other descriptor. Letters arrive
 * in the order in which one sender posted them.
 */
#ifndef BASE_EV_MAILBOX_H
#define BASE_EV_MAILBOX_H

#include <stdbool.h>

#include "base/ev/loop.h"

struct mailbox;
struct letter;

/* Runs on the owner's thread and owns the letter from then on. */
typedef void (*letter_fn)(struct letter *take_letter, void *owner);

/* Embedded first in whatever is sent. */
struct letter {
	struct letter *next;
	letter_fn deliver;
};

/* `owner` is handed to every letter. */
struct mailbox *mailbox_new(struct loop *l, void *owner);
/* The owner's thread, when no sender is left; letters never delivered are delivered now. */
void mailbox_free(struct mailbox *m);
/* The owner's thread, or any other once the loop has ended: deliver what was posted, without the
 * loop. True where there was something. */
bool mailbox_deliver(struct mailbox *m);
/* The owner's thread: block for at most `ms` milliseconds until something is posted. */
void mailbox_wait(struct mailbox *m, int ms);
/* Any thread. */
void mailbox_post(struct mailbox *m, struct letter *take_letter, letter_fn deliver);

#endif
