/* SPDX-License-Identifier: PostgreSQL
 *
 * The console: the virtual database `meridian`. A session that asked for it and has logged in gets
 * a struct console, which speaks the protocol's simple and extended query cycle from then on. It
 * knows nothing of sockets: the session gives it bytes by console_input(), and it sends through the
 * port.
 *
 * The commands are rows of tables (one table per module, listed in proxy/admin/commands.c) with
 * words, arguments, privilege and help. HELP and meridian-console(7) are made from the tables.
 */
#ifndef PROXY_ADMIN_CONSOLE_H
#define PROXY_ADMIN_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct console;
struct worker;

/* Each privilege includes those before it. */
enum privilege { PRIVILEGE_STATS, PRIVILEGE_MIGRATION, PRIVILEGE_ADMIN };

const char *privilege_name(enum privilege p); /* "stats", "migration", "admin" */

/* How the console reaches its client. */
struct console_port {
	void *owner;
	/* Queues bytes for the client, in any case. False: much is unsent, and the console
	 * produces no more until console_drained(). */
	bool (*send)(void *owner, const char *p, size_t n);
	/* The client has sent Terminate, or has broken the protocol (then an error was sent). */
	void (*close)(void *owner);
	uint64_t session; /* id of the client's session */
};

#define CONSOLE_DATABASE "meridian"

/* The client is logged in; `user` and `address` are copied. */
struct console *console_new(struct worker *w, const struct console_port *port,
			    enum privilege privilege, const char *user, const char *address);
/* What the client is sent after AuthenticationOk: console_greeting() appends ParameterStatus
 * messages (server_version and what drivers expect), the session BackendKeyData, and
 * console_ready() ReadyForQuery. */
void console_greeting(struct buf *out);
void console_ready(struct buf *out);
/* Takes bytes from the client; the beginning of a message is kept until the rest comes (1 MB at
 * most). */
void console_input(struct console *c, const char *p, size_t n);
/* The client has read what was queued: a listing that waited for that continues. */
void console_drained(struct console *c);
/* Cancels (Ctrl-C) the statement that is running or waiting: it fails. */
void console_cancel(struct console *c);
/* May be called at any time; letters still under way are dropped when they return. */
void console_free(struct console *c);

#endif
