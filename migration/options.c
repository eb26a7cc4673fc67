/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "base/text.h"
#include "migration/window.h"
#include "protocol/sqlstate.h"

#define MOVE       (1u << KIND_MOVE)
#define REGIONS    (1u << KIND_REGIONS_OF)
#define DISTRIBUTE (1u << KIND_DISTRIBUTE)
#define FILES      (1u << KIND_FILES)
#define ALL        (MOVE | REGIONS | DISTRIBUTE | FILES)

/* clang-format off */
const struct migration_option migration_options[] = {
	{ "data", MOVE, MOPT_WORDS, .words = "online|snapshot|none", .standard = "online",
	  .until = PHASE_PREPARE,
	  .help = "how the rows get there: by logical replication while writes go on; as a copy, with writes refused from DATA on; not at all" },
	{ "write_mode", MOVE, MOPT_WORDS, .words = "normal|read_only", .standard = "normal",
	  .until = PHASE_PREPARE,
	  .help = "whether the database takes writes from PREPARE on" },
	{ "identity", MOVE, MOPT_WORDS, .words = "check|auto", .standard = "check",
	  .until = PHASE_PREPARE,
	  .help = "tables without a replica identity: refuse, or give them REPLICA IDENTITY FULL until COMPLETE" },
	{ "ddl", MOVE, MOPT_WORDS, .words = "block|record|allow", .standard = "block",
	  .until = PHASE_PREPARE,
	  .help = "schema changes by others from PREPARE on: refused (MR002), journaled, not looked at" },
	{ "roles", MOVE, MOPT_WORDS, .words = "missing|copy", .standard = "missing",
	  .until = PHASE_PREPARE,
	  .help = "roles that the target lacks are made there; copy: those that it has are given the source's passwords too, until ABORT" },
	{ "pause_budget", MOVE, MOPT_INTERVAL, .standard = "1s", .live = true,
	  .help = "writes may be held up so long at FINALIZE; longer, and they go on where they were" },
	{ "freeze_deadline", MOVE, MOPT_INTERVAL, .standard = "1s", .live = true,
	  .help = "transactions may take so long to end at FINALIZE; then stragglers decides" },
	{ "catchup_deadline", MOVE, MOPT_INTERVAL, .standard = "5s", .live = true,
	  .help = "the target may take so long for what was committed before the fence" },
	{ "max_lag", MOVE, MOPT_BYTES, .standard = "64kB", .live = true,
	  .help = "FINALIZE freezes nothing while the target is further behind" },
	{ "attempts", MOVE, MOPT_INT, .standard = "3", .min = 1, .max = 1000, .live = true,
	  .help = "so many freezes before FINALIZE gives up" },
	{ "retry_wait", MOVE, MOPT_INTERVAL, .standard = "30s", .live = true,
	  .help = "between two of them" },
	{ "stragglers", MOVE, MOPT_WORDS, .words = "abort|wait", .standard = "abort", .live = true,
	  .help = "transactions that are open at freeze_deadline: ended with 40001, or waited for at the next attempt" },
	{ "sequence_gap", MOVE, MOPT_INT, .standard = "0", .min = 0, .max = INT32_MAX,
	  .until = PHASE_FINALIZE,
	  .help = "sequences of the target begin so much further on" },
	{ "large_objects", MOVE, MOPT_WORDS, .words = "error|freeze_copy|ignore", .standard = "error",
	  .until = PHASE_FINALIZE,
	  .help = "replication does not carry them: refuse, copy them in the pause, leave them behind" },
	{ "unlogged", MOVE, MOPT_WORDS, .words = "empty|freeze_copy", .standard = "empty",
	  .until = PHASE_FINALIZE,
	  .help = "unlogged tables begin empty, or are copied in the pause" },
	{ "matviews", MOVE, MOPT_WORDS, .words = "refresh_before|refresh_after|skip",
	  .standard = "refresh_after", .until = PHASE_FINALIZE,
	  .help = "when materialized views are refreshed on the target: in the pause, behind it, by somebody else" },
	{ "foreign_slots", MOVE, MOPT_WORDS, .words = "error|ignore", .standard = "error",
	  .until = PHASE_FINALIZE,
	  .help = "logical slots of others on the source lose their position" },
	{ "verify", MOVE, MOPT_WORDS, .words = "full|count|off", .standard = "full", .live = true,
	  .help = "what is compared at the frozen point, after the switch: every row, their number, nothing" },
	{ "reverse", MOVE, MOPT_BOOL, .standard = "on", .until = PHASE_FINALIZE,
	  .help = "replicate back after the switch, so that REVERSE loses nothing" },
	{ "redirect_until", MOVE, MOPT_INTERVAL, .standard = "30 days", .live = true,
	  .help = "callers that enter by the old region are forwarded so long" },
	{ "connection", MOVE, MOPT_WORDS, .words = "direct|through_meridian", .standard = "direct",
	  .until = PHASE_DATA,
	  .help = "how the servers reach each other when they replicate: by themselves, or where they cannot, through Meridian (migration_through_conninfo)" },
	{ "copy_workers", MOVE, MOPT_INT, .standard = "0", .min = 0, .max = 64,
	  .until = PHASE_DATA,
	  .help = "tables copied at once; 0: as many as the target's max_sync_workers_per_subscription" },
	{ "window", MOVE, MOPT_WINDOW, .standard = "", .live = true,
	  .help = "FINALIZE freezes only in these hours: '02:00-04:00 UTC', 'Sat,Sun 22:00-02:00 Europe/Berlin'" },

	{ "changefeeds", REGIONS, MOPT_WORDS, .words = "error|pause|allow", .standard = "error",
	  .live = true,
	  .help = "changefeeds that a schema change would end: refuse, pause their jobs meanwhile, let them end" },
	{ "backfill_batch", REGIONS, MOPT_INT, .standard = "1000", .min = 1, .max = 1000000, .live = true,
	  .help = "rows that one UPDATE of the backfill moves" },
	{ "backfill_rate", REGIONS, MOPT_INT, .standard = "0", .min = 0, .max = INT32_MAX, .live = true,
	  .help = "rows that the backfill moves in a second; 0: as many as it can" },
	{ "region_column", REGIONS, MOPT_WORDS, .words = "hidden|computed", .standard = "hidden",
	  .until = PHASE_PREPARE,
	  .help = "BY (city) MAP router: fill crdb_region in, or compute a column region from the city" },
	{ "require_ack", REGIONS, MOPT_BOOL, .standard = "on", .live = true,
	  .help = "wait for ACK of app_deployed before the backfill, of changefeed_format before keys change" },

	{ "lock_budget", DISTRIBUTE, MOPT_INTERVAL, .standard = "2s", .until = PHASE_PREPARE,
	  .help = "a table may be locked so long; longer, and it is distributed concurrently" },
	{ "atomic", DISTRIBUTE, MOPT_BOOL, .standard = "off", .until = PHASE_PREPARE,
	  .help = "every table in one transaction, blocking" },
	{ "orphans", DISTRIBUTE, MOPT_WORDS, .words = "error|report", .standard = "error",
	  .live = true,
	  .help = "rows without the row that their foreign key names" },
	{ "verify", DISTRIBUTE, MOPT_WORDS, .words = "full|count|off", .standard = "count", .live = true,
	  .help = "what is compared before and after each table's copy, and kept for VERIFY: every row, their number, nothing" },

	{ "lint", FILES, MOPT_WORDS, .words = "error|warn|off", .standard = "error",
	  .until = PHASE_DATA,
	  .help = "statements that lock or rewrite for long: refused, told, not looked for" },
	{ "transactional", FILES, MOPT_WORDS, .words = "auto|per_file|per_statement",
	  .standard = "auto", .until = PHASE_DATA,
	  .help = "a file is one transaction where it can be; always; never" },
	{ "adopt", FILES, MOPT_WORDS, .words = "none|flyway|liquibase|alembic|sqitch|atlas",
	  .standard = "none", .until = PHASE_DATA,
	  .help = "what the tables of this tool say is applied is applied" },
	{ "canary_window", FILES, MOPT_INTERVAL, .standard = "0", .live = true,
	  .help = "time between the canary's region and the next one" },
	{ "canary_check", FILES, MOPT_TEXT, .standard = "", .live = true,
	  .help = "a SELECT that must answer true in the canary's region, during canary_window too" },

	{ "lock_timeout", ALL, MOPT_INTERVAL, .standard = "500ms", .live = true,
	  .help = "a statement waits so long for a lock, so that others do not wait behind it" },
	{ "retries", ALL, MOPT_INT, .standard = "30", .min = 0, .max = 100000, .live = true,
	  .help = "so often it is tried again after that" },
	{ NULL },
};
/* clang-format on */

