/* SPDX-License-Identifier: PostgreSQL
 *
 * The option table: the only place where an option is described. The reader, SHOW CONFIG, SET,
 * --help-config, the sample file, the manual page and the reload diff are derived from it. To add
 * an option: a field in a struct conf_* (config.h) and a row in options_meridian.c or
 * options_sections.c; then regenerate conf/meridian.conf and doc/meridian.conf.5 (make
 * update-config; tests/lint/options.t fails if that was forgotten).
 */
#ifndef PROXY_CONFIG_OPTIONS_H
#define PROXY_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum section_kind {
	SECTION_MERIDIAN, /* also holds the options of [listener], for the listener "main" */
	SECTION_LISTENER,
	SECTION_REGION,
	SECTION_DATABASE,
	SECTION_KIND_COUNT
};

enum option_type {
	OPT_BOOL,     /* bool */
	OPT_INT,      /* int */
	OPT_OCTAL,    /* int: permissions */
	OPT_TIME,     /* int64_t, microseconds */
	OPT_SIZE,     /* int64_t, bytes */
	OPT_DOUBLE,   /* double */
	OPT_ENUM,     /* an enum whose constants are the indices of `words` */
	OPT_STRING,   /* char *, NULL for "" */
	OPT_CONNINFO, /* char *, libpq's keyword/value words; passwords in it are never printed */
	OPT_LIST,     /* struct strlist; `item` checks and normalises each item */
	OPT_NETWORKS, /* struct cidrlist */
	OPT_ORIGINS,  /* conf_region.networks and endpoints */
	OPT_TLV,      /* int: a type of TLV of the custom range, 0 for off */
	OPT_SOURCES,  /* conf_main.locality and nlocality */
	OPT_LOCATION, /* conf_region.has_location, lat and lon */
	OPT_CONSISTENCY, /* conf_database.consistency and consistency_bound_ms */
	OPT_TYPE_COUNT
};

/* When a changed option takes effect. */
enum option_apply { APPLY_AT_ONCE, APPLY_NEW_SESSIONS, APPLY_RESTART };

/* Check one item of a list and write its normal form, NUL-terminated; false: it is no such item. */
#define OPTION_ITEM_MAX 256
typedef bool (*option_item_fn)(struct slice item, char to[OPTION_ITEM_MAX]);

struct option {
	const char *name;
	enum option_type type;
	enum option_apply apply;
	size_t offset;            /* in the struct conf_* of the section */
	const char *fallback;     /* the default as text; "" for none */
	int64_t min, max;         /* OPT_INT, OPT_OCTAL, OPT_TIME, OPT_SIZE, OPT_DOUBLE */
	const char *zero;         /* the word for 0 ("auto"), or NULL */
	const char *const *words; /* OPT_ENUM and OPT_CONSISTENCY, ends with NULL */
	int nwords;               /* only the first so many of them; 0: all */
	option_item_fn item;      /* OPT_LIST */
	const char *expected;     /* OPT_LIST: what an item is, for messages */
	bool with_host;           /* OPT_CONNINFO: host and port are allowed */
	const char *group;        /* heading in the sample file and the manual */
	const char *text;         /* one paragraph: sentences */
};

/* No section has more rows than this. */
#define OPTION_ROWS_MAX 96

struct section {
	const char *word; /* "region" */
	const char *arg;  /* "NAME", or NULL where the section takes none */
	const char *text;
	const struct option *rows;
	size_t nrows;
	size_t size; /* of its struct conf_* */
};

const struct section *section_of(enum section_kind kind);
/* The section that a word names; -1 for none. */
int section_find(struct slice word);
/* The row of an option; *kind becomes SECTION_LISTENER for a listener option in [meridian]. NULL:
 * there is none. */
const struct option *option_find(enum section_kind *kind, struct slice name);
const char *option_apply_name(enum option_apply apply); /* "at once", "new sessions", "restart" */

#endif
