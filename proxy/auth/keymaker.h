/* SPDX-License-Identifier: PostgreSQL
 *
 * Makes SCRAM keys of passwords, away from the workers: PBKDF2 takes a millisecond or more, and a
 * thousand logins in a second would keep every session on a worker waiting. A few threads of lower
 * priority take jobs in the order in which they come; the keys come back by letter, and stay with
 * the credential, so that whoever comes next finds them there.
 *
 * Jobs are bounded by what asks for them: at most one for each login that is under way.
 */
#ifndef PROXY_AUTH_KEYMAKER_H
#define PROXY_AUTH_KEYMAKER_H

#include "base/ev/mailbox.h"
#include "protocol/scram.h"

struct credential;
struct keyjob;
struct keymaker;

/* On the thread that asked. keys NULL: there are none (the process ends, or the library failed). */
typedef void (*keyjob_fn)(void *arg, const struct scram_keys *keys);

struct keymaker *keymaker_new(void);
/* -1: not a single thread. */
int keymaker_start(struct keymaker *m, int threads);
/* End the threads; what is waiting comes back without keys, and so does what is posted from now on.
 */
void keymaker_stop(struct keymaker *m);
void keymaker_free(struct keymaker *m); /* accepts NULL */

/* Ask for the keys of a password (CREDENTIAL_PASSWORD; takes a reference of its own). `done` is
 * called once, by a letter to `home`, never before this returns; the job is gone then. */
struct keyjob *keymaker_post(struct keymaker *m, struct mailbox *home, struct credential *c,
			     const struct scram_challenge *ask, keyjob_fn done, void *arg);
/* By the thread that asked, before `done`: nobody wants them any more, and it is not called. */
void keyjob_forget(struct keyjob *job);

#endif
