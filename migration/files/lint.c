/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/files/lint_int.h"

/* ---- findings ---- */

void
lint_say(struct lint_at *at, const struct lint_rule *rule, enum check_severity severity,
	 const char *fmt, ...)
{
	struct lint_finding f = { .rule = rule->name, .severity = severity, .fix = rule->fix };
	va_list ap;

	if (statement_allows(at->st, rule->name))
		return;
	va_start(ap, fmt);
	buf_vprintf(&f.text, fmt, ap);
	va_end(ap);
	at->lint->found(at->lint->to, &f);
	buf_fini(&f.text);
}

/* A lock or a rewrite of at->table: as grave as the table is busy. */
void
lint_say_table(struct lint_at *at, const struct lint_rule *rule, const char *what)
{
	struct buf size = { 0 };
	enum check_severity severity = CHECK_ERROR;

	if (at->is_made)
		return;
	if (at->facts.exists) {
		if (at->facts.bytes >= (int64_t)1 << 30)
			buf_printf(&size, "%.1f GB",
				   (double)at->facts.bytes / (double)((int64_t)1 << 30));
		else if (at->facts.bytes >= (int64_t)1 << 20)
			buf_printf(&size, "%.1f MB",
				   (double)at->facts.bytes / (double)((int64_t)1 << 20));
		else
			buf_printf(&size, "%lld kB", (long long)((at->facts.bytes + 1023) / 1024));
		buf_printf(&size, ", %.1f writes/s", at->facts.writes);
		if (at->facts.bytes < LINT_SMALL_BYTES && at->facts.writes < LINT_SMALL_WRITES)
			severity = CHECK_INFO;
	} else {
		buf_str(&size, "not there yet");
	}
	lint_say(at, rule, severity, "%s (%.*s: %s)", what, (int)at->table.n, at->table.p,
		 buf_text(&size));
	buf_fini(&size);
}

/* ---- tables ---- */

static bool
is_made(const struct lint *l, struct slice table)
{
	for (size_t i = 0; i < l->made.n; i++)
		if (slice_is_nocase(table, l->made.v[i]))
			return true;
	return false;
}

/* The table that the findings to come are about. */
void
lint_look_at(struct lint_at *at, struct slice table)
{
	const struct lint_facts *facts = at->lint->facts;

	at->table = table;
	at->is_made = is_made(at->lint, table);
	memset(&at->facts, 0, sizeof(at->facts));
	if (facts != NULL && facts->table != NULL && table.n > 0 && !at->is_made)
		facts->table(facts->arg, table, &at->facts);
}

void
lint_look_at_column(struct lint_at *at, struct slice column, struct lint_column *out)
{
	const struct lint_facts *facts = at->lint->facts;

	memset(out, 0, sizeof(*out));
	out->calls = -1;
	if (facts != NULL && facts->column != NULL && column.n > 0 && !at->is_made)
		facts->column(facts->arg, at->table, column, out);
}

/* ---- statements ---- */

/* Where that word stands outside of parentheses, from i on and before `end`; `end`: nowhere. */
size_t
lint_find(const struct stmt_tokens *t, size_t i, size_t end, const char *words)
{
	unsigned depth = i < t->n ? t->v[i].depth : 0;

	for (; i < end; i++)
		if (t->v[i].depth == depth && stmt_words_are(t, i, words) > 0)
			return i;
	return end;
}

static void
check_create_index(struct lint_at *at, size_t i)
{
	static const struct lint_rule blocking = {
		"require-concurrent-index-creation",
		"CREATE INDEX CONCURRENTLY, in a file with -- meridian: no-transaction",
	}, in_transaction = {
		"ban-concurrent-index-creation-in-transaction",
		"Put it into a file of its own, or say -- meridian: no-transaction.",
	}, no_name = {
		"concurrent-index-without-a-name",
		"Name the index, so that it can be told whether it was built.",
	};
	const struct stmt_tokens *t = &at->t;
	bool concurrently = stmt_word_is(t, i, "concurrently");

	i = stmt_skip(t, i + concurrently, "if not exists");
	if (concurrently && at->in_transaction)
		lint_say(at, &in_transaction, CHECK_ERROR,
			 "CONCURRENTLY cannot run in a transaction");
	if (concurrently && stmt_word_is(t, i, "on"))
		lint_say(at, &no_name, CHECK_ERROR,
			 "an index without a name cannot be found again after a crash");
	if (!stmt_word_is(t, i, "on"))
		stmt_name(t, i, &i);
	i = stmt_skip(t, stmt_skip(t, i, "on"), "only");
	lint_look_at(at, stmt_name(t, i, &i));
	if (!concurrently)
		lint_say_table(at, &blocking, "writes wait while the index is built");
}

