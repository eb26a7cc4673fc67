/* SPDX-License-Identifier: PostgreSQL
 *
 * What sql.c and sqlrun.c share.
 */
#ifndef PROXY_HTTP_SQL_INT_H
#define PROXY_HTTP_SQL_INT_H

#include "protocol/sqljson.h"
#include "proxy/http/sql.h"
#include "routing/token.h"

struct sql_isolation {
	const char *name; /* in the header */
	const char *sql;
};

/* What a request is about. */
enum sql_phase {
	SQL_RUNNING,      /* its statements */
	SQL_TELLING,      /* they are answered; the node is to say what has been seen with them */
	SQL_ROLLING_BACK, /* one has failed and has left a transaction open */
	SQL_CHECKING,     /* none has been sent: its standby may not have replayed enough */
};

/* The request that runs. */
struct sql {
	/* what the headers say */
	bool raw, array;
	bool read_only, deferrable;            /* of a batch */
	const struct sql_isolation *isolation; /* … NULL: the node's default */
	/* what runs */
	bool batch;
	size_t nqueries, at;          /* of all statements, with BEGIN and COMMIT of a batch */
	struct buf modes;             /* a byte for each query: whether rows are arrays */
	struct buf out;               /* the statements, as messages */
	struct buf in;                /* the node's bytes that were not handled yet */
	struct buf json;              /* the answer so far */
	struct buf report;            /* … or the error */
	struct sqljson_result result; /* of the statement that is being answered */
	enum sql_phase phase;
	/* what its caller has seen */
	bool says_token;                /* the answer says what it has seen with this, in … */
	struct wal_token seen;          /* … ; lsn 0: not known */
	struct wal_token floor;         /* what it must show; lsn 0: nothing */
	bool is_shown;                  /* … and its standby has replayed that */
	int64_t wait_us, wait_until_us; /* how long that is waited for */
};

/* sqltoken.c: the request has its server, and its login. -1 and *e: it is not to run there. */
int sql_take_floor(struct session *s, struct err *e) MUST_CHECK;
/* Its server may not have replayed `floor` yet. */
bool sql_must_check(const struct session *s);
/* Messages: whether it has, and what has been seen when all that is in front of it is over. */
void sql_put_check(const struct sql *q, struct buf *b);
void sql_put_question(struct session *s, struct buf *b);
/* A row of the answer to the latter. */
void sql_take_said(struct session *s, struct slice row);
/* The header of the answer. */
void sql_put_token(const struct sql *q, struct buf *headers);

/* sql.c: give back what the request holds of the session, and answer it. `body` may belong to the
 * request. */
void sql_end(struct session *s, int status, struct slice body);
/* The same with an error of our own. */
void sql_fail(struct session *s, int status, const struct err *e);

#endif
