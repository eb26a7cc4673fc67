/* SPDX-License-Identifier: PostgreSQL
 *
 * Texts: "X…" does not parse, nor does "x…" (which the proxy says to be refused); "V…" cannot be
 * bound; "F…" fails when it runs; "BEGIN", "COMMIT", "ROLLBACK", "COPY", "DEALLOCATE name",
 * "DEALLOCATE ALL", "DISCARD ALL" do what they say; "N…" raises a notice; "" is empty; anything
 * else returns a row with its text.
 */
#include "config.h"

#include "tests/unit/pg_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "protocol/deallocate.h"
#include "protocol/frame.h"
#include "protocol/message.h"

void
pg_init(struct pg_model *m)
{
	*m = (struct pg_model){ .tx = 'I' };
}

static void
clear(struct pg_statement *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(list[i].text);
		list[i] = (struct pg_statement){ .text = NULL };
	}
}

static void
drop_portals(struct pg_model *m)
{
	clear(m->portals, PG_PORTALS_MAX);
	free(m->unnamed_portal);
	m->unnamed_portal = NULL;
}

static void
drop_unnamed(struct pg_model *m)
{
	free(m->unnamed);
	m->unnamed = NULL;
}

void
pg_fini(struct pg_model *m)
{
	clear(m->statements, PG_STATEMENTS_MAX);
	drop_portals(m);
	drop_unnamed(m);
	buf_fini(&m->in);
	buf_fini(&m->out);
}

static bool
starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static void
flush(struct pg_model *m)
{
	m->flushed = m->out.n;
}

/* ---- names ---- */

static struct pg_statement *
find(struct pg_statement *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].text != NULL && strncmp(list[i].name, name, 63) == 0)
			return &list[i];
	return NULL;
}

static void
store(struct pg_statement *list, size_t n, const char *name, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i].text != NULL)
			continue;
		strncpy(list[i].name, name, 63);
		list[i].text = xstrdup(text);
		return;
	}
	abort(); /* more than the test has room for: names leak */
}

static void
forget(struct pg_statement *s)
{
	if (s == NULL)
		return;
	free(s->text);
	*s = (struct pg_statement){ .text = NULL };
}

static const char *
statement_text(struct pg_model *m, const char *name)
{
	struct pg_statement *s;

	if (name[0] == '\0')
		return m->unnamed;
	s = find(m->statements, PG_STATEMENTS_MAX, name);
	return s != NULL ? s->text : NULL;
}

unsigned
pg_names(const struct pg_model *m)
{
	unsigned n = 0;

	for (size_t i = 0; i < PG_STATEMENTS_MAX; i++)
		n += m->statements[i].text != NULL;
	return n;
}

bool
pg_has_name(const struct pg_model *m, const char *name)
{
	for (size_t i = 0; i < PG_STATEMENTS_MAX; i++)
		if (m->statements[i].text != NULL && strcmp(m->statements[i].name, name) == 0)
			return true;
	return false;
}

/* ---- answers ---- */

static void
fail(struct pg_model *m, const char *sqlstate)
{
	struct err e;

	err_set(&e, sqlstate, "%s", sqlstate);
	message_put_error(&m->out, "ERROR", &e);
	if (m->tx == 'T')
		m->tx = 'E';
	m->skip = m->extended;
	m->copying = false;
	flush(m);
}

static void
ready(struct pg_model *m)
{
	if (m->tx == 'I')
		drop_portals(m);
	message_put_ready(&m->out, m->tx);
	flush(m);
}

static bool
is_refused(const struct pg_model *m, const char *text)
{
	return m->tx == 'E' && text[0] != '\0' && !starts(text, "ROLLBACK") &&
	       !starts(text, "COMMIT");
}

static void
put_rows(struct pg_model *m, const char *text, bool describe)
{
	struct message_column column = { .name = text };
	size_t at;

	if (describe)
		message_put_row_description(&m->out, &column, 1);
	at = message_row_begin(&m->out, 1);
	message_row_value(&m->out, slice_str(text));
	buf_message_end(&m->out, at);
	message_put_command_complete(&m->out, "SELECT 1");
}

