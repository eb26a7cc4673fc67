/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/classify_int.h"

#include <stdlib.h>
#include <string.h>

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include "base/mem.h"
#include "base/text.h"
#include "protocol/sqltoken.h"
#include "routing/classify_catalog.h"

/* A tree that is deeper is not walked: a list of ORs is flat, and what people write is not so deep.
 */
#define DEPTH_MAX 400

struct walk {
	struct classify *out;
	const struct classify_catalog *catalog; /* or NULL */
	unsigned depth;
};

static const struct {
	const char *name, *text;
} reasons[] = {
#define R(name, text) { #name, text },
	CLASSIFY_REASONS(R)
#undef R
};

const char *
classify_reason_name(enum classify_reason reason)
{
	return reasons[reason].name;
}

const char *
classify_reason_text(enum classify_reason reason)
{
	return reasons[reason].text;
}

/* The first reason that is found stays. */
static void
decide(struct walk *w, enum classify_reason reason, const char *what)
{
	if (w->out->reason != CLASSIFY_READ)
		return;
	w->out->reason = reason;
	(void)text_copy(w->out->what, sizeof(w->out->what), slice_str(what));
}

/* ---- names ---- */

/* A name, and what its schema says of it. */
struct said {
	const char *name;
	bool may_be_own; /* it has none, or PostgreSQL's */
	bool may_be_app; /* it has none, or another one */
};

/* Of a.b.c; false: it is not made of strings. */
static bool
read_name(PgQuery__Node *const *names, size_t n, struct said *out)
{
	bool has_own_schema;

	*out = (struct said){ NULL, true, true };
	for (size_t i = 0; i < n; i++) {
		if (names[i]->node_case != PG_QUERY__NODE__NODE_STRING)
			return false;
		out->name = names[i]->string->sval;
		if (i + 1 == n)
			return true;
		has_own_schema = strcmp(out->name, "pg_catalog") == 0;
		out->may_be_own = has_own_schema;
		out->may_be_app = !has_own_schema;
	}
	return false;
}

/* What is said, by PostgreSQL's list of such names, and by the catalog. */
static bool
is_safe(const struct walk *w, const struct said *said, enum classify_kind kind)
{
	static bool (*const knows[])(const char *name) = {
		[CLASSIFY_A_FUNCTION] = classify_knows_function,
		[CLASSIFY_AN_OPERATOR] = classify_knows_operator,
		[CLASSIFY_A_TYPE] = classify_knows_type,
	};

	if (said->may_be_own && knows[kind](said->name))
		return !said->may_be_app ||
		       !classify_catalog_is_unsafe(w->catalog, kind, said->name);
	return said->may_be_app && classify_catalog_is_safe(w->catalog, kind, said->name);
}

static void
look_up(struct walk *w, PgQuery__Node *const *names, size_t n, enum classify_kind kind)
{
	static const enum classify_reason reasons_of[] = {
		[CLASSIFY_A_FUNCTION] = CLASSIFY_FUNCTION,
		[CLASSIFY_AN_OPERATOR] = CLASSIFY_OPERATOR,
		[CLASSIFY_A_TYPE] = CLASSIFY_TYPE,
	};
	struct said said;

	if (!read_name(names, n, &said))
		decide(w, reasons_of[kind], "");
	else if (!is_safe(w, &said, kind))
		decide(w, reasons_of[kind], said.name);
}

static void
on_function(struct walk *w, const ProtobufCMessage *m)
{
	const PgQuery__FuncCall *f = (const PgQuery__FuncCall *)m;

	look_up(w, f->funcname, f->n_funcname, CLASSIFY_A_FUNCTION);
}

static void
on_expression(struct walk *w, const ProtobufCMessage *m)
{
	const PgQuery__AExpr *e = (const PgQuery__AExpr *)m;

	/* BETWEEN, LIKE and SIMILAR have names that are no operators, and stand for those */
	if (e->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP ||
	    e->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY ||
	    e->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP_ALL)
		look_up(w, e->name, e->n_name, CLASSIFY_AN_OPERATOR);
}

static void
on_sort(struct walk *w, const ProtobufCMessage *m)
{
	const PgQuery__SortBy *s = (const PgQuery__SortBy *)m;

	if (s->n_use_op > 0)
		look_up(w, s->use_op, s->n_use_op, CLASSIFY_AN_OPERATOR);
}

static void
on_type(struct walk *w, const ProtobufCMessage *m)
{
	const PgQuery__TypeName *t = (const PgQuery__TypeName *)m;

	look_up(w, t->names, t->n_names, CLASSIFY_A_TYPE);
}

