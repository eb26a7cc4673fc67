/* SPDX-License-Identifier: PostgreSQL
 *
 * CREATE MIGRATION read into a spec, and a spec as text again. Names are quoted in that text
 * wherever the grammar might take them for something else.
 */
#include "config.h"

#include "migration/grammar.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/pgquote.h"
#include "migration/parser.h"

/* ---- lists of names ---- */

static int
add_unique(struct parser *p, struct strlist *list, const char *what, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i], name) == 0)
			return err_set(p->e, "42710", "%s \"%.64s\" is named twice", what, name);
	if (list->n >= SPEC_ITEMS_MAX)
		return parser_too_many(p);
	strlist_add(list, name);
	return 0;
}

static int
parse_region(struct parser *p, struct strlist *list)
{
	char *name = NULL;
	int rc = parser_name(p, &name, "a region");

	if (rc == 0)
		rc = add_unique(p, list, "region", name);
	free(name);
	return rc;
}

static int
check_unique(struct parser *p, const struct spec_name *a, const struct spec_name *b)
{
	if (strcmp(a->table, b->table) != 0 || (a->schema == NULL) != (b->schema == NULL) ||
	    (a->schema != NULL && strcmp(a->schema, b->schema) != 0))
		return 0;
	return err_set(p->e, "42710", "table \"%.64s\" is named twice", b->table);
}

/* ---- FROM ---- */

static int
parse_file_regions(struct parser *p, struct spec *s)
{
	s->all_regions = true;
	if (parser_accept(p, "ALL"))
		return parser_expect(p, "REGIONS");
	if (!parser_accept(p, "REGIONS"))
		return 0;
	s->all_regions = false;
	if (parser_expect(p, "(") != 0)
		return -1;
	do {
		if (parse_region(p, &s->regions) != 0)
			return -1;
	} while (parser_accept(p, ","));
	return parser_expect_end_of_list(p);
}

/* FROM FILES, or else FROM … TO …. */
static int
parse_from(struct parser *p, struct spec *s)
{
	if (!parser_accept_before_string(p, "FILES")) {
		s->kind = KIND_MOVE;
		if (parser_name(p, &s->from, "a region or node, or FILES 'directory'") != 0 ||
		    parser_expect(p, "TO") != 0 || parser_name(p, &s->to, "a region or node") != 0)
			return -1;
		if (!parser_accept(p, "AS"))
			return 0;
		return parser_name(p, &s->newdb, "the database's name there");
	}
	s->kind = KIND_FILES;
	if (parser_string(p, &s->directory, "a directory in quotes") != 0 ||
	    parse_file_regions(p, s) != 0)
		return -1;
	return parser_accept(p, "CANARY") ? parser_name(p, &s->canary, "a region") : 0;
}

/* ---- TO REGIONS ---- */

static int
parse_locality(struct parser *p, struct spec_placing *at)
{
	if (parser_accept(p, "GLOBAL")) {
		at->locality = LOCALITY_GLOBAL;
		return 0;
	}
	if (!parser_accept(p, "REGIONAL"))
		return parser_fail(p, "GLOBAL, REGIONAL BY TABLE or REGIONAL BY ROW");
	if (parser_expect(p, "BY") != 0)
		return -1;
	if (parser_accept(p, "ROW")) {
		at->locality = LOCALITY_BY_ROW;
		if (parser_accept(p, "AS")) {
			at->locality = LOCALITY_BY_ROW_AS;
			return parser_column(p, &at->column);
		}
		if (!parser_accept(p, "BY"))
			return 0;
		at->locality = LOCALITY_BY_ROW_MAP;
		if (parser_expect(p, "(") != 0 || parser_column(p, &at->column) != 0 ||
		    parser_expect(p, ")") != 0 || parser_expect(p, "MAP") != 0)
			return -1;
		return parser_name(p, &at->map, "the name of a map");
	}
	if (!parser_accept(p, "TABLE"))
		return parser_fail(p, "TABLE or ROW");
	at->locality = LOCALITY_BY_TABLE;
	return parser_accept(p, "IN") ? parser_name(p, &at->region, "a region") : 0;
}

static int
parse_placing(struct parser *p, struct spec *s)
{
	struct spec_placing *at;

	if (s->nplacings >= SPEC_ITEMS_MAX)
		return parser_too_many(p);
	s->placings = xreallocarray(s->placings, s->nplacings + 1, sizeof(*s->placings));
	at = &s->placings[s->nplacings++];
	*at = (struct spec_placing){ 0 };
	if (parser_table(p, &at->name) != 0)
		return -1;
	for (size_t i = 0; i + 1 < s->nplacings; i++)
		if (check_unique(p, &s->placings[i].name, &at->name) != 0)
			return -1;
	return parse_locality(p, at);
}

