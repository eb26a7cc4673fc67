/* SPDX-License-Identifier: PostgreSQL
 *
 * What sql.c and sqlrun.c share.
 */
#ifndef PROXY_HTTP_SQL_INT_H
#define PROXY_HTTP_SQL_INT_H

#include "protocol/sqljson.h"
#include "proxy/http/sql.h"

struct sql_isolation {
	const char *name; /* in the header */
	const char *sql;
};

/* The request that runs. */
struct sql {
	/* what the headers say */
	bool raw, array;
	bool read_only, deferrable;            /* of a batch */
	const struct sql_isolation *isolation; /* … NULL: the node's default */
	/* what runs */
	bool batch;
	size_t nqueries, at;          /* of all statements, BEGIN and COMMIT of a batch included */
	struct buf modes;             /* for each query a byte: rows as arrays */
	struct buf in;                /* of the node, not taken yet */
	struct buf json;              /* the answer so far */
	struct buf report;            /* … or the error */
	struct sqljson_result result; /* of the statement that is answered now */
	enum { SQL_RUNNING, SQL_ROLLING_BACK } phase;
};

/* sql.c: give back what the request holds of the session, and answer it. `body` may be q's own. */
void sql_end(struct session *s, int status, struct slice body);
/* The same with an error of our own. */
void sql_fail(struct session *s, int status, const struct err *e);

#endif