const struct migration_option *
migration_option_find(enum migration_kind kind, const char *name, struct err *e)
{
	struct suggestion near = { .word = slice_str(name) };

	for (const struct migration_option *o = migration_options; o->name != NULL; o++) {
		if ((o->kinds & 1u << kind) == 0)
			continue;
		if (strcasecmp(o->name, name) == 0)
			return o;
		suggest_offer(&near, o->name);
	}
	err_set(e, SQLSTATE_INVALID_PARAMETER_VALUE,
		"a migration of kind %s has no option \"%.64s\"", migration_kind_name(kind), name);
	if (near.best != NULL)
		err_hint(e, "Did you mean \"%s\"?", near.best);
	else
		err_hint(e, "SHOW MIGRATION m OPTIONS lists them.");
	return NULL;
}

/* ---- durations ---- */

static const struct {
	const char *word;
	int64_t usec;
} units[] = {
	{ "us", 1 },
	{ "microsecond", 1 },
	{ "microseconds", 1 },
	{ "ms", 1000 },
	{ "millisecond", 1000 },
	{ "milliseconds", 1000 },
	{ "s", USEC_PER_SEC },
	{ "sec", USEC_PER_SEC },
	{ "secs", USEC_PER_SEC },
	{ "second", USEC_PER_SEC },
	{ "seconds", USEC_PER_SEC },
	{ "m", 60 * USEC_PER_SEC },
	{ "min", 60 * USEC_PER_SEC },
	{ "mins", 60 * USEC_PER_SEC },
	{ "minute", 60 * USEC_PER_SEC },
	{ "minutes", 60 * USEC_PER_SEC },
	{ "h", 3600 * USEC_PER_SEC },
	{ "hour", 3600 * USEC_PER_SEC },
	{ "hours", 3600 * USEC_PER_SEC },
	{ "d", 86400 * USEC_PER_SEC },
	{ "day", 86400 * USEC_PER_SEC },
	{ "days", 86400 * USEC_PER_SEC },
	{ "week", 7 * 86400 * USEC_PER_SEC },
	{ "weeks", 7 * 86400 * USEC_PER_SEC },
};