static void
check_drop_index(struct lint_at *at, size_t i)
{
	static const struct lint_rule rule = {
		"require-concurrent-index-deletion",
		"DROP INDEX CONCURRENTLY, in a file with -- meridian: no-transaction",
	};

	if (!stmt_word_is(&at->t, i, "concurrently"))
		lint_say(at, &rule, CHECK_WARN,
			 "reads and writes of the table wait for the exclusive lock");
}

static void
check_drop_table(struct lint_at *at, size_t i)
{
	static const struct lint_rule rule = {
		"ban-drop-table", "Rename it first, and drop it when nobody has missed it."
	};
	size_t next;

	i = stmt_skip(&at->t, i, "if exists");
	lint_look_at(at, stmt_name(&at->t, i, &next));
	if (!at->is_made)
		lint_say(at, &rule, CHECK_WARN, "what still reads or writes %.*s will fail",
			 (int)at->table.n, at->table.p);
}

static void
check_drop_database(struct lint_at *at, size_t i)
{
	static const struct lint_rule rule = { "ban-drop-database", "Drop it by hand." };

	(void)i;
	lint_say(at, &rule, CHECK_ERROR, "a database with all that is in it");
}

static void
check_truncate(struct lint_at *at, size_t i)
{
	static const struct lint_rule cascade = { "ban-truncate-cascade",
						  "Name each table that is to be emptied." };
	const struct stmt_tokens *t = &at->t;

	if (lint_find(t, i, t->n, "cascade") < t->n)
		lint_say(at, &cascade, CHECK_ERROR,
			 "tables that refer to this one are emptied too, whichever they are");
}

static void
check_create_table(struct lint_at *at, size_t i)
{
	struct slice table = stmt_name(&at->t, stmt_skip(&at->t, i, "if not exists"), &i);

	if (table.n > 0 && !is_made(at->lint, table))
		strlist_add_slice(&at->lint->made, table.p, table.n);
}

static void
check_rename_schema(struct lint_at *at, size_t i)
{
	static const struct lint_rule rule = {
		"rename-schema", "Make a new schema, and move to it in several releases."
	};
	size_t next;

	stmt_name(&at->t, i, &next);
	if (stmt_words_are(&at->t, next, "rename to") > 0)
		lint_say(at, &rule, CHECK_ERROR, "what names the old schema fails at once");
}

static void
check_domain(struct lint_at *at, size_t i)
{
	static const struct lint_rule rule = {
		"ban-alter-domain-with-add-constraint",
		"ALTER DOMAIN … ADD … NOT VALID, then VALIDATE CONSTRAINT in another file.",
	};
	const struct stmt_tokens *t = &at->t;
	size_t next;

	stmt_name(t, i, &next);
	if (stmt_words_are(t, next, "add") > 0 && lint_find(t, next, t->n, "not valid") == t->n)
		lint_say(at, &rule, CHECK_WARN,
			 "every table with such a column is read and locked");
}

static void
check_refresh(struct lint_at *at, size_t i)
{
	static const struct lint_rule rule = {
		"require-concurrent-refresh-materialized-view",
		"REFRESH MATERIALIZED VIEW CONCURRENTLY (it needs a unique index)",
	};

	if (!stmt_word_is(&at->t, i, "concurrently"))
		lint_say(at, &rule, CHECK_WARN, "nobody can read the view until it is filled");
}

static void
check_reindex(struct lint_at *at, size_t i)
{
	static const struct lint_rule rule = {
		"require-concurrent-reindex",
		"REINDEX … CONCURRENTLY, in a file with -- meridian: no-transaction",
	};

	if (lint_find(&at->t, i, at->t.n, "concurrently") == at->t.n)
		for (; i < at->t.n; i++)
			if (stmt_word_is(&at->t, i, "concurrently"))
				return;
	if (i >= at->t.n)
		lint_say(at, &rule, CHECK_ERROR, "writes wait while the index is built");
}

