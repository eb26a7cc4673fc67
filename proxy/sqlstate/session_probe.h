/* SPDX-License-Identifier: PostgreSQL
 *
 * The session probe asks a server connection what has become of it: after a transaction whose texts
 * are suspected (protocol/sqleffects.h), and before the connection is lent to another session. This
 * file writes that one Query, of the parts that are suspected only, and reads its answer. It sends
 * nothing and waits for nothing.
 *
 * Ask outside a transaction only ('I'): what is local to one is gone then. The query is right with
 * any search_path, as any role, in any client_encoding, on PostgreSQL 12 and later.
 *
 * What the server cannot be asked (LOAD, a set_config() of an unknown name, an engine that refuses
 * the query) pins the session by the text alone, and for good.
 */
#ifndef PROXY_SQLSTATE_SESSION_PROBE_H
#define PROXY_SQLSTATE_SESSION_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct vars;

/* Why a session cannot let go of its server connection; a set. */
enum pin {
	PIN_LISTEN = 1 << 0,
	PIN_ADVISORY_LOCK = 1 << 1,
	PIN_TEMP = 1 << 2,
	PIN_HOLD = 1 << 3,
	PIN_PREPARED = 1 << 4,
	PIN_LOAD = 1 << 5,
	PIN_SESSION = 1 << 6, /* a function that binds something to the session */
	PIN_SETTING = 1 << 7, /* one whose name is not known, whose value is too long, or that is
				 one too many */
	PIN_UNSURE = 1 << 8,  /* the server did not say */
};

/* With one of these the server is not asked any more, or does not say: what else has become of it
 * is not known. */
#define PINS_UNKNOWN (PIN_LOAD | PIN_SESSION | PIN_SETTING | PIN_UNSURE)

/* "listen", "advisory lock" …: of the first; "" for none. */
const char *pin_name(unsigned pins);

struct session_question {
	unsigned effects;     /* of every text since it was last asked */
	unsigned pins;        /* that the session has so far */
	struct slice names;   /* what sqleffects_names() has gathered of them */
	struct slice user;    /* that the server connection has logged in as */
	struct vars *session; /* what the session has set so far */
	struct vars *startup; /* … and what it said at its beginning */
	struct vars *server;  /* what the server had when it was lent; NULL: not known */
	bool position;        /* it is asked for its position in the WAL, too */
};

/* What the server has said of that: so far a primary has written, or a standby has replayed. */
struct wal_position {
	uint64_t lsn;      /* 0: it has not said */
	uint32_t timeline; /* 0: a standby, which does not say */
};

/* For others that ask for it, in the FROM clause: whether it is a standby, `r`, and how far it has
 * replayed, or written, `l`. */
#define WAL_POSITION_FROM                                                                      \
	"(SELECT r, CASE WHEN r THEN pg_catalog.pg_last_wal_replay_lsn() ELSE "                \
	"pg_catalog.pg_current_wal_insert_lsn() END AS l FROM pg_catalog.pg_is_in_recovery() " \
	"AS r) AS w"
/* Bytes of the header that begins a page, and a file (XLogPageHeaderData and
 * XLogLongPageHeaderData of access/xlog_internal.h). The next record goes behind it, so that a
 * position there is that of the page's beginning: the last record ends in front of it. */
#define WAL_PAGE_HEADER 24
#define WAL_FILE_HEADER 40

struct session_findings {
	struct vars *session; /* a reference: its settings now */
	struct vars *server;  /* a reference: those of the server; NULL: not known */
	unsigned pins;        /* in place of question.pins */
	struct wal_position position;
};

/* Whether there is anything to ask; where not, session_probe_infer() has all there is to know. */
bool session_probe_is_wanted(const struct session_question *q);
/* Append the SQL text of the query. */
void session_probe_put_query(struct buf *sql, const struct session_question *q);
/* Read the answer: its messages, up to ReadyForQuery. -1: the server has refused, or said what
 * cannot be read; *out is what is known then (it is filled either way). */
int session_probe_read(struct slice messages, const struct session_question *q,
		       struct session_findings *out);
/* What is known without asking. */
void session_probe_infer(const struct session_question *q, struct session_findings *out);
/* For rows of others that ask as this file does: the next column of a DataRow's body, behind the
 * number of columns (out->p NULL: SQL's NULL); and text as encode(…, 'escape') writes it. False:
 * malformed. */
bool session_probe_next_column(struct slice *row, struct slice *out);
bool session_probe_put_unescaped(struct buf *b, struct slice s);
void session_probe_fini(struct session_findings *t);

#endif
