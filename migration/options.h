/* SPDX-License-Identifier: PostgreSQL
 *
 * The options of migrations (WITH ( … ), SET MIGRATION m ( … )): one table, from which values are
 * checked, SHOW MIGRATION m OPTIONS is answered and the manual is written. An option may mean
 * something to several kinds, with one type and one default.
 */
#ifndef MIGRATION_OPTIONS_H
#define MIGRATION_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "migration/types.h"

enum migration_option_type {
	MOPT_WORDS,    /* one of migration_option.words */
	MOPT_INTERVAL, /* '500ms', '30 days' */
	MOPT_BYTES,    /* '64kB' */
	MOPT_INT,
	MOPT_BOOL, /* on, off */
	MOPT_TEXT,
	MOPT_WINDOW, /* '02:00-04:00 UTC' (migration/window.h); '': always */
};

struct migration_option {
	const char *name;
	unsigned kinds; /* 1u << KIND_…, or'ed */
	enum migration_option_type type;
	const char *words;    /* MOPT_WORDS: "online|snapshot|none" */
	const char *standard; /* the default, as text; "" : none */
	int64_t min, max;     /* of INT; 0, 0: from 0 to 2^31 - 1 */
	/* It may be set until the first step of this phase was begun; live: at any time, and what
	 * runs looks at it anew. */
	bool live;
	enum migration_phase until;
	const char *help;
};

/* Ends with a row without a name. */
extern const struct migration_option migration_options[];

/* NULL and *e (22023, with the nearest name in the hint): this kind has no such option. */
const struct migration_option *migration_option_find(enum migration_kind kind, const char *name,
						     struct err *e);
/* The value as the control schema keeps it (words and switches in lower case, intervals as
 * text_put_usec() writes them), the caller's; NULL and *e (22023). */
char *migration_option_check(const struct migration_option *def, const char *value, struct err *e);
/* Of a value that migration_option_check() let pass; 0 where it is none. */
int64_t migration_option_usec(const char *value);
int64_t migration_option_int(const char *value); /* INT and BYTES */
/* A duration as SQL writes it too: '30 days', '1 hour', '500ms', '2s'. */
bool migration_parse_interval(const char *text, int64_t *usec);
/* The table for meridian-console(7), roff man. */
void migration_options_man(struct buf *out);

#endif
