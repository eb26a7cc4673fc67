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
	CARRY_APART,   /* what becomes of it is written in C (place.c, import.c) */
	CARRY_NOT,     /* nothing takes it: `why` */
	CARRY_COUNT
};

/* An old word and its new one; to == NULL: there is none, and `why` says so; with both, `why` is a
 * difference that the list tells. */
struct import_word {
	const char *from, *to, *why;
};

struct rule {
	const char *key; /* PgBouncer's */
	enum carry how;
	enum section_kind to;
	const char *option;              /* ours */
	const struct import_word *words; /* ends with from == NULL; but for CARRY_WORD only the
					    values with a meaning of their own */
	const char *fallback;            /* PgBouncer's default where ours is another */
	const char *why;                 /* CARRY_NOT */
};

struct rules {
	const struct rule *v;
	size_t n;
};

struct rules import_rules_global(void);   /* [pgbouncer] */
struct rules import_rules_database(void); /* words of a connection string in [databases] */
const struct rule *import_rule(struct rules rules, const char *key);

/* One thing that is said on stderr. */
struct import_note {
	size_t entry; /* whose it is: the list is in the order of the file */
	size_t number;
	char *text;
};

/* A section of the new file that is being written. */
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
	size_t entry; /* the first database that is there */
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

/* Say that something is not carried over. */
void import_note(struct import *m, size_t entry, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Write one option with a comment that names its origin (`entry`, or IMPORT_NO_ENTRY for a default
 * of PgBouncer's); says why where that cannot be. Does nothing where the section has it already. */
void import_put(struct import *m, struct import_section *s, const char *option, const char *value,
		size_t entry);
/* What a rule makes of a value. */
void import_apply(struct import *m, struct import_section *s, const struct rule *rule,
		  const char *value, size_t entry);
/* Index of the entry of [pgbouncer] that counts; IMPORT_NO_ENTRY where there is none. */
size_t import_global(const struct import *m, const char *key);
/* Its value, or `fallback`. */
const char *import_value(const struct import *m, const char *key, const char *fallback);

/* place.c: fill databases and regions; -1 and *e for what is no connection string. */
int import_place(struct import *m, struct err *e) MUST_CHECK;

#endif
