/* SPDX-License-Identifier: PostgreSQL
 *
 * How much a read nearby must show: a word, or a bound in time.
 */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include <stddef.h>

#include "base/clock.h"
#include "base/text.h"
#include "proxy/config/config.h"
#include "proxy/config/values_int.h"

#define BOUND_MAX_US (3600 * USEC_PER_SEC)

static const char bounded[] = "bounded:";

static bool
is_bounded(struct slice text)
{
	size_t n = sizeof(bounded) - 1;

	return text.n >= n && slice_is_nocase(slice_of(text.p, n), bounded);
}

bool
consistency_parse(struct slice text, int *mode, int *bound_ms)
{
	int64_t us;

	*bound_ms = 0;
	for (*mode = 0; *mode < CONSISTENCY_BOUNDED; ++*mode) {
		if (slice_is_nocase(text, consistency_mode_words[*mode]))
			return true;
	}
	if (!is_bounded(text) || !text_to_usec(slice_skip(text, sizeof(bounded) - 1), &us) ||
	    us < USEC_PER_MSEC || us > BOUND_MAX_US)
		return false;
	*bound_ms = (int)(us / USEC_PER_MSEC);
	return true;
}

void
consistency_put(struct buf *b, enum consistency_mode mode, int bound_ms)
{
	if (mode == CONSISTENCY_BOUNDED) {
		buf_str(b, bounded);
		text_put_usec(b, (int64_t)bound_ms * USEC_PER_MSEC);
	} else {
		buf_str(b, consistency_mode_words[mode]);
	}
}

/* ---- the option ---- */

static struct conf_database *
database_of(const void *consistency)
{
	return (struct conf_database *)((uintptr_t)consistency -
					offsetof(struct conf_database, consistency));
}

static int
consistency_set(const struct option *o, void *field, struct slice text, struct err *e)
{
	struct conf_database *d = database_of(field);
	int mode, bound_ms;

	if (!consistency_parse(text, &mode, &bound_ms))
		return is_bounded(text) ? value_bad(o, text, e, NULL)
					: value_enum.set(o, field, text, e);
	d->consistency = (enum consistency_mode)mode;
	d->consistency_bound_ms = bound_ms;
	return 0;
}

static void
consistency_print(const struct option *o, const void *field, struct buf *out)
{
	const struct conf_database *d = database_of(field);

	(void)o;
	consistency_put(out, d->consistency, d->consistency_bound_ms);
}

const struct value_type value_consistency = {
	.set = consistency_set,
	.print = consistency_print,
	.describe = value_describe_words,
};