#define DURATION_MAX (3650 * 86400 * USEC_PER_SEC) /* ten years: no sum can overflow */

/* A number and its unit off the front; false where there is none. */
static bool
take_part(struct slice *s, int64_t *usec)
{
	size_t digits = 0, letters = 0;
	struct slice word;
	double number;
	int64_t unit;

	while (digits < s->n && strchr("0123456789.", s->p[digits]) != NULL && s->p[digits] != '\0')
		digits++;
	if (digits == 0 || !text_to_double(slice_of(s->p, digits), &number))
		return false;
	*s = slice_trim(slice_skip(*s, digits));
	while (letters < s->n && strchr(" 0123456789", s->p[letters]) == NULL)
		letters++;
	word = slice_of(s->p, letters);
	*s = slice_trim(slice_skip(*s, letters));
	unit = letters > 0 ? 0 : USEC_PER_SEC;
	for (size_t i = 0; letters > 0 && i < sizeof(units) / sizeof(units[0]); i++)
		if (slice_is_nocase(word, units[i].word))
			unit = units[i].usec;
	if (unit == 0 || number < 0 || number > (double)DURATION_MAX / (double)unit)
		return false;
	*usec = (int64_t)(number * (double)unit + 0.5);
	return true;
}

bool
migration_parse_interval(const char *text, int64_t *usec)
{
	struct slice s = slice_trim(slice_str(text));
	int64_t sum = 0, part;

	if (s.n == 0)
		return false;
	while (s.n > 0) {
		if (!take_part(&s, &part) || sum > DURATION_MAX - part)
			return false;
		sum += part;
	}
	*usec = sum;
	return true;
}

/* ---- values ---- */

static char *
bad_value(const struct migration_option *o, const char *value, const char *expected, struct err *e)
{
	err_set(e, SQLSTATE_INVALID_PARAMETER_VALUE, "invalid value for option \"%s\": \"%.64s\"",
		o->name, value);
	err_hint(e, "It takes %s.", expected);
	return NULL;
}

static char *
check_words(const struct migration_option *o, const char *value, struct err *e)
{
	struct slice rest = slice_str(o->words);
	struct buf known = { .cap = 512 };
	char *said;

	while (rest.n > 0) {
		struct slice word = slice_cut(&rest, '|');

		if (word.n == strlen(value) && strncasecmp(word.p, value, word.n) == 0) {
			buf_fini(&known);
			return xstrndup(word.p, word.n);
		}
		buf_str(&known, known.n == 0 ? "" : rest.n > 0 ? ", " : " or ");
		buf_slice(&known, word);
	}
	said = buf_take_text(&known);
	(void)bad_value(o, value, said, e);
	free(said);
	return NULL;
}

