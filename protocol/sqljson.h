/* SPDX-License-Identifier: PostgreSQL
 *
 * SQL over HTTP as JSON, in the shapes of Neon's serverless driver: the body of a request becomes
 * messages of the extended query protocol, a server's messages become the JSON of an answer.
 *
 * Request, one statement or several that stand or fall together:
 *     {"query": "select $1::int", "params": [1, "text", null]}
 *     {"queries": [{"query": …, "params": …, "arrayMode": true}, …]}
 * A parameter becomes PostgreSQL text: null is NULL, a string itself, an array an array literal, an
 * object its JSON as it stands there, a number all of its digits. Types are never given: the server
 * infers them.
 *
 * Answer: {"fields": [{"name", "dataTypeID", …}], "rows": [[…]], "command", "rowCount",
 * "rowAsArray"}, or {"results": [answer, …]}. Values are the server's text; where the caller did
 * not ask for that, booleans, small numbers, JSON and arrays of built-in types become what they are
 * in JSON (sqlvalue.c).
 *
 * Pure. A request is slices of its body, which is read once and copied once, into the messages: no
 * tree is made of it (jsontext.h). Everything written is valid UTF-8 and valid JSON, whatever the
 * server sends. Too much output shows as `failed` of the buffer.
 */
#ifndef PROTOCOL_SQLJSON_H
#define PROTOCOL_SQLJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define SQLJSON_PARAMS_MAX  65535 /* the protocol counts them in 16 bits */
#define SQLJSON_QUERIES_MAX 10000

/* ---- the request ---- */

struct sqljson_query {
	struct slice text;   /* a JSONTEXT_STRING */
	struct slice params; /* a JSONTEXT_LIST, brackets and all, or nothing */
	uint16_t nparams;
	bool params_are_wrong; /* … they are something else */
	bool says_mode, array;
};

struct sqljson_request {
	struct sqljson_query *queries;
	size_t nqueries;
	bool batch;
};

/* Read a whole body, which must outlive the request. -1 and *e (22P02 not JSON, 22023 not a
 * request) where it is none. */
int sqljson_parse(struct slice body, struct sqljson_request *out, struct err *e) MUST_CHECK;
void sqljson_request_fini(struct sqljson_request *r);
/* Whether its rows are arrays; `fallback` where the request does not say. */
bool sqljson_array_mode(const struct sqljson_request *r, size_t i, bool fallback);
/* Append Parse, Bind, Describe and Execute of a statement: unnamed, all text. */
void sqljson_put_query(struct buf *b, const struct sqljson_request *r, size_t i);

/* ---- the answer ---- */

/* One statement's result while it is being written. */
struct sqljson_result {
	bool raw;   /* values as the server's text */
	bool array; /* rows as arrays, not objects */
	bool begun; /* fields are written */
	uint64_t nrows;
	uint16_t ncolumns;
	uint32_t *types;   /* one for each column, and … */
	struct buf labels; /* … its name as JSON, each behind its length: for rows as objects */
};

void sqljson_result_init(struct sqljson_result *r, bool raw, bool array);
void sqljson_result_fini(struct sqljson_result *r);
/* RowDescription, DataRow and CommandComplete (EmptyQueryResponse: an empty body), in the order in
 * which a server sends them; a result without rows has no RowDescription. PARSE_BAD: malformed. */
enum parse sqljson_put_fields(struct buf *b, struct sqljson_result *r,
			      struct slice body) MUST_CHECK;
enum parse sqljson_put_row(struct buf *b, struct sqljson_result *r, struct slice body) MUST_CHECK;
enum parse sqljson_put_complete(struct buf *b, struct sqljson_result *r,
				struct slice body) MUST_CHECK;

/* The body of an answer that tells an error: of an ErrorResponse, or of our own. All of its members
 * are there; those that were not said are null. */
enum parse sqljson_put_report(struct buf *b, struct slice body) MUST_CHECK;
void sqljson_put_error(struct buf *b, const char *severity, const struct err *e);

/* ---- values (sqlvalue.c) ---- */

/* Append as a JSON string. What is no UTF-8 becomes U+FFFD. */
void sqljson_put_string(struct buf *b, struct slice s);
/* Append the text of a value of that type as JSON. */
void sqljson_put_value(struct buf *b, uint32_t type, struct slice text);

#endif
