/* SPDX-License-Identifier: PostgreSQL
 *
 * Requests of the console, carried out on the control thread: a table with one function for each
 * verb.
 */
#include "config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "protocol/sqlstate.h"
#include "proxy/control_int.h"

/* True: it was answered; false: it is kept, and answered later. */
typedef bool (*verb_fn)(struct control *c, struct control_request *r);

static void
answer(struct control_request *take_request)
{
	worker_post(take_request->from, &take_request->letter, take_request->reply);
}

/* The configured spelling of the region or node that the operator has named. */
static const char *
find_subject(struct control *c, const struct control_request *r, struct err *e)
{
	struct slice name = slice_str(r->subject);
	const struct node *n;
	int region;

	if (r->node) {
		n = topology_node_by_name(c->base, name);
		if (n != NULL)
			return n->name;
		err_set(e, SQLSTATE_UNDEFINED_OBJECT, "node \"%s\" does not exist", r->subject);
		return NULL;
	}
	region = topology_region_by_name(c->base, name);
	if (region >= 0)
		return c->base->regions[region].name;
	err_set(e, SQLSTATE_UNDEFINED_OBJECT, "region \"%s\" does not exist", r->subject);
	return NULL;
}

static bool
do_drain(struct control *c, struct control_request *r)
{
	const char *name = find_subject(c, r, &r->err);

	r->failed = name == NULL;
	if (name != NULL) {
		steer_drain(&c->steer, name, r->node, r->deadline_us);
		log_msg(LOG_LEVEL_INFO, "%s \"%s\" is drained", r->node ? "node" : "region", name);
		control_publish(c, false);
	}
	return true;
}

static bool
do_undrain(struct control *c, struct control_request *r)
{
	const char *name = find_subject(c, r, &r->err);

	r->failed = name == NULL;
	if (name != NULL && !steer_undrain(&c->steer, name, r->node)) {
		r->failed = true;
		err_set(&r->err, SQLSTATE_OBJECT_NOT_IN_STATE, "%s \"%s\" is not drained",
			r->node ? "node" : "region", name);
	} else if (name != NULL) {
		log_msg(LOG_LEVEL_INFO, "%s \"%s\" is no longer drained",
			r->node ? "node" : "region", name);
		control_publish(c, false);
	}
	return true;
}

static bool
do_override(struct control *c, struct control_request *r)
{
	int region = topology_region_by_name(c->base, slice_str(r->region));
	int64_t until = r->deadline_us > 0 ? clock_us() + r->deadline_us : 0;

	if (region < 0) {
		r->failed = true;
		err_set(&r->err, SQLSTATE_UNDEFINED_OBJECT, "region \"%s\" does not exist",
			r->region);
		return true;
	}
	r->failed = steer_override(&c->steer, r->kind, r->subject, c->base->regions[region].name,
				   until, &r->err) != 0;
	if (!r->failed)
		control_publish(c, false);
	return true;
}

static bool
do_override_clear(struct control *c, struct control_request *r)
{
	if (steer_clear(&c->steer, r->kind, r->subject) == 0 && r->subject[0] != '\0') {
		r->failed = true;
		err_set(&r->err, SQLSTATE_UNDEFINED_OBJECT, "there is no override of \"%s\"",
			r->subject);
		return true;
	}
	control_publish(c, false);
	return true;
}

static bool
do_set(struct control *c, struct control_request *r)
{
	struct config *fresh = config_set(c->config, r->subject, r->value, &r->err);

	r->failed = fresh == NULL || control_adopt(c, fresh, NULL, &r->err) != 0;
	return true;
}

static bool
do_reload(struct control *c, struct control_request *r)
{
	r->failed = control_reload(c, &r->notice, &r->err) != 0;
	return true;
}

static bool
do_probe(struct control *c, struct control_request *r)
{
	r->letter.next = (struct letter *)c->waiting;
	c->waiting = r;
	resolver_refresh(c->resolver);
	prober_probe_now(c->prober);
	return false;
}

static bool
do_shutdown(struct control *c, struct control_request *r)
{
	int64_t grace = c->config->main.shutdown_timeout;
	bool wait = r->wait;

	/* a paused session never ends, and the last console that could RESUME would be closed */
	if (wait && paused_any(&c->paused)) {
		r->failed = true;
		err_set(&r->err, SQLSTATE_OBJECT_NOT_IN_STATE,
			"sessions that are paused cannot be waited for");
		err_hint(&r->err, "RESUME first.");
		return true;
	}
	log_msg(LOG_LEVEL_INFO, "SHUTDOWN%s by the console", wait ? " WAIT" : "");
	answer(r); /* from here on it belongs to the console */
	control_shutdown(c, false, !wait ? 0 : grace > 0 ? grace : -1);
	return false;
}

static bool
do_pause(struct control *c, struct control_request *r)
{
	return paused_begin(&c->paused, r);
}

static bool
do_resume(struct control *c, struct control_request *r)
{
	return paused_end(&c->paused, r);
}

static bool
do_pause_left(struct control *c, struct control_request *r)
{
	return paused_left(&c->paused, r);
}

static const struct {
	verb_fn run;
	const char *tag;
} verbs[] = {
	[CONTROL_DRAIN] = { do_drain, "DRAIN" },
	[CONTROL_UNDRAIN] = { do_undrain, "UNDRAIN" },
	[CONTROL_OVERRIDE] = { do_override, "OVERRIDE" },
	[CONTROL_OVERRIDE_CLEAR] = { do_override_clear, "OVERRIDE" },
	[CONTROL_SET] = { do_set, "SET" },
	[CONTROL_RELOAD] = { do_reload, "RELOAD" },
	[CONTROL_PROBE] = { do_probe, "PROBE" },
	[CONTROL_PAUSE] = { do_pause, "PAUSE" },
	[CONTROL_RESUME] = { do_resume, "RESUME" },
	[CONTROL_PAUSE_LEFT] = { do_pause_left, "PAUSE" },
	[CONTROL_SHUTDOWN] = { do_shutdown, "SHUTDOWN" },
};

static void
on_request(struct letter *letter, void *owner)
{
	struct control_request *r = (struct control_request *)letter;

	(void)text_copy(r->tag, sizeof(r->tag), slice_str(verbs[r->verb].tag));
	if (verbs[r->verb].run(owner, r))
		answer(r);
}

void
requests_post(struct control *c, struct control_request *take_request)
{
	mailbox_post(c->mail, &take_request->letter, on_request);
}

static void
answer_waiting(struct control *c, bool failed)
{
	struct control_request *next;

	for (struct control_request *r = c->waiting; r != NULL; r = next) {
		next = (struct control_request *)r->letter.next;
		if (failed)
			err_set(&r->err, SQLSTATE_ADMIN_SHUTDOWN, "the proxy is shutting down");
		r->failed = failed;
		answer(r);
	}
	c->waiting = NULL;
}

/* A round of probes is over when every node has answered or failed: PROBE is answered now. */
void
requests_on_round(struct control *c)
{
	if (c->waiting != NULL && prober_round_done(c->prober))
		answer_waiting(c, false);
}

void
requests_drop(struct control *c)
{
	answer_waiting(c, true);
}