/* Views of PostgreSQL's that show a server or a session, and not the database. */
static void
on_relation(struct walk *w, const ProtobufCMessage *m)
{
	static const char *const own[] = {
		"pg_backend_memory_contexts",
		"pg_config",
		"pg_cursors",
		"pg_file_settings",
		"pg_hba_file_rules",
		"pg_ident_file_mappings",
		"pg_locks",
		"pg_prepared_",
		"pg_replication_",
		"pg_sequences", /* a standby has replayed values that are not drawn yet */
		"pg_settings",
		"pg_shmem_",
		"pg_stat_",
		"pg_statio_",
		"pg_wait_",
		"pg_aios",
	};
	const PgQuery__RangeVar *r = (const PgQuery__RangeVar *)m;

	if (slice_starts(slice_str(r->schemaname), "pg_temp"))
		decide(w, CLASSIFY_RELATION, r->schemaname);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if (slice_starts(slice_str(r->relname), own[i]))
			decide(w, CLASSIFY_RELATION, r->relname);
	}
}

/* ---- statements ---- */

static void
on_select(struct walk *w, const ProtobufCMessage *m)
{
	const PgQuery__SelectStmt *s = (const PgQuery__SelectStmt *)m;

	if (s->into_clause != NULL)
		decide(w, CLASSIFY_INTO, "");
	if (s->n_locking_clause > 0)
		decide(w, CLASSIFY_LOCKS, "");
}

static void
on_copy(struct walk *w, const ProtobufCMessage *m)
{
	const PgQuery__CopyStmt *c = (const PgQuery__CopyStmt *)m;

	/* no change that ends with its answer: what is sent behind it, it would read */
	if (c->is_from)
		decide(w, CLASSIFY_STATEMENT, "COPY FROM");
	else if (c->is_program || c->filename[0] != '\0')
		decide(w, CLASSIFY_STATEMENT, "COPY to a file");
}

static const char *
constant_text(const PgQuery__Node *n)
{
	bool is_text = n != NULL && n->node_case == PG_QUERY__NODE__NODE_A_CONST &&
		       n->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL;

	return is_text ? n->a_const->sval->sval : "";
}

static bool
is_true(const PgQuery__Node *n)
{
	return n != NULL && n->node_case == PG_QUERY__NODE__NODE_A_CONST &&
	       n->a_const->val_case == PG_QUERY__A__CONST__VAL_IVAL && n->a_const->ival->ival != 0;
}

/* BEGIN READ ONLY. What is SERIALIZABLE no standby opens. */
static void
on_transaction(struct walk *w, const ProtobufCMessage *m)
{
	const PgQuery__TransactionStmt *t = (const PgQuery__TransactionStmt *)m;
	bool opens = t->kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN ||
		     t->kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START;
	bool is_read_only = false, is_serializable = false, has_mode = false;
	enum classify_reason reason = CLASSIFY_TRANSACTION;

	for (size_t i = 0; i < t->n_options; i++) {
		const PgQuery__DefElem *option = t->options[i]->def_elem;

		if (t->options[i]->node_case != PG_QUERY__NODE__NODE_DEF_ELEM)
			continue;
		if (strcmp(option->defname, "transaction_read_only") == 0) {
			has_mode = true;
			is_read_only = is_true(option->arg);
		} else if (strcmp(option->defname, "transaction_isolation") == 0) {
			is_serializable = strcmp(constant_text(option->arg), "serializable") == 0;
		}
	}
	if (opens && !is_serializable && is_read_only)
		reason = CLASSIFY_READ_ONLY;
	else if (opens && !is_serializable && !has_mode)
		reason = CLASSIFY_BEGIN;
	decide(w, reason, "");
}

static void
on_change(struct walk *w, const ProtobufCMessage *m)
{
	decide(w, CLASSIFY_CHANGES, m->descriptor->short_name);
}

/* ---- the tree ---- */

