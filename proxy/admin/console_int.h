/* SPDX-License-Identifier: PostgreSQL
 *
 * The inside of a console, shared by console.c (bytes and turns), simple.c and extended.c (the two
 * query protocols) and run.c (one execution).
 *
 * The console works in turns: a turn handles one message, one statement of a query string, or one
 * chunk of rows. Between turns the state says whether there may be another.
 */
#ifndef PROXY_ADMIN_CONSOLE_INT_H
#define PROXY_ADMIN_CONSOLE_INT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/snapshot.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/admin/command.h"
#include "proxy/admin/grammar.h"

#define CONSOLE_MESSAGE_MAX  ((size_t)1 << 20)
#define CONSOLE_INPUT_MAX    ((size_t)2 << 20) /* unread messages behind the one being answered */
#define CONSOLE_FLUSH_BYTES  ((size_t)32 << 10)
#define CONSOLE_CHUNK_ROWS   256
#define CONSOLE_PREPARED_MAX 1024
#define CONSOLE_PORTALS_MAX  64
#define CONSOLE_CANCELLED    "canceling statement due to user request"

enum console_state {
	CONSOLE_READY,   /* the next turn may come */
	CONSOLE_WAITING, /* a letter is on its way to the active run */
	CONSOLE_FULL,    /* much is unsent: no turn until the client has read it */
	CONSOLE_CLOSED,  /* the port was told to close */
	CONSOLE_FREED,   /* its owner has freed it during a turn: it is destroyed when the turn
			    returns */
};

/* Where in the query protocols the client is. */
enum cycle {
	CYCLE_NONE,
	CYCLE_SIMPLE,   /* statements of a Query are still to be executed */
	CYCLE_EXTENDED, /* a sequence of extended-query messages, until Sync */
	CYCLE_SKIP,     /* after an error: messages are discarded until Sync */
};

enum portal_state {
	PORTAL_NEW,
	PORTAL_STARTED,
	PORTAL_BUILT, /* all rows are built, and some not sent yet */
	PORTAL_DONE,
};

/* One statement ready to be executed, or half-way through. */
struct portal {
	LIST_ENTRY(portal) all;
	char *name;
	enum portal_state state;
	struct statement statement;
	uint64_t binary; /* result formats, bit per column */
	struct run run;  /* valid once the state is no longer PORTAL_NEW */
};

struct prepared {
	LIST_ENTRY(prepared) all;
	char *name;
	struct statement statement;
	uint32_t *oids; /* nparams types as declared; 25 (text) where none was */
};

struct console {
	struct worker *worker;
	struct console_port port;
	enum privilege privilege;
	char *user, *address; /* of the client */
	enum console_state state;
	enum cycle cycle;
	unsigned depth; /* of enter() and leave() */
	struct buf in, out;
	size_t in_at; /* bytes of `in` that have been handled */

	char *query; /* CYCLE_SIMPLE: the text of the Query, and what is left of it */
	struct slice left;

	LIST_HEAD(, prepared) prepared;
	LIST_HEAD(, portal) portals; /* the statement of a simple query runs in the one named "" */
	unsigned nprepared, nportals;

	struct portal *active; /* being executed */
	uint32_t limit;        /* rows that this Execute may still return; UINT32_MAX: all */
};

/* console.c */
void console_error(struct console *c, const struct err *e);
void console_fatal(struct console *c, const struct err *e);
void console_go(struct console *c);
void console_sync(struct console *c);
bool console_flush(struct console *c); /* true where more may be produced */

/* simple.c */
void simple_query(struct console *c, struct slice body);
void simple_turn(struct console *c);
void simple_end(struct console *c);

/* extended.c */
void extended_message(struct console *c, const struct frame *f);
/* extended_deallocate() drops all prepared statements; extended_close_portals() all portals but the
 * active one, and those that an Execute left half-way only where `suspended_too`;
 * extended_close_portal() the portal of that name, if there is one. */
void extended_deallocate(struct console *c);
void extended_close_portals(struct console *c, bool suspended_too);
void extended_close_portal(struct console *c, struct slice name);

/* run.c */
struct portal *portal_new(struct console *c, struct slice name);
void portal_free(struct console *c, struct portal *p);
/* Makes the portal the active one; the Execute returns at most `limit` rows (0: all). */
void portal_execute(struct console *c, struct portal *p, uint32_t limit);
/* Makes the active portal fail; a letter on its way to it is dropped on its return. */
void portal_cancel(struct console *c);
/* Builds and sends one chunk of the active portal. */
void portal_turn(struct console *c);

#endif
