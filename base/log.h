/* SPDX-License-Identifier: PostgreSQL
 *
 * The log: one line per event on standard error, logfmt-like:
 *
 *     2026-11-21 11:13:00.123 UTC [4711] WARNING  server closed the connection  session=12 node=…
 *
 * Messages are lower-case sentences without a full stop. What an event is about is given as a
 * subject, whose describe function adds key=value pairs; callers never format them by hand.
 * Passwords, SCRAM material and SQL text never reach a log call (INV-20). errno is preserved. Under
 * systemd (JOURNAL_STREAM set) the time is left out and each line has a <priority> prefix.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct buf;

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_FATAL
};

/* What a line is about: describe(about, b) appends " key=value" pairs. */
struct log_subject {
	void (*describe)(const void *about, struct buf *b);
	const void *about;
};

/* Events below `level` are dropped. Any thread; takes effect at once. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
extern const char *const log_level_words[];

bool log_wants(enum log_level level);
void log_msg(enum log_level level, const char *fmt, ...)
    __attribute__((cold, format(printf, 2, 3)));
void log_about(enum log_level level, struct log_subject about, const char *fmt, ...)
    __attribute__((cold, format(printf, 3, 4)));

/* At most `LOG_LIMIT_BURST` lines per second and call site; what was left out is counted in the
 * next line that gets through. For anything that a client can trigger. */
#define LOG_LIMIT_BURST 10
struct log_limit {
	_Atomic int64_t second;
	atomic_uint count;
	atomic_uint dropped;
};

/* True where a line may be written now; *dropped gets how many were left out since the last. */
bool log_limit_pass(struct log_limit *l, unsigned *dropped) __attribute__((cold));

#define log_limited(level, subject, fmt, ...)                                                   \
	do {                                                                                    \
		static struct log_limit log_limit_;                                             \
		unsigned dropped_;                                                              \
		if (log_wants(level) && log_limit_pass(&log_limit_, &dropped_)) {               \
			if (dropped_ > 0)                                                       \
				log_msg(level, "%u like the next one were left out", dropped_); \
			log_about(level, subject, fmt, ##__VA_ARGS__);                          \
		}                                                                               \
	} while (0)

#endif
