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
	size_t nqueries, at;          /* of all statements, with BEGIN and COMMIT of a batch */
	struct buf modes;             /* a byte for each query: whether rows are arrays */
	struct buf in;                /* the node's bytes that were not handled yet */
	struct buf json;              /* the answer so far */
	struct buf report;            /* … or the error */
	struct sqljson_result result; /* of the statement that is being answered */
	enum { SQL_RUNNING, SQL_ROLLING_BACK } phase;
};

/* sql.c: give back what the request holds of the session, and answer it. `body` may belong to the
 * request. */
void sql_end(struct session *s, int status, struct slice body);
/* The same with an error of our own. */
void sql_fail(struct session *s, int status, const struct err *e);

#endif
