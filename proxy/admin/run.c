/* SPDX-License-Identifier: PostgreSQL
 *
 * The run of one command: begin, rows in chunks, end. After each chunk the console yields to the
 * event loop by a letter to its own worker, so that a long listing does not hold up the worker's
 * other sessions.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "protocol/sqlstate.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/console_int.h"
#include "proxy/process/worker.h"
#include "proxy/process/world.h"

struct run_hold {
	struct refcount refs;
	struct run *run; /* used by the console's worker only; NULL: the run has ended */
};

struct run_wake {
	struct letter letter; /* first */
	struct run_hold *hold;
	struct worker *worker;
};

const char *
privilege_name(enum privilege p)
{
	static const char *const names[] = {
		[PRIVILEGE_STATS] = "stats",
		[PRIVILEGE_MIGRATION] = "migration",
		[PRIVILEGE_ADMIN] = "admin",
	};

	return names[p];
}

static void
hold_drop(struct run_hold *hold)
{
	if (refcount_put(&hold->refs))
		free(hold);
}

struct run_hold *
run_hold(struct run *r)
{
	refcount_get(&r->hold->refs);
	return r->hold;
}

struct run *
run_find(struct run_hold *hold)
{
	struct run *r = hold->run;

	hold_drop(hold);
	return r;
}

void
run_resume(struct run *r)
{
	struct console *c = r->console;

	if (c->state == CONSOLE_WAITING)
		c->state = CONSOLE_READY;
	console_go(c);
}

static void
wake_deliver(struct letter *take_letter, void *owner)
{
	struct run_wake *w = (struct run_wake *)take_letter;
	struct run *r = run_find(w->hold);

	(void)owner;
	free(w);
	if (r != NULL)
		run_resume(r);
}

struct run_wake *
run_wake_new(struct run *r)
{
	struct run_wake *w = xcalloc(1, sizeof(*w));

	w->hold = run_hold(r);
	w->worker = r->worker;
	return w;
}

void
run_wake_post(void *wake)
{
	struct run_wake *w = wake;

	worker_post(w->worker, &w->letter, wake_deliver);
}

void
run_wake_free(struct run_wake *w)
{
	if (w == NULL)
		return;
	(void)run_find(w->hold);
	free(w);
}

const char *
run_arg(const struct run *r, const char *name)
{
	return statement_arg(r->statement, name);
}

char *
run_arg_dup(const struct run *r, const char *name)
{
	const char *value = run_arg(r, name);

	return value != NULL ? xstrdup(value) : NULL;
}

int
run_region(struct run *r, const char *name)
{
	int region = topology_region_by_name(r->world->topology, slice_str(name));

	if (region < 0) {
		err_set(&r->err, SQLSTATE_UNDEFINED_OBJECT, "region \"%s\" does not exist", name);
		err_hint(&r->err, "SHOW REGIONS lists them.");
	}
	return region;
}

const struct node *
run_node(struct run *r, const char *name)
{
	const struct node *n = topology_node_by_name(r->world->topology, slice_str(name));

	if (n == NULL) {
		err_set(&r->err, SQLSTATE_UNDEFINED_OBJECT, "node \"%s\" does not exist", name);
		err_hint(&r->err, "SHOW NODES lists them.");
	}
	return n;
}

bool
run_has(const struct run *r, const char *keyword)
{
	return statement_has(r->statement, keyword);
}

uint64_t
run_session(const struct run *r)
{
	return r->console->port.session;
}

void
run_notice(struct run *r, const char *severity, const struct err *e)
{
	message_put_notice(&r->console->out, severity, e);
}

/* ---- COPY ---- */

void
run_copy_begin(struct run *r)
{
	size_t at = buf_message(&r->console->out, 'H');

	buf_u8(&r->console->out, 0);  /* text */
	buf_u16(&r->console->out, 1); /* one column */
	buf_u16(&r->console->out, 0);
	buf_message_end(&r->console->out, at);
}

void
run_copy_line(struct run *r, const char *line)
{
	size_t at = buf_message(&r->console->out, MSG_COPY_DATA);

	buf_str(&r->console->out, line);
	buf_u8(&r->console->out, '\n');
	buf_message_end(&r->console->out, at);
}

void
run_copy_end(struct run *r)
{
	message_put_bare(&r->console->out, MSG_COPY_DONE);
}

/* ---- begin and end ---- */

static void
run_init(struct run *r, struct console *c, struct portal *p)
{
	struct heading h = statement_heading(&p->statement);

	*r = (struct run){ .console = c,
			   .statement = &p->statement,
			   .command = p->statement.command,
			   .worker = c->worker };
	r->world = world_ref(worker_world(c->worker));
	rows_init(&r->rows, &h, p->binary);
	r->hold = xcalloc(1, sizeof(*r->hold));
	refcount_init(&r->hold->refs);
	r->hold->run = r;
}

static void
run_fini(struct run *r)
{
	if (r->command->end != NULL)
		r->command->end(r);
	r->hold->run = NULL;
	hold_drop(r->hold);
	rows_fini(&r->rows);
	world_unref(r->world);
}

/* ---- portals ---- */

struct portal *
portal_new(struct console *c, struct slice name)
{
	struct portal *p = xcalloc(1, sizeof(*p));

	p->name = xstrndup(name.n > 0 ? name.p : "", name.n);
	LIST_INSERT_HEAD(&c->portals, p, all);
	c->nportals++;
	return p;
}

