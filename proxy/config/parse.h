/* SPDX-License-Identifier: PostgreSQL
 *
 * The syntax of the configuration file: INI as libinih reads it, with a line reader of our own in
 * front of it, which counts lines, sees sections that have no option, cuts comments, and refuses
 * what the library would silently cut (doc/decisions/0001-inih.md). Text in, struct config out; the
 * only thing that is read is memory.
 *
 * Origins remember where each section and option was written, for the checks that come later.
 */
#ifndef PROXY_CONFIG_PARSE_H
#define PROXY_CONFIG_PARSE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"
#include "proxy/config/options.h"

struct config;

#define CONFIG_FILE_MAX ((size_t)4 << 20)

struct origin {
	enum section_kind kind;
	size_t index; /* in the array of its kind; 0 for [meridian] */
	int line;
	int option_line[OPTION_ROWS_MAX];   /* 0: not set */
	int listener_line[OPTION_ROWS_MAX]; /* [meridian]: the options of the listener "main" */
};

struct origins {
	const char *file; /* borrowed; NULL: nothing was read */
	struct origin *v;
	size_t n;
};

void origins_fini(struct origins *o);
/* The line of an option, or with NULL of its section; 0 where it does not stand in the file. */
int origins_line(const struct origins *o, enum section_kind kind, size_t index,
		 const struct option *option);

/* Read a whole file's text into `c`, which holds the defaults. `file` names it in messages. */
int config_parse(struct config *c, struct slice text, const char *file, struct origins *origins,
		 struct err *e) MUST_CHECK;

/* Whether a section may have this name, and what is expected of one. */
bool config_name_is_good(enum section_kind kind, struct slice name);
const char *config_name_expected(enum section_kind kind);

/* An empty configuration: defaults, the listener "main", no region. One reference. */
struct config *config_new(void);
/* What the options' table has for it. */
void config_set_defaults(struct config *c, enum section_kind kind, size_t index);
/* Have copies of one's own of what a copy of the structure has in common with its original; free
 * them. */
void config_own_sections(struct config *c);
void config_free_sections(struct config *c);
/* Append a section of a kind that has a name, with its defaults; returns its index. `take_name` is
 * owned by the configuration from now on. */
size_t config_add_section(struct config *c, enum section_kind kind, char *take_name);
/* Index of a section by its name, exactly; -1 where there is none. */
int config_find_section(const struct config *c, enum section_kind kind, struct slice name);
/* The struct conf_* of a section. */
void *config_section(struct config *c, enum section_kind kind, size_t index);
size_t config_count(const struct config *c, enum section_kind kind);
const char *config_section_name(const struct config *c, enum section_kind kind, size_t index);

#endif
