/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/regions/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "protocol/sqltoken.h"

/* ---- localities ---- */

static bool
word(struct sqltoken_scan *s, const char *want)
{
	struct sqltoken_scan ahead = *s;
	struct sqltoken t;

	if (!sqltoken_next(&ahead, &t) || t.kind != SQLTOKEN_WORD || !slice_is_nocase(t.text, want))
		return false;
	*s = ahead;
	return true;
}

void
home_parse(const char *text, struct table_home *out)
{
	struct sqltoken_scan s = sqltoken_begin(slice_str(text != NULL ? text : ""));
	struct sqltoken t;
	bool is_by;

	*out = (struct table_home){ HOME_NONE, NULL };
	if (text == NULL)
		return;
	if (word(&s, "GLOBAL")) {
		out->kind = HOME_GLOBAL;
		return;
	}
	if (!word(&s, "REGIONAL"))
		return;
	is_by = word(&s, "BY");
	if (is_by && word(&s, "ROW")) {
		out->kind = HOME_ROW;
		if (word(&s, "AS") && sqltoken_next(&s, &t) && !slice_is(t.text, "crdb_region"))
			out->name = xstrndup(t.text.p, t.text.n);
		return;
	}
	if (is_by)
		(void)word(&s, "TABLE");
	out->kind = HOME_TABLE;
	if (word(&s, "IN") && sqltoken_next(&s, &t) &&
	    !(sqltoken_is_word(&t, "PRIMARY") && word(&s, "REGION")))
		out->name = xstrndup(t.text.p, t.text.n);
}

bool
home_is_same(const struct table_home *a, const struct table_home *b)
{
	if (a->kind != b->kind || (a->name == NULL) != (b->name == NULL))
		return false;
	return a->name == NULL || strcmp(a->name, b->name) == 0;
}

void
home_fini(struct table_home *l)
{
	free(l->name);
	*l = (struct table_home){ HOME_NONE, NULL };
}

/* ---- building ---- */

static char *
copy(const char *s)
{
	return s != NULL ? xstrdup(s) : NULL;
}

#define GROW(array, n) ((array) = xreallocarray((array), (n) + 1, sizeof((array)[0])), (n)++)

struct regions_table *
regions_catalog_add_table(struct regions_catalog *c, const char *schema, const char *name,
			  const char *locality)
{
	struct regions_table *t;

	GROW(c->tables, c->ntables);
	t = &c->tables[c->ntables - 1];
	*t = (struct regions_table){ .schema = xstrdup(schema),
				     .name = xstrdup(name),
				     .type = xstrdup("table"),
				     .rows = -1,
				     .locality = copy(locality) };
	return t;
}

void
regions_table_add_column(struct regions_table *t, const char *name, const char *type,
			 bool is_nullable)
{
	GROW(t->columns, t->ncolumns);
	t->columns[t->ncolumns - 1] =
	    (struct regions_column){ xstrdup(name), xstrdup(type), is_nullable };
}

void
regions_catalog_add_zone(struct regions_catalog *c, const char *target, const char *sql)
{
	GROW(c->zones, c->nzones);
	c->zones[c->nzones - 1] = (struct regions_zone){ xstrdup(target), xstrdup(sql) };
}

void
regions_catalog_add_feed(struct regions_catalog *c, const char *id, bool is_sinkless,
			 const char *text, const char *tables)
{
	GROW(c->feeds, c->nfeeds);
	c->feeds[c->nfeeds - 1] =
	    (struct regions_feed){ xstrdup(id), is_sinkless, xstrdup(text), copy(tables) };
}

void
regions_catalog_add_job(struct regions_catalog *c, const char *id, const char *type,
			const char *description, const char *status)
{
	GROW(c->jobs, c->njobs);
	c->jobs[c->njobs - 1] = (struct regions_job){ xstrdup(id), xstrdup(type),
						      xstrdup(description), xstrdup(status) };
}

static void
table_fini(struct regions_table *t)
{
	for (size_t i = 0; i < t->ncolumns; i++) {
		free(t->columns[i].name);
		free(t->columns[i].type);
	}
	for (size_t i = 0; i < t->npartitioned; i++) {
		free(t->partitioned[i].index);
		free(t->partitioned[i].text);
		strlist_fini(&t->partitioned[i].names);
	}
	free(t->columns);
	free(t->partitioned);
	free(t->schema);
	free(t->name);
	free(t->type);
	free(t->owner);
	free(t->locality);
	free(t->create);
}

void
regions_catalog_fini(struct regions_catalog *c)
{
	for (size_t i = 0; i < c->ntables; i++)
		table_fini(&c->tables[i]);
	for (size_t i = 0; i < c->nzones; i++) {
		free(c->zones[i].target);
		free(c->zones[i].sql);
	}
	for (size_t i = 0; i < c->nfeeds; i++) {
		free(c->feeds[i].id);
		free(c->feeds[i].text);
		free(c->feeds[i].tables);
	}
	for (size_t i = 0; i < c->njobs; i++) {
		free(c->jobs[i].id);
		free(c->jobs[i].type);
		free(c->jobs[i].description);
		free(c->jobs[i].status);
	}
	free(c->feeds);
	free(c->jobs);
	free(c->tables);
	free(c->zones);
	free(c->version);
	free(c->database);
	free(c->user);
	free(c->licence);
	free(c->owner);
	free(c->primary);
	free(c->survival);
	strlist_fini(&c->cluster);
	strlist_fini(&c->regions);
	*c = (struct regions_catalog){ 0 };
}

