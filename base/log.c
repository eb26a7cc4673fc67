/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/hot.h"
#include "base/utf8.h"

static atomic_int log_threshold = LOG_LEVEL_INFO;

const char *const log_level_words[] = { "debug", "info", "warning", "error", "fatal", NULL };

static const struct {
	const char *shown;
	int syslog;
} levels[] = {
	[LOG_LEVEL_DEBUG] = { "DEBUG", 7 },     [LOG_LEVEL_INFO] = { "LOG", 6 },
	[LOG_LEVEL_WARNING] = { "WARNING", 4 }, [LOG_LEVEL_ERROR] = { "ERROR", 3 },
	[LOG_LEVEL_FATAL] = { "FATAL", 2 },
};

void
log_set_level(enum log_level level)
{
	atomic_store(&log_threshold, (int)level);
}

enum log_level
log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&log_threshold, memory_order_relaxed);
}

HOT bool
log_wants(enum log_level level)
{
	return level >= log_get_level();
}

/* One event is one line of text, whatever a client or a server put into its words. A line with
 * anything else in it journalctl shows as "[n bytes blob data]". */
static void
flatten(struct buf *b)
{
	for (size_t i = 0, n; i < b->n; i += n) {
		n = utf8_sequence(slice_skip(buf_view(b), i));
		if (n == 0) {
			n = 1;
			b->p[i] = '?';
		} else if (utf8_is_control(b->p + i, n)) {
			memset(b->p + i, n == 1 ? ' ' : '?', n);
		}
	}
}

/* One write(2) per line, so that lines of several threads never mix. */
__attribute__((format(printf, 3, 0))) static void
write_line(enum log_level level, struct log_subject about, const char *fmt, va_list ap)
{
	struct buf b = { .cap = 8192 };
	int saved = errno;
	int64_t now = clock_wall_us();
	time_t sec = (time_t)(now / USEC_PER_SEC);
	char stamp[32];
	struct tm tm;

	if (getenv("JOURNAL_STREAM") != NULL) {
		buf_printf(&b, "<%d>%s  ", levels[level].syslog, levels[level].shown);
	} else {
		gmtime_r(&sec, &tm);
		strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
		buf_printf(&b, "%s.%03d UTC [%d] %-7s  ", stamp, (int)(now / 1000 % 1000),
			   (int)getpid(), levels[level].shown);
	}
	buf_vprintf(&b, fmt, ap);
	if (about.describe != NULL) {
		buf_str(&b, " ");
		about.describe(about.about, &b);
	}
	b.failed = false;
	flatten(&b);
	buf_u8(&b, '\n');
	(void)!write(STDERR_FILENO, b.p, b.n);
	buf_fini(&b);
	errno = saved;
}

void
log_msg(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	write_line(level, (struct log_subject){ NULL, NULL }, fmt, ap);
	va_end(ap);
}

void
log_about(enum log_level level, struct log_subject about, const char *fmt, ...)
{
	va_list ap;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	write_line(level, about, fmt, ap);
	va_end(ap);
}

bool
log_limit_pass(struct log_limit *l, unsigned *dropped)
{
	int64_t now = clock_us() / USEC_PER_SEC;

	*dropped = 0;
	if (atomic_exchange(&l->second, now) != now) {
		atomic_store(&l->count, 1);
		*dropped = atomic_exchange(&l->dropped, 0);
		return true;
	}
	if (atomic_fetch_add(&l->count, 1) < LOG_LIMIT_BURST)
		return true;
	atomic_fetch_add(&l->dropped, 1);
	return false;
}
