/* SPDX-License-Identifier: PostgreSQL
 *
 * The messages that Meridian itself reads or answers: errors, authentication, the end of the login,
 * and both query protocols for the console. Builders append one whole message to a buf (which fails
 * stickily; ask once at the end). Parsers take a message body (what frame_cut gave) and return DONE
 * or BAD, never MORE; the slices they give point into that body and live as long as it does. A
 * parser that says DONE has checked every length in the body, so that walking a list cannot fail.
 *
 * Format: PostgreSQL documentation, "Message Formats" and "Error and Notice Message Fields".
 */
#ifndef PROTOCOL_MESSAGE_H
#define PROTOCOL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Message types with more than one reader in this program. */
enum message_type {
	/* from the server */
	MSG_AUTHENTICATION = 'R',
	MSG_BACKEND_KEY = 'K',
	MSG_BIND_COMPLETE = '2',
	MSG_CLOSE_COMPLETE = '3',
	MSG_COMMAND_COMPLETE = 'C',
	MSG_DATA_ROW = 'D',
	MSG_EMPTY_QUERY = 'I',
	MSG_ERROR = 'E',
	MSG_NEGOTIATE_VERSION = 'v',
	MSG_NO_DATA = 'n',
	MSG_NOTICE = 'N',
	MSG_NOTIFICATION = 'A',
	MSG_PARAMETER_DESCRIPTION = 't',
	MSG_PARAMETER_STATUS = 'S',
	MSG_PARSE_COMPLETE = '1',
	MSG_PORTAL_SUSPENDED = 's',
	MSG_READY = 'Z',
	MSG_ROW_DESCRIPTION = 'T',
	/* from the client */
	MSG_BIND = 'B',
	MSG_CLOSE = 'C',
	MSG_COPY_DATA = 'd',
	MSG_COPY_DONE = 'c',
	MSG_COPY_FAIL = 'f',
	MSG_DESCRIBE = 'D',
	MSG_EXECUTE = 'E',
	MSG_FLUSH = 'H',
	MSG_FUNCTION_CALL = 'F',
	MSG_PARSE = 'P',
	MSG_PASSWORD = 'p', /* also SASLInitialResponse, SASLResponse, GSSResponse */
	MSG_QUERY = 'Q',
	MSG_SYNC = 'S',
	MSG_TERMINATE = 'X',
};

/* ---- errors and notices ---- */

struct message_report {
	struct slice
	    severity; /* not localised where the sender said it ('V'), else as shown ('S') */
	struct slice sqlstate;
	struct slice message;
	struct slice detail;
	struct slice hint;
};

/* Append an ErrorResponse or NoticeResponse. Text is made safe to show: valid UTF-8, no control
 * bytes but newline and tab, each field cut at MESSAGE_FIELD_MAX bytes. No SQLSTATE: XX000. */
#define MESSAGE_FIELD_MAX 4096
void message_put_error(struct buf *b, const char *severity, const struct err *e);
void message_put_notice(struct buf *b, const char *severity, const struct err *e);
void message_put_report(struct buf *b, char type, const struct message_report *r);
/* Of an ErrorResponse or NoticeResponse; fields that are absent are empty. */
enum parse message_parse_report(struct slice body, struct message_report *out) MUST_CHECK;

/* The same as an error of ours, cut where it is longer than that holds. */
void message_report_err(const struct message_report *r, struct err *e);

/* ---- authentication ---- */

enum auth_code {
	AUTH_OK = 0,
	AUTH_KERBEROS_V5 = 2,
	AUTH_CLEARTEXT = 3,
	AUTH_MD5 = 5,
	AUTH_GSS = 7,
	AUTH_GSS_CONTINUE = 8,
	AUTH_SSPI = 9,
	AUTH_SASL = 10,
	AUTH_SASL_CONTINUE = 11,
	AUTH_SASL_FINAL = 12,
};

struct message_auth {
	uint32_t code;     /* enum auth_code, or one we do not know */
	struct slice data; /* MD5: 4 bytes of salt; SASL: the mechanism list; else what follows */
};

void message_put_auth(struct buf *b, enum auth_code code, struct slice data);
void message_put_auth_sasl(struct buf *b, const char *const *mechanisms, size_t n);
enum parse message_parse_auth(struct slice body, struct message_auth *out) MUST_CHECK;
/* Walk the mechanism list of an AUTH_SASL; false at its end. */
bool message_next_mechanism(struct slice *list, struct slice *name);
bool message_offers(struct slice list, const char *mechanism);
/* Append an AuthenticationSASL with the mechanisms of `list` but `without`. Returns how many are
 * left; with 0 nothing is appended (the protocol has no empty offer). */
size_t message_put_auth_sasl_without(struct buf *b, struct slice list, const char *without);

struct message_sasl_initial {
	struct slice mechanism;
	struct slice data; /* p is NULL where the client sent none (length -1) */
};

enum parse message_parse_sasl_initial(struct slice body,
				      struct message_sasl_initial *out) MUST_CHECK;
