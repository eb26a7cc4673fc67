/* SPDX-License-Identifier: PostgreSQL
 *
 * A spec as text again. Names are quoted wherever the grammar might take them for something else.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "base/pgquote.h"
#include "migration/grammar.h"

/* Words that the grammar has at places where a name may stand or end. */
static const char *const keywords[] = {
	"all",     "as",    "by",     "canary",  "database", "distribute", "exists",
	"files",   "from",  "global", "if",      "in",       "locality",   "map",
	"method",  "not",   "of",     "primary", "regional", "regions",    "root",
	"survive", "table", "to",     "with",
};

static bool
is_keyword(const char *name)
{
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (strcasecmp(keywords[i], name) == 0)
			return true;
	return false;
}

/* Whether it may stand without quotes, made of these characters. */
static bool
is_plain(const char *name, const char *chars)
{
	return name[strspn(name, chars)] == '\0' && !is_keyword(name) && strstr(name, "--") == NULL;
}

#define SQL_CHARS  "abcdefghijklmnopqrstuvwxyz0123456789_"
#define NAME_CHARS SQL_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZ.:-"

static void
put_name(struct buf *out, const char *before, const char *name)
{
	buf_str(out, before);
	if (is_plain(name, NAME_CHARS))
		buf_str(out, name);
	else
		pgquote_ident(out, slice_str(name));
}

static void
put_sql_name(struct buf *out, const char *before, const char *name)
{
	buf_str(out, before);
	if (is_plain(name, SQL_CHARS) && (name[0] < '0' || name[0] > '9'))
		buf_str(out, name);
	else
		pgquote_ident(out, slice_str(name));
}

void
spec_put_name(const struct spec_name *n, struct buf *out)
{
	if (n->schema != NULL) {
		put_sql_name(out, "", n->schema);
		buf_u8(out, '.');
	}
	put_sql_name(out, "", n->table);
}

static void
put_list(struct buf *out, const struct strlist *list, const char *behind_first)
{
	for (size_t i = 0; i < list->n; i++) {
		put_name(out, i > 0 ? ", " : "", list->v[i]);
		if (i == 0)
			buf_str(out, behind_first);
	}
}

/* ---- the kinds ---- */

static void
put_move(const struct spec *s, struct buf *out)
{
	put_name(out, " FROM ", s->from);
	put_name(out, " TO ", s->to);
	if (s->newdb != NULL)
		put_name(out, " AS ", s->newdb);
}

static void
put_placing(const struct spec_placing *at, struct buf *out)
{
	static const char *const words[] = {
		[LOCALITY_GLOBAL] = " GLOBAL",
		[LOCALITY_BY_TABLE] = " REGIONAL BY TABLE",
		[LOCALITY_BY_ROW] = " REGIONAL BY ROW",
		[LOCALITY_BY_ROW_AS] = " REGIONAL BY ROW AS ",
		[LOCALITY_BY_ROW_MAP] = " REGIONAL BY ROW BY (",
	};

	spec_put_name(&at->name, out);
	buf_str(out, words[at->locality]);
	if (at->region != NULL)
		put_name(out, " IN ", at->region);
	if (at->column != NULL)
		put_sql_name(out, "", at->column);
	if (at->map != NULL)
		put_name(out, ") MAP ", at->map);
}

static void
put_regions(const struct spec *s, struct buf *out)
{
	static const char *const survivals[] = {
		[SURVIVE_UNSAID] = "",
		[SURVIVE_ZONE] = " SURVIVE ZONE FAILURE",
		[SURVIVE_REGION] = " SURVIVE REGION FAILURE",
	};

	buf_str(out, " TO REGIONS ");
	put_list(out, &s->regions, " PRIMARY");
	buf_str(out, survivals[s->survive]);
	for (size_t i = 0; i < s->nplacings; i++) {
		buf_str(out, i == 0 ? " LOCALITY (" : ", ");
		put_placing(&s->placings[i], out);
	}
	if (s->nplacings > 0)
		buf_u8(out, ')');
}

static void
put_distribute(const struct spec *s, struct buf *out)
{
	put_sql_name(out, " DISTRIBUTE BY ", s->column);
	if (s->root.table != NULL) {
		buf_str(out, " ROOT ");
		spec_put_name(&s->root, out);
	}
	for (size_t i = 0; i < s->ntables; i++) {
		buf_str(out, i == 0 ? " (" : ", ");
		spec_put_name(&s->tables[i].name, out);
		if (s->tables[i].method != METHOD_CHOOSE)
			buf_printf(out, " METHOD %s", spec_method_words(s->tables[i].method));
	}
	if (s->ntables > 0)
		buf_u8(out, ')');
}

static void
put_files(const struct spec *s, struct buf *out)
{
	buf_str(out, " FROM FILES ");
	pgquote_literal(out, slice_str(s->directory));
	if (s->all_regions) {
		buf_str(out, " ALL REGIONS");
	} else {
		buf_str(out, " REGIONS (");
		put_list(out, &s->regions, "");
		buf_u8(out, ')');
	}
	if (s->canary != NULL)
		put_name(out, " CANARY ", s->canary);
}

void
spec_put(const struct spec *s, struct buf *out)
{
	static void (*const kinds[])(const struct spec *s, struct buf *out) = {
		[KIND_MOVE] = put_move,
		[KIND_REGIONS_OF] = put_regions,
		[KIND_DISTRIBUTE] = put_distribute,
		[KIND_FILES] = put_files,
	};

	if (s->name != NULL)
		put_name(out, "", s->name);
	put_name(out, s->name != NULL ? " OF DATABASE " : "OF DATABASE ", s->database);
	kinds[s->kind](s, out);
	for (size_t i = 0; i < s->options.n; i++) {
		put_name(out, i == 0 ? " WITH (" : ", ", s->options.v[i]);
		buf_str(out, " = ");
		pgquote_literal(out, slice_str(s->values.v[i]));
	}
	if (s->options.n > 0)
		buf_u8(out, ')');
}
