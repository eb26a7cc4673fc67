/* SPDX-License-Identifier: PostgreSQL
 *
 * Cancel requests between the proxies of a fleet. A load balancer brings a request to any of them;
 * the key says who issued it (protocol/fleetkey.h), and that one is asked over an ordinary
 * listener:
 *
 *     we                     the peer
 *     hello             →
 *                       ←    'F', challenge
 *     letter            →                       sealed with the fleet's key and the challenge
 *                       ←    'D', 'U', 'G', 'R' found, unknown, gone, refused
 *
 * A letter is never handed on, so that nothing can go round in circles. Where the issuer cannot be
 * reached, or has been started anew, a box that names the session's server connection has the node
 * asked directly.
 */
#ifndef PROXY_CANCEL_PEERS_H
#define PROXY_CANCEL_PEERS_H

#include <stdbool.h>

#include "base/err.h"

struct cancel_job;
struct session;

/* No worker of ours knows the key. True: a peer or a node is being asked, and cancel_finish() will
 * be called. */
bool peers_forward(struct cancel_job *job);

/* A peer says hello. `not_ours`: the error it gets where this proxy has no fleet. */
void peers_on_hello(struct session *s, const struct err *not_ours);
void peers_on_readable(struct session *s);

#endif
