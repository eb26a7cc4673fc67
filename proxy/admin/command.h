/* SPDX-License-Identifier: PostgreSQL
 *
 * What a command module gives to the console: a table of struct command. A row says how the command
 * is spelled, who may run it, what it answers and how; the parser, HELP and meridian-console(7) are
 * derived from it.
 *
 * Syntax (`words`, then `args`): KEYWORDS, <values>, (one | of | these), [optional], <value...> for
 * the rest of the statement, '(' for a character that would mean something else. Optional parts
 * that are next to each other may be given in any order.
 *
 * A run is one execution of a command: begin once, row until it says that nothing follows, end once
 * in any case (also when the operator hangs up). `row` produces one row, or some, and returns soon:
 * the console yields to the event loop between chunks, and stops calling while the client does not
 * read. A command that needs another thread posts a letter that holds run_hold() and returns
 * STEP_WAIT; the letter's return calls run_find() with it, and run_resume() to be called again.
 */
#ifndef PROXY_ADMIN_COMMAND_H
#define PROXY_ADMIN_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "proxy/admin/console.h"
#include "proxy/admin/resultset.h"

struct run;
struct node;
struct run_hold;
struct run_wake;
struct statement;
struct world;

enum step {
	STEP_MORE,  /* call again */
	STEP_YIELD, /* call again, after other connections had their turn */
	STEP_DONE,
	STEP_WAIT, /* a letter is on its way; run_resume() will be called */
	STEP_FAIL, /* run->err says why */
};

struct command {
	const char *words;
	const char *args;
	enum privilege privilege;
	const struct column *columns; /* NULL: no rows, only a command tag */
	uint16_t ncolumns;
	const char *tag;  /* NULL: the first word; rows are counted behind "SELECT" */
	const void *data; /* the module's own */
	/* Where several commands are spelled alike: whether the statement is this one. */
	bool (*fits)(const struct statement *st);
	/* Where the column depends on the arguments: fills st->own_column. */
	void (*describe)(struct statement *st);
	int (*begin)(struct run *r);     /* -1: failed with r->err; `end` is called all the same */
	enum step (*row)(struct run *r); /* NULL: the run is done after `begin` */
	void (*end)(struct run *r);
	/* The statement was cancelled. The command fills in `e` where another error than "canceling
	 * statement" tells the client what that means. `end` follows. */
	void (*cancel)(struct run *r, struct err *e);
	bool keeps_text;     /* statement.text is wanted */
	const char *help;    /* NULL: not listed (what drivers send by themselves) */
	const char *brief;   /* the help in at most BRIEF_MAX characters, where `help` has more */
	const char *example; /* as an administrator types it */
	const char *answer;  /* rows that the example answers, values between '|'; NULL: it answers
				with a tag */
};

#define BRIEF_MAX 63

/* A module's table, as listed in commands.c. */
struct command_table {
	const struct command *commands;
	size_t n;
};

#define COLUMNS(c) .columns = (c), .ncolumns = sizeof(c) / sizeof((c)[0])
#define COMMAND_TABLE(name, rows) \
	const struct command_table name = { (rows), sizeof(rows) / sizeof((rows)[0]) }

struct run {
	struct console *console;
	const struct statement *statement;
	const struct command *command;
	struct worker *worker;
	struct world *world; /* as it was when the run began; the run holds one reference */
	struct rows rows;    /* built, not yet queued for the client */
	size_t at;           /* for the command; begins at 0 */
	void *state;         /* the command's own, freed by its `end` */
	struct err err;
	char tag[128]; /* "": the tag of the command is sent */
	struct run_hold *hold;
};

/* The value given for a placeholder, by its name without brackets; NULL where it was left out. */
const char *run_arg(const struct run *r, const char *name);
/* The same, as a copy that the caller frees. */
char *run_arg_dup(const struct run *r, const char *name);
/* Whether the statement has this keyword of `args`. */
bool run_has(const struct run *r, const char *keyword);
/* Find a region or node of the run's world by its name. Where there is none they return -1 or NULL,
 * and set r->err (42704). */
int run_region(struct run *r, const char *name);
const struct node *run_node(struct run *r, const char *name);
/* The id of the session that the console belongs to. */
uint64_t run_session(const struct run *r);
/* Sends the client a WARNING or NOTICE. */
void run_notice(struct run *r, const char *severity, const struct err *e);

/* Answer with a COPY to the client, one line at a time. */
void run_copy_begin(struct run *r);
void run_copy_line(struct run *r, const char *line);
void run_copy_end(struct run *r);

/* A letter carries this in place of a pointer to the run, which may end before it returns. Any
 * thread may hold and drop. */
struct run_hold *run_hold(struct run *r);
/* Returns the run, or NULL where it has ended since, and drops the hold. Only the console's worker
 * calls it. */
struct run *run_find(struct run_hold *hold);
/* Called after run_find(): the console calls `row` again. The run may be gone when this returns. */
void run_resume(struct run *r);

/* A letter to the console's worker that resumes the run when it arrives. Any thread may post it;
 * one that was not posted is freed by run_wake_free(), which takes NULL too. */
struct run_wake *run_wake_new(struct run *r);
void run_wake_post(void *wake);
void run_wake_free(struct run_wake *w);

#endif
