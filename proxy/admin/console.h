/* SPDX-License-Identifier: PostgreSQL
 *
 * The console: the virtual database `meridian`. A session that asked for it and proved who it is
 * gets a struct console, which speaks the protocol's simple and extended query cycle from there on.
 * It knows nothing of sockets: bytes come in by console_input(), go out through the port.
 *
 * Commands stand in tables (one per module, listed in proxy/admin/commands.c): words, arguments,
 * privilege, help. HELP and meridian-console(7) come from the tables.
 */
#ifndef PROXY_ADMIN_CONSOLE_H
#define PROXY_ADMIN_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct console;
struct worker;

/* Each may do what those before it may. */
enum privilege { PRIVILEGE_STATS, PRIVILEGE_MIGRATION, PRIVILEGE_ADMIN };

const char *privilege_name(enum privilege p); /* "stats", "migration", "admin" */

/* How the console reaches its client. */
struct console_port {
	void *owner;
	/* Queue bytes for the client. False: much is unsent, produce no more until
	 * console_drained(). What was given is queued in any case. */
	bool (*send)(void *owner, const char *p, size_t n);
	/* The client said Terminate, or broke the protocol (after an error was sent). */
	void (*close)(void *owner);
	uint64_t session; /* id of the client's session */
};

#define CONSOLE_DATABASE "meridian"

/* What a login to the console is greeted with, after AuthenticationOk: ParameterStatus
 * (server_version and what drivers expect), BackendKeyData is the session's, ReadyForQuery. */
struct console *console_new(struct worker *w, const struct console_port *port,
			    enum privilege privilege, const char *user, const char *address);
/* Append ParameterStatus messages and ReadyForQuery; BackendKeyData goes between (session's). */
void console_greeting(struct buf *out);
void console_ready(struct buf *out);
/* Bytes from the client; a partial message is kept (at most 1 MB). */
void console_input(struct console *c, const char *p, size_t n);
/* The client took what was queued: go on with a listing that was waiting. */
void console_drained(struct console *c);
/* Ctrl-C: a statement that waits for an answer, or goes on in a moment, fails. */
void console_cancel(struct console *c);
/* At any time; answers still under way are dropped when they arrive. */
void console_free(struct console *c);

#endif
