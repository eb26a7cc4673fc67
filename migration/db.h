/* SPDX-License-Identifier: PostgreSQL
 *
 * Blocking libpq for the threads of migrations: connections of ours, statements, answers. Every
 * connection has application_name meridian-exec-<migration> (meridian-console without one),
 * meridian.internal = on, default_transaction_read_only = off, statement_timeout = 0, lock_timeout
 * as given, and TCP keepalives. Errors of the server come with their SQLSTATE, detail and hint;
 * a lost connection is 08006.
 */
#ifndef MIGRATION_DB_H
#define MIGRATION_DB_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* In front of a statement with a password in it: the server's log has it not, not even when it
 * fails. `local`: true in a transaction, for that one. */
#define SQL_SECRETLY(local)                                                                     \
	"SELECT set_config(v.name, v.value, " local ") FROM (VALUES ('log_statement', 'none')," \
	" ('log_min_error_statement', 'panic'), ('log_min_duration_statement', '-1')) v(name,"  \
	" value) WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user); "

/* NULL and *e. `conninfo`: site_ops.conninfo's; migration 0: none. */
PGconn *db_connect(const char *conninfo, int migration, struct err *e);
/* Each statement on it has to be answered within that time, or the connection has ended: this one
 * and all that follow are 08006. Not for what waits for others. */
int db_limit_waits(PGconn *c, int64_t us, struct err *e);
/* The same connection string for a program that we start; the caller frees. */
char *db_conninfo(const char *conninfo, int migration);
/* One simple query (several statements are one transaction, unless they say otherwise). -1, *e. */
int db_exec(PGconn *c, struct err *e, const char *sql);
int db_execf(PGconn *c, struct err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Rows, the caller clears them; NULL and *e. params: text or NULL each; nparams < 0: a simple
 * query. */
PGresult *db_query(PGconn *c, struct err *e, const char *sql, int nparams,
		   const char *const *params);
/* The number of rows that the statement has changed or returned; -1 and *e. */
int db_change(PGconn *c, struct err *e, const char *sql, int nparams, const char *const *params);
/* The same where a parameter holds a password: the server's log has it not, where we may say so. */
PGresult *db_query_secretly(PGconn *c, struct err *e, const char *sql, int nparams,
			    const char *const *params);
PGresult *db_queryf(PGconn *c, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The first value of the first row, copied: 1; no row or NULL: 0 and *out = NULL; -1 and *e. */
int db_value(PGconn *c, char **out, struct err *e, const char *sql, int nparams,
	     const char *const *params);
/* The same as a truth value; no row: false. 0, or -1 and *e. */
int db_is(PGconn *c, bool *out, struct err *e, const char *sql, int nparams,
	  const char *const *params);
int db_int(PGconn *c, int64_t *out, struct err *e, const char *sql, int nparams,
	   const char *const *params);
/* A value of a result, copied; NULL for SQL NULL. */
char *db_text(const PGresult *r, int row, int column);
/* Literals and identifiers quoted for this connection; the caller frees. */
char *db_literal(PGconn *c, const char *s);
char *db_ident(PGconn *c, const char *s);
/* Why the last statement failed, of a result (may be NULL) or else the connection. */
int db_error(PGconn *c, const PGresult *r, struct err *e);
/* Ask the server to cancel the statement that runs. */
void db_cancel(PGconn *c);
/* A wait that is worth another try: 55P03 (lock_timeout), 40P01, 40001. */
bool db_is_retryable(const struct err *e);

#endif
