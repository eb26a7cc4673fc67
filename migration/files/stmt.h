/* SPDX-License-Identifier: PostgreSQL
 *
 * What matters of a statement of a file when it is carried out: whether a transaction may be around
 * it, and, where it may not, how to ask afterwards whether it has been carried out. A table of
 * words; everything that it does not know is an ordinary statement. Pure.
 *
 * Source: PostgreSQL documentation, the reference pages of the commands ("cannot be executed inside
 * a transaction block").
 */
#ifndef MIGRATION_FILES_STMT_H
#define MIGRATION_FILES_STMT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "protocol/sqltoken.h"

/* The tokens of a statement, up to a limit: what is behind decides nothing here. */
#define STMT_TOKENS_MAX 4096

struct stmt_token {
	enum sqltoken_kind kind;
	char mark;
	bool exact;
	struct slice text; /* without quotes */
	const char *from;  /* where it begins, quotes included */
	const char *to;    /* where it ends */
	unsigned depth;    /* parentheses around it; those themselves count as outside */
};

struct stmt_tokens {
	struct stmt_token *v;
	size_t n;
};

void stmt_tokens_read(struct stmt_tokens *t, struct slice text);
void stmt_tokens_fini(struct stmt_tokens *t);
/* Whether token i is that word, not quoted. */
bool stmt_word_is(const struct stmt_tokens *t, size_t i, const char *word);
/* Whether these words stand from token i on; `words` are separated by single blanks. How many, or
 * 0. */
size_t stmt_words_are(const struct stmt_tokens *t, size_t i, const char *words);
/* The index behind those words where they stand at token i, else i. */
size_t stmt_skip(const struct stmt_tokens *t, size_t i, const char *words);
/* The name at token i ("a", "a"."b"), as written, and the index behind it; n == 0: none. */
struct slice stmt_name(const struct stmt_tokens *t, size_t i, size_t *next);

enum stmt_what {
	STMT_PLAIN,
	STMT_ALONE,    /* in no transaction block */
	STMT_SETTING,  /* SET, RESET: of the session, said again when a file is taken up */
	STMT_BEGIN,    /* BEGIN, START TRANSACTION */
	STMT_COMMIT,   /* COMMIT, END */
	STMT_ROLLBACK, /* ROLLBACK, ABORT, PREPARE TRANSACTION … */
	STMT_COPY,     /* COPY with data that only psql would send */
};

/* How to ask whether it has been carried out. */
enum stmt_post {
	POST_UNKNOWN,     /* the catalog does not tell */
	POST_AGAIN,       /* carried out twice is carried out once */
	POST_INDEX_VALID, /* name, table */
	POST_INDEX_GONE,  /* name */
	POST_REINDEX,     /* name; on_table tells of what */
	POST_ENUM_VALUE,  /* name of the type, value */
	POST_DATABASE,    /* name */
	POST_NO_DATABASE, /* name */
	POST_TABLESPACE,  /* name */
	POST_NO_TABLESPACE,
	POST_SUBSCRIPTION, /* name */
	POST_NO_SUBSCRIPTION,
	POST_DETACHED, /* name of the partition, table */
};

struct stmt {
	enum stmt_what what;
	unsigned alone_before; /* STMT_PLAIN: alone on servers older than this */
	enum stmt_post post;
	bool on_table;
	struct slice name, table; /* as written */
	struct slice value;       /* between its quotes */
};

void stmt_read(struct slice text, struct stmt *out);

#endif
