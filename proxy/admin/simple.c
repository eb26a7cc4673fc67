/* SPDX-License-Identifier: PostgreSQL
 *
 * The simple query protocol: a string with several statements. All of them are parsed before the
 * first is executed; an error in one ends the string.
 */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "protocol/sqlstate.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/console_int.h"

#define UNNAMED SLICE_LITERAL("")

/* Whether every statement of the text can be parsed; *n is the number of those that are not empty.
 */
static int
check_all(struct slice text, size_t *n, struct err *e)
{
	struct statement st;

	for (*n = 0; text.n > 0;) {
		if (statement_parse(&text, command_tables(), &st, e) != 0)
			return -1;
		*n += st.command != NULL;
		if (st.nparams > 0) {
			err_set(e, "42P02", "there is no parameter $%u", st.nparams);
			statement_fini(&st);
			return -1;
		}
		statement_fini(&st);
	}
	return 0;
}

void
simple_query(struct console *c, struct slice body)
{
	struct slice sql;
	struct err e = { 0 };
	size_t n;

	c->cycle = CYCLE_SIMPLE;
	extended_close_portal(c, UNNAMED);
	if (message_parse_query(body, &sql) != PARSE_DONE) {
		err_set(&e, SQLSTATE_PROTOCOL_VIOLATION, "invalid Query message");
		console_error(c, &e);
		return;
	}
	if (!utf8_valid(sql)) {
		err_set(&e, "22021", "invalid byte sequence for encoding \"UTF8\"");
		console_error(c, &e);
		return;
	}
	if (check_all(sql, &n, &e) != 0) {
		console_error(c, &e);
		return;
	}
	c->query = xstrndup(sql.n > 0 ? sql.p : "", sql.n);
	c->left = slice_of(c->query, sql.n);
	if (n == 0)
		message_put_bare(&c->out, MSG_EMPTY_QUERY);
}

void
simple_end(struct console *c)
{
	extended_close_portal(c, UNNAMED);
	free(c->query);
	c->query = NULL;
	c->left = slice_of(NULL, 0);
	c->cycle = CYCLE_NONE;
	console_ready(&c->out);
}

/* Executes the next statement that is not empty. */
void
simple_turn(struct console *c)
{
	struct portal *p;
	struct err e = { 0 };

	extended_close_portal(c, UNNAMED);
	p = portal_new(c, UNNAMED);
	while (p->statement.command == NULL) {
		if (c->left.n == 0) {
			simple_end(c);
			return;
		}
		if (statement_parse(&c->left, command_tables(), &p->statement, &e) != 0) {
			console_error(c, &e);
			return;
		}
	}
	portal_execute(c, p, 0);
}