static void
deallocate(struct pg_model *m, const char *text)
{
	struct deallocate d = { .n = 0 };
	struct pg_statement *s;

	if (starts(text, "DISCARD ALL") || starts(text, "DEALLOCATE ALL")) {
		clear(m->statements, PG_STATEMENTS_MAX);
		message_put_command_complete(&m->out,
					     text[1] == 'I' ? "DISCARD ALL" : "DEALLOCATE ALL");
		return;
	}
	if (deallocate_read(slice_str(text), &d) != DEALLOCATE_ONE)
		abort();
	d.name[d.n] = '\0';
	s = find(m->statements, PG_STATEMENTS_MAX, d.name);
	if (s == NULL) {
		fail(m, "26000");
		return;
	}
	forget(s);
	message_put_command_complete(&m->out, "DEALLOCATE");
}

/* False: it has failed, or copies. */
static bool
run(struct pg_model *m, const char *text, bool simple)
{
	struct err e;

	if (starts(text, "N")) {
		err_set(&e, "00000", "%s", text);
		message_put_notice(&m->out, "NOTICE", &e);
	}
	if (is_refused(m, text)) {
		fail(m, "25P02");
	} else if (starts(text, "F")) {
		fail(m, "22012");
	} else if (starts(text, "COPY")) {
		static const char response[] = "G\0\0\0\x07\0\0";

		buf_put(&m->out, response, 8);
		m->copying = true;
		m->copy_extended = !simple;
		flush(m);
		return false;
	} else if (starts(text, "D")) {
		deallocate(m, text);
	} else if (starts(text, "BEGIN")) {
		m->tx = 'T';
		message_put_command_complete(&m->out, "BEGIN");
	} else if (starts(text, "ROLLBACK") || starts(text, "COMMIT")) {
		m->tx = 'I';
		message_put_command_complete(&m->out, "COMMIT");
	} else if (text[0] == '\0') {
		message_put_bare(&m->out, MSG_EMPTY_QUERY);
	} else {
		put_rows(m, text, simple);
	}
	return true;
}

/* ---- messages ---- */

static void
on_parse(struct pg_model *m, const char *name)
{
	const char *text = name + strlen(name) + 1;

	m->parses++;
	if (name[0] == '\0')
		drop_unnamed(m);
	if (text[0] == 'X' || text[0] == 'x') {
		fail(m, "42601");
	} else if (is_refused(m, text)) {
		fail(m, "25P02");
	} else if (name[0] == '\0') {
		m->unnamed = xstrdup(text);
		message_put_bare(&m->out, MSG_PARSE_COMPLETE);
	} else if (find(m->statements, PG_STATEMENTS_MAX, name) != NULL) {
		fail(m, "42P05");
	} else {
		store(m->statements, PG_STATEMENTS_MAX, name, text);
		if (pg_names(m) > m->peak)
			m->peak = pg_names(m);
		message_put_bare(&m->out, MSG_PARSE_COMPLETE);
	}
}

static void
on_bind(struct pg_model *m, const char *portal)
{
	const char *text = statement_text(m, portal + strlen(portal) + 1);

	if (text == NULL) {
		fail(m, "26000");
	} else if (is_refused(m, text)) {
		fail(m, "25P02");
	} else if (text[0] == 'V') {
		fail(m, "22P02");
	} else if (portal[0] == '\0') {
		free(m->unnamed_portal);
		m->unnamed_portal = xstrdup(text);
		message_put_bare(&m->out, MSG_BIND_COMPLETE);
	} else if (find(m->portals, PG_PORTALS_MAX, portal) != NULL) {
		fail(m, "42P03");
	} else {
		store(m->portals, PG_PORTALS_MAX, portal, text);
		message_put_bare(&m->out, MSG_BIND_COMPLETE);
	}
}