static void
check_rewrite(struct lint_at *at, size_t i)
{
	static const struct lint_rule rule = {
		"table-rewrite", "pg_repack does this without the lock, or do it in a pause."
	};
	const struct stmt_tokens *t = &at->t;
	bool is_full = stmt_word_is(t, 0, "cluster");
	size_t next;

	for (size_t k = i; k < t->n; k++)
		is_full = is_full || stmt_word_is(t, k, "full");
	if (!is_full)
		return;
	if (i < t->n && t->v[i].mark == '(')
		while (i < t->n && t->v[i++].mark != ')')
			;
	while (stmt_word_is(t, i, "full") || stmt_word_is(t, i, "verbose") ||
	       stmt_word_is(t, i, "analyze") || stmt_word_is(t, i, "freeze"))
		i++;
	lint_look_at(at, stmt_name(t, i, &next));
	lint_say_table(at, &rule, "the table is written anew under an exclusive lock");
}

static void
check_write(struct lint_at *at, size_t i)
{
	static const struct lint_rule rule = {
		"backfill", "In batches, outside of this file, or with a WHERE that picks few rows."
	};
	const struct stmt_tokens *t = &at->t;
	size_t next;

	if (lint_find(t, i, t->n, "where") < t->n)
		return;
	i = stmt_skip(t, i, "only");
	lint_look_at(at, stmt_name(t, i, &next));
	lint_say_table(at, &rule, "every row is written, and locked until the end");
}

static void
check_setting(struct lint_at *at, size_t i)
{
	static const struct lint_rule rule = {
		"require-timeout-settings",
		"Leave lock_timeout to Meridian: SET MIGRATION m (lock_timeout = '500ms').",
	};
	const struct stmt_tokens *t = &at->t;
	size_t last = t->n;

	i = stmt_skip(t, i, "session");
	i = stmt_skip(t, i, "local");
	if (!stmt_word_is(t, i, "lock_timeout") || last == 0)
		return;
	/* 0, as a number (which is no word) or in quotes */
	if (slice_is(
		slice_of(t->v[last - 1].from, (size_t)(t->v[last - 1].to - t->v[last - 1].from)),
		"0") ||
	    slice_is(t->v[last - 1].text, "0"))
		lint_say(at, &rule, CHECK_ERROR,
			 "without lock_timeout everybody queues behind whom this waits for");
}

static void
check_lock(struct lint_at *at, size_t i)
{
	static const struct lint_rule rule = { "lock-table",
					       "Let each statement take the lock that it needs." };
	size_t next;

	i = stmt_skip(&at->t, i, "table");
	i = stmt_skip(&at->t, i, "only");
	lint_look_at(at, stmt_name(&at->t, i, &next));
	lint_say_table(at, &rule, "the lock is held until the end of the transaction");
}

static const struct {
	const char *words;
	void (*check)(struct lint_at *at, size_t i);
} checks[] = {
	{ "create index", check_create_index },
	{ "create unique index", check_create_index },
	{ "drop index", check_drop_index },
	{ "drop table", check_drop_table },
	{ "drop database", check_drop_database },
	{ "truncate", check_truncate },
	{ "create table", check_create_table },
	{ "create unlogged table", check_create_table },
	{ "create temp table", check_create_table },
	{ "create temporary table", check_create_table },
	{ "alter table", lint_alter_table },
	{ "alter schema", check_rename_schema },
	{ "alter domain", check_domain },
	{ "refresh materialized view", check_refresh },
	{ "reindex", check_reindex },
	{ "vacuum", check_rewrite },
	{ "cluster", check_rewrite },
	{ "update", check_write },
	{ "delete from", check_write },
	{ "set", check_setting },
	{ "lock", check_lock },
};

void
lint_statement(struct lint *l, const struct script_statement *st, bool in_transaction)
{
	struct lint_at at = { .lint = l, .st = st, .in_transaction = in_transaction };

	stmt_tokens_read(&at.t, st->text);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		size_t n = stmt_words_are(&at.t, 0, checks[i].words);

		if (n > 0) {
			checks[i].check(&at, n);
			break;
		}
	}
	stmt_tokens_fini(&at.t);
}

void
lint_fini(struct lint *l)
{
	strlist_fini(&l->made);
}
