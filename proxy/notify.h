/* SPDX-License-Identifier: PostgreSQL
 *
 * What the supervisor is told (sd_notify(3): datagrams to the socket that $NOTIFY_SOCKET names), by
 * the control thread alone. Nobody waits for a supervisor that does not read: what it does not take
 * is kept, the last two words of it, and said when it has room. A word that cannot be said at all
 * is dropped: nobody listens.
 */
#ifndef PROXY_NOTIFY_H
#define PROXY_NOTIFY_H

#include "base/ev/loop.h"

struct notifier;

/* `path` as in $NOTIFY_SOCKET: absolute, or with an @ in front; NULL or anything else: nobody is to
 * be told. */
struct notifier *notifier_new(struct loop *loop, const char *path);
void notifier_free(struct notifier *n);
/* "READY=1", "RELOADING=1\nMONOTONIC_USEC=…", "STOPPING=1". Longer than 127 bytes: cut. */
void notifier_say(struct notifier *n, const char *word);

#endif
