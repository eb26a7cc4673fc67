/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/keymaker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/resource.h>

#include "base/bug.h"
#include "base/mem.h"
#include "proxy/auth/credential.h"

#define THREADS_MAX 8
#define NICENESS    5 /* live sessions come first */

struct keyjob {
	struct letter letter; /* first */
	STAILQ_ENTRY(keyjob) next;
	struct mailbox *home;
	struct credential *credential; /* one reference */
	struct scram_challenge ask;
	keyjob_fn done;
	void *arg;
	atomic_bool forgotten;
	bool made;
	struct scram_keys keys;
};

struct keymaker {
	pthread_mutex_t lock; /* guards the fields below */
	pthread_cond_t more;
	STAILQ_HEAD(, keyjob) jobs;
	bool ending;
	pthread_t threads[THREADS_MAX];
	int nthreads;
};

struct keymaker *
keymaker_new(void)
{
	struct keymaker *m = xcalloc(1, sizeof(*m));

	STAILQ_INIT(&m->jobs);
	m->ending = true; /* keymaker_start() clears it */
	BUG_ON(pthread_mutex_init(&m->lock, NULL) != 0 || pthread_cond_init(&m->more, NULL) != 0);
	return m;
}

void
keymaker_free(struct keymaker *m)
{
	if (m == NULL)
		return;
	BUG_ON(m->nthreads > 0);
	pthread_cond_destroy(&m->more);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* Runs on the thread that asked. */
static void
on_made(struct letter *take_letter, void *owner)
{
	struct keyjob *job = (struct keyjob *)take_letter;

	(void)owner;
	if (!job->forgotten)
		job->done(job->arg, job->made ? &job->keys : NULL);
	credential_unref(job->credential);
	scram_keys_wipe(&job->keys);
	free(job);
}

/* The next job; NULL: the threads are to end. */
static struct keyjob *
take(struct keymaker *m)
{
	struct keyjob *job;

	pthread_mutex_lock(&m->lock);
	while (!m->ending && STAILQ_EMPTY(&m->jobs))
		pthread_cond_wait(&m->more, &m->lock);
	job = m->ending ? NULL : STAILQ_FIRST(&m->jobs);
	if (job != NULL)
		STAILQ_REMOVE_HEAD(&m->jobs, next);
	pthread_mutex_unlock(&m->lock);
	return job;
}

static void *
keymaker_main(void *arg)
{
	struct keymaker *m = arg;
	struct keyjob *job;
	struct err e;

	(void)pthread_setname_np(pthread_self(), "keymaker");
	(void)setpriority(PRIO_PROCESS, 0, NICENESS); /* on Linux this is for the calling thread */
	while ((job = take(m)) != NULL) {
		/* another job may have made the same keys while this one waited */
		if (!job->forgotten)
			job->made =
			    credential_known_keys(job->credential, &job->ask, &job->keys) ||
			    credential_make_keys(job->credential, &job->ask, &job->keys, &e) == 0;
		mailbox_post(job->home, &job->letter, on_made);
	}
	return NULL;
}

int
keymaker_start(struct keymaker *m, int threads)
{
	m->ending = false;
	for (int i = 0; i < threads && i < THREADS_MAX; i++) {
		if (pthread_create(&m->threads[m->nthreads], NULL, keymaker_main, m) != 0)
			break;
		m->nthreads++;
	}
	return m->nthreads > 0 ? 0 : -1;
}

void
keymaker_stop(struct keymaker *m)
{
	struct keyjob *job;

	pthread_mutex_lock(&m->lock);
	m->ending = true;
	pthread_cond_broadcast(&m->more);
	pthread_mutex_unlock(&m->lock);
	for (; m->nthreads > 0; m->nthreads--)
		(void)pthread_join(m->threads[m->nthreads - 1], NULL);
	while ((job = STAILQ_FIRST(&m->jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(&m->jobs, next);
		mailbox_post(job->home, &job->letter, on_made);
	}
}

struct keyjob *
keymaker_post(struct keymaker *m, struct mailbox *home, struct credential *c,
	      const struct scram_challenge *ask, keyjob_fn done, void *arg)
{
	struct keyjob *job = xcalloc(1, sizeof(*job));
	bool ending;

	job->home = home;
	job->credential = credential_ref(c);
	job->ask = *ask;
	job->done = done;
	job->arg = arg;
	pthread_mutex_lock(&m->lock);
	ending = m->ending;
	if (!ending) {
		STAILQ_INSERT_TAIL(&m->jobs, job, next);
		pthread_cond_signal(&m->more);
	}
	pthread_mutex_unlock(&m->lock);
	if (ending)
		mailbox_post(home, &job->letter, on_made);
	return job;
}

void
keyjob_forget(struct keyjob *job)
{
	job->forgotten = true;
}
