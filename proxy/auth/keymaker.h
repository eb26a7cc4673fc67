/* SPDX-License-Identifier: PostgreSQL
 *
 * Makes SCRAM keys of passwords, away from the workers: PBKDF2 takes a millisecond or more, and a
 * thousand logins in a second would delay every session of a worker.
 *
 * A few threads of lower priority take jobs in the order in which they come. The keys come back by
 * letter, and stay with the credential, where later logins find them. The number of jobs is bounded
 * by the callers: at most one for each login under way.
 */
#ifndef PROXY_AUTH_KEYMAKER_H
#define PROXY_AUTH_KEYMAKER_H

#include "base/ev/mailbox.h"
#include "protocol/scram.h"

struct credential;
struct keyjob;
struct keymaker;

/* Runs on the thread that asked. keys NULL: there are none (the process ends, or the library
 * failed). */
typedef void (*keyjob_fn)(void *arg, const struct scram_keys *keys);

struct keymaker *keymaker_new(void);
/* -1: no thread could be started. */
int keymaker_start(struct keymaker *m, int threads);
/* End the threads. Waiting jobs come back without keys, and so do later ones. */
void keymaker_stop(struct keymaker *m);
void keymaker_free(struct keymaker *m); /* accepts NULL */

/* Ask for the keys of a password (CREDENTIAL_PASSWORD; takes a reference of its own). `done` is
 * called once, by a letter to `home`, never before this returns; the job is freed then. */
struct keyjob *keymaker_post(struct keymaker *m, struct mailbox *home, struct credential *c,
			     const struct scram_challenge *ask, keyjob_fn done, void *arg);
/* Called by the thread that asked, before `done`: the keys are not wanted any more, and `done` will
 * not be called. */
void keyjob_forget(struct keyjob *job);

#endif
