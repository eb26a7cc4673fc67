/* SPDX-License-Identifier: PostgreSQL
 *
 * Sessions of the console, as the other files of proxy/login see them.
 */
#ifndef PROXY_LOGIN_CONSOLES_H
#define PROXY_LOGIN_CONSOLES_H

struct session;

/* The startup packet names the console: authenticate the client, or let it in. */
void consoles_begin(struct session *s);
/* The client has proven itself. */
void consoles_open(struct session *s);
void consoles_on_readable(struct session *s);
void consoles_on_drained(struct session *s);

#endif
