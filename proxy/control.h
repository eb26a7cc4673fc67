/* SPDX-License-Identifier: PostgreSQL
 *
 * The control thread: signals, reload, probing, what the operator said (drains, overrides), and the
 * publication of a new world after each change. Everyone else reaches it by request.
 */
#ifndef PROXY_CONTROL_H
#define PROXY_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ev/mailbox.h"
#include "routing/topology.h"

struct control;
struct worker;

enum control_verb {
	CONTROL_DRAIN, /* region or node; deadline_us: then sessions still there are ended */
	CONTROL_UNDRAIN,
	CONTROL_OVERRIDE,       /* kind, subject, region, deadline_us: how long, 0 for ever */
	CONTROL_OVERRIDE_CLEAR, /* kind, subject; subject "" clears every override */
	CONTROL_SET,            /* subject = option, value */
	CONTROL_RELOAD,
	CONTROL_PROBE, /* probe every node now; answered when all have answered or failed */
	CONTROL_PAUSE, /* subject = database, region, "" for all; deadline_us: until when it must be
			  through, 0: none; answered when nothing is under way there */
	CONTROL_RESUME,     /* the same; both "": whatever is paused */
	CONTROL_PAUSE_LEFT, /* sender_id: whoever waited for that PAUSE has gone */
	CONTROL_SHUTDOWN,   /* wait: let sessions finish; else end them */
};

/* A request of the console. Filled in by the sender, posted with control_request(), and handed back
 * to `reply` on the sender's worker with `failed`/`err` or `tag` set; the sender frees it then. */
struct control_request {
	struct letter letter; /* first */
	enum control_verb verb;
	bool node; /* DRAIN/UNDRAIN: the subject is a node, else a region */
	bool wait; /* SHUTDOWN WAIT */
	enum override_kind kind;
	char subject[128];
	char value[512];
	char region[128];
	int64_t deadline_us;

	struct worker *from;
	letter_fn reply;
	void *sender; /* whatever the sender wants to find again */
	uint64_t sender_id;

	bool failed;
	struct err err;
	struct err notice; /* of one that has not failed: what there is to say; msg "": nothing */
	char tag[128];     /* command tag, e.g. "DRAIN" */
};

/* Any thread: a session attempt on a node failed before the client was told anything. */
void control_evidence(struct control *c, uint32_t node_id, const char *reason);

/* What a login taught for free (ParameterStatus): 1 yes, 0 no, -1 not said. */
struct control_lesson {
	int8_t in_hot_standby;
	int server_version; /* server_version_num, 0 not said */
	enum node_kind kind;
};

/* Any thread. */
void control_learned(struct control *c, uint32_t node_id, const struct control_lesson *lesson);

/* Any thread: a drain is over at this worker. */
void control_worker_done(struct control *c);

/* Any thread. Ownership goes to control until `reply` runs on worker `from`. */
void control_request(struct control *c, struct control_request *take_request);

#endif
