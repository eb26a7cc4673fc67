/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/files/stmt.h"

#include <stdlib.h>

#include "base/mem.h"

/* ---- tokens ---- */

void
stmt_tokens_read(struct stmt_tokens *t, struct slice text)
{
	struct sqltoken_scan scan = sqltoken_begin(text);
	struct sqltoken k = { 0 };
	unsigned depth = 0;
	size_t room = 64;

	t->v = xcalloc(room, sizeof(*t->v));
	t->n = 0;
	while (t->n < STMT_TOKENS_MAX && sqltoken_next(&scan, &k)) {
		bool closes = sqltoken_is_mark(&k, ')');

		if (t->n == room)
			t->v = xreallocarray(t->v, room *= 2, sizeof(*t->v));
		if (closes && depth > 0)
			depth--;
		t->v[t->n++] = (struct stmt_token){
			.kind = k.kind,
			.mark = k.kind == SQLTOKEN_MARK ? k.mark : '\0',
			.exact = k.exact,
			.text = k.text,
			.from = k.from,
			.to = scan.p,
			.depth = depth,
		};
		depth += sqltoken_is_mark(&k, '(');
	}
}

void
stmt_tokens_fini(struct stmt_tokens *t)
{
	free(t->v);
	memset(t, 0, sizeof(*t));
}

bool
stmt_word_is(const struct stmt_tokens *t, size_t i, const char *word)
{
	return i < t->n && t->v[i].kind == SQLTOKEN_WORD && slice_is_nocase(t->v[i].text, word);
}

size_t
stmt_words_are(const struct stmt_tokens *t, size_t i, const char *words)
{
	struct slice rest = slice_str(words);
	size_t n = 0;

	while (rest.n > 0) {
		struct slice word = slice_cut(&rest, ' ');

		if (i + n >= t->n || t->v[i + n].kind != SQLTOKEN_WORD ||
		    t->v[i + n].text.n != word.n ||
		    strncasecmp(t->v[i + n].text.p, word.p, word.n) != 0)
			return 0;
		n++;
	}
	return n;
}

static bool
names(const struct stmt_tokens *t, size_t i)
{
	return i < t->n && (t->v[i].kind == SQLTOKEN_WORD || t->v[i].kind == SQLTOKEN_NAME);
}

struct slice
stmt_name(const struct stmt_tokens *t, size_t i, size_t *next)
{
	size_t last = i;

	*next = i;
	if (!names(t, i))
		return slice_of(NULL, 0);
	while (last + 2 < t->n && t->v[last + 1].mark == '.' && names(t, last + 2))
		last += 2;
	*next = last + 1;
	return slice_of(t->v[i].from, (size_t)(t->v[last].to - t->v[i].from));
}

/* ---- statements ---- */

size_t
stmt_skip(const struct stmt_tokens *t, size_t i, const char *words)
{
	return i + stmt_words_are(t, i, words);
}

/* Where a list in parentheses ends that begins at i; i where there is none. */
static size_t
skip_list(const struct stmt_tokens *t, size_t i)
{
	size_t at = i;

	if (i >= t->n || t->v[i].mark != '(')
		return i;
	while (++at < t->n)
		if (t->v[at].mark == ')' && t->v[at].depth == t->v[i].depth)
			return at + 1;
	return t->n;
}

/* Token i and all behind it, at depth 0: where that word stands; t->n: nowhere. */
static size_t
find_word(const struct stmt_tokens *t, size_t i, const char *word)
{
	for (; i < t->n; i++)
		if (t->v[i].depth == 0 && stmt_word_is(t, i, word))
			return i;
	return t->n;
}

static void
read_create_index(const struct stmt_tokens *t, size_t i, struct stmt *out)
{
	if (!stmt_word_is(t, i, "concurrently"))
		return;
	out->what = STMT_ALONE;
	out->post = POST_INDEX_VALID;
	i = stmt_skip(t, i + 1, "if not exists");
	if (!stmt_word_is(t, i, "on"))
		out->name = stmt_name(t, i, &i);
	if (!stmt_word_is(t, i, "on"))
		return;
	i = stmt_skip(t, i + 1, "only");
	out->table = stmt_name(t, i, &i);
}

