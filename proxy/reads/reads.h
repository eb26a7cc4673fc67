/* SPDX-License-Identifier: PostgreSQL
 *
 * Reads of a session at the standby nearest to its client (options reads and consistency). What the
 * client of a transaction pool says outside a transaction is cut into units (units.h); one that
 * only reads goes to a server nearby, the rest goes home. An open transaction stays where it began.
 *
 * With consistency = session nothing that is read lies behind what the session has seen: behind
 * each of its transactions, at home or nearby, the server is asked for its position in the WAL, and
 * a server nearby must have replayed that (the floor) before it is asked (INV-22). Where the floor
 * is not known, since a connection went before it had said so, the next transaction runs at home.
 *
 * A unit that a standby refuses as a write (25006), or ends because of its recovery, before the
 * client has heard anything of it, is done again at home; the text of a write is remembered.
 */
#ifndef PROXY_READS_READS_H
#define PROXY_READS_READS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct buf;
struct err;
struct node;
struct observer;
struct reads;
struct session;
struct wal_position;
struct wal_token;
struct worker;

extern const struct observer reads_observer;

/* The session is a transaction pool's and is about to be greeted; its database has reads nearby, or
 * its startup packet speaks of them. False: it is over, by a setting that is refused. */
bool reads_begin(struct session *s);
void reads_free(struct reads *r); /* accepts NULL */

/* For those who ask where it would read. */
struct reads_place {
	bool is_nearest;                /* by its settings, or its database's */
	bool begins_read_only;          /* BEGIN is BEGIN READ ONLY */
	unsigned reason;                /* CLASSIFY_READ, or why nothing of it is read nearby */
	const struct node *home, *near; /* NULL: there is none */
	uint64_t floor;                 /* 0: none, or not known */
};
void reads_explain(struct session *s, struct reads_place *out);

/* What this worker knows of a fingerprint (protocol/fingerprint.h): enum classify_reason. False:
 * none of its sessions has asked. */
bool reads_knows(const struct worker *w, struct slice fingerprint, unsigned *reason);

/* What its pool says (struct pool_ops). */
void reads_on_parked(struct session *s);
void reads_on_position(struct session *s, const struct wal_position *position);
void reads_on_heard(struct session *s);
void reads_on_refused(struct session *s);
void reads_on_names(struct session *s, struct slice messages);
void reads_on_pinned(struct session *s);

/* Its meridian.* settings (struct session_ops): reads_settings.c. */
int reads_set(struct session *s, struct slice name, struct slice value, bool now, struct err *e);
void reads_reset_all(struct session *s);
bool reads_show(struct session *s, struct slice name, bool again, struct buf *sql);
/* What a session in its login, without a pool, is to show: by its HTTP header and its startup
 * packet. lsn 0: nothing. -1 and *e: that is none, or of another cluster than its server, where it
 * has one.
 */
int reads_login_floor(struct session *s, struct wal_token *out, struct err *e) MUST_CHECK;
/* The i-th of them, without "meridian."; NULL: there are no more. */
const char *reads_setting_name(size_t i);

#endif
