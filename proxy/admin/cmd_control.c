/* SPDX-License-Identifier: PostgreSQL
 *
 * Commands that change something: each becomes a request to the control thread, whose answer ends
 * the command. Names and values are checked here, against the world as the operator sees it, so
 * that a typing mistake is answered at once and with a hint.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "protocol/sqlstate.h"
#include "proxy/admin/commands.h"
#include "proxy/process/control.h"
#include "proxy/process/meridian.h"
#include "proxy/process/worker.h"
#include "proxy/process/world.h"
#include "routing/places.h"
#include "routing/tlvs.h"

/* ---- the way to the control thread and back ---- */

static struct control_request *
request_new(struct run *r, enum control_verb verb)
{
	struct control_request *q = xcalloc(1, sizeof(*q));

	q->verb = verb;
	r->state = q;
	return q;
}

static void
request_answered(struct letter *take_letter, void *owner)
{
	struct control_request *q = (struct control_request *)take_letter;
	struct run *r = run_find(q->sender);

	(void)owner;
	if (r == NULL) {
		free(q);
		return;
	}
	r->state = q;
	run_resume(r);
}

static void
send_request(struct run *r, struct control_request *q)
{
	q->from = r->worker;
	q->reply = request_answered;
	q->sender = run_hold(r);
	r->state = NULL;
	control_request(worker_process(r->worker)->control, q);
}

/* r->at is 0 before the request was sent, and 1 afterwards. */
static enum step
request_row(struct run *r)
{
	struct control_request *q = r->state;

	if (r->at++ == 0) {
		send_request(r, q);
		return STEP_WAIT;
	}
	if (q->failed) {
		r->err = q->err;
		return STEP_FAIL;
	}
	if (q->notice.msg[0] != '\0')
		run_notice(r, "NOTICE", &q->notice);
	(void)text_copy(r->tag, sizeof(r->tag), slice_str(q->tag));
	return STEP_DONE;
}

static void
request_end(struct run *r)
{
	free(r->state); /* NULL while the request is on its way: then it is freed on its return */
	r->state = NULL;
}

/* ---- arguments ---- */

static int
too_long(struct run *r, const char *what)
{
	return err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE, "this %s is too long", what);
}

static int
take_duration(struct run *r, const char *argument, int64_t *out)
{
	const char *text = run_arg(r, argument);

	if (text == NULL || (text_to_usec(slice_str(text), out) && *out > 0))
		return 0;
	err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE, "\"%s\" is no duration", text);
	return err_hint(&r->err, "A number and a unit of ms, s, min, h, d: '30s', '1h'.");
}

static int
take_region(struct run *r, char *to, size_t size)
{
	int region = run_region(r, run_arg(r, "region"));

	if (region < 0)
		return -1;
	(void)text_copy(to, size, slice_str(r->world->topology->regions[region].name));
	return 0;
}

/* ---- DRAIN, UNDRAIN ---- */

static int
drain_subject(struct run *r, struct control_request *q)
{
	const struct node *n;

	q->node = run_arg(r, "node") != NULL;
	if (!q->node)
		return take_region(r, q->subject, sizeof(q->subject));
	n = run_node(r, run_arg(r, "node"));
	if (n == NULL)
		return -1;
	(void)text_copy(q->subject, sizeof(q->subject), slice_str(n->name));
	return 0;
}

static int
drain_begin(struct run *r)
{
	struct control_request *q = request_new(r, CONTROL_DRAIN);

	if (take_duration(r, "time", &q->deadline_us) != 0)
		return -1;
	return drain_subject(r, q);
}

static int
undrain_begin(struct run *r)
{
	return drain_subject(r, request_new(r, CONTROL_UNDRAIN));
}

/* ---- OVERRIDE ---- */

#define OVERRIDE_SUBJECT "(CITY <city> | COUNTRY <country> | NETWORK <network>)"