static char *
check_interval(const struct migration_option *o, const char *value, struct err *e)
{
	struct buf b = { .cap = 64 };
	int64_t usec;

	if (!migration_parse_interval(value, &usec))
		return bad_value(o, value, "a duration such as '500ms', '2s' or '30 days'", e);
	text_put_usec(&b, usec);
	return buf_take_text(&b);
}

static char *
check_bytes(const struct migration_option *o, const char *value, struct err *e)
{
	struct buf b = { .cap = 64 };
	int64_t bytes;

	if (!text_to_bytes(slice_str(value), &bytes) || bytes < 0)
		return bad_value(o, value, "a size such as '64kB'", e);
	text_put_bytes(&b, bytes);
	return buf_take_text(&b);
}

static char *
check_int(const struct migration_option *o, const char *value, struct err *e)
{
	int64_t max = o->max > 0 ? o->max : INT32_MAX, n;
	char expected[96];

	if (text_to_int(slice_str(value), o->min, max, &n))
		return xasprintf("%lld", (long long)n);
	snprintf(expected, sizeof(expected), "a whole number from %lld to %lld", (long long)o->min,
		 (long long)max);
	return bad_value(o, value, expected, e);
}

static char *
check_bool(const struct migration_option *o, const char *value, struct err *e)
{
	bool on;

	if (!text_to_bool(slice_str(value), &on))
		return bad_value(o, value, "on or off", e);
	return xstrdup(on ? "on" : "off");
}

static char *
check_text(const struct migration_option *o, const char *value, struct err *e)
{
	(void)o;
	(void)e;
	return xstrdup(value);
}

static char *
check_window(const struct migration_option *o, const char *value, struct err *e)
{
	struct buf b = { .cap = 256 };
	struct window w;

	if (*value == '\0')
		return xstrdup("");
	if (!window_parse(value, &w))
		return bad_value(o, value, WINDOW_EXPECTED, e);
	window_put(&w, &b);
	return buf_take_text(&b);
}

char *
migration_option_check(const struct migration_option *o, const char *value, struct err *e)
{
	static char *(*const checks[])(const struct migration_option *o, const char *value,
				       struct err *e) = {
		[MOPT_WORDS] = check_words,   [MOPT_INTERVAL] = check_interval,
		[MOPT_BYTES] = check_bytes,   [MOPT_INT] = check_int,
		[MOPT_BOOL] = check_bool,     [MOPT_TEXT] = check_text,
		[MOPT_WINDOW] = check_window,
	};

	return checks[o->type](o, value, e);
}

int64_t
migration_option_usec(const char *value)
{
	int64_t usec;

	return migration_parse_interval(value, &usec) ? usec : 0;
}

int64_t
migration_option_int(const char *value)
{
	int64_t n;

	if (text_to_int(slice_str(value), INT64_MIN, INT64_MAX, &n))
		return n;
	return text_to_bytes(slice_str(value), &n) ? n : 0;
}

/* ---- the manual ---- */

static void
put_roff(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '-' || *text == '\\')
			buf_u8(out, '\\');
		buf_u8(out, (uint8_t)*text);
	}
}

static void
put_kinds(struct buf *out, unsigned kinds)
{
	const char *comma = "";

	if (kinds == ALL) {
		buf_str(out, "all kinds");
		return;
	}
	for (int k = 0; k < MIGRATION_NKINDS; k++) {
		if ((kinds & 1u << k) == 0)
			continue;
		buf_printf(out, "%s%s", comma, migration_kind_name((enum migration_kind)k));
		comma = ", ";
	}
}

void
migration_options_man(struct buf *out)
{
	for (const struct migration_option *o = migration_options; o->name != NULL; o++) {
		buf_printf(out, ".TP\n\\fB%s\\fR", o->name);
		if (o->words != NULL) {
			buf_str(out, " = ");
			put_roff(out, o->words);
		}
		buf_str(out, "\n(");
		put_kinds(out, o->kinds);
		buf_str(out, "; default: ");
		put_roff(out, o->standard[0] != '\0' ? o->standard : "none");
		if (o->live)
			buf_str(out, "; live");
		buf_str(out, ") ");
		put_roff(out, o->help);
		buf_str(out, ".\n");
	}
}
