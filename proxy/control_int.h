/* SPDX-License-Identifier: PostgreSQL
 *
 * The inside of the control thread, for proxy/control.c, proxy/requests.c, proxy/steer.c and main.
 */
#ifndef PROXY_CONTROL_INT_H
#define PROXY_CONTROL_INT_H

#include "base/ev/fetch.h"
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
	struct notifier *notifier; /* to the supervisor, such as systemd */
	struct config *config;     /* one reference each */
	struct config *begun;      /* what the process started with */
	struct tlsset *tls;
	struct gazetteer *gazetteer; /* or NULL */
	struct geo *geo;             /* or NULL */
	char gazetteer_complaint[512],
	    geo_complaint[512];   /* what the log was told about files that do not open */
	struct event files_timer; /* to look at the files; armed while any is configured */
	struct topology *base; /* the regions and nodes that there are, without facts about them */
	struct topology *resolved; /* … and with the addresses that are known by now */
	struct roster *roster;     /* the nodes that were discovered, and who tells of them */
	struct roster *shown;      /* a copy that snapshots share; NULL: it is to be made anew */
	struct fetcher *fetcher;   /* NULL until something is asked by HTTP */
	struct patroni_cluster *patroni; /* the clusters that are asked by it; NULL: none */
	struct event discovery_timer,
	    roster_timer; /* to take changes of it into use; to let it age */
	struct prober *prober;
	struct resolver *resolver;
	struct fleet *fleet; /* as configured; NULL: no peers */
	struct resolver *fleet_resolver;
	struct steer steer;              /* what the operator has ordered */
	struct paused_list paused;       /* … and what is paused */
	struct control_request *waiting; /* the PROBE to be answered when the round is over */
	uint64_t version;
	uint32_t last_node_id;
	int workers_done;
	unsigned stopping; /* how often the process was asked to stop */
	bool serving;      /* the first round of probes is over */
};

/* Takes the configuration; `args` must outlive it. Checks what has to be right at the start (TLS
 * files, GeoIP files). NULL and *e. */
struct control *control_new(struct meridian *process, const struct config_args *args,
			    struct config *take_config, struct err *e);
void control_free(struct control *c);
/* One round of name look-ups and probes, for at most 3 s. */
void control_look_around(struct control *c);
/* Runs until every worker is done. */
void control_run(struct control *c);
/* After control_run(): carry out the letters that the loop did not get. True: there were any. */
bool control_deliver(struct control *c);
void control_shutdown(struct control *c, bool drain_idle, int64_t grace_us);

/* requests.c: any thread. */
void requests_post(struct control *c, struct control_request *take_request);

/* ---- datafiles.c ---- */
/* Open the files that the configuration names: 0, or -1 and *e. A gazetteer that is only the
 * default may be missing. */
int datafiles_open(const struct conf_main *conf, struct gazetteer **gazetteer, struct geo **geo,
		   struct err *e);
/* Log which files are open, and which are missing. */
void datafiles_init(struct control *c);
/* Open the gazetteer that the configuration wants; if that fails, the old one stays. True: there is
 * another one now. */
bool datafiles_take_gazetteer(struct control *c);
/* Look at the files from time to time if the configuration has any; else stop the timer. */
void datafiles_watch(struct control *c);

/* ---- discovery.c ---- */
void discovery_init(struct control *c);
void discovery_fini(struct control *c);
/* The configuration or the base is another one: sources that are no longer asked are forgotten. */
void discovery_watch(struct control *c);
/* Add what was discovered to the region that was added last, behind its configured nodes. */
void discovery_add_nodes(struct control *c, const struct config *config, struct topology *t);
/* A topology with what the prober knows: see which new nodes can be used; give the roster, and the
 * reasons why discovered nodes are not used. */
void discovery_fill(struct control *c, struct topology *t);

/* A source has answered; `of` names it, and what it does not place belongs to that region. The
 * rest as in prober_discovered_fn. */
void discovery_hear(struct control *c, const char *of, unsigned region, enum discover_source source,
		    uint64_t system_id, const struct sightings *seen, const struct err *e);

/* ---- patroni.c ---- */
/* The configuration is another one: ask the clusters that it names. */
void patroni_watch(struct control *c);
/* Whether there is a source of that name. */
bool patroni_is_asked(const struct control *c, const char *name);
/* A topology with what the prober knows: where a region has another primary, its cluster is asked
 * at once. */
void patroni_look(struct control *c, const struct topology *t);
void patroni_fini(struct control *c);

/* ---- reload.c ---- */
/* The counters and the identity of a node, which outlive snapshots and reloads: the one of that
 * name in the base, or a new one. The caller owns a reference. */
struct node_live *control_node_live(struct control *c, const char *region, const char *name);
/* The nodes that were discovered are others. */
void control_rebase(struct control *c);
/* Takes the references; `take_geo` NULL keeps the open databases where the configuration names
 * any. */
void control_take(struct control *c, struct config *take_config, struct tlsset *take_tls,
		  struct geo *take_geo);
/* Tell the prober which addresses to watch. */
void control_watch(struct control *c);
/* Take a configuration into use. -1 and *e: the running one stays (INV-18). said: what has changed
 * and what needs a restart, or NULL. */
int control_adopt(struct control *c, struct config *take_config, struct err *said, struct err *e);
int control_reload(struct control *c, struct err *said, struct err *e);

/* ---- requests.c ---- */
void requests_on_round(struct control *c);
/* Answer the requests that wait for an event that will not come any more. */
void requests_drop(struct control *c);

#endif
