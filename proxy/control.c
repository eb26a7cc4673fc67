/* SPDX-License-Identifier: PostgreSQL
 *
 * The control thread's loop: its events, and the publication of a new world after each change.
 * proxy/steer.c keeps what the operator has ordered, proxy/requests.c carries out requests of the
 * console.
 */
#include "config.h"

#include "proxy/control_int.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proxy/move/migrations.h"
#include "proxy/net/tlsctx.h"
#include "proxy/process/fleet.h"
#include "proxy/process/listener.h"

#define FIRST_ROUND_MAX_US (3 * USEC_PER_SEC)
/* How often the prober is asked to look at one node. */
#define LOOK_GAP_US (200 * USEC_PER_MSEC)

/* ---- worlds ---- */

static struct world *
make_world(struct control *c)
{
	struct topology *t = topology_dup(c->base);
	struct world *w;

	t->version = ++c->version;
	resolver_fill(c->resolver, t);
	prober_fill(c->prober, t);
	discovery_fill(c, t);
	patroni_look(c, t);
	steer_fill(&c->steer, t, clock_us());
	w = world_new(config_ref(c->config), t, gazetteer_ref(c->gazetteer),
		      c->geo != NULL ? geo_ref(c->geo) : NULL, tlsset_ref(c->tls));
	if (c->fleet != NULL)
		w->fleet = fleet_resolved(c->fleet, c->fleet_resolver);
	return w;
}

static void
publish(struct control *c, bool wake)
{
	struct world *w = control_make_world(c);

	for (int i = 0; i < c->process->nworkers; i++)
		worker_publish(c->process->workers[i], world_ref(w), wake);
	proxy_migrations_publish(c->process->migrations, w);
}

static void
on_topology_changed(void *arg)
{
	struct control *c = arg;

	if (!c->serving) {
		if (resolver_settled(c->resolver) && prober_round_done(c->prober))
			loop_stop(c->loop);
		return;
	}
	control_publish(c, false);
	requests_on_round(c);
}

static void
on_resolved(void *arg)
{
	struct control *c = arg;

	control_watch(c);
	on_topology_changed(c);
}

static void
on_peer_resolved(void *arg)
{
	struct control *c = arg;

	if (c->serving)
		control_publish(c, false);
}

/* ---- signals ---- */

static void
dump_state(struct control *c)
{
	struct world *w = control_make_world(c);
	const struct topology *t = w->topology;

	for (int i = 0; i < c->process->nworkers; i++)
		log_msg(LOG_LEVEL_INFO, "state: worker=%d sessions=%u", i + 1,
			worker_nsessions(c->process->workers[i]));
	for (unsigned i = 0; i < t->nnodes; i++) {
		const struct node *n = &t->nodes[i];

		log_msg(LOG_LEVEL_INFO,
			"state: region=%s node=%s state=%s role=%s sessions=%u rtt_ms=%.3f%s%s",
			t->regions[n->region].name, n->name, node_state_name(n->state),
			node_role_name(n->role), atomic_load(&n->live->sessions),
			(double)n->rtt_us / 1000, n->reason[0] != '\0' ? " reason=" : "",
			n->reason);
	}
	world_unref(w);
}

void
control_shutdown(struct control *c, bool drain_idle, int64_t grace_us)
{
	notifier_say(c->notifier, "STOPPING=1");
	c->stopping++;
	c->paused.closed = true;
	listeners_unlink(c->process->listeners);
	for (int i = 0; i < c->process->nworkers; i++)
		worker_drain(c->process->workers[i], drain_idle, grace_us);
}

static void
on_worker_done(struct letter *letter, void *owner)
{
	struct control *c = owner;

	free(letter);
	if (++c->workers_done < c->process->nworkers)
		return;
	for (int i = 0; i < c->process->nworkers; i++)
		worker_stop(c->process->workers[i]);
	loop_stop(c->loop);
}

static void
worker_done(struct control *c)
{
	mailbox_post(c->mail, xcalloc(1, sizeof(struct letter)), on_worker_done);
}

static void
control_on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;
	int64_t grace = c->config->main.shutdown_timeout;
	struct err said, e;

	(void)what;
	switch (fd) {
	case SIGHUP:
		(void)control_reload(c, &said, &e);
		break;
	case SIGUSR1:
		dump_state(c);
		break;
	case SIGTERM:
	case SIGINT:
		/* drain: end idle sessions now, the others as they become idle; a second signal
		 * ends them all */
		log_msg(LOG_LEVEL_INFO, "%s: draining", fd == SIGTERM ? "SIGTERM" : "SIGINT");
		control_shutdown(c, true, c->stopping > 0 ? 0 : grace > 0 ? grace : -1);
		break;
	default:
		log_msg(LOG_LEVEL_INFO, "SIGQUIT: ending all sessions");
		control_shutdown(c, true, 0);
		break;
	}
}

/* ---- letters of workers ---- */

struct node_letter {
	struct letter letter;
	uint32_t node_id;
	struct control_lesson lesson;
	char reason[128];
};

static void
on_evidence(struct letter *letter, void *owner)
{
	struct node_letter *l = (struct node_letter *)letter;
	struct control *c = owner;

	prober_evidence(c->prober, l->node_id, l->reason);
	free(l);
}

static void
on_look(struct letter *letter, void *owner)
{
	struct node_letter *l = (struct node_letter *)letter;
	struct control *c = owner;

	prober_look(c->prober, l->node_id);
	free(l);
}

