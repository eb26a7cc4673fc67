/* SPDX-License-Identifier: PostgreSQL
 *
 * Load balancers drop a connection without a word when it was quiet for a minute or two. Therefore
 * each worker that has WebSockets goes through them four times in each websocket_ping_interval, and
 * pings those on which it has sent nothing for that long (INV-19).
 */
#ifndef PROXY_HTTP_PINGS_H
#define PROXY_HTTP_PINGS_H

struct worker;

void pings_init(struct worker *w);
/* The worker has a WebSocket: start the timer. */
void pings_arm(struct worker *w);
/* The interval may have changed. */
void pings_refresh(struct worker *w);

#endif