static void
read_drop_index(const struct stmt_tokens *t, size_t i, struct stmt *out)
{
	if (!stmt_word_is(t, i, "concurrently"))
		return;
	out->what = STMT_ALONE;
	out->post = POST_INDEX_GONE;
	i = stmt_skip(t, i + 1, "if exists");
	out->name = stmt_name(t, i, &i);
}

/* In the list of options, or behind what is rebuilt. */
static void
read_reindex(const struct stmt_tokens *t, size_t i, struct stmt *out)
{
	size_t list = i;
	bool concurrently = false;

	i = skip_list(t, i);
	for (; list < i; list++)
		concurrently = concurrently || stmt_word_is(t, list, "concurrently");
	out->on_table = stmt_word_is(t, i, "table");
	if (!out->on_table && !stmt_word_is(t, i, "index")) {
		out->what = STMT_ALONE; /* a schema, a database */
		out->post = POST_AGAIN;
		return;
	}
	i++;
	if (stmt_word_is(t, i, "concurrently")) {
		concurrently = true;
		i++;
	}
	if (!concurrently)
		return;
	out->what = STMT_ALONE;
	out->post = POST_REINDEX;
	out->name = stmt_name(t, i, &i);
}

static void
read_alter_type(const struct stmt_tokens *t, size_t i, struct stmt *out)
{
	struct slice name = stmt_name(t, i, &i);

	if (stmt_words_are(t, i, "add value") == 0)
		return;
	i = stmt_skip(t, i + 2, "if not exists");
	out->alone_before = 120000;
	out->post = POST_ENUM_VALUE;
	out->name = name;
	if (i < t->n && t->v[i].kind == SQLTOKEN_STRING)
		out->value = t->v[i].text;
}

static void
read_alter_table(const struct stmt_tokens *t, size_t i, struct stmt *out)
{
	struct slice table, partition;

	i = stmt_skip(t, i, "if exists");
	i = stmt_skip(t, i, "only");
	table = stmt_name(t, i, &i);
	if (stmt_words_are(t, i, "detach partition") == 0)
		return;
	partition = stmt_name(t, i + 2, &i);
	if (!stmt_word_is(t, i, "concurrently"))
		return;
	out->what = STMT_ALONE;
	out->post = POST_DETACHED;
	out->table = table;
	out->name = partition;
}

static void
read_alter_database(const struct stmt_tokens *t, size_t i, struct stmt *out)
{
	stmt_name(t, i, &i);
	if (stmt_words_are(t, i, "set tablespace") == 0)
		return;
	out->what = STMT_ALONE;
	out->post = POST_AGAIN;
}

static void
read_alter_subscription(const struct stmt_tokens *t, size_t i, struct stmt *out)
{
	if (find_word(t, i, "refresh") == t->n && find_word(t, i, "publication") == t->n)
		return;
	out->what = STMT_ALONE;
	out->post = POST_AGAIN;
}

static void
read_cluster(const struct stmt_tokens *t, size_t i, struct stmt *out)
{
	i = stmt_skip(t, i, "verbose");
	if (i < t->n)
		return; /* CLUSTER of one table */
	out->what = STMT_ALONE;
	out->post = POST_AGAIN;
}

static void
read_copy(const struct stmt_tokens *t, size_t i, struct stmt *out)
{
	for (; i + 1 < t->n; i++)
		if (t->v[i].depth == 0 && (stmt_words_are(t, i, "from stdin") > 0 ||
					   stmt_words_are(t, i, "to stdout") > 0))
			out->what = STMT_COPY;
}

/* ROLLBACK TO SAVEPOINT stays inside. */
static void
read_rollback(const struct stmt_tokens *t, size_t i, struct stmt *out)
{
	i = stmt_skip(t, i, "work");
	i = stmt_skip(t, i, "transaction");
	if (!stmt_word_is(t, i, "to"))
		out->what = STMT_ROLLBACK;
}

