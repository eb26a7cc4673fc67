/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/console.h"

#include <stdlib.h>

#include "base/hot.h"
#include "base/mem.h"
#include "protocol/sqlstate.h"
#include "proxy/admin/console_int.h"
#include "proxy/admin/greeting.h"

struct console *
console_new(struct worker *w, const struct console_port *port, enum privilege privilege,
	    const char *user, const char *address)
{
	struct console *c = xcalloc(1, sizeof(*c));

	c->worker = w;
	c->port = *port;
	c->privilege = privilege;
	c->user = xstrdup(user);
	c->address = xstrdup(address);
	buf_init(&c->in, CONSOLE_INPUT_MAX);
	LIST_INIT(&c->prepared);
	LIST_INIT(&c->portals);
	return c;
}

void
console_greeting(struct buf *out)
{
	for (const struct greeting_row *row = greeting_rows(); row->name != NULL; row++)
		if (row->reported)
			message_put_parameter(out, slice_str(row->name), slice_str(row->value));
}

void
console_ready(struct buf *out)
{
	message_put_ready(out, 'I');
}

static void
destroy(struct console *c)
{
	c->active = NULL;
	extended_deallocate(c);
	extended_close_portals(c, true);
	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c->query);
	free(c->user);
	free(c->address);
	free(c);
}

void
console_cancel(struct console *c)
{
	struct err e = { 0 };

	if (c->state > CONSOLE_FULL || (c->active == NULL && c->left.n == 0))
		return;
	if (c->active != NULL) {
		portal_cancel(c);
	} else { /* between two statements of a Query */
		err_set(&e, SQLSTATE_QUERY_CANCELED, CONSOLE_CANCELLED);
		console_error(c, &e);
	}
	/* a client that does not read gets the error behind what it has not read yet (CONSOLE_FULL)
	 */
	if (c->state == CONSOLE_WAITING)
		c->state = CONSOLE_READY;
	console_go(c);
}

HOT void
console_free(struct console *c)
{
	if (c == NULL)
		return;
	c->state = CONSOLE_FREED;
	if (c->depth == 0)
		destroy(c);
}

/* All calls of the port are made between enter() and leave(): the port may call console_free(). */
static void
enter(struct console *c)
{
	c->depth++;
}

static void
leave(struct console *c)
{
	if (--c->depth == 0 && c->state == CONSOLE_FREED)
		destroy(c);
}

/* The console sends and reads nothing more; its owner frees it. */
static void
close_port(struct console *c)
{
	if (c->state >= CONSOLE_CLOSED)
		return;
	c->state = CONSOLE_CLOSED;
	c->port.close(c->port.owner);
}

bool
console_flush(struct console *c)
{
	bool more = true;

	if (c->out.failed) {
		close_port(c);
	} else if (c->out.n > 0 && c->state < CONSOLE_CLOSED) {
		more = c->port.send(c->port.owner, c->out.p, c->out.n);
		buf_clear(&c->out);
		if (!more && c->state == CONSOLE_READY)
			c->state = CONSOLE_FULL;
	}
	return c->state == CONSOLE_READY;
}

void
console_error(struct console *c, const struct err *e)
{
	message_put_error(&c->out, "ERROR", e);
	if (c->cycle == CYCLE_SIMPLE)
		simple_end(c);
	else
		c->cycle = CYCLE_SKIP;
}

/* Sends the last error: the console reads nothing that the client sends after it. */
void
console_fatal(struct console *c, const struct err *e)
{
	message_put_error(&c->out, "FATAL", e);
	console_flush(c);
	close_port(c);
}

void
console_sync(struct console *c)
{
	extended_close_portals(c, false);
	c->cycle = CYCLE_NONE;
	console_ready(&c->out);
}

static void
handle_message(struct console *c, const struct frame *f)
{
	struct err e = { 0 };

	if (f->type == MSG_TERMINATE) {
		console_flush(c);
		close_port(c);
	} else if (f->type == MSG_SYNC) {
		console_sync(c);
	} else if (c->cycle == CYCLE_SKIP) {
		return;
	} else if (f->type == MSG_QUERY) {
		simple_query(c, f->body);
	} else if (f->type == MSG_FUNCTION_CALL) {
		err_set(&e, SQLSTATE_FEATURE_NOT_SUPPORTED, "the console has no functions to call");
		message_put_error(&c->out, "ERROR", &e);
		console_ready(&c->out);
	} else if (strchr("PBDECH", f->type) != NULL && f->type != '\0') {
		extended_message(c, f);
	} else if (strchr("dcf", f->type) == NULL || f->type == '\0') {
		/* CopyData and its kin outside a COPY are ignored, as PostgreSQL does */
		err_set(&e, SQLSTATE_PROTOCOL_VIOLATION, "invalid frontend message type %d",
			(unsigned char)f->type);
		console_fatal(c, &e);
	}
}

/* Handles one message of the client; false where none is whole. */
static bool
next_message(struct console *c)
{
	struct slice rest = slice_skip(buf_view(&c->in), c->in_at);
	struct frame f;
	struct err e = { 0 };

	switch (frame_cut(rest, CONSOLE_MESSAGE_MAX, &f)) {
	case PARSE_MORE:
		return false;
	case PARSE_BAD:
		err_set(&e, SQLSTATE_PROTOCOL_VIOLATION, "invalid message length");
		console_fatal(c, &e);
		return false;
	case PARSE_DONE:
		break;
	}
	c->in_at += f.total;
	handle_message(c, &f);
	return true;
}

void
console_go(struct console *c)
{
	bool more = true;

	if (c->depth > 0)
		return; /* the call that is on the stack already continues */
	enter(c);
	while (more && c->state == CONSOLE_READY) {
		if (c->active != NULL)
			portal_turn(c);
		else if (c->cycle == CYCLE_SIMPLE)
			simple_turn(c);
		else
			more = next_message(c);
		if (c->out.n >= CONSOLE_FLUSH_BYTES)
			console_flush(c);
	}
	buf_drop(&c->in, c->in_at);
	c->in_at = 0;
	console_flush(c);
	leave(c);
}

void
console_input(struct console *c, const char *p, size_t n)
{
	struct err e = { 0 };

	if (c->state >= CONSOLE_CLOSED)
		return;
	buf_put(&c->in, p, n);
	if (!c->in.failed) {
		console_go(c);
		return;
	}
	err_set(&e, SQLSTATE_PROGRAM_LIMIT_EXCEEDED,
		"too much was sent before the answer to earlier statements was read");
	enter(c);
	console_fatal(c, &e);
	leave(c);
}

void
console_drained(struct console *c)
{
	if (c->state == CONSOLE_FULL)
		c->state = CONSOLE_READY;
	console_go(c);
}