static int
parse_regions(struct parser *p, struct spec *s)
{
	s->kind = KIND_REGIONS_OF;
	if (parser_expect(p, "REGIONS") != 0 || parse_region(p, &s->regions) != 0 ||
	    parser_expect(p, "PRIMARY") != 0)
		return -1;
	while (parser_accept(p, ","))
		if (parse_region(p, &s->regions) != 0)
			return -1;
	if (parser_accept(p, "SURVIVE")) {
		if (parser_accept(p, "ZONE"))
			s->survive = SURVIVE_ZONE;
		else if (parser_accept(p, "REGION"))
			s->survive = SURVIVE_REGION;
		else
			return parser_fail(p, "ZONE FAILURE or REGION FAILURE");
		if (parser_expect(p, "FAILURE") != 0)
			return -1;
	}
	if (!parser_accept(p, "LOCALITY"))
		return 0;
	if (parser_expect(p, "(") != 0)
		return -1;
	do {
		if (parse_placing(p, s) != 0)
			return -1;
	} while (parser_accept(p, ","));
	return parser_expect_end_of_list(p);
}

/* ---- DISTRIBUTE ---- */

static const char *const methods[] = {
	[METHOD_CHOOSE] = "",
	[METHOD_BLOCKING] = "BLOCKING",
	[METHOD_CONCURRENT] = "CONCURRENT",
	[METHOD_REFERENCE] = "REFERENCE",
	[METHOD_LOCAL] = "LOCAL",
};

const char *
spec_method_words(enum spec_method m)
{
	return methods[m];
}

static int
parse_distribute_table(struct parser *p, struct spec *s)
{
	struct spec_table *t;

	if (s->ntables >= SPEC_ITEMS_MAX)
		return parser_too_many(p);
	s->tables = xreallocarray(s->tables, s->ntables + 1, sizeof(*s->tables));
	t = &s->tables[s->ntables++];
	*t = (struct spec_table){ 0 };
	if (parser_table(p, &t->name) != 0)
		return -1;
	for (size_t i = 0; i + 1 < s->ntables; i++)
		if (check_unique(p, &s->tables[i].name, &t->name) != 0)
			return -1;
	if (!parser_accept(p, "METHOD"))
		return 0;
	for (int m = METHOD_BLOCKING; m <= METHOD_LOCAL; m++) {
		if (parser_accept(p, methods[m])) {
			t->method = (enum spec_method)m;
			return 0;
		}
	}
	return parser_fail(p, "BLOCKING, CONCURRENT, REFERENCE or LOCAL");
}

static int
parse_distribute(struct parser *p, struct spec *s)
{
	s->kind = KIND_DISTRIBUTE;
	if (parser_expect(p, "BY") != 0 || parser_column(p, &s->column) != 0)
		return -1;
	if (parser_accept(p, "ROOT") && parser_table(p, &s->root) != 0)
		return -1;
	if (!parser_accept(p, "("))
		return 0;
	do {
		if (parse_distribute_table(p, s) != 0)
			return -1;
	} while (parser_accept(p, ","));
	return parser_expect_end_of_list(p);
}

/* ---- WITH ---- */

static int
parse_options(struct parser *p, struct strlist *options, struct strlist *values)
{
	if (parser_expect(p, "(") != 0)
		return -1;
	do {
		char *name = NULL, *value = NULL;
		int rc = parser_name(p, &name, "an option");

		if (rc == 0)
			rc = parser_expect(p, "=");
		if (rc == 0)
			rc = parser_value(p, &value);
		if (rc == 0) {
			for (char *c = name; *c != '\0'; c++)
				*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
			rc = add_unique(p, options, "option", name);
		}
		if (rc == 0)
			strlist_add(values, value);
		free(name);
		free(value);
		if (rc < 0)
			return -1;
	} while (parser_accept(p, ","));
	return parser_expect_end_of_list(p);
}

int
spec_parse_options(struct slice text, struct strlist *options, struct strlist *values,
		   struct err *e)
{
	struct parser p;

	*options = *values = (struct strlist){ 0 };
	if (parser_init(&p, text, e) == 0 && parse_options(&p, options, values) == 0 &&
	    parser_end(&p, "the end") == 0)
		return 0;
	strlist_fini(options);
	strlist_fini(values);
	return -1;
}

/* ---- the whole ---- */