/* Every kind of message that is known to read, sorted by byte; `on` looks at it first. */
static const struct kind {
	const char *name;
	void (*on)(struct walk *w, const ProtobufCMessage *m);
} kinds[] = {
	{ "AArrayExpr", NULL },
	{ "AConst", NULL },
	{ "AExpr", on_expression },
	{ "AIndices", NULL },
	{ "AIndirection", NULL },
	{ "AStar", NULL },
	{ "Alias", NULL },
	{ "BitString", NULL },
	{ "BoolExpr", NULL },
	{ "Boolean", NULL },
	{ "BooleanTest", NULL },
	{ "CTECycleClause", NULL },
	{ "CTESearchClause", NULL },
	{ "CaseExpr", NULL },
	{ "CaseWhen", NULL },
	{ "CoalesceExpr", NULL },
	{ "CollateClause", NULL },
	{ "ColumnDef", NULL },
	{ "ColumnRef", NULL },
	{ "CommonTableExpr", NULL },
	{ "CopyStmt", on_copy },
	{ "DefElem", NULL },
	{ "DeleteStmt", on_change },
	{ "ExplainStmt", NULL },
	{ "Float", NULL },
	{ "FuncCall", on_function },
	{ "GroupingFunc", NULL },
	{ "GroupingSet", NULL },
	{ "InsertStmt", on_change },
	{ "Integer", NULL },
	{ "JoinExpr", NULL },
	{ "List", NULL },
	{ "MergeStmt", on_change },
	{ "MinMaxExpr", NULL },
	{ "NamedArgExpr", NULL },
	{ "Node", NULL },
	{ "NullTest", NULL },
	{ "ParamRef", NULL },
	{ "RangeFunction", NULL },
	{ "RangeSubselect", NULL },
	{ "RangeTableFunc", NULL },
	{ "RangeTableFuncCol", NULL },
	{ "RangeTableSample", NULL },
	{ "RangeVar", on_relation },
	{ "RawStmt", NULL },
	{ "ResTarget", NULL },
	{ "RowExpr", NULL },
	{ "SQLValueFunction", NULL },
	{ "SelectStmt", on_select },
	{ "SortBy", on_sort },
	{ "String", NULL },
	{ "SubLink", NULL },
	{ "TransactionStmt", on_transaction },
	{ "TypeCast", NULL },
	{ "TypeName", on_type },
	{ "UpdateStmt", on_change },
	{ "WindowDef", NULL },
	{ "WithClause", NULL },
	{ "XmlExpr", NULL },
	{ "XmlSerialize", NULL },
};

static int
by_name(const void *key, const void *element)
{
	const struct kind *kind = element;

	return strcmp(key, kind->name);
}

static void visit(struct walk *w, const ProtobufCMessage *m);

/* A message that a field holds, or NULL, or each of those that it holds. */
static void
visit_field(struct walk *w, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field)
{
	const char *at = (const char *)m;
	const void *member = at + field->offset;
	size_t n;

	if (field->type != PROTOBUF_C_TYPE_MESSAGE)
		return;
	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		ProtobufCMessage *const *all = *(ProtobufCMessage *const *const *)member;

		memcpy(&n, at + field->quantifier_offset, sizeof(n));
		for (size_t i = 0; i < n; i++)
			visit(w, all[i]);
	} else {
		visit(w, *(ProtobufCMessage *const *)member);
	}
}

/* Of a union only one member is there; its case is the field's number. */
static void
visit_node(struct walk *w, const PgQuery__Node *n)
{
	const ProtobufCFieldDescriptor *field =
	    protobuf_c_message_descriptor_get_field(n->base.descriptor, (unsigned)n->node_case);

	if (field != NULL)
		visit_field(w, &n->base, field);
}

static void
visit_fields(struct walk *w, const ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;

	if (d == &pg_query__node__descriptor) {
		visit_node(w, (const PgQuery__Node *)m);
		return;
	}
	if (d == &pg_query__a__const__descriptor)
		return; /* a union of constants */
	for (unsigned i = 0; i < d->n_fields; i++)
		visit_field(w, m, &d->fields[i]);
}

static void
visit(struct walk *w, const ProtobufCMessage *m)
{
	const struct kind *kind;

	if (m == NULL || w->out->reason != CLASSIFY_READ)
		return;
	kind = bsearch(m->descriptor->short_name, kinds, sizeof(kinds) / sizeof(kinds[0]),
		       sizeof(kinds[0]), by_name);
	if (kind == NULL || w->depth >= DEPTH_MAX) {
		decide(w, w->depth <= 2 ? CLASSIFY_STATEMENT : CLASSIFY_EXPRESSION,
		       m->descriptor->short_name);
		return;
	}
	if (kind->on != NULL)
		kind->on(w, m);
	w->depth++;
	visit_fields(w, m);
	w->depth--;
}

/* A transaction that may be read-only is opened by a text of its own only. */
static void
look(struct walk *w, const PgQuery__ParseResult *tree)
{
	for (size_t i = 0; i < tree->n_stmts; i++) {
		visit(w, &tree->stmts[i]->base);
		if ((w->out->reason == CLASSIFY_READ_ONLY || w->out->reason == CLASSIFY_BEGIN) &&
		    tree->n_stmts > 1)
			w->out->reason = CLASSIFY_TRANSACTION;
	}
}