static int
override_city(struct run *r, const char *value, struct control_request *q)
{
	char folded[PLACE_NAME_MAX];

	if (places_fold(slice_str(value), folded) == 0)
		return err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE, "\"%s\" is no city",
			       value);
	q->kind = OVERRIDE_CITY;
	return text_copy(q->subject, sizeof(q->subject), slice_str(folded)) ? 0
									    : too_long(r, "city");
}

static int
override_country(struct run *r, const char *value, struct control_request *q)
{
	q->kind = OVERRIDE_COUNTRY;
	if (strlen(value) != 2)
		return err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE,
			       "\"%s\" is no ISO 3166 country code of two letters", value);
	for (int i = 0; i < 2; i++)
		q->subject[i] =
		    (char)(value[i] >= 'a' && value[i] <= 'z' ? value[i] - 32 : value[i]);
	return 0;
}

static int
override_network(struct run *r, const char *value, struct control_request *q)
{
	char text[ADDR_TEXT_MAX];
	struct cidr net;

	q->kind = OVERRIDE_NETWORK;
	if (endpoint_parse(slice_str(value), q->subject))
		return 0;
	if (!cidr_parse(slice_str(value), &net)) {
		err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE, "\"%s\" is no address block",
			value);
		return err_hint(
		    &r->err, "Write '10.0.0.0/8' (bits below the mask must be zero), or a private "
			     "endpoint: 'vpce-0123', 'psc:123', 'azure:123'.");
	}
	(void)text_copy(q->subject, sizeof(q->subject), slice_str(cidr_print(&net, text)));
	return 0;
}

static int
override_subject(struct run *r, struct control_request *q)
{
	static const struct {
		const char *argument;
		int (*take)(struct run *r, const char *value, struct control_request *q);
	} kinds[] = {
		{ "city", override_city },
		{ "country", override_country },
		{ "network", override_network },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (run_arg(r, kinds[i].argument) != NULL)
			return kinds[i].take(r, run_arg(r, kinds[i].argument), q);
	return 0; /* OVERRIDE CLEAR: every one */
}

static int
override_begin(struct run *r)
{
	struct control_request *q = request_new(r, CONTROL_OVERRIDE);

	if (override_subject(r, q) != 0 || take_duration(r, "time", &q->deadline_us) != 0)
		return -1;
	return take_region(r, q->region, sizeof(q->region));
}

static int
override_clear_begin(struct run *r)
{
	return override_subject(r, request_new(r, CONTROL_OVERRIDE_CLEAR));
}

/* ---- PAUSE, RESUME ---- */

static int
take_scope(struct run *r, struct control_request *q)
{
	const char *database = run_arg(r, "database");

	if (database != NULL && strcmp(database, CONSOLE_DATABASE) == 0)
		return err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE,
			       "the console cannot be paused");
	if (database != NULL && !text_copy(q->subject, sizeof(q->subject), slice_str(database)))
		return too_long(r, "database name");
	return run_arg(r, "region") != NULL ? take_region(r, q->region, sizeof(q->region)) : 0;
}

static int
pause_begin(struct run *r)
{
	struct control_request *q = request_new(r, CONTROL_PAUSE);

	q->sender_id = (uint64_t)(uintptr_t)r->hold;
	if (take_duration(r, "time", &q->deadline_us) != 0)
		return -1;
	return take_scope(r, q);
}

/* A client that hangs up before the answer has not learned that its pause is in force, so control
 * is asked to take it back. */
static void
pause_end(struct run *r)
{
	struct control_request *q;

	if (r->at > 0 && r->state == NULL) {
		q = request_new(r, CONTROL_PAUSE_LEFT);
		q->sender_id = (uint64_t)(uintptr_t)r->hold;
		send_request(r, q);
	}
	request_end(r);
}

static int
resume_begin(struct run *r)
{
	return take_scope(r, request_new(r, CONTROL_RESUME));
}

/* ---- SET, RELOAD, PROBE, SHUTDOWN ---- */

static int
set_begin(struct run *r)
{
	struct control_request *q = request_new(r, CONTROL_SET);

	if (!text_copy(q->subject, sizeof(q->subject), slice_str(run_arg(r, "option"))))
		return too_long(r, "option");
	if (!text_copy(q->value, sizeof(q->value), slice_str(run_arg(r, "value"))))
		return too_long(r, "value");
	return 0;
}