static void
on_learned(struct letter *letter, void *owner)
{
	struct node_letter *l = (struct node_letter *)letter;
	struct control *c = owner;
	struct probe_learned said = { l->lesson.in_hot_standby, -1, l->lesson.server_version,
				      l->lesson.kind };

	prober_learned(c->prober, l->node_id, &said);
	free(l);
}

static void
evidence(struct control *c, uint32_t node_id, const char *reason)
{
	struct node_letter *l = xcalloc(1, sizeof(*l));

	l->node_id = node_id;
	(void)text_copy(l->reason, sizeof(l->reason), slice_str(reason));
	mailbox_post(c->mail, &l->letter, on_evidence);
}

/* Sessions may see the same thing by the thousand. */
static void
look(struct control *c, struct node_live *live)
{
	int64_t now_us = clock_us(), last_us = atomic_load(&live->looked_us);
	struct node_letter *l;

	if (now_us - last_us < LOOK_GAP_US ||
	    !atomic_compare_exchange_strong(&live->looked_us, &last_us, now_us))
		return;
	l = xcalloc(1, sizeof(*l));
	l->node_id = live->id;
	mailbox_post(c->mail, &l->letter, on_look);
}

static void
learned(struct control *c, uint32_t node_id, const struct control_lesson *lesson)
{
	struct node_letter *l = xcalloc(1, sizeof(*l));

	l->node_id = node_id;
	l->lesson = *lesson;
	mailbox_post(c->mail, &l->letter, on_learned);
}

/* ---- life ---- */

struct control *
control_new(struct meridian *process, const struct config_args *args, struct config *take_config,
	    struct err *e)
{
	struct control *c = xcalloc(1, sizeof(*c));
	struct tlsset *tls = tlsset_build(take_config, e);
	struct gazetteer *gazetteer = NULL;
	struct geo *geo = NULL;

	if (tls == NULL || datafiles_open(&take_config->main, &gazetteer, &geo, e) != 0) {
		tlsset_unref(tls);
		config_unref(take_config);
		free(c);
		return NULL;
	}
	c->process = process;
	c->args = args;
	c->loop = loop_new();
	c->mail = mailbox_new(c->loop, c);
	c->notifier = notifier_new(c->loop, getenv("NOTIFY_SOCKET"));
	c->gazetteer = gazetteer;
	c->prober = prober_new(c->loop, on_topology_changed, c);
	c->resolver = resolver_new(c->loop, on_resolved, c);
	c->fleet_resolver = resolver_new(c->loop, on_peer_resolved, c);
	discovery_init(c);
	steer_init(&c->steer, c);
	paused_init(&c->paused, process, c->loop);
	c->begun = config_ref(take_config);
	process->begun = c->begun;
	control_take(c, take_config, tls, geo);
	datafiles_init(c);
	return c;
}

static void
control_on_first_round_timer(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	(void)fd;
	(void)what;
	loop_stop(c->loop);
}

/* One round of probes, of limited length, so that the first sessions find nodes whose state is
 * known. */
void
control_look_around(struct control *c)
{
	const struct timeval limit = { .tv_sec = FIRST_ROUND_MAX_US / USEC_PER_SEC };
	struct event timer;

	if (resolver_settled(c->resolver) && prober_round_done(c->prober))
		return;
	evtimer_assign(&timer, loop_base(c->loop), control_on_first_round_timer, c);
	event_add(&timer, &limit);
	loop_run(c->loop);
	event_del(&timer);
}

void
control_run(struct control *c)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1 };
	struct event ev[sizeof(signals) / sizeof(signals[0])];
	sigset_t all;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		evsignal_assign(&ev[i], loop_base(c->loop), signals[i], control_on_signal, c);
		event_add(&ev[i], NULL);
	}
	datafiles_watch(c);
	c->serving = true;
	notifier_say(c->notifier, "READY=1");
	/* until the last worker is done: during the drain a second signal ends what is left */
	loop_run(c->loop);
	/* a signal from here on must not end the process while it cleans up */
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, NULL);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		event_del(&ev[i]);
	event_del(&c->files_timer);
}

bool
control_deliver(struct control *c)
{
	bool some = mailbox_deliver(c->mail);

	requests_drop(c);
	paused_fini(&c->paused);
	return some;
}

void
control_free(struct control *c)
{
	if (c == NULL)
		return;
	mailbox_free(c->mail);
	patroni_fini(c);
	discovery_fini(c);
	prober_free(c->prober);
	resolver_free(c->resolver);
	resolver_free(c->fleet_resolver);
	fleet_unref(c->fleet);
	steer_fini(&c->steer);
	notifier_free(c->notifier);
	loop_free(c->loop);
	topology_unref(c->base);
	topology_unref(c->resolved);
	config_unref(c->config);
	config_unref(c->begun);
	tlsset_unref(c->tls);
	gazetteer_unref(c->gazetteer);
	geo_unref(c->geo);
	free(c);
}

/* ---- what others may ask ---- */

static void
post(struct control *c, struct letter *take_letter, letter_fn deliver)
{
	mailbox_post(c->mail, take_letter, deliver);
}

static struct paused_list *
paused(struct control *c)
{
	return &c->paused;
}

static bool
serve(struct control *c, const struct control_serve *what)
{
	return steer_serve(&c->steer, what->database, what->place, what->newdb, what->epoch);
}

const struct control_ops control_ops = {
	.post = post,
	.evidence = evidence,
	.learned = learned,
	.look = look,
	.worker_done = worker_done,
	.request = requests_post,
	.paused = paused,
	.serve = serve,
	.publish = publish,
	.make_world = make_world,
};