static void
read_commit(const struct stmt_tokens *t, size_t i, struct stmt *out)
{
	if (stmt_word_is(t, i, "prepared")) {
		out->what = STMT_ALONE;
		return;
	}
	out->what = STMT_COMMIT;
}

/* SET LOCAL and SET TRANSACTION end with the transaction. */
static void
read_set(const struct stmt_tokens *t, size_t i, struct stmt *out)
{
	if (!stmt_word_is(t, i, "local") && !stmt_word_is(t, i, "transaction") &&
	    !stmt_word_is(t, i, "constraints"))
		out->what = STMT_SETTING;
}

static void
read_select(const struct stmt_tokens *t, size_t i, struct stmt *out)
{
	for (; i < t->n; i++)
		if (stmt_word_is(t, i, "create_distributed_table_concurrently") ||
		    stmt_word_is(t, i, "isolate_tenant_to_new_shard") ||
		    stmt_word_is(t, i, "citus_rebalance_wait"))
			out->what = STMT_ALONE;
}

struct rule {
	const char *words;
	void (*read)(const struct stmt_tokens *t, size_t i, struct stmt *out); /* or … */
	enum stmt_what what;
	enum stmt_post post;
};

static const struct rule rules[] = {
	{ .words = "create index", .read = read_create_index },
	{ .words = "create unique index", .read = read_create_index },
	{ .words = "drop index", .read = read_drop_index },
	{ .words = "reindex", .read = read_reindex },
	{ .words = "alter type", .read = read_alter_type },
	{ .words = "alter table", .read = read_alter_table },
	{ .words = "alter database", .read = read_alter_database },
	{ .words = "alter subscription", .read = read_alter_subscription },
	{ .words = "alter system", .what = STMT_ALONE, .post = POST_AGAIN },
	{ .words = "vacuum", .what = STMT_ALONE, .post = POST_AGAIN },
	{ .words = "cluster", .read = read_cluster },
	{ .words = "create database", .what = STMT_ALONE, .post = POST_DATABASE },
	{ .words = "drop database", .what = STMT_ALONE, .post = POST_NO_DATABASE },
	{ .words = "create tablespace", .what = STMT_ALONE, .post = POST_TABLESPACE },
	{ .words = "drop tablespace", .what = STMT_ALONE, .post = POST_NO_TABLESPACE },
	{ .words = "create subscription", .what = STMT_ALONE, .post = POST_SUBSCRIPTION },
	{ .words = "drop subscription", .what = STMT_ALONE, .post = POST_NO_SUBSCRIPTION },
	{ .words = "copy", .read = read_copy },
	{ .words = "begin", .what = STMT_BEGIN },
	{ .words = "start transaction", .what = STMT_BEGIN },
	{ .words = "commit", .read = read_commit },
	{ .words = "end", .what = STMT_COMMIT },
	{ .words = "rollback", .read = read_rollback },
	{ .words = "abort", .what = STMT_ROLLBACK },
	{ .words = "prepare transaction", .what = STMT_ROLLBACK },
	{ .words = "set", .read = read_set },
	{ .words = "reset", .what = STMT_SETTING },
	{ .words = "select", .read = read_select },
};

void
stmt_read(struct slice text, struct stmt *out)
{
	struct stmt_tokens t;

	memset(out, 0, sizeof(*out));
	stmt_tokens_read(&t, text);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		size_t n = stmt_words_are(&t, 0, rules[i].words);

		if (n == 0)
			continue;
		if (rules[i].read != NULL) {
			rules[i].read(&t, n, out);
			break;
		}
		out->what = rules[i].what;
		out->post = rules[i].post;
		if (out->post != POST_AGAIN && out->post != POST_UNKNOWN)
			out->name = stmt_name(&t, stmt_skip(&t, n, "if exists"), &n);
		break;
	}
	stmt_tokens_fini(&t);
}
