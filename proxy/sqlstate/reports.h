/* SPDX-License-Identifier: PostgreSQL
 *
 * What servers report of their settings (ParameterStatus), where connections are shared: finding
 * the messages among bytes that pass by, and what sessions were greeted with before. Reports are
 * struct vars (proxy/sqlstate/vars.h).
 */
#ifndef PROXY_SQLSTATE_REPORTS_H
#define PROXY_SQLSTATE_REPORTS_H

#include "base/buf.h"
#include "base/slice.h"
#include "protocol/frame.h"
#include "proxy/sqlstate/vars.h"

/* Called with the body of each; it lives as long as the call. */
typedef void report_fn(void *arg, struct slice body);

/* Find the ParameterStatus messages in a server's bytes of which exchange_server() has said
 * EXCHANGE_PARAMETER, or of whose predecessors it has and *part is not empty; `before` is
 * exchange_server_framer() as it was before that call. One that is cut is kept in *part until the
 * rest comes. */
void reports_read(struct buf *part, struct framer before, struct slice bytes, report_fn *fn,
		  void *arg);

/* Many of them, for one list or two (NULL: no other): each change copies a list, so that they are
 * gathered first. */
struct reports {
	struct vars **to[2];
	struct slice from; /* bodies in there stay; others are taken at once */
	size_t n;
	struct vars_item items[VARS_REPORTS_AT_ONCE];
};

void reports_begin(struct reports *r, struct vars **to, struct vars **to_also, struct slice from);
report_fn reports_add; /* its arg: struct reports */
void reports_end(struct reports *r);

/* What a server reported when a session with some startup parameters had got it: the next one with
 * the same can be greeted with that, and no connection at all. Remembers a few. */
struct greetings;

struct greetings *greetings_new(void);
void greetings_free(struct greetings *g); /* accepts NULL */
/* Takes references of its own. */
void greetings_note(struct greetings *g, struct vars *startup, struct vars *reported);
/* A fresh login has reported this: where it is not what the last one did, all is forgotten. */
void greetings_restart(struct greetings *g, struct vars *none, struct vars *reported);
/* Borrowed, or NULL. Where these parameters have not been seen, but are only such of which it is
 * known what a server makes of them (application_name, client_encoding = UTF8 …), that counts. */
struct vars *greetings_find(struct greetings *g, struct vars *startup, struct vars *none);

#endif
