/* SPDX-License-Identifier: PostgreSQL
 *
 * The syntax of the configuration file: INI as libinih reads it, with a line reader of our own
 * before it, which counts lines, sees sections without options, cuts comments, and refuses what the
 * library would cut without an error (doc/decisions/0001-inih.md). It reads only memory.
 *
 * Origins remember where each section and option was written, for later checks.
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
	const char *file; /* borrowed; NULL: no file was read */
	struct origin *v;
	size_t n;
};

void origins_fini(struct origins *o);
/* The line of an option, or with NULL of its section; 0: it is not in the file. */
int origins_line(const struct origins *o, enum section_kind kind, size_t index,
		 const struct option *option);

/* Read a file's text into `c`, which holds the defaults. `file` names it in messages. */
int config_parse(struct config *c, struct slice text, const char *file, struct origins *origins,
		 struct err *e) MUST_CHECK;

/* Whether a section may have this name, and what a good name looks like. */
bool config_name_is_good(enum section_kind kind, struct slice name);
const char *config_name_expected(enum section_kind kind);

/* An empty configuration: defaults, the listener "main", no region. One reference. */
struct config *config_new(void);
/* Set a section's options to the defaults of the option table. */
void config_set_defaults(struct config *c, enum section_kind kind, size_t index);
/* After a copy of the structure: give the copy sections of its own; free them. */
void config_own_sections(struct config *c);
void config_free_sections(struct config *c);
/* Append a section of a kind with names, with its defaults; returns its index. The configuration
 * owns `take_name` from now on. */
size_t config_add_section(struct config *c, enum section_kind kind, char *take_name);
/* Index of a section by its exact name; -1: there is none. */
int config_find_section(const struct config *c, enum section_kind kind, struct slice name);
/* The struct conf_* of a section. */
void *config_section(struct config *c, enum section_kind kind, size_t index);
size_t config_count(const struct config *c, enum section_kind kind);
const char *config_section_name(const struct config *c, enum section_kind kind, size_t index);

#endif
