/* SPDX-License-Identifier: PostgreSQL
 *
 * The columns of what is shown of migrations: X(name, TYPE), where TYPE is INT4, INT8, FLOAT8,
 * BOOL, TEXT or TIME (timestamptz). Values are given as text, in this order, NULL for SQL NULL; a
 * BOOL is "t" or "f", a TIME as PostgreSQL prints it.
 */
#ifndef MIGRATION_TOPICS_H
#define MIGRATION_TOPICS_H

/* Every command but those below. */
#define TOPIC_RESULT(X)    \
	X(migration, INT4) \
	X(name, TEXT)      \
	X(kind, TEXT)      \
	X(state, TEXT)     \
	X(step, TEXT)      \
	X(progress, INT4)  \
	X(detail, TEXT)    \
	X(next, TEXT)

/* SHOW MIGRATIONS: the same, then these. */
#define TOPIC_LIST(X)        \
	TOPIC_RESULT(X)      \
	X(database, TEXT)    \
	X(created_by, TEXT)  \
	X(created_at, TIME)  \
	X(finished_at, TIME) \
	X(uuid, TEXT)

#define TOPIC_PLAN(X)     \
	X(n, INT4)        \
	X(phase, TEXT)    \
	X(place, TEXT)    \
	X(step, TEXT)     \
	X(object, TEXT)   \
	X(class, TEXT)    \
	X(lock, TEXT)     \
	X(estimate, TEXT) \
	X(undo, TEXT)     \
	X(sql, TEXT)

#define TOPIC_STEPS(X)   \
	X(n, INT4)       \
	X(phase, TEXT)   \
	X(place, TEXT)   \
	X(step, TEXT)    \
	X(object, TEXT)  \
	X(class, TEXT)   \
	X(state, TEXT)   \
	X(attempt, INT4) \
	X(started, TIME) \
	X(ended, TIME)   \
	X(error, TEXT)

#define TOPIC_CHECKS(X)   \
	X(severity, TEXT) \
	X(check, TEXT)    \
	X(object, TEXT)   \
	X(detail, TEXT)   \
	X(fix, TEXT)

#define TOPIC_SQL(X)    \
	X(n, INT4)      \
	X(place, TEXT)  \
	X(step, TEXT)   \
	X(object, TEXT) \
	X(sql, TEXT)    \
	X(undo, TEXT)

#define TOPIC_LOG(X)   \
	X(seq, INT8)   \
	X(at, TIME)    \
	X(actor, TEXT) \
	X(event, TEXT) \
	X(detail, TEXT)

#define TOPIC_OPTIONS(X)    \
	X(option, TEXT)     \
	X(value, TEXT)      \
	X(standard, TEXT)   \
	X(is_set, BOOL)     \
	X(changeable, TEXT) \
	X(help, TEXT)

/* ---- of kind->show() ---- */

#define TOPIC_TABLES(X)                                          \
	X(table, TEXT)                                           \
	X(method, TEXT) /* how it gets there, or its locality */ \
	X(state, TEXT)                                           \
	X(rows, INT8)                                            \
	X(bytes, INT8)                                           \
	X(progress, INT4) /* percent; NULL: not known */         \
	X(detail, TEXT)

#define TOPIC_SEQUENCES(X)    \
	X(sequence, TEXT)     \
	X(source_value, INT8) \
	X(target_value, INT8) \
	X(is_called, BOOL)    \
	X(detail, TEXT)

#define TOPIC_LAG(X)                             \
	X(place, TEXT)  /* that is behind … */ \
	X(behind, TEXT) /* … this one */       \
	X(state, TEXT)                           \
	X(lag_bytes, INT8)                       \
	X(lag_ms, FLOAT8)                        \
	X(detail, TEXT)

#define TOPIC_SESSIONS(X)         \
	X(session, INT8)          \
	X(user, TEXT)             \
	X(client_addr, TEXT)      \
	X(application_name, TEXT) \
	X(pool, TEXT)             \
	X(state, TEXT)            \
	X(movable, BOOL)          \
	X(why, TEXT)

#define TOPIC_IMPACT(X)                                                                        \
	X(step, INT4)   /* after this one */                                                   \
	X(impact, TEXT) /* "foreign key not enforced", "join of local and distributed", … */ \
	X(object, TEXT)                                                                        \
	X(calls, INT8) /* of statements that meet it; NULL: not known */                       \
	X(calls_per_s, FLOAT8)                                                                 \
	X(mean_ms, FLOAT8)                                                                     \
	X(p99_ms, FLOAT8) /* of the slowest of them */                                         \
	X(source, TEXT)   /* of these figures */                                               \
	X(detail, TEXT)

/* SHOW_MATRIX: SHOW MIGRATION m FILES. */
#define TOPIC_FILES(X)           \
	X(file, TEXT)            \
	X(region, TEXT)          \
	X(state, TEXT)           \
	X(statements_done, INT4) \
	X(statements, INT4)      \
	X(checksum, TEXT)        \
	X(at, TIME)              \
	X(ms, INT8)              \
	X(error, TEXT)

/* kind->verify() */
#define TOPIC_VERIFY(X)      \
	X(table, TEXT)       \
	X(source_rows, INT8) \
	X(target_rows, INT8) \
	X(equal, BOOL)       \
	X(detail, TEXT)

/* ---- of no single migration ---- */

#define TOPIC_REDIRECTS(X)        \
	X(migration, INT4)        \
	X(database, TEXT)         \
	X(entered, TEXT)          \
	X(served, TEXT)           \
	X(client_addr, TEXT)      \
	X(user, TEXT)             \
	X(application_name, TEXT) \
	X(sessions, INT8)         \
	X(logins, INT8)           \
	X(refused, INT8)          \
	X(last_seen, TIME)        \
	X(until, TIME)            \
	X(entry, TEXT)

#define TOPIC_AUTHORITY(X) \
	X(database, TEXT)  \
	X(node, TEXT)      \
	X(dbname, TEXT)    \
	X(epoch, INT8)     \
	X(writable, BOOL)  \
	X(decision, TEXT)  \
	X(serves, TEXT)    \
	X(newdb, TEXT)

#define TOPIC_EXECUTORS(X) \
	X(migration, INT4) \
	X(uuid, TEXT)      \
	X(database, TEXT)  \
	X(place, TEXT)     \
	X(owner, TEXT)     \
	X(proxy, TEXT)     \
	X(token, INT8)     \
	X(heartbeat, TIME) \
	X(alive, BOOL)     \
	X(step, TEXT)

#endif