void
portal_free(struct console *c, struct portal *p)
{
	if (c->active == p)
		c->active = NULL;
	if (p->state != PORTAL_NEW && p->statement.command != NULL)
		run_fini(&p->run);
	LIST_REMOVE(p, all);
	c->nportals--;
	statement_fini(&p->statement);
	free(p->name);
	free(p);
}

static void
complete(struct console *c, struct portal *p)
{
	struct run *r = &p->run;
	struct buf tag = { 0 };

	if (r->tag[0] != '\0')
		buf_str(&tag, r->tag);
	else
		command_put_tag(r->command, &tag);
	if (slice_is(buf_view(&tag), "SELECT"))
		buf_printf(&tag, " %llu", (unsigned long long)r->rows.n);
	message_put_command_complete(&c->out, buf_text(&tag));
	buf_fini(&tag);
	p->state = PORTAL_DONE;
	c->active = NULL;
}

static void
fail(struct console *c, struct portal *p)
{
	struct err e = p->run.err;

	p->state = PORTAL_DONE;
	c->active = NULL;
	console_error(c, &e);
}

void
portal_cancel(struct console *c)
{
	struct portal *p = c->active;
	struct err e = { 0 };

	err_set(&e, SQLSTATE_QUERY_CANCELED, CONSOLE_CANCELLED);
	if (p->run.command->cancel != NULL)
		p->run.command->cancel(&p->run, &e);
	/* a letter that comes back finds no run (run_find()) */
	run_fini(&p->run);
	run_init(&p->run, c, p);
	p->run.err = e;
	fail(c, p);
}

/* Begins the run of a portal that is executed for the first time. */
static void
start(struct console *c, struct portal *p)
{
	struct heading h = statement_heading(&p->statement);
	const struct command *command = p->statement.command;
	struct run *r = &p->run;

	p->state = PORTAL_STARTED;
	run_init(r, c, p);
	if (c->privilege < command->privilege) {
		err_set(&r->err, SQLSTATE_INSUFFICIENT_PRIVILEGE, "permission denied for %s",
			command->words);
		err_detail(
		    &r->err, "User \"%s\" has the privilege \"%s\"; this command needs \"%s\".",
		    c->user, privilege_name(c->privilege), privilege_name(command->privilege));
		fail(c, p);
	} else if (command->begin != NULL && command->begin(r) != 0) {
		fail(c, p);
	} else if (c->cycle == CYCLE_SIMPLE && h.n > 0) {
		rows_describe(&c->out, &h, p->binary);
	}
}

void
portal_execute(struct console *c, struct portal *p, uint32_t limit)
{
	if (p->statement.command == NULL) {
		p->state = PORTAL_DONE;
		message_put_bare(&c->out, MSG_EMPTY_QUERY);
		return;
	}
	c->active = p;
	c->limit = limit > 0 ? limit : UINT32_MAX;
	if (p->state == PORTAL_NEW)
		start(c, p);
	else if (p->state == PORTAL_DONE)
		complete(c, p);
}

/* Moves rows from the run to the client; true where the limit of this Execute was reached. */
static bool
move_rows(struct console *c, struct run *r)
{
	struct slice rest = buf_view(&r->rows.out);
	struct frame f;

	if (c->limit == UINT32_MAX) {
		buf_slice(&c->out, rest);
		buf_clear(&r->rows.out);
		return false;
	}
	while (c->limit > 0 && frame_cut(rest, UINT32_MAX, &f) == PARSE_DONE) {
		rest = slice_skip(rest, f.total);
		c->limit--;
	}
	buf_put(&c->out, r->rows.out.p, r->rows.out.n - rest.n);
	buf_drop(&r->rows.out, r->rows.out.n - rest.n);
	return c->limit == 0;
}

static enum step
make_rows(struct run *r)
{
	uint64_t enough = r->rows.n + CONSOLE_CHUNK_ROWS;
	enum step step = STEP_DONE;

	if (r->command->row == NULL)
		return STEP_DONE;
	do
		step = r->command->row(r);
	while (step == STEP_MORE && r->rows.n < enough);
	if (r->rows.out.failed) {
		err_set(&r->err, SQLSTATE_OUT_OF_MEMORY, "out of memory");
		return STEP_FAIL;
	}
	return step;
}

void
portal_turn(struct console *c)
{
	struct portal *p = c->active;
	enum step step = p->state == PORTAL_BUILT ? STEP_DONE : STEP_MORE;

	if (p->state == PORTAL_STARTED && p->run.rows.out.n == 0)
		step = make_rows(&p->run);
	if (step == STEP_WAIT)
		c->state = CONSOLE_WAITING;
	if (step == STEP_DONE)
		p->state = PORTAL_BUILT;
	if (step == STEP_FAIL) {
		fail(c, p);
	} else if (move_rows(c, &p->run)) {
		c->active = NULL;
		message_put_bare(&c->out, MSG_PORTAL_SUSPENDED);
	} else if (step == STEP_DONE) {
		complete(c, p);
	} else if ((step == STEP_MORE || step == STEP_YIELD) && console_flush(c)) {
		/* the event loop serves other connections before the next chunk */
		c->state = CONSOLE_WAITING;
		run_wake_post(run_wake_new(&p->run));
	}
}