enum parse message_parse_password(struct slice body, struct slice *password) MUST_CHECK;
void message_put_sasl_initial(struct buf *b, struct slice mechanism, struct slice data);
/* SASLResponse, GSSResponse: bare bytes. */
void message_put_sasl_response(struct buf *b, struct slice data);
void message_put_password(struct buf *b, struct slice password);

/* ---- the end of the login ---- */

struct message_parameter {
	struct slice name;
	struct slice value;
};

struct message_key {
	uint32_t pid;
	struct slice secret; /* 4 to 256 bytes */
};

struct message_negotiate {
	uint16_t major; /* what the server will speak; some servers leave 0 here */
	uint16_t minor;
	uint32_t options_n;
	struct slice
	    options; /* names of what it did not understand: walk with message_next_cstr() */
};

void message_put_parameter(struct buf *b, struct slice name, struct slice value);
enum parse message_parse_parameter(struct slice body, struct message_parameter *out) MUST_CHECK;
void message_put_key(struct buf *b, uint32_t pid, struct slice secret);
enum parse message_parse_key(struct slice body, struct message_key *out) MUST_CHECK;
void message_put_ready(struct buf *b, char status);
enum parse message_parse_ready(struct slice body, char *status) MUST_CHECK;
void message_put_negotiate(struct buf *b, uint16_t minor, const struct slice *options, size_t n);
enum parse message_parse_negotiate(struct slice body, struct message_negotiate *out) MUST_CHECK;
/* Walk a list of NUL-terminated strings; false at its end. */
bool message_next_cstr(struct slice *list, struct slice *out);

/* ---- the query protocols: what a server sends ---- */

struct message_column {
	const char *name;
	uint32_t type_oid;
	int16_t type_size; /* as in pg_type.typlen; negative: variable */
	int16_t format;    /* 0 text, 1 binary */
};

void message_put_row_description(struct buf *b, const struct message_column *columns, size_t n);
/* A DataRow, value by value; exactly n values between this and buf_message_end(). */
size_t message_row_begin(struct buf *b, uint16_t n);
void message_row_value(struct buf *b, struct slice value);
void message_row_null(struct buf *b);
void message_put_command_complete(struct buf *b, const char *tag);
void message_put_parameter_description(struct buf *b, const uint32_t *oids, uint16_t n);
/* The messages without a body: EmptyQueryResponse, ParseComplete, BindComplete, NoData,
 * CloseComplete, PortalSuspended; Sync, Flush and Terminate. */
void message_put_bare(struct buf *b, enum message_type type);
void message_put_query(struct buf *b, struct slice sql);
/* One statement of the extended protocol, without parameters: prepared under a name, bound to the
 * portal without a name with results as text, run to its end. Close accepts a name that is not
 * there. */
void message_put_statement(struct buf *b, struct slice name, struct slice sql);
void message_put_close_statement(struct buf *b, struct slice name);

/* ---- the query protocols: what a client sends ---- */

struct message_parse {
	struct slice name;
	struct slice sql;
	uint16_t types_n;
	struct slice types; /* 4 bytes each: message_oid() */
};

struct message_bind {
	struct slice portal;
	struct slice statement;
	uint16_t formats_n; /* 0: all text; 1: for all; else one each */
	struct slice formats;
	uint16_t values_n;
	struct slice values; /* walk with message_next_value() */
	uint16_t results_n;  /* as formats_n, for the columns of the result */
	struct slice results;
};

/* Describe and Close. */
struct message_target {
	char kind; /* 'S' statement or 'P' portal */
	struct slice name;
};

struct message_call {
	uint32_t function;  /* its number in pg_proc */
	uint16_t formats_n; /* as of a Bind */
	struct slice formats;
	uint16_t values_n;
	struct slice values;
};

struct message_execute {
	struct slice portal;
	uint32_t max_rows; /* 0: all of them */
};

enum parse message_parse_query(struct slice body, struct slice *sql) MUST_CHECK;
enum parse message_parse_parse(struct slice body, struct message_parse *out) MUST_CHECK;
enum parse message_parse_bind(struct slice body, struct message_bind *out) MUST_CHECK;
enum parse message_parse_target(struct slice body, struct message_target *out) MUST_CHECK;
enum parse message_parse_execute(struct slice body, struct message_execute *out) MUST_CHECK;
/* A FunctionCall. */
enum parse message_parse_call(struct slice body, struct message_call *out) MUST_CHECK;
/* The i-th type of a Parse, 0-based; 0 (unspecified) where it was not given. */
uint32_t message_oid(const struct message_parse *m, uint16_t i);
/* The next value of a Bind or FunctionCall; out->p is NULL for SQL NULL. False at the end. */
bool message_next_value(struct slice *values, struct slice *out);
/* The format (0 text, 1 binary) that a list of n formats gives to item i. */
int16_t message_format(struct slice formats, uint16_t n, uint16_t i);

#endif