/* ---- looking ---- */

const struct regions_table *
regions_catalog_table(const struct regions_catalog *c, const char *name)
{
	const struct regions_table *bare = NULL;
	bool is_double = false;

	for (size_t i = 0; i < c->ntables; i++) {
		const struct regions_table *t = &c->tables[i];
		size_t n = strlen(t->schema);

		if (strncmp(name, t->schema, n) == 0 && name[n] == '.' &&
		    strcmp(name + n + 1, t->name) == 0)
			return t;
		if (strcmp(name, t->name) != 0)
			continue;
		if (strcmp(t->schema, "public") == 0)
			return t;
		is_double = bare != NULL;
		bare = t;
	}
	return is_double ? NULL : bare;
}

const struct regions_column *
regions_table_column(const struct regions_table *t, const char *name)
{
	for (size_t i = 0; i < t->ncolumns; i++) {
		if (strcmp(t->columns[i].name, name) == 0)
			return &t->columns[i];
	}
	return NULL;
}

/* From the column's name to the comma behind its definition. */
bool
regions_column_is_hidden(const char *create, const char *column)
{
	struct sqltoken_scan s = sqltoken_begin(slice_str(create));
	struct sqltoken t;
	int depth = 0;
	bool is_there = false, is_begin = false;

	while (sqltoken_next(&s, &t)) {
		if (t.kind == SQLTOKEN_MARK) {
			depth += t.mark == '(' ? 1 : t.mark == ')' ? -1 : 0;
			is_begin = depth == 1 && (t.mark == '(' || t.mark == ',');
			is_there = is_there && !is_begin && depth > 0;
			continue;
		}
		if (is_begin)
			is_there = slice_is(t.text, column);
		else if (is_there && depth == 1 && slice_is_nocase(t.text, "NOT") &&
			 word(&s, "VISIBLE"))
			return true;
		is_begin = false;
	}
	return false;
}

/* ---- old partitions, in the text of SHOW CREATE TABLE ---- */

/* Past the closing parenthesis of the list that begins there; names of PARTITION are noted. */
static void
partition_list(struct sqltoken_scan *s, struct strlist *names)
{
	struct sqltoken t;
	int depth = 0;

	while (sqltoken_next(s, &t)) {
		if (t.kind == SQLTOKEN_MARK && t.mark == '(') {
			depth++;
		} else if (t.kind == SQLTOKEN_MARK && t.mark == ')') {
			if (--depth == 0)
				return;
		} else if (t.kind == SQLTOKEN_WORD && slice_is_nocase(t.text, "PARTITION") &&
			   !word(s, "BY")) {
			struct sqltoken name;

			if (sqltoken_next(s, &name) && name.kind != SQLTOKEN_MARK)
				strlist_add_slice(names, name.text.p, name.text.n);
		}
	}
}

static void
add_partitioned(struct regions_table *t, struct slice index, const char *begin,
		struct sqltoken_scan *s)
{
	struct strlist of_columns = { 0 };
	struct regions_partitioned *p;
	struct sqltoken columns;

	GROW(t->partitioned, t->npartitioned);
	p = &t->partitioned[t->npartitioned - 1];
	*p = (struct regions_partitioned){ .index =
					       index.n > 0 ? xstrndup(index.p, index.n) : NULL };
	(void)sqltoken_next(s, &columns); /* LIST, RANGE, NOTHING */
	partition_list(s, &of_columns);   /* a word of that name is none of a partition */
	strlist_fini(&of_columns);
	partition_list(s, &p->names);
	p->text = xstrndup(begin, (size_t)(s->p - begin));
}

/* CREATE TABLE t ( … INDEX i (…) PARTITION BY LIST (…) ( PARTITION p VALUES IN (…), … ), … )
 * PARTITION BY LIST (…) ( … ): inside the parentheses it is the index that was named last. */
void
regions_table_find_partitions(struct regions_table *t)
{
	struct sqltoken_scan s = sqltoken_begin(slice_str(t->create));
	struct slice index = { NULL, 0 };
	struct sqltoken k;
	int depth = 0;

	while (sqltoken_next(&s, &k)) {
		if (k.kind == SQLTOKEN_MARK) {
			depth += k.mark == '(' ? 1 : k.mark == ')' ? -1 : 0;
			if (depth == 0)
				index = (struct slice){ NULL, 0 };
			continue;
		}
		if (k.kind != SQLTOKEN_WORD)
			continue;
		if (depth == 1 && slice_is_nocase(k.text, "INDEX")) {
			struct sqltoken name;

			if (sqltoken_next(&s, &name) && name.kind != SQLTOKEN_MARK)
				index = name.text;
		} else if (slice_is_nocase(k.text, "PARTITION") && word(&s, "BY") &&
			   !word(&s, "NOTHING")) {
			add_partitioned(t, index, k.text.p, &s);
		}
	}
}
