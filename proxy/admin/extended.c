/* SPDX-License-Identifier: PostgreSQL
 *
 * The extended query protocol: prepared statements and portals, named and unnamed. Parameters are
 * text wherever a value may stand in a command. A portal that an Execute with a row limit left
 * half-way outlives the Sync (BEGIN is accepted, but there are no transactions here that could
 * end).
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "protocol/sqlstate.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/console_int.h"
#include "proxy/admin/parameter.h"

/* ---- names ---- */

static struct prepared *
find_prepared(struct console *c, struct slice name)
{
	struct prepared *p;

	LIST_FOREACH (p, &c->prepared, all)
		if (slice_is(name, p->name))
			return p;
	return NULL;
}

static struct portal *
find_portal(struct console *c, struct slice name)
{
	struct portal *p;

	LIST_FOREACH (p, &c->portals, all)
		if (slice_is(name, p->name))
			return p;
	return NULL;
}

static void
prepared_free(struct console *c, struct prepared *p)
{
	LIST_REMOVE(p, all);
	c->nprepared--;
	statement_fini(&p->statement);
	free(p->oids);
	free(p->name);
	free(p);
}

void
extended_deallocate(struct console *c)
{
	while (!LIST_EMPTY(&c->prepared))
		prepared_free(c, LIST_FIRST(&c->prepared));
}

void
extended_close_portal(struct console *c, struct slice name)
{
	struct portal *p = find_portal(c, name);

	if (p != NULL)
		portal_free(c, p);
}

void
extended_close_portals(struct console *c, bool suspended_too)
{
	struct portal *p, *next;

	for (p = LIST_FIRST(&c->portals); p != NULL; p = next) {
		next = LIST_NEXT(p, all);
		if (p == c->active)
			continue;
		if (suspended_too || p->state == PORTAL_NEW || p->state == PORTAL_DONE)
			portal_free(c, p);
	}
}

/* ---- Parse ---- */

/* Parses a text that may have one statement, or none, but not several. */
static int
parse_one(struct slice sql, struct statement *out, struct err *e)
{
	struct statement more;
	int rc;

	do {
		rc = statement_parse(&sql, command_tables(), out, e);
	} while (rc == 0 && out->command == NULL && sql.n > 0);
	while (rc == 0 && sql.n > 0) {
		rc = statement_parse(&sql, command_tables(), &more, e);
		if (rc == 0 && more.command != NULL) {
			statement_fini(&more);
			rc = err_set(e, SQLSTATE_SYNTAX_ERROR,
				     "cannot insert multiple commands into a prepared statement");
		}
	}
	if (rc != 0)
		statement_fini(out);
	return rc;
}

static int
on_parse(struct console *c, struct slice body, struct err *e)
{
	struct message_parse m;
	struct prepared *p;

	if (message_parse_parse(body, &m) != PARSE_DONE)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "invalid Parse message");
	if (!utf8_valid(m.sql))
		return err_set(e, "22021", "invalid byte sequence for encoding \"UTF8\"");
	if (m.name.n > 0 && find_prepared(c, m.name) != NULL)
		return err_set(e, SQLSTATE_DUPLICATE_PREPARED,
			       "prepared statement \"%.*s\" already exists", (int)m.name.n,
			       m.name.p);
	if (c->nprepared >= CONSOLE_PREPARED_MAX)
		return err_set(e, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
			       "too many prepared statements on one console");
	p = xcalloc(1, sizeof(*p));
	if (parse_one(m.sql, &p->statement, e) != 0) {
		free(p);
		return -1;
	}
	if (m.name.n == 0 && find_prepared(c, m.name) != NULL)
		prepared_free(c, find_prepared(c, m.name));
	if (p->statement.nparams < m.types_n)
		p->statement.nparams = m.types_n;
	p->oids = xcalloc(p->statement.nparams + 1, sizeof(*p->oids));
	for (unsigned i = 0; i < p->statement.nparams; i++) {
		p->oids[i] = message_oid(&m, (uint16_t)i);
		if (p->oids[i] == 0)
			p->oids[i] = PARAMETER_TEXT;
	}
	p->name = xstrndup(m.name.n > 0 ? m.name.p : "", m.name.n);
	LIST_INSERT_HEAD(&c->prepared, p, all);
	c->nprepared++;
	message_put_bare(&c->out, MSG_PARSE_COMPLETE);
	return 0;
}

/* ---- Bind ---- */

static int
no_such_prepared(struct slice name, struct err *e)
{
	if (name.n == 0)
		return err_set(e, SQLSTATE_INVALID_STATEMENT_NAME,
			       "unnamed prepared statement does not exist");
	return err_set(e, SQLSTATE_INVALID_STATEMENT_NAME,
		       "prepared statement \"%.*s\" does not exist", (int)name.n, name.p);
}

/* Binds the values of a Bind, each read as text, to the portal's statement. */
static int
bind_values(const struct message_bind *m, const struct prepared *st, struct portal *p,
	    struct err *e)
{
	char **values = xcalloc(m->values_n + 1u, sizeof(*values));
	struct slice rest = m->values, value;
	int rc = 0;

