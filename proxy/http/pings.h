/* SPDX-License-Identifier: PostgreSQL
 *
 * Load balancers take a connection on which nothing is said for a minute or two for dead, and do
 * not tell. So each worker goes through its WebSockets four times per websocket_ping_interval, as
 * long as it has one, and pings those on which it has said nothing for that long.
 */
#ifndef PROXY_HTTP_PINGS_H
#define PROXY_HTTP_PINGS_H

struct worker;

void pings_init(struct worker *w);
/* There is a WebSocket. */
void pings_arm(struct worker *w);
/* The interval may be another. */
void pings_refresh(struct worker *w);

#endif