static const char *
portal_text(struct pg_model *m, const char *name)
{
	struct pg_statement *s;

	if (name[0] == '\0')
		return m->unnamed_portal;
	s = find(m->portals, PG_PORTALS_MAX, name);
	return s != NULL ? s->text : NULL;
}

static void
on_describe(struct pg_model *m, const char *target)
{
	bool statement = target[0] == 'S';
	const char *text = statement ? statement_text(m, target + 1) : portal_text(m, target + 1);
	struct message_column column = { .name = text };

	if (text == NULL) {
		fail(m, statement ? "26000" : "34000");
		return;
	}
	if (is_refused(m, text)) {
		fail(m, "25P02");
		return;
	}
	if (statement)
		message_put_parameter_description(&m->out, NULL, 0);
	if (text[0] == 'S')
		message_put_row_description(&m->out, &column, 1);
	else
		message_put_bare(&m->out, MSG_NO_DATA);
}

static void
on_execute(struct pg_model *m, const char *portal)
{
	const char *text = portal_text(m, portal);
	char *copy;

	if (text == NULL) {
		fail(m, "34000");
		return;
	}
	copy = xstrdup(text);
	(void)run(m, copy, false);
	free(copy);
}

static void
on_close(struct pg_model *m, const char *target)
{
	if (target[0] == 'S' && target[1] == '\0')
		drop_unnamed(m);
	else if (target[0] == 'S')
		forget(find(m->statements, PG_STATEMENTS_MAX, target + 1));
	else if (target[1] == '\0')
		free(m->unnamed_portal), m->unnamed_portal = NULL;
	else
		forget(find(m->portals, PG_PORTALS_MAX, target + 1));
	message_put_bare(&m->out, MSG_CLOSE_COMPLETE);
}

static void
on_query(struct pg_model *m, const char *text)
{
	drop_unnamed(m);
	if (text[0] == 'X')
		fail(m, "42601");
	else if (!run(m, text, true))
		return;
	ready(m);
}

static void
in_copy(struct pg_model *m, char type)
{
	if (type == 'S' || type == 'H' || type == 'd')
		return;
	m->copying = false;
	m->extended = m->copy_extended;
	if (type == 'c')
		message_put_command_complete(&m->out, "COPY 1");
	else
		fail(m, "57014");
	if (!m->copy_extended)
		ready(m);
}

static void
on_message(struct pg_model *m, char type, const char *body)
{
	if (m->copying) {
		in_copy(m, type);
		return;
	}
	m->extended = type != 'Q' && type != 'F' && type != 'S';
	if (type == 'S')
		m->skip = false;
	if (m->skip)
		return;
	switch (type) {
	case MSG_PARSE:
		on_parse(m, body);
		break;
	case MSG_BIND:
		on_bind(m, body);
		break;
	case MSG_DESCRIBE:
		on_describe(m, body);
		break;
	case MSG_EXECUTE:
		on_execute(m, body);
		break;
	case MSG_CLOSE:
		on_close(m, body);
		break;
	case MSG_QUERY:
		on_query(m, body);
		break;
	case MSG_SYNC:
		ready(m);
		break;
	case MSG_FUNCTION_CALL:
		buf_put(&m->out, "V\0\0\0\x08\xff\xff\xff\xff", 9);
		ready(m);
		break;
	case MSG_FLUSH:
		flush(m);
		break;
	default: /* CopyData and its like, left over */
		break;
	}
}

void
pg_read(struct pg_model *m, const char *p, size_t n)
{
	struct frame f;
	char *body;

	buf_put(&m->in, p, n);
	while (frame_cut(buf_view(&m->in), (size_t)1 << 30, &f) == PARSE_DONE) {
		body = xcalloc(1, f.body.n + 2);
		if (f.body.n > 0)
			memcpy(body, f.body.p, f.body.n);
		buf_drop(&m->in, f.total);
		on_message(m, f.type, body);
		free(body);
	}
}

bool
pg_is_idle(const struct pg_model *m)
{
	return m->in.n == 0 && m->flushed == m->out.n && m->tx == 'I' && !m->skip && !m->copying;
}