	for (uint16_t i = 0; rc == 0 && message_next_value(&rest, &value); i++) {
		int16_t format = message_format(m->formats, m->formats_n, i);

		if (value.p == NULL)
			continue;
		values[i] = parameter_text(st->oids[i], format, value, e);
		if (values[i] == NULL)
			rc = err_prefix(e, "parameter $%u", i + 1u);
	}
	if (rc == 0)
		rc = statement_bind(&st->statement, values, m->values_n, &p->statement, e);
	for (uint16_t i = 0; i < m->values_n; i++)
		free(values[i]);
	free(values);
	return rc;
}

static int
bind_formats(const struct message_bind *m, struct portal *p, struct err *e)
{
	struct heading h = statement_heading(&p->statement);
	uint16_t n = heading_count(&h);

	if (m->results_n > 1 && m->results_n != n)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION,
			       "bind message has %u result formats but query has %u columns",
			       m->results_n, n);
	for (uint16_t i = 0; i < n; i++) {
		int16_t format = message_format(m->results, m->results_n, i);

		if (format != 0 && format != 1)
			return err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "invalid format code: %d",
				       format);
		p->binary |= (uint64_t)format << i;
	}
	return 0;
}

static int
on_bind(struct console *c, struct slice body, struct err *e)
{
	struct message_bind m;
	struct prepared *st;
	struct portal *p;

	if (message_parse_bind(body, &m) != PARSE_DONE)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "invalid Bind message");
	st = find_prepared(c, m.statement);
	if (st == NULL)
		return no_such_prepared(m.statement, e);
	if (m.values_n != st->statement.nparams)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION,
			       "bind message supplies %u parameters, but prepared statement "
			       "requires %u",
			       m.values_n, st->statement.nparams);
	if (m.formats_n > 1 && m.formats_n != m.values_n)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION,
			       "bind message has %u parameter formats but %u parameters",
			       m.formats_n, m.values_n);
	if (m.portal.n > 0 && find_portal(c, m.portal) != NULL)
		return err_set(e, "42P03", "cursor \"%.*s\" already exists", (int)m.portal.n,
			       m.portal.p);
	if (c->nportals >= CONSOLE_PORTALS_MAX)
		return err_set(e, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
			       "too many portals on one console");
	if (m.portal.n == 0)
		extended_close_portal(c, m.portal);
	p = portal_new(c, m.portal);
	if (bind_values(&m, st, p, e) != 0 || bind_formats(&m, p, e) != 0) {
		portal_free(c, p);
		return -1;
	}
	message_put_bare(&c->out, MSG_BIND_COMPLETE);
	return 0;
}

/* ---- Describe, Execute, Close, Flush ---- */

static void
describe_rows(struct console *c, const struct statement *st, uint64_t binary)
{
	struct heading h = statement_heading(st);

	if (h.n > 0)
		rows_describe(&c->out, &h, binary);
	else
		message_put_bare(&c->out, MSG_NO_DATA);
}

static int
no_such_portal(struct slice name, struct err *e)
{
	return err_set(e, SQLSTATE_INVALID_CURSOR_NAME, "portal \"%.*s\" does not exist",
		       (int)name.n, name.p);
}

static int
on_describe(struct console *c, struct slice body, struct err *e)
{
	struct message_target m;
	struct prepared *st;
	struct portal *p;

	if (message_parse_target(body, &m) != PARSE_DONE)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "invalid Describe message");
	if (m.kind == 'S') {
		st = find_prepared(c, m.name);
		if (st == NULL)
			return no_such_prepared(m.name, e);
		message_put_parameter_description(&c->out, st->oids,
						  (uint16_t)st->statement.nparams);
		describe_rows(c, &st->statement, 0);
		return 0;
	}
	p = find_portal(c, m.name);
	if (p == NULL)
		return no_such_portal(m.name, e);
	describe_rows(c, &p->statement, p->binary);
	return 0;
}

static int
on_execute(struct console *c, struct slice body, struct err *e)
{
	struct message_execute m;
	struct portal *p;

	if (message_parse_execute(body, &m) != PARSE_DONE)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "invalid Execute message");
	p = find_portal(c, m.portal);
	if (p == NULL)
		return no_such_portal(m.portal, e);
	portal_execute(c, p, m.max_rows);
	return 0;
}

static int
on_close(struct console *c, struct slice body, struct err *e)
{
	struct message_target m;
	struct prepared *st;

	if (message_parse_target(body, &m) != PARSE_DONE)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "invalid Close message");
	st = m.kind == 'S' ? find_prepared(c, m.name) : NULL;
	if (st != NULL)
		prepared_free(c, st);
	if (m.kind == 'P')
		extended_close_portal(c, m.name);
	message_put_bare(&c->out, MSG_CLOSE_COMPLETE);
	return 0;
}

static int
on_flush(struct console *c, struct slice body, struct err *e)
{
	(void)body;
	(void)e;
	console_flush(c);
	return 0;
}

static const struct {
	enum message_type type;
	int (*handle)(struct console *c, struct slice body, struct err *e);
} handlers[] = {
	{ MSG_PARSE, on_parse },     { MSG_BIND, on_bind },   { MSG_DESCRIBE, on_describe },
	{ MSG_EXECUTE, on_execute }, { MSG_CLOSE, on_close }, { MSG_FLUSH, on_flush },
};

void
extended_message(struct console *c, const struct frame *f)
{
	struct err e = { 0 };

	c->cycle = CYCLE_EXTENDED;
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if ((char)handlers[i].type == f->type && handlers[i].handle(c, f->body, &e) != 0)
			console_error(c, &e);
}
