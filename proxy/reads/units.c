/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/reads/reasons.h"
#include "proxy/reads/units.h"

#include "protocol/frame.h"
#include "protocol/message.h"

#define NAMES_MAX 16 /* statements that one unit prepares */

struct reading {
	const struct unit_judge *judge;
	struct unit *unit;
	struct slice names[NAMES_MAX]; /* that it has prepared so far */
	size_t nnames;
	bool is_over;
};

static bool
still_reads(const struct reading *r)
{
	return classify_is_read((enum classify_reason)r->unit->reason);
}

/* The first that does not read decides. */
static void
note(struct reading *r, unsigned reason)
{
	if (still_reads(r) && reason != CLASSIFY_READ)
		r->unit->reason = reason;
}

static void
on_text(struct reading *r, struct slice sql)
{
	const char *end = sql.n > 0 ? memchr(sql.p, ';', sql.n) : NULL;

	note(r, r->judge->text(r->judge->arg, sql));
	r->unit->runs = end != NULL && end + 1 < sql.p + sql.n ? 2 : 1;
}

static void
on_query(struct reading *r, struct slice body)
{
	struct slice sql;

	if (message_parse_query(body, &sql) != PARSE_DONE)
		note(r, READS_PROTOCOL);
	else
		on_text(r, sql);
	r->is_over = true;
}

static void
on_parse(struct reading *r, struct slice body)
{
	struct message_parse m;

	if (message_parse_parse(body, &m) != PARSE_DONE || r->nnames == NAMES_MAX) {
		note(r, READS_PROTOCOL);
		return;
	}
	r->names[r->nnames++] = m.name;
	note(r, r->judge->text(r->judge->arg, m.sql));
}

/* What the unit itself has prepared has been looked at. */
static void
on_statement(struct reading *r, struct slice name)
{
	struct slice sql;

	for (size_t i = 0; i < r->nnames; i++) {
		if (r->names[i].n == name.n &&
		    (name.n == 0 || memcmp(r->names[i].p, name.p, name.n) == 0))
			return;
	}
	if (r->judge->prepared(r->judge->arg, name, &sql))
		note(r, r->judge->text(r->judge->arg, sql));
	else
		note(r, READS_PREPARED);
}

static void
on_bind(struct reading *r, struct slice body)
{
	struct message_bind m;

	if (message_parse_bind(body, &m) == PARSE_DONE)
		on_statement(r, m.statement);
	else
		note(r, READS_PROTOCOL);
}

static void
on_describe(struct reading *r, struct slice body)
{
	struct message_target m;

	if (message_parse_target(body, &m) != PARSE_DONE)
		note(r, READS_PROTOCOL);
	else if (m.kind == 'S')
		on_statement(r, m.name);
}

static void
look(struct reading *r, const struct frame *f)
{
	switch (f->type) {
	case MSG_QUERY:
		/* behind messages without a Sync it is theirs */
		if (r->unit->n > 0)
			note(r, READS_PROTOCOL);
		on_query(r, f->body);
		break;
	case MSG_PARSE:
		on_parse(r, f->body);
		break;
	case MSG_BIND:
		on_bind(r, f->body);
		break;
	case MSG_DESCRIBE:
		on_describe(r, f->body);
		break;
	case MSG_EXECUTE:
		r->unit->runs++;
		break;
	case MSG_CLOSE:
		break;
	case MSG_SYNC:
		r->is_over = true;
		break;
	default:
		note(r, READS_PROTOCOL);
	}
}

enum parse
units_cut(struct slice in, const struct unit_judge *judge, struct unit *out)
{
	struct reading r = { .judge = judge, .unit = out };
	struct frame f;

	*out = (struct unit){ .reason = CLASSIFY_READ };
	while (!r.is_over && still_reads(&r)) {
		switch (frame_cut(in, INT32_MAX, &f)) {
		case PARSE_MORE:
			return PARSE_MORE;
		case PARSE_BAD:
			note(&r, READS_PROTOCOL);
			return PARSE_DONE;
		case PARSE_DONE:
			break;
		}
		look(&r, &f);
		out->n += f.total;
		in = slice_skip(in, f.total);
	}
	return PARSE_DONE;
}

/* ---- one statement ---- */

/* The text of the one statement that it runs; n 0: it is empty, or prepared elsewhere. False: it
 * may run more. */
static bool
single_text(struct slice unit, struct slice *sql)
{
	struct message_parse parse;
	size_t runs = 0, parses = 0;
	struct frame f;

	*sql = slice_of(NULL, 0);
	while (frame_cut(unit, INT32_MAX, &f) == PARSE_DONE) {
		unit = slice_skip(unit, f.total);
		runs += f.type == MSG_QUERY || f.type == MSG_EXECUTE;
		parses += f.type == MSG_PARSE;
		if (f.type == MSG_QUERY && message_parse_query(f.body, sql) != PARSE_DONE)
			return false;
		if (f.type == MSG_PARSE && message_parse_parse(f.body, &parse) == PARSE_DONE)
			*sql = parse.sql;
	}
	*sql = slice_trim(*sql);
	if (sql->n > 0 && sql->p[sql->n - 1] == ';')
		*sql = slice_trim(slice_of(sql->p, sql->n - 1));
	return runs == 1 && parses <= 1 && (sql->n == 0 || memchr(sql->p, ';', sql->n) == NULL);
}