static void
parse(const char *sql, const struct classify_catalog *catalog, struct classify *out)
{
	PgQueryProtobufParseResult parsed = pg_query_parse_protobuf(sql);
	PgQuery__ParseResult *tree = NULL;
	struct walk w = { .out = out, .catalog = catalog };

	if (parsed.error == NULL)
		tree = pg_query__parse_result__unpack(NULL, parsed.parse_tree.len,
						      (const uint8_t *)parsed.parse_tree.data);
	if (tree == NULL) {
		decide(&w, CLASSIFY_UNPARSABLE, "");
	} else {
		look(&w, tree);
		pg_query__parse_result__free_unpacked(tree, NULL);
	}
	pg_query_free_protobuf_parse_result(parsed);
}

/* ---- texts that are too deep ---- */

/* libpg_query hands its tree out by recursion, with some kilobytes of stack for each level, so that
 * a text is measured before it is parsed. A tree is no deeper than the words and marks on the way
 * to its deepest part; what is listed, by commas, AND or OR, lies beside each other. A set
 * operation and a JOIN hold all of those in front of them, lists included. */
#define PATH_MAX_TOKENS 500
#define BRACKETS_MAX    128 /* and CASEs, open at once */

struct depth {
	unsigned path; /* words and marks on the way to here … */
	unsigned
	    front[BRACKETS_MAX]; /* … those in front of the list that this is in, by bracket … */
	char bracket[BRACKETS_MAX]; /* … which is (, [ or C for CASE */
	unsigned brackets;
};

static bool
open_bracket(struct depth *d, char kind)
{
	if (d->brackets + 1 >= BRACKETS_MAX)
		return false;
	d->front[++d->brackets] = ++d->path;
	d->bracket[d->brackets] = kind;
	return true;
}

static void
close_bracket(struct depth *d, char kind)
{
	if (d->brackets == 0 || d->bracket[d->brackets] != kind)
		return;
	d->path = d->front[d->brackets--];
}

static bool
is_one_of(const struct sqltoken *t, const char *const *words)
{
	while (*words != NULL && !sqltoken_is_word(t, *words))
		words++;
	return *words != NULL;
}

/* False: too many brackets. */
static bool
measure_word(struct depth *d, const struct sqltoken *t)
{
	static const char *const lists[] = { "and", "or", NULL };
	static const char *const holds[] = { "union", "intersect", "except", "join", NULL };

	if (sqltoken_is_word(t, "case"))
		return open_bracket(d, 'C');
	if (sqltoken_is_word(t, "end"))
		close_bracket(d, 'C');
	else if (is_one_of(t, lists))
		d->path = d->front[d->brackets];
	else if (is_one_of(t, holds))
		d->front[d->brackets]++;
	d->path++;
	return true;
}

static bool
measure_mark(struct depth *d, char mark)
{
	switch (mark) {
	case '(':
	case '[':
		return open_bracket(d, mark);
	case ')':
		close_bracket(d, '(');
		break;
	case ']':
		close_bracket(d, '[');
		break;
	case ',':
	case ';':
		d->path = d->front[d->brackets];
		break;
	case '0':
	case '$':
	case '.':
		break;
	default:
		d->path++;
	}
	return true;
}

static bool
is_too_deep(struct slice sql)
{
	struct sqltoken_scan scan = sqltoken_begin(sql);
	struct depth d = { 0 };
	bool is_part = false; /* of a name, behind its dot: and that may be called AND */
	struct sqltoken t;

	while (sqltoken_next(&scan, &t)) {
		if (t.kind == SQLTOKEN_MARK && !measure_mark(&d, t.mark))
			return true;
		if (t.kind == SQLTOKEN_WORD && !is_part && !measure_word(&d, &t))
			return true;
		if (d.path > PATH_MAX_TOKENS)
			return true;
		is_part = sqltoken_is_mark(&t, '.');
	}
	return false;
}

void
classify(struct slice sql, const struct classify_catalog *catalog, struct classify *out)
{
	char *text;

	*out = (struct classify){ .reason = CLASSIFY_READ };
	if (sql.n > CLASSIFY_TEXT_MAX || is_too_deep(sql)) {
		out->reason = CLASSIFY_TOO_LONG;
		return;
	}
	text = xstrndup(sql.p, sql.n);
	parse(text, catalog, out);
	free(text);
}
