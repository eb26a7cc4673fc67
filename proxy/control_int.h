/* SPDX-License-Identifier: PostgreSQL
 *
 * The inside of the control thread, for proxy/control.c, proxy/requests.c, proxy/steer.c and main.
 */
#ifndef PROXY_CONTROL_INT_H
#define PROXY_CONTROL_INT_H

#include "base/ev/loop.h"
#include "base/ev/mailbox.h"
#include "base/text.h"
#include "proxy/move/pauses.h"
#include "proxy/notify.h"
#include "proxy/process/control.h"
#include "proxy/steer.h"
#include "proxy/workers.h"
#include "routing/watch/probe.h"
#include "routing/watch/resolve.h"

struct control {
	struct meridian *process;
	const struct config_args *args;
	struct loop *loop;
	struct mailbox *mail;
	struct notifier *notifier; /* to whoever supervises us */
	struct config *config;     /* one reference each */
	struct config *begun;      /* what the process began with */
	struct tlsset *tls;
	struct gazetteer *gazetteer; /* or NULL */
	struct geo *geo;             /* or NULL */
	char gazetteer_complaint[512],
	    geo_complaint[512];   /* what the log has been told of files that do not open */
	struct event files_timer; /* look at the files; armed while any is configured */
	struct topology *base;    /* what the configuration alone says */
	struct prober *prober;
	struct resolver *resolver;
	struct fleet *fleet; /* as configured; NULL: no peers */
	struct resolver *fleet_resolver;
	struct steer steer;              /* what the operator said */
	struct paused_list paused;       /* … and what is paused */
	struct control_request *waiting; /* PROBE, until the round is over */
	uint64_t version;
	uint32_t last_node_id;
	int workers_done;
	unsigned stopping; /* how often it was asked to */
	bool serving;      /* the first look around is over */
};

/* Takes the configuration; `args` must outlive it. Checks what start-up must find right (TLS files,
 * GeoIP files). NULL and *e. */
struct control *control_new(struct meridian *process, const struct config_args *args,
			    struct config *take_config, struct err *e);
void control_free(struct control *c);
/* One round of name look-ups and probes, at most 3 s. */
void control_look_around(struct control *c);
/* Until every worker is done. */
void control_run(struct control *c);
/* After that: carry out the letters that the loop did not see. True where there were any. */
bool control_deliver(struct control *c);
void control_shutdown(struct control *c, bool drain_idle, int64_t grace_us);

/* requests.c: any thread. */
void requests_post(struct control *c, struct control_request *take_request);

/* datafiles.c */
/* Open the files that the configuration names: 0, or -1 and *e. A gazetteer that is merely the
 * default may be missing. */
int datafiles_open(const struct conf_main *conf, struct gazetteer **gazetteer, struct geo **geo,
		   struct err *e);
/* Say what is open, and what is missing. */
void datafiles_init(struct control *c);
/* Have the gazetteer that the configuration wants; one that does not open leaves the old one. True
 * where there is another one now. */
bool datafiles_take_gazetteer(struct control *c);
/* Look at the files from time to time where the configuration wants any, else sleep. */
void datafiles_watch(struct control *c);

/* reload.c */
/* Takes the references; `take_geo` NULL keeps the databases in use where the configuration names
 * any. */
void control_take(struct control *c, struct config *take_config, struct tlsset *take_tls,
		  struct geo *take_geo);
/* Tell the prober which addresses to watch. */
void control_watch(struct control *c);
/* Take a configuration into use; -1 and *e: the running one stays. said: what has changed and what
 * waits for a restart, or NULL. */
int control_adopt(struct control *c, struct config *take_config, struct err *said, struct err *e);
int control_reload(struct control *c, struct err *said, struct err *e);

/* requests.c */
void requests_on_round(struct control *c);
/* Answer those that wait for something that will not come. */
void requests_drop(struct control *c);

#endif
