/* SPDX-License-Identifier: PostgreSQL
 *
 * Inside proxy/import: the table of rules, and the sections that are being written.
 */
#ifndef PROXY_IMPORT_IMPORT_INT_H
#define PROXY_IMPORT_IMPORT_INT_H

#include "proxy/config/options.h"
#include "proxy/import/import.h"

/* How an old value becomes a new one. */
enum carry {
	CARRY_AS_IS,
	CARRY_SECONDS, /* a number of seconds: gets its unit */
	CARRY_MSEC,    /* a number of milliseconds */
	CARRY_WORD,    /* through `words` */
	CARRY_APART,   /* written by a function of its own (place.c, import.c) */
	CARRY_NOT,     /* it has no counterpart: see `why` */
	CARRY_COUNT
};

/* An old word and its new one; to == NULL: there is none, and `why` says so; with both, `why` is a
 * difference that the list reports. */
struct import_word {
	const char *from, *to, *why;
};

struct rule {
	const char *key; /* PgBouncer's */
	enum carry how;
	enum section_kind to;
	const char *option; /* ours */
	/* ends with from == NULL; for kinds other than CARRY_WORD only the values with a special
	 * meaning */
	const struct import_word *words;
	const char *fallback; /* PgBouncer's default, where ours differs */
	const char *why;      /* CARRY_NOT */
};

struct rules {
	const struct rule *v;
	size_t n;
};

struct rules import_rules_global(void);   /* [pgbouncer] */
struct rules import_rules_database(void); /* words of a connection string in [databases] */
const struct rule *import_rule(struct rules rules, const char *key);

/* One line of the list on stderr. */
struct import_note {
	size_t entry; /* the entry that it is about: the list is in the order of the file */
	size_t number;
	char *text;
};

/* A section of the new file while it is written. */
struct import_section {
	enum section_kind kind;
	const char *name; /* NULL: none */
	const struct option *done[OPTION_ROWS_MAX];
	size_t ndone;
	struct buf text;
};

struct import_region {
	char *name;
	char *nodes;  /* "db1:5432, db2:5432" */
	size_t entry; /* the first database that is on it */
	bool placed;  /* the name is a cloud region's, or `lat` and `lon` are written */
	bool located;
	double lat, lon;
};

struct import_database {
	const char *name;
	size_t entry;
	struct ini_words words;
	size_t region; /* index */
};

struct import {
	struct ini ini;
	struct import_note *notes;
	size_t nnotes;
	struct import_region *regions;
	size_t nregions;
	struct import_database *databases;
	size_t ndatabases;
	bool passthrough; /* `auth` is not written: then there are no pools either */
};

#define IMPORT_NO_ENTRY ((size_t)-1)

/* Note that something is not imported. */
void import_note(struct import *m, size_t entry, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Write one option with a comment that names its origin (`entry`, or IMPORT_NO_ENTRY for a default
 * of PgBouncer's); notes why where that is not possible. Does nothing if the section has the option
 * already. */
void import_put(struct import *m, struct import_section *s, const char *option, const char *value,
		size_t entry);
/* Apply a rule to a value. */
void import_apply(struct import *m, struct import_section *s, const struct rule *rule,
		  const char *value, size_t entry);
/* Index of the entry of [pgbouncer] that counts; IMPORT_NO_ENTRY: there is none. */
size_t import_global(const struct import *m, const char *key);
/* Its value, or `fallback`. */
const char *import_value(const struct import *m, const char *key, const char *fallback);

/* place.c: fill in databases and regions; -1 and *e: a connection string is malformed. */
int import_place(struct import *m, struct err *e) MUST_CHECK;

#endif