bool
units_is_single(struct slice unit)
{
	struct slice sql;

	return single_text(unit, &sql);
}

bool
units_ends_transaction(struct slice unit)
{
	static const char *const texts[] = { "commit", "rollback",           "end",
					     "abort",  "commit transaction", "commit work" };
	struct slice sql;

	if (!single_text(unit, &sql))
		return false;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (slice_is_nocase(sql, texts[i]))
			return true;
	}
	return false;
}

/* ---- what its executions run ---- */

struct named {
	struct slice name, sql;
};

/* What a unit has prepared and bound so far. */
struct running {
	const struct unit_judge *judge;
	struct named statements[NAMES_MAX], portals[NAMES_MAX];
	size_t nstatements, nportals;
};

/* NULL: there is none of that name. */
static struct named *
find_named(struct named *all, size_t n, struct slice name)
{
	for (size_t i = 0; i < n; i++) {
		if (all[i].name.n == name.n &&
		    (name.n == 0 || memcmp(all[i].name.p, name.p, name.n) == 0))
			return &all[i];
	}
	return NULL;
}

/* False: there are too many. */
static bool
put_named(struct named *all, size_t *n, struct slice name, struct slice sql)
{
	struct named *at = find_named(all, *n, name);

	if (at == NULL && *n == NAMES_MAX)
		return false;
	if (at == NULL)
		at = &all[(*n)++];
	*at = (struct named){ name, sql };
	return true;
}

static bool
run_bind(struct running *r, struct slice body)
{
	const struct named *statement;
	struct message_bind m;
	struct slice sql;

	if (message_parse_bind(body, &m) != PARSE_DONE)
		return false;
	statement = find_named(r->statements, r->nstatements, m.statement);
	if (statement != NULL)
		sql = statement->sql;
	else if (!r->judge->prepared(r->judge->arg, m.statement, &sql))
		sql = slice_of(NULL, 0);
	return put_named(r->portals, &r->nportals, m.portal, sql);
}

/* False: what follows is not known. */
static bool
run_message(struct running *r, const struct frame *f, size_t *executed, struct slice *sql)
{
	const struct named *portal;
	struct message_parse parse;
	struct message_execute m;

	if (f->type == MSG_PARSE)
		return message_parse_parse(f->body, &parse) == PARSE_DONE &&
		       put_named(r->statements, &r->nstatements, parse.name, parse.sql);
	if (f->type == MSG_BIND)
		return run_bind(r, f->body);
	/* all of its statements are one text */
	if (f->type == MSG_QUERY) {
		*executed = SIZE_MAX;
		return message_parse_query(f->body, sql) == PARSE_DONE;
	}
	if (f->type != MSG_EXECUTE)
		return true;
	(*executed)++;
	if (message_parse_execute(f->body, &m) != PARSE_DONE)
		return false;
	portal = find_named(r->portals, r->nportals, m.portal);
	*sql = portal != NULL ? portal->sql : slice_of(NULL, 0);
	return true;
}

bool
units_executed_text(struct slice unit, const struct unit_judge *judge, size_t i, struct slice *sql)
{
	struct running r = { .judge = judge };
	size_t executed = 0;
	struct frame f;

	*sql = slice_of(NULL, 0);
	while (executed <= i && frame_cut(unit, INT32_MAX, &f) == PARSE_DONE) {
		if (!run_message(&r, &f, &executed, sql))
			return false;
		unit = slice_skip(unit, f.total);
	}
	return executed > i && sql->p != NULL;
}

size_t
units_length(struct slice in)
{
	const char *from = in.p;
	struct frame f;

	while (frame_cut(in, INT32_MAX, &f) == PARSE_DONE) {
		in = slice_skip(in, f.total);
		if (units_is_end(f.type))
			return (size_t)(in.p - from);
	}
	return 0;
}

bool
units_is_end(char type)
{
	return type == MSG_QUERY || type == MSG_SYNC || type == MSG_FUNCTION_CALL;
}

bool
units_next_text(struct slice *unit, struct slice *sql)
{
	struct message_parse parse;
	struct frame f;

	while (frame_cut(*unit, INT32_MAX, &f) == PARSE_DONE) {
		*unit = slice_skip(*unit, f.total);
		if (f.type == MSG_QUERY && message_parse_query(f.body, sql) == PARSE_DONE)
			return true;
		if (f.type == MSG_PARSE && message_parse_parse(f.body, &parse) == PARSE_DONE) {
			*sql = parse.sql;
			return true;
		}
	}
	return false;
}
