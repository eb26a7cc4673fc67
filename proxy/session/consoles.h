/* SPDX-License-Identifier: PostgreSQL
 *
 * Sessions of the console, as the other files of proxy/session see them.
 */
#ifndef PROXY_SESSION_CONSOLES_H
#define PROXY_SESSION_CONSOLES_H

struct login;
struct session;

/* The startup packet names the console: who may, goes in. */
void consoles_begin(struct session *s);
void consoles_on_login(struct session *s);
void consoles_on_readable(struct session *s);
void consoles_on_drained(struct session *s);
/* The login's part of the exchange. */
void consoles_forget(struct login *l);

#endif
