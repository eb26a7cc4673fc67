/* SPDX-License-Identifier: PostgreSQL
 *
 * SQLSTATEs (PostgreSQL documentation, Appendix A): those that Meridian itself puts into an
 * ErrorResponse, by name; and a table of all that PostgreSQL's servers use for errors, so that they
 * can be counted in a bounded set.
 */
#ifndef PROTOCOL_SQLSTATE_H
#define PROTOCOL_SQLSTATE_H

#include "base/slice.h"

#define SQLSTATE_LENGTH 5

#define SQLSTATE_SUCCESS                  "00000"
#define SQLSTATE_WARNING                  "01000"
#define SQLSTATE_CANNOT_CONNECT           "08001"
#define SQLSTATE_CONNECTION_FAILURE       "08006"
#define SQLSTATE_PROTOCOL_VIOLATION       "08P01"
#define SQLSTATE_FEATURE_NOT_SUPPORTED    "0A000"
#define SQLSTATE_INVALID_PARAMETER_VALUE  "22023"
#define SQLSTATE_INVALID_TEXT             "22P02"
#define SQLSTATE_IN_FAILED_TRANSACTION    "25P02"
#define SQLSTATE_INVALID_STATEMENT_NAME   "26000"
#define SQLSTATE_INVALID_AUTHORIZATION    "28000"
#define SQLSTATE_INVALID_PASSWORD         "28P01"
#define SQLSTATE_INVALID_CATALOG_NAME     "3D000"
#define SQLSTATE_INVALID_CURSOR_NAME      "34000"
#define SQLSTATE_SERIALIZATION_FAILURE    "40001"
#define SQLSTATE_READ_ONLY_TRANSACTION    "25006"
#define SQLSTATE_INSUFFICIENT_PRIVILEGE   "42501"
#define SQLSTATE_SYNTAX_ERROR             "42601"
#define SQLSTATE_UNDEFINED_OBJECT         "42704"
#define SQLSTATE_DUPLICATE_PREPARED       "42P05"
#define SQLSTATE_INSUFFICIENT_RESOURCES   "53000"
#define SQLSTATE_OUT_OF_MEMORY            "53200"
#define SQLSTATE_TOO_MANY_CONNECTIONS     "53300"
#define SQLSTATE_PROGRAM_LIMIT_EXCEEDED   "54000"
#define SQLSTATE_OBJECT_NOT_IN_STATE      "55000"
#define SQLSTATE_OBJECT_IN_USE            "55006"
#define SQLSTATE_CANNOT_CHANGE_RUNTIME    "55P02"
#define SQLSTATE_QUERY_CANCELED           "57014"
#define SQLSTATE_ADMIN_SHUTDOWN           "57P01"
#define SQLSTATE_CRASH_SHUTDOWN           "57P02"
#define SQLSTATE_CANNOT_CONNECT_NOW       "57P03"
#define SQLSTATE_IDLE_SESSION_TIMEOUT     "57P05"
#define SQLSTATE_IDLE_TRANSACTION_TIMEOUT "25P03"
#define SQLSTATE_IO_ERROR                 "58030"
#define SQLSTATE_UNDEFINED_FILE           "58P01"
#define SQLSTATE_CONFIG_FILE_ERROR        "F0000"
#define SQLSTATE_INTERNAL_ERROR           "XX000"

struct sqlstate {
	const char *code; /* "23505" */
	const char *name; /* "unique_violation" */
};

#define SQLSTATE_OTHER    0   /* row of every code that is not in the table */
#define SQLSTATE_ROWS_MAX 256 /* rows are fewer */

unsigned sqlstate_row(struct slice code);
const struct sqlstate *sqlstate_at(unsigned row); /* NULL: beyond the table */

#endif
