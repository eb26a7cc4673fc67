/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/distribute/dist_catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/pgquote.h"

void
dist_catalog_fini(struct dist_catalog *c)
{
	for (size_t i = 0; i < c->ntables; i++) {
		free(c->tables[i].name);
		free(c->tables[i].schema);
		free(c->tables[i].table);
		free(c->tables[i].column_type);
		free(c->tables[i].distributed_by);
		strlist_fini(&c->tables[i].triggers);
		strlist_fini(&c->tables[i].identities);
		strlist_fini(&c->tables[i].serials);
		strlist_fini(&c->tables[i].keys_without);
		strlist_fini(&c->tables[i].trimmings);
	}
	for (size_t i = 0; i < c->nkeys; i++) {
		free(c->keys[i].name);
		free(c->keys[i].definition);
		free(c->keys[i].comment);
		strlist_fini(&c->keys[i].columns);
		strlist_fini(&c->keys[i].refers);
		strlist_fini(&c->keys[i].sets);
	}
	free(c->tables);
	free(c->keys);
	free(c->server.wal_level);
	free(c->server.plugins);
	free(c->server.connects_back);
	strlist_fini(&c->server.unreachable);
	memset(c, 0, sizeof(*c));
}

struct dist_table *
dist_catalog_add_table(struct dist_catalog *c, const char *schema, const char *table)
{
	struct dist_table *t;
	struct buf name = { 0 };

	c->tables = xreallocarray(c->tables, c->ntables + 1, sizeof(*c->tables));
	t = &c->tables[c->ntables++];
	memset(t, 0, sizeof(*t));
	t->schema = xstrdup(schema);
	t->table = xstrdup(table);
	pgquote_ident_if_needed(&name, slice_str(schema));
	buf_str(&name, ".");
	pgquote_ident_if_needed(&name, slice_str(table));
	t->name = xstrdup(buf_text(&name));
	t->relkind = 'r';
	buf_fini(&name);
	return t;
}

struct dist_key *
dist_catalog_add_key(struct dist_catalog *c, const char *name, size_t from, size_t to)
{
	struct dist_key *k;

	c->keys = xreallocarray(c->keys, c->nkeys + 1, sizeof(*c->keys));
	k = &c->keys[c->nkeys++];
	memset(k, 0, sizeof(*k));
	k->name = xstrdup(name);
	k->from = from;
	k->to = to;
	k->is_valid = true;
	k->on_delete = k->on_update = 'a';
	return k;
}

size_t
dist_catalog_find(const struct dist_catalog *c, const char *schema, const char *table,
		  bool *is_ambiguous)
{
	const char *want = schema != NULL ? schema : "public";
	size_t other = c->ntables, n = 0;

	if (is_ambiguous != NULL)
		*is_ambiguous = false;
	for (size_t i = 0; i < c->ntables; i++) {
		if (strcmp(c->tables[i].table, table) != 0)
			continue;
		if (strcmp(c->tables[i].schema, want) == 0)
			return i;
		other = i;
		n++;
	}
	if (schema != NULL || n == 0)
		return c->ntables;
	if (is_ambiguous != NULL)
		*is_ambiguous = n > 1;
	return n == 1 ? other : c->ntables;
}

char *
dist_list_join(const struct strlist *list)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < list->n; i++)
		buf_printf(&b, "%s%s", i > 0 ? ", " : "", list->v[i]);
	return buf_take_text(&b);
}
