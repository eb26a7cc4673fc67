/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/fanout.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "protocol/sqlstate.h"
#include "proxy/process/meridian.h"
#include "proxy/process/worker.h"
#include "proxy/session/session.h"

static void
fanout_free(struct fanout *a)
{
	if (a == NULL)
		return;
	free(a->region);
	free(a->database);
	free(a->user);
	free(a->state);
	free(a->access);
	rows_fini(&a->rows);
	if (a->tally != NULL)
		a->tally_free(a->tally);
	free(a);
}

struct fanout *
fanout_begin(struct run *r, enum answer (*answer)(struct fanout *a))
{
	struct fanout *a = xcalloc(1, sizeof(*a));

	a->home = r->worker;
	a->answer = answer;
	a->last = ANSWER_MORE;
	rows_like(&a->rows, &r->rows);
	r->state = a;
	return a;
}

int
fanout_take_id(struct run *r, struct fanout *a, const char *text)
{
	int64_t id;

	if (!text_to_int(slice_str(text), 1, INT64_MAX, &id))
		return err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE, "\"%s\" is no session id",
			       text);
	a->id = (uint64_t)id;
	return 0;
}

int
fanout_take_region(struct run *r, struct fanout *a)
{
	const char *region = run_arg(r, "region");
	int index = region != NULL ? run_region(r, region) : -1;

	if (region != NULL && index < 0)
		return -1;
	if (region != NULL)
		a->region = xstrdup(r->world->topology->regions[index].name);
	return 0;
}

int
fanout_take_filters(struct run *r, struct fanout *a)
{
	if (fanout_take_region(r, a) < 0)
		return -1;
	a->database = run_arg_dup(r, "database");
	a->user = run_arg_dup(r, "user");
	a->state = run_arg_dup(r, "state");
	return 0;
}

bool
fanout_fits(const struct fanout *a, const char *region, struct slice database, struct slice user,
	    const char *state)
{
	return (a->region == NULL || strcmp(a->region, region) == 0) &&
	       (a->database == NULL || slice_is(database, a->database)) &&
	       (a->user == NULL || slice_is(user, a->user)) &&
	       (a->state == NULL || strcmp(a->state, state) == 0);
}

void
fanout_end(struct run *r)
{
	/* NULL while the letter is on its way: then it is freed on its return */
	fanout_free(r->state);
	r->state = NULL;
}

/* The letter is back on the console's worker. */
static void
come_home(struct letter *take_letter, void *owner)
{
	struct fanout *a = (struct fanout *)take_letter;
	struct run *r = run_find(a->hold);

	(void)owner;
	if (r == NULL) {
		fanout_free(a);
		return;
	}
	r->state = a;
	buf_slice(&r->rows.out, buf_view(&a->rows.out));
	r->rows.n += a->rows.n;
	buf_clear(&a->rows.out);
	a->rows.n = 0;
	run_resume(r);
}

void
fanout_answered(struct fanout *a, enum answer last)
{
	a->last = last;
	worker_post(a->home, &a->letter, come_home);
}

/* The letter has reached the worker that is asked. */
static void
be_answered(struct letter *take_letter, void *owner)
{
	struct fanout *a = (struct fanout *)take_letter;
	enum answer last = a->answer(a);

	(void)owner;
	if (last != ANSWER_WAIT)
		fanout_answered(a, last);
}

enum step
fanout_row(struct run *r)
{
	struct meridian *m = worker_process(r->worker);
	struct fanout *a = r->state;

	if (a->last == ANSWER_STOP)
		return STEP_DONE;
	if (a->last == ANSWER_FAIL) {
		r->err = a->err;
		return STEP_FAIL;
	}
	if (a->last == ANSWER_NEXT) {
		a->to_index++;
		a->slot = 0;
	}
	if (a->to_index >= m->nworkers && a->id > 0) {
		err_set(&r->err, SQLSTATE_UNDEFINED_OBJECT, "session %llu does not exist",
			(unsigned long long)a->id);
		return STEP_FAIL;
	}
	if (a->to_index >= m->nworkers)
		return STEP_DONE;
	a->to = m->workers[a->to_index];
	a->hold = run_hold(r);
	r->state = NULL;
	worker_post(a->to, &a->letter, be_answered);
	return STEP_WAIT;
}

enum answer
fanout_sessions(struct fanout *a)
{
	unsigned end = worker_nslots(a->to);
	unsigned stop = end - a->slot > FANOUT_CHUNK_SLOTS ? a->slot + FANOUT_CHUNK_SLOTS : end;

	if (a->slot >= end)
		return ANSWER_NEXT;
	for (; a->slot < stop; a->slot++) {
		const struct session *s = worker_session_at(a->to, a->slot);

		if (s != NULL)
			a->row(a, s);
	}
	return a->slot < end ? ANSWER_MORE : ANSWER_NEXT;
}