static int
parse_kind(struct parser *p, struct spec *s)
{
	if (parser_accept(p, "FROM"))
		return parse_from(p, s);
	if (parser_accept(p, "TO"))
		return parse_regions(p, s);
	if (parser_accept(p, "DISTRIBUTE"))
		return parse_distribute(p, s);
	return parser_fail(p, "FROM, TO REGIONS or DISTRIBUTE BY");
}
static int
parse_head(struct parser *p, struct spec *s)
{
	if (parser_accept(p, "IF")) {
		s->if_not_exists = true;
		if (parser_expect(p, "NOT") != 0 || parser_expect(p, "EXISTS") != 0)
			return -1;
	}
	if (!parser_accept(p, "OF")) {
		if (parser_name(p, &s->name, "a name, or OF DATABASE") != 0)
			return -1;
		/* Commands name a migration by its number too. */
		if (s->name != NULL && s->name[strspn(s->name, "0123456789")] == '\0')
			return err_set(p->e, "42602", "a migration's name may not be a number");
		if (parser_expect(p, "OF") != 0)
			return -1;
	}
	if (parser_expect(p, "DATABASE") != 0)
		return -1;
	return parser_name(p, &s->database, "the name of a database");
}

int
spec_parse(struct slice text, struct spec *out, struct err *e)
{
	struct parser p;

	*out = (struct spec){ 0 };
	if (parser_init(&p, text, e) == 0 && parse_head(&p, out) == 0 && parse_kind(&p, out) == 0 &&
	    (!parser_accept(&p, "WITH") || parse_options(&p, &out->options, &out->values) == 0) &&
	    parser_end(&p, "WITH ( option = value, … ), or the end") == 0)
		return 0;
	spec_fini(out);
	return -1;
}

int
spec_parse_name(struct slice text, struct spec_name *out, struct err *e)
{
	struct parser p;

	*out = (struct spec_name){ 0 };
	if (parser_init(&p, text, e) == 0 && parser_table(&p, out) == 0 &&
	    parser_end(&p, "the end") == 0)
		return 0;
	spec_name_fini(out);
	return -1;
}

void
spec_name_fini(struct spec_name *n)
{
	free(n->schema);
	free(n->table);
	*n = (struct spec_name){ 0 };
}

void
spec_fini(struct spec *s)
{
	for (size_t i = 0; i < s->nplacings; i++) {
		spec_name_fini(&s->placings[i].name);
		free(s->placings[i].region);
		free(s->placings[i].column);
		free(s->placings[i].map);
	}
	for (size_t i = 0; i < s->ntables; i++)
		spec_name_fini(&s->tables[i].name);
	spec_name_fini(&s->root);
	free(s->placings);
	free(s->tables);
	free(s->name);
	free(s->database);
	free(s->from);
	free(s->to);
	free(s->newdb);
	free(s->column);
	free(s->directory);
	free(s->canary);
	strlist_fini(&s->regions);
	strlist_fini(&s->options);
	strlist_fini(&s->values);
	*s = (struct spec){ 0 };
}

/* Words that the grammar has at places where a name may stand or end. */
static const char *const keywords[] = {
	"all",     "as",    "by",     "canary",  "database", "distribute", "exists",
	"files",   "from",  "global", "if",      "in",       "locality",   "map",
	"method",  "not",   "of",     "primary", "regional", "regions",    "root",
	"survive", "table", "to",     "with",
};

/* Whether it may stand without quotes, made of these characters. */
static bool
is_plain(const char *name, const char *chars)
{
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (strcasecmp(keywords[i], name) == 0)
			return false;
	return name[strspn(name, chars)] == '\0' && strstr(name, "--") == NULL;
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

/* ---- a spec as text ---- */

static void
put_move(const struct spec *s, struct buf *out)
{
	put_name(out, " FROM ", s->from);
	put_name(out, " TO ", s->to);
	if (s->newdb != NULL)
		put_name(out, " AS ", s->newdb);
}

static void
put_regions(const struct spec *s, struct buf *out)
{
	static const char *const survivals[] = {
		[SURVIVE_UNSAID] = "",
		[SURVIVE_ZONE] = " SURVIVE ZONE FAILURE",
		[SURVIVE_REGION] = " SURVIVE REGION FAILURE",
	};
	static const char *const words[] = {
		[LOCALITY_GLOBAL] = " GLOBAL",
		[LOCALITY_BY_TABLE] = " REGIONAL BY TABLE",
		[LOCALITY_BY_ROW] = " REGIONAL BY ROW",
		[LOCALITY_BY_ROW_AS] = " REGIONAL BY ROW AS ",
		[LOCALITY_BY_ROW_MAP] = " REGIONAL BY ROW BY (",
	};

	buf_str(out, " TO REGIONS ");
	put_list(out, &s->regions, " PRIMARY");
	buf_str(out, survivals[s->survive]);
	for (size_t i = 0; i < s->nplacings; i++) {
		buf_str(out, i == 0 ? " LOCALITY (" : ", ");
		spec_put_name(&s->placings[i].name, out);
		buf_str(out, words[s->placings[i].locality]);
		if (s->placings[i].region != NULL)
			put_name(out, " IN ", s->placings[i].region);
		if (s->placings[i].column != NULL)
			put_sql_name(out, "", s->placings[i].column);
		if (s->placings[i].map != NULL)
			put_name(out, ") MAP ", s->placings[i].map);
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
