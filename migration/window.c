/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/window.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/slice.h"
#include "base/text.h"

#define DAY_S      86400
#define DAY_MIN    1440
#define EVERY_DAY  0x7fu
#define OFFSET_MAX (14 * 60)

static const char *const day_names[] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
					 "Thursday", "Friday", "Saturday" };

/* ---- reading ---- */

static size_t
count_of(struct slice s, bool digits)
{
	size_t n = 0;

	while (n < s.n &&
	       (digits ? isdigit((unsigned char)s.p[n]) : isalpha((unsigned char)s.p[n])))
		n++;
	return n;
}

static bool
take_char(struct slice *s, char c)
{
	struct slice rest = slice_trim(*s);

	if (rest.n == 0 || rest.p[0] != c)
		return false;
	*s = slice_trim(slice_skip(rest, 1));
	return true;
}

/* "Mon", "monday" */
static bool
take_day(struct slice *s, int *out)
{
	size_t n = count_of(*s, false);

	for (int d = 0; d < 7; d++) {
		if (n < 3 || n > strlen(day_names[d]) || strncasecmp(s->p, day_names[d], n) != 0)
			continue;
		*s = slice_skip(*s, n);
		*out = d;
		return true;
	}
	return false;
}

/* "Sat,Sun", "Mon-Fri", "Fri-Mon": all the week round */
static bool
take_days(struct slice *s, unsigned *out)
{
	*out = 0;
	do {
		int from, to;

		if (!take_day(s, &from))
			return false;
		to = from;
		if (take_char(s, '-') && !take_day(s, &to))
			return false;
		for (int d = from;; d = (d + 1) % 7) {
			*out |= 1u << d;
			if (d == to)
				break;
		}
	} while (take_char(s, ','));
	*s = slice_trim(*s);
	return true;
}

/* A number of at most two digits. */
static bool
take_number(struct slice *s, int max, int *out)
{
	size_t n = count_of(*s, true);
	int64_t value;

	if (n == 0 || n > 2 || !text_to_int(slice_of(s->p, n), 0, max, &value))
		return false;
	*s = slice_skip(*s, n);
	*out = (int)value;
	return true;
}

/* "2:00", "24:00" */
static bool
take_time(struct slice *s, int *out)
{
	int hours, minutes;

	if (!take_number(s, 24, &hours) || s->n == 0 || s->p[0] != ':')
		return false;
	*s = slice_skip(*s, 1);
	if (count_of(*s, true) != 2 || !take_number(s, 59, &minutes))
		return false;
	*out = hours * 60 + minutes;
	return *out <= DAY_MIN;
}

/* "+02:00", "-5": east of UTC, as ISO 8601 has it */
static bool
read_offset(struct slice s, int *out)
{
	int sign, hours, minutes = 0;

	if (s.n == 0 || (s.p[0] != '+' && s.p[0] != '-'))
		return false;
	sign = s.p[0] == '-' ? -1 : 1;
	s = slice_skip(s, 1);
	if (!take_number(&s, 14, &hours))
		return false;
	if (s.n > 0 && s.p[0] == ':') {
		s = slice_skip(s, 1);
		if (count_of(s, true) != 2 || !take_number(&s, 59, &minutes))
			return false;
	}
	*out = sign * (hours * 60 + minutes);
	return s.n == 0 && hours * 60 + minutes <= OFFSET_MAX;
}

/* The names of the time zone database; "UTC+2" is no name: servers read it as west of Greenwich. */
static bool
read_name(struct slice s, struct window *out)
{
	bool has_slash = memchr(s.p, '/', s.n) != NULL;

	if (!isalpha((unsigned char)s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		bool is_sign = s.p[i] == '+' || s.p[i] == '-' || isdigit((unsigned char)s.p[i]);

		if (!isalpha((unsigned char)s.p[i]) && strchr("_/", s.p[i]) == NULL &&
		    !(is_sign && has_slash))
			return false;
	}
	return text_copy(out->zone, sizeof(out->zone), s);
}

static bool
read_zone(struct slice s, struct window *out)
{
	static const char *const names[] = { "UTC", "GMT", "Z" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		size_t n = strlen(names[i]);
		struct slice rest;

		if (s.n < n || strncasecmp(s.p, names[i], n) != 0)
			continue;
		rest = slice_trim(slice_skip(s, n));
		if (rest.n == 0 || read_offset(rest, &out->offset))
			return true;
	}
	return s.n == 0 || read_offset(s, &out->offset) || read_name(s, out);
}

bool
window_parse(const char *text, struct window *out)
{
	struct slice s = slice_trim(slice_str(text));

	*out = (struct window){ .days = EVERY_DAY };
	if (s.n > 0 && isalpha((unsigned char)s.p[0]) && !take_days(&s, &out->days))
		return false;
	if (!take_time(&s, &out->from) || !take_char(&s, '-') || !take_time(&s, &out->to))
		return false;
	/* What follows is not part of the time. */
	if (s.n > 0 && (isdigit((unsigned char)s.p[0]) || s.p[0] == ':'))
		return false;
	return out->from < DAY_MIN && out->from != out->to && read_zone(slice_trim(s), out);
}

/* ---- writing ---- */

static void
put_zone(const struct window *w, struct buf *out)
{
	int minutes = abs(w->offset);

	if (w->zone[0] != '\0')
		buf_str(out, w->zone);
	else if (minutes == 0)
		buf_str(out, "UTC");
	else
		buf_printf(out, "%c%02d:%02d", w->offset < 0 ? '-' : '+', minutes / 60,
			   minutes % 60);
}

void
window_put(const struct window *w, struct buf *out)
{
	const char *comma = "";

	if (w->days != EVERY_DAY) {
		/* Monday first, as weeks are spoken of. */
		for (int i = 1; i <= 7; i++) {
			if ((w->days & 1u << i % 7) == 0)
				continue;
			buf_printf(out, "%s%.3s", comma, day_names[i % 7]);
			comma = ",";
		}
		buf_str(out, " ");
	}
	buf_printf(out, "%02d:%02d-%02d:%02d ", w->from / 60, w->from % 60, w->to / 60, w->to % 60);
	put_zone(w, out);
}

void
window_put_time(const struct window *w, int64_t local, struct buf *out)
{
	time_t t = (time_t)local;
	struct tm tm;

	gmtime_r(&t, &tm);
	buf_printf(out, "%.3s %04d-%02d-%02d %02d:%02d ", day_names[tm.tm_wday], tm.tm_year + 1900,
		   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min);
	put_zone(w, out);
}

/* ---- when ---- */

int64_t
window_opens(const struct window *w, int64_t local)
{
	int64_t today = local / DAY_S - (local % DAY_S < 0 ? 1 : 0);
	int minutes = w->to > w->from ? w->to - w->from : w->to + DAY_MIN - w->from;

	/* It may have opened yesterday, and opens again a week from today at the latest. */
	for (int64_t day = today - 1; day <= today + 7; day++) {
		int64_t from = day * DAY_S + w->from * 60;
		int64_t weekday = (day % 7 + 7 + 4) % 7; /* 1970-01-01 was a Thursday */

		if ((w->days & 1u << weekday) != 0 && local < from + (int64_t)minutes * 60)
			return local > from ? local : from;
	}
	return local;
}
