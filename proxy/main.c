/* SPDX-License-Identifier: PostgreSQL
 *
 * meridian: arguments, start and end of the process. Exit codes: 0 done, 1 could not run, 2
 * unusable arguments.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "migration/transitions.h"
#include "proxy/args.h"
#include "proxy/auth/keymaker.h"
#include "proxy/auth/throttle.h"
#include "proxy/control_int.h"
#include "proxy/import/import.h"
#include "proxy/login/authquery.h"
#include "proxy/move/migrations.h"
#include "proxy/move/redirects.h"
#include "proxy/net/tlsctx.h"
#include "proxy/process/descriptors.h"
#include "proxy/process/listener.h"
#include "proxy/session/states.h"
#include "routing/geo.h"

/* For the cache of auth_query. */
#define CACHED_USERS_MAX   20000
#define CACHED_MISSING_MAX 2000

/* Every connection needs a descriptor: raise the limit as far as allowed. Secrets are in this
 * memory: no core files (INV-20). */
static void
set_limits(void)
{
	static const struct rlimit no_core = { 0, 0 };
	struct rlimit limit;

	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* The control thread alone gets signals: the other threads are started with all of them blocked. */
static void
start_threads(struct meridian *m)
{
	sigset_t all, old;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	int failed = authquery_start(m->authquery);

	if (failed == 0)
		failed = keymaker_start(m->keymaker, (m->nworkers + 1) / 2);
	for (int i = 0; i < m->nworkers && failed == 0; i++)
		failed = worker_start(m->workers[i]);
	if (failed != 0) {
		log_msg(LOG_LEVEL_FATAL, "could not start a thread: %s", strerror(errno));
		exit(1);
	}
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* No loop runs any more, but letters may be on their way, some to be answered: they are delivered
 * while their receivers still exist. */
static void
deliver_letters(struct meridian *m)
{
	bool more;

	do {
		more = control_deliver(m->control);
		more = authquery_deliver(m->authquery) || more;
		for (int i = 0; i < m->nworkers; i++)
			more = worker_deliver(m->workers[i]) || more;
	} while (more);
}

static void
log_start(const struct meridian *m, const struct listeners *l)
{
	log_msg(LOG_LEVEL_INFO, "meridian %s: %d worker%s, %zu region%s", PACKAGE_VERSION,
		m->nworkers, m->nworkers == 1 ? "" : "s", m->control->config->nregions,
		m->control->config->nregions == 1 ? "" : "s");
	for (size_t i = 0; i < l->shown.n; i++)
		log_msg(LOG_LEVEL_INFO, "listening on %s", l->shown.v[i]);
}

/* What all workers need to authenticate their clients. */
static void
make_auth(struct meridian *m, const struct config_args *args)
{
	uint8_t secret[THROTTLE_SECRET_BYTES];

	memcpy(m->mock_secret, args->salt_secret, sizeof(m->mock_secret));
	BUG_ON(getrandom(secret, sizeof(secret), 0) != sizeof(secret));
	m->throttle = throttle_new(secret);
	m->authcache = authcache_new(CACHED_USERS_MAX, CACHED_MISSING_MAX);
	m->keymaker = keymaker_new();
	m->authquery = authquery_new(m->authcache, m->throttle);
}

static void
free_auth(struct meridian *m)
{
	authquery_free(m->authquery);
	authcache_free(m->authcache);
	keymaker_free(m->keymaker);
	throttle_free(m->throttle);
}

/* After the control thread has ended: end all other threads. */
static void
end_threads(struct meridian *m)
{
	for (int i = 0; i < m->nworkers; i++)
		worker_join(m->workers[i]);
	authquery_stop(m->authquery);
	keymaker_stop(m->keymaker);
	proxy_migrations_stop(m->migrations, deliver_letters);
	deliver_letters(m);
	for (int i = 0; i < m->nworkers; i++)
		worker_free(m->workers[i]);
}

/* Choose the number that tells this process from earlier and later ones with the same peer_id. */
static void
take_life(struct meridian *m)
{
	uint32_t v[2];

	BUG_ON(getrandom(v, sizeof(v), 0) != sizeof(v));
	m->life = v[0] != 0 ? v[0] : 1;
	m->last_key = v[1];
}

static int
serve(const struct args *args, struct config *take_config)
{
	struct listeners listeners = { 0 };
	struct meridian m = { .listeners = &listeners,
			      .started_at_us = clock_wall_us(),
			      .started_us = clock_us() };
	int nworkers = take_config->main.workers;
	struct err e = { 0 };

	m.descriptors = descriptors_new();
	make_auth(&m, &args->config);
	take_life(&m);
	m.migrations = proxy_migrations_new(&m, args->crash_points);
	m.redirections = redirections_new();
	m.control = control_new(&m, &args->config, take_config, &e);
	if (m.control == NULL) {
		log_msg(LOG_LEVEL_FATAL, "%s", e.msg);
		return 1;
	}
	if (nworkers <= 0)
		nworkers = (int)sysconf(_SC_NPROCESSORS_ONLN);
	m.workers = xcalloc((size_t)nworkers, sizeof(*m.workers));
	for (int i = 0; i < nworkers; i++)
		m.workers[i] = worker_new(&m, i + 1, control_make_world(m.control));
	if (listeners_open(&listeners, m.control->config, m.workers, nworkers, &e) != 0) {
		log_msg(LOG_LEVEL_FATAL, "%s", e.msg);
		listeners_fini(&listeners);
		return 1;
	}
	control_look_around(m.control);
	m.nworkers = nworkers;
	control_publish(m.control, false);
	proxy_migrations_start(m.migrations, deliver_letters);
	log_start(&m, &listeners);
	start_threads(&m);
	descriptors_settle(m.descriptors);
	descriptors_warn(m.descriptors, m.control->config);
	control_run(m.control);
	end_threads(&m);
	free_auth(&m);
	listeners_fini(&listeners);
	proxy_migrations_free(m.migrations);
	redirections_free(m.redirections);
	control_free(m.control);
	free(m.workers);
	descriptors_free(m.descriptors);
	log_msg(LOG_LEVEL_INFO, "stopped");
	return 0;
}

/* Checks that go beyond reading the file: certificates fit their keys, databases open. */
static int
check(struct config *take_config)
{
	struct err e = { 0 };
	struct tlsset *tls = tlsset_build(take_config, &e);
	struct gazetteer *gazetteer = NULL;
	struct geo *geo = NULL;
	bool good = tls != NULL && datafiles_open(&take_config->main, &gazetteer, &geo, &e) == 0;

	if (!good)
		fprintf(stderr, "meridian: %s\n", e.msg);
	tlsset_unref(tls);
	gazetteer_unref(gazetteer);
	geo_unref(geo);
	config_unref(take_config);
	return good ? 0 : 1;
}

static int
print_answer(enum action action)
{
	struct buf out = { .cap = 1 << 20 };

	if (action == ACTION_DUMP_STATES) {
		session_states_dot(&out);
		transitions_dot(&out);
	} else {
		(void)args_answer(action, &out);
	}
	fwrite(out.p, 1, out.n, stdout);
	buf_fini(&out);
	return fflush(stdout) == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct args args;
	struct config *config;
	struct err e = { 0 };
	int status = 0;

	if (args_parse(argc, argv, &args, &e) != 0) {
		fprintf(stderr, "meridian: %s\nTry \"meridian --help\" for more information.\n",
			e.msg);
		return 2;
	}
	if (args.action == ACTION_IMPORT_PGBOUNCER)
		return import_run(args.config.path);
	if (args.action != ACTION_RUN && args.action != ACTION_CHECK)
		return print_answer(args.action);
	BUG_ON(getrandom(args.config.salt_secret, sizeof(args.config.salt_secret), 0) !=
	       sizeof(args.config.salt_secret));
	config = config_load(&args.config, &e);
	if (config == NULL) {
		fprintf(stderr, "meridian: %s\n%s%s", e.msg, e.hint, e.hint[0] != '\0' ? "\n" : "");
		args_fini(&args);
		return 1;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN); /* until the control thread handles it */
	(void)signal(SIGUSR1, SIG_IGN);
	set_limits();
	if (args.action == ACTION_RUN)
		status = serve(&args, config);
	else
		status = check(config);
	args_fini(&args);
	return status;
}
