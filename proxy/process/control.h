/* SPDX-License-Identifier: PostgreSQL
 *
 * The control thread: signals, reload, probing, what the operator has ordered (drains, overrides),
 * and the publication of a new world after each change. All other threads reach it by requests.
 */
#ifndef PROXY_PROCESS_CONTROL_H
#define PROXY_PROCESS_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ev/mailbox.h"
#include "routing/topology.h"

struct control;
struct paused_list;
struct worker;
struct world;

enum control_verb {
	/* subject: a region or node; deadline_us: sessions still there by then are ended */
	CONTROL_DRAIN,
	CONTROL_UNDRAIN,
	/* kind, subject, region, deadline_us: how long, 0: without an end */
	CONTROL_OVERRIDE,
	CONTROL_OVERRIDE_CLEAR, /* kind, subject; subject "" clears every override */
	CONTROL_SET,            /* subject = option, value */
	CONTROL_RELOAD,
	CONTROL_PROBE, /* probe every node now; answered when all have answered or failed */
	/* subject = database, region, "" for all; deadline_us: by when it must be in force, 0:
	 * none; answered when no transaction is open there */
	CONTROL_PAUSE,
	CONTROL_RESUME,     /* the same; both "": all that is paused */
	CONTROL_PAUSE_LEFT, /* sender_id: the console that waited for that PAUSE has gone */
	CONTROL_SHUTDOWN,   /* wait: let sessions finish; else end them */
};

/* A request of the console. Filled in by the sender, posted with control_request(), and given back
 * to `reply` on the sender's worker with `failed`/`err` or `tag` set; the sender then frees it. */
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
	void *sender; /* for the sender's use */
	uint64_t sender_id;

	bool failed;
	struct err err;
	struct err notice; /* of a request that has not failed: a message; msg "": there is none */
	char tag[128];     /* command tag, e.g. "DRAIN" */
};

/* What a login has reported of the node (ParameterStatus): 1 yes, 0 no, -1 not reported. */
struct control_lesson {
	int8_t in_hot_standby;
	int server_version; /* server_version_num, 0: not reported */
	enum node_kind kind;
};

/* A migration has decided who serves a database. */
struct control_serve {
	const char *database, *place, *newdb;
	int64_t epoch;
};

/* What control is asked. proxy/control.c fills it in; the functions below are to be called. */
struct control_ops {
	/* Any thread: */
	void (*post)(struct control *c, struct letter *take_letter, letter_fn deliver);
	void (*evidence)(struct control *c, uint32_t node_id, const char *reason);
	void (*learned)(struct control *c, uint32_t node_id, const struct control_lesson *lesson);
	void (*look)(struct control *c, struct node_live *live);
	void (*worker_done)(struct control *c);
	void (*request)(struct control *c, struct control_request *take_request);
	/* On its own thread: */
	struct paused_list *(*paused)(struct control *c);
	bool (*serve)(struct control *c, const struct control_serve *what);
	void (*publish)(struct control *c, bool wake);
	struct world *(*make_world)(struct control *c);
};
extern const struct control_ops control_ops;

/* Any thread: a letter, to be delivered on its thread; owner: the control. */
static inline void
control_post(struct control *c, struct letter *take_letter, letter_fn deliver)
{
	control_ops.post(c, take_letter, deliver);
}

/* Any thread: a session attempt on a node failed before the client was told anything. */
static inline void
control_evidence(struct control *c, uint32_t node_id, const char *reason)
{
	control_ops.evidence(c, node_id, reason);
}

/* Any thread: what a login has said of its node. */
static inline void
control_learned(struct control *c, uint32_t node_id, const struct control_lesson *lesson)
{
	control_ops.learned(c, node_id, lesson);
}

/* Any thread: what a session has seen makes the role of a node doubtful (prober_look()). Cheap
 * where it was said a moment ago. */
static inline void
control_look(struct control *c, struct node_live *live)
{
	control_ops.look(c, live);
}

/* Any thread: this worker's drain is over. */
static inline void
control_worker_done(struct control *c)
{
	control_ops.worker_done(c);
}

/* Any thread. The request belongs to control until `reply` runs on worker `from`. */
static inline void
control_request(struct control *c, struct control_request *take_request)
{
	control_ops.request(c, take_request);
}

/* On control's thread: what is paused. */
static inline struct paused_list *
control_paused_list(struct control *c)
{
	return control_ops.paused(c);
}

/* On control's thread: that place serves the database alone from now on (steer_serve()). False:
 * nothing has changed. */
static inline bool
control_serve(struct control *c, const struct control_serve *what)
{
	return control_ops.serve(c, what);
}

/* On control's thread: each worker gets a new world, and `wake` has it look now. */
static inline void
control_publish(struct control *c, bool wake)
{
	control_ops.publish(c, wake);
}

/* On control's thread: a new world as things stand; the reference is the caller's. */
static inline struct world *
control_make_world(struct control *c)
{
	return control_ops.make_world(c);
}

#endif
