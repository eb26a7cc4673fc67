/* SPDX-License-Identifier: PostgreSQL
 *
 * Tells the supervisor the state of the process (sd_notify(3): datagrams to the socket that
 * $NOTIFY_SOCKET names); called by the control thread alone. It never waits for a supervisor that
 * does not read: the last two messages are kept, and sent when the socket has room. A message that
 * cannot be sent at all is dropped.
 */
#ifndef PROXY_NOTIFY_H
#define PROXY_NOTIFY_H

#include "base/ev/loop.h"

struct notifier;

/* `path` as in $NOTIFY_SOCKET: absolute, or with an @ in front; with NULL or anything else no
 * supervisor is told. */
struct notifier *notifier_new(struct loop *loop, const char *path);
void notifier_free(struct notifier *n);
/* "READY=1", "RELOADING=1\nMONOTONIC_USEC=…", "STOPPING=1". Longer than 127 bytes: cut. */
void notifier_say(struct notifier *n, const char *word);

#endif
