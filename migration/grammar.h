/* SPDX-License-Identifier: PostgreSQL
 *
 * What CREATE MIGRATION says, read into a struct spec, and put back into text: the control schema
 * keeps a spec as that text. Knows the words only: not whether a region, a table or an option
 * exists (options.h checks those).
 *
 *   [IF NOT EXISTS] [name] OF DATABASE db
 *     ( FROM region|node TO region|node [AS newdb]
 *     | TO REGIONS r PRIMARY [, r ...] [SURVIVE (ZONE | REGION) FAILURE]
 *         [LOCALITY ( table (GLOBAL | REGIONAL BY TABLE [IN r]
 *                           | REGIONAL BY ROW [AS col | BY (col) MAP mapname]) , ...)]
 *     | DISTRIBUTE BY column [ROOT table]
 *         [( table [METHOD BLOCKING | CONCURRENT | REFERENCE | LOCAL] , ...)]
 *     | FROM FILES 'dir' [REGIONS (r [, r ...]) | ALL REGIONS] [CANARY r] )
 *     [WITH ( option = value , ...)]
 *
 * Names of tables and columns are SQL's: folded to lower case unless quoted. Names of migrations,
 * databases, regions, nodes and options stand as they were typed (options in lower case).
 */
#ifndef MIGRATION_GRAMMAR_H
#define MIGRATION_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"
#include "migration/types.h"

#define SPEC_ITEMS_MAX 10000 /* tables, regions or options of one statement */

enum spec_locality {
	LOCALITY_GLOBAL,
	LOCALITY_BY_TABLE, /* region: IN */
	LOCALITY_BY_ROW,
	LOCALITY_BY_ROW_AS,  /* column */
	LOCALITY_BY_ROW_MAP, /* column, map */
};
enum spec_method {
	METHOD_CHOOSE, /* not said */
	METHOD_BLOCKING,
	METHOD_CONCURRENT,
	METHOD_REFERENCE,
	METHOD_LOCAL,
};
enum spec_survival { SURVIVE_UNSAID, SURVIVE_ZONE, SURVIVE_REGION };

struct spec_name {
	char *schema; /* NULL: not said */
	char *table;
};

struct spec_table { /* of DISTRIBUTE */
	struct spec_name name;
	enum spec_method method;
};

struct spec_placing { /* of LOCALITY */
	struct spec_name name;
	enum spec_locality locality;
	char *region; /* BY TABLE IN; NULL: the primary region */
	char *column; /* BY ROW AS, BY ROW BY */
	char *map;    /* BY ROW BY */
};

struct spec {
	enum migration_kind kind;
	bool if_not_exists;
	char *name; /* NULL: it has none */
	char *database;
	char *from, *to;        /* move: a region or node each */
	char *newdb;            /* move; NULL: the same name */
	struct strlist regions; /* regions: the first is the PRIMARY one; files: in this order */
	bool all_regions;       /* files: ALL REGIONS (also where nothing was said) */
	enum spec_survival survive;
	struct spec_placing *placings;
	size_t nplacings;
	char *column;          /* distribute */
	struct spec_name root; /* distribute; root.table NULL: not said */
	struct spec_table *tables;
	size_t ntables;                 /* 0: all that can be */
	char *directory;                /* files */
	char *canary;                   /* files; NULL */
	struct strlist options, values; /* WITH, in their order; as many of each */
};

/* `text` is what follows CREATE MIGRATION. 0 and *out (fini it); or -1 and *e: 42601 with what was
 * expected, 54000 for too many items. */
int spec_parse(struct slice text, struct spec *out, struct err *e) MUST_CHECK;
void spec_fini(struct spec *s);
/* The text that spec_parse() reads as the same spec; in one line, no IF NOT EXISTS. */
void spec_put(const struct spec *s, struct buf *out);

/* "( option = value , … )" of SET MIGRATION m ( … ). */
int spec_parse_options(struct slice text, struct strlist *options, struct strlist *values,
		       struct err *e) MUST_CHECK;
/* "schema.table" or "table", quoted where SQL asks for it. */
void spec_put_name(const struct spec_name *n, struct buf *out);
/* The same, read. */
int spec_parse_name(struct slice text, struct spec_name *out, struct err *e) MUST_CHECK;
void spec_name_fini(struct spec_name *n);

const char *spec_method_words(enum spec_method m); /* "" for METHOD_CHOOSE */

#endif
