/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/regions/feeds.h"

#include <string.h>

#include "base/slice.h"
#include "protocol/sqltoken.h"

bool
feed_is_changefeed(const char *text)
{
	struct sqltoken_scan s = sqltoken_begin(slice_str(text));
	struct sqltoken t;

	if (!sqltoken_next(&s, &t) ||
	    !(sqltoken_is_word(&t, "CREATE") || sqltoken_is_word(&t, "EXPERIMENTAL")))
		return false;
	return sqltoken_next(&s, &t) && sqltoken_is_word(&t, "CHANGEFEED");
}

bool
feed_has_sink(const char *text)
{
	struct sqltoken_scan s = sqltoken_begin(slice_str(text));
	struct sqltoken t;

	while (sqltoken_next(&s, &t)) {
		if (sqltoken_is_word(&t, "INTO"))
			return true;
	}
	return false;
}

bool
feed_stops(const struct regions_feed *f)
{
	struct sqltoken_scan s = sqltoken_begin(slice_str(f->text));
	struct sqltoken t;

	while (sqltoken_next(&s, &t)) {
		if (!slice_is_nocase(t.text, "schema_change_policy"))
			continue;
		if (!sqltoken_next(&s, &t) || t.kind != SQLTOKEN_MARK || t.mark != '=')
			continue;
		if (sqltoken_next(&s, &t) && slice_is_nocase(t.text, "stop"))
			return true;
	}
	return false;
}

/* A name of up to three parts, the last one first. */
struct dotted {
	struct slice part[3];
	size_t n;
};

/* The first part has been taken. */
static void
dotted_read(struct sqltoken_scan *s, struct sqltoken *first, struct dotted *d)
{
	struct sqltoken t = *first;

	*d = (struct dotted){ .n = 0 };
	for (;;) {
		struct sqltoken_scan ahead;

		memmove(&d->part[1], &d->part[0], 2 * sizeof(d->part[0]));
		d->part[0] = t.text;
		d->n += d->n < 3;
		ahead = *s;
		if (!sqltoken_next(&ahead, &t) || t.kind != SQLTOKEN_MARK || t.mark != '.' ||
		    !sqltoken_next(&ahead, &t))
			return;
		*s = ahead;
	}
}

static bool
dotted_is(const struct dotted *d, const char *database, const struct regions_table *t)
{
	if (!slice_is(d->part[0], t->name))
		return false;
	if (d->n == 3)
		return slice_is(d->part[1], t->schema) && slice_is(d->part[2], database);
	if (d->n == 2) /* schema.table, or database.table */
		return slice_is(d->part[1], t->schema) || slice_is(d->part[1], database);
	return true;
}

/* full_table_names: {movr.public.users,movr.public.rides}, names quoted where they must be. */
static bool
list_has(const char *list, const char *database, const struct regions_table *t)
{
	struct sqltoken_scan s = sqltoken_begin(slice_str(list));
	struct sqltoken k;
	struct dotted d;

	while (sqltoken_next(&s, &k)) {
		if (k.kind == SQLTOKEN_MARK)
			continue;
		dotted_read(&s, &k, &d);
		if (dotted_is(&d, database, t))
			return true;
	}
	return false;
}

/* CHANGEFEED FOR [TABLE] a, b [INTO …] [WITH …]; … AS SELECT … FROM a; FOR DATABASE d. */
static bool
text_has(const char *text, const char *database, const struct regions_table *t)
{
	struct sqltoken_scan s = sqltoken_begin(slice_str(text));
	struct sqltoken k;
	bool is_list = false;

	while (sqltoken_next(&s, &k)) {
		struct dotted d;

		if (k.kind == SQLTOKEN_MARK)
			continue;
		if (sqltoken_is_word(&k, "FOR") || sqltoken_is_word(&k, "FROM")) {
			is_list = true;
		} else if (is_list &&
			   (sqltoken_is_word(&k, "INTO") || sqltoken_is_word(&k, "WITH"))) {
			return false;
		} else if (is_list && sqltoken_is_word(&k, "DATABASE")) {
			return sqltoken_next(&s, &k) && slice_is(k.text, database);
		} else if (is_list && !sqltoken_is_word(&k, "TABLE")) {
			dotted_read(&s, &k, &d);
			if (dotted_is(&d, database, t))
				return true;
		}
	}
	return false;
}

bool
feed_watches(const struct regions_feed *f, const char *database, const struct regions_table *t)
{
	if (f->tables != NULL && f->tables[0] != '\0')
		return list_has(f->tables, database, t);
	return text_has(f->text, database, t);
}