static int
reload_begin(struct run *r)
{
	request_new(r, CONTROL_RELOAD);
	return 0;
}

static int
probe_begin(struct run *r)
{
	request_new(r, CONTROL_PROBE);
	return 0;
}

static int
shutdown_begin(struct run *r)
{
	request_new(r, CONTROL_SHUTDOWN)->wait = run_has(r, "WAIT");
	return 0;
}

#define REQUEST .privilege = PRIVILEGE_ADMIN, .row = request_row, .end = request_end

static const struct command commands[] = {
	{ .words = "DRAIN",
	  .args = "(REGION <region> | NODE <node>) [DEADLINE <time>]",
	  REQUEST,
	  .begin = drain_begin,
	  .help = "send no new sessions there; with a deadline, end those that are left then",
	  .brief = "send no new sessions there; end those left at the deadline",
	  .example = "DRAIN REGION europe-west1 DEADLINE '30s'" },
	{ .words = "UNDRAIN",
	  .args = "(REGION <region> | NODE <node>)",
	  REQUEST,
	  .begin = undrain_begin,
	  .help = "use it again",
	  .example = "UNDRAIN REGION europe-west1" },
	{ .words = "OVERRIDE",
	  .args = OVERRIDE_SUBJECT " TO REGION <region> [FOR <time>]",
	  REQUEST,
	  .begin = override_begin,
	  .help = "send callers from there to a region, for some time or until it is cleared",
	  .brief = "send callers from there to a region, for some time",
	  .example = "OVERRIDE CITY 'paris' TO REGION us-east1 FOR '1h'" },
	{ .words = "OVERRIDE",
	  .args = OVERRIDE_SUBJECT " CLEAR",
	  REQUEST,
	  .begin = override_clear_begin,
	  .help = "take one override back",
	  .example = "OVERRIDE CITY 'paris' CLEAR" },
	{ .words = "OVERRIDE CLEAR",
	  REQUEST,
	  .begin = override_clear_begin,
	  .help = "take every override back",
	  .example = "OVERRIDE CLEAR" },
	{ .words = "PAUSE",
	  .args = "[DATABASE <database>] [REGION <region>] [DEADLINE <time>]",
	  .privilege = PRIVILEGE_ADMIN,
	  .begin = pause_begin,
	  .row = request_row,
	  .end = pause_end,
	  .help = "let no transaction begin there until RESUME; answered when none is open any "
		  "more; taken back where that is not so by the deadline",
	  .brief = "let no transaction begin there until RESUME",
	  .example = "PAUSE DATABASE movr DEADLINE '5s'" },
	{ .words = "RESUME",
	  .args = "[DATABASE <database>] [REGION <region>]",
	  REQUEST,
	  .begin = resume_begin,
	  .help = "end that PAUSE, or without arguments whatever is paused",
	  .example = "RESUME DATABASE movr" },
	{ .words = "SET",
	  .args = "<option> (= | TO) <value...>",
	  REQUEST,
	  .begin = set_begin,
	  .help = "change an option of [meridian] until the next reload or restart",
	  .example = "SET max_client_conn = 2000" },
	{ .words = "RELOAD",
	  REQUEST,
	  .begin = reload_begin,
	  .help = "read the configuration again, and say what has changed; with an error in it, "
		  "the old one stays",
	  .brief = "read the configuration again, and say what has changed",
	  .example = "RELOAD" },
	{ .words = "PROBE",
	  REQUEST,
	  .begin = probe_begin,
	  .help = "probe every node now, and answer when all have answered or failed",
	  .brief = "probe every node now, and wait for the answers",
	  .example = "PROBE" },
	{ .words = "SHUTDOWN",
	  .args = "[WAIT]",
	  REQUEST,
	  .begin = shutdown_begin,
	  .help = "end the program; with WAIT, when the last session has ended",
	  .example = "SHUTDOWN WAIT" },
};

COMMAND_TABLE(commands_control, commands);
