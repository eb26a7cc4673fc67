/* SPDX-License-Identifier: PostgreSQL
 *
 * Passwords in clear: sent because they were asked for (hba_file's word `password`), or without
 * being asked (Neon's driver, POST /sql). Checking one against a SCRAM verifier takes PBKDF2, which
 * the keymaker does; the keys stay with the credential, so that a node with the same verifier costs
 * nothing more.
 */
#include "config.h"

#include "proxy/login/authenticate.h"

#include <openssl/crypto.h>

#include "base/hot.h"
#include "proxy/auth/credential.h"
#include "proxy/auth/keymaker.h"
#include "proxy/http/http.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"

/* Verifiers with more iterations are not used for passwords in clear: this many take some 40 ms. */
#define ITERATIONS_MAX 100000

static bool
is_md5_password(struct slice user, const char *md5, struct slice password)
{
	char text[MD5_PASSWORD_TEXT];

	return md5_secret(user, password, text) && CRYPTO_memcmp(text, md5, sizeof(text)) == 0;
}

static enum auth_verdict
refuse(struct session *s)
{
	const char *cannot_pass = s->login->auth->cannot_pass;

	return auth_refuse(s, cannot_pass != NULL ? cannot_pass : "wrong password");
}

static bool
has_verifier(const struct auth *a)
{
	return a->user != NULL && a->user->kind == AUTHFILE_SCRAM;
}

static bool
fits(const struct auth *a, const struct scram_keys *keys)
{
	return has_verifier(a) && scram_keys_fit(keys, &a->user->scram);
}

HOT void
password_forget(struct auth *a)
{
	if (a->job != NULL)
		keyjob_forget(a->job);
	credential_unref(a->trial);
	a->job = NULL;
	a->trial = NULL;
}

static void
on_keys(void *arg, const struct scram_keys *keys)
{
	struct session *s = arg;
	struct auth *a = s->login->auth;

	a->job = NULL;
	if (s->state == SESSION_FAREWELL || s->state == SESSION_CLOSED)
		return;
	if (keys == NULL || !fits(a, keys)) {
		(void)refuse(s);
		return;
	}
	s->credential = a->trial;
	a->trial = NULL;
	auth_pass(s);
}

/* The parameters of the user's verifier, or of a made-up one: a password for a user that does not
 * exist takes as long to be refused. */
static void
challenge(const struct session *s, struct scram_challenge *out)
{
	struct auth *a = s->login->auth;
	struct slice user = login_startup(s->login)->user;
	struct scram_verifier mock;
	const struct scram_verifier *v = &mock;

	scram_verifier_mock(user, s->worker->process->mock_secret, &mock);
	if (has_verifier(a) && a->user->scram.iterations <= ITERATIONS_MAX)
		v = &a->user->scram;
	else if (has_verifier(a))
		a->cannot_pass = "a verifier of too many iterations for a password in clear";
	*out = (struct scram_challenge){ .salt_len = v->salt_len, .iterations = v->iterations };
	memcpy(out->salt, v->salt, v->salt_len);
}

static enum auth_verdict
await_keys(struct session *s, struct slice password)
{
	struct auth *a = s->login->auth;
	struct scram_challenge ask;

	challenge(s, &ask);
	/* a request over HTTP is not read on meanwhile */
	if (http_speaks(s) && s->state != SESSION_LOOKUP)
		session_enter(s, SESSION_LOOKUP);
	a->awaits = AWAIT_KEYS;
	a->trial = credential_new_password(password);
	a->job = keymaker_post(s->worker->process->keymaker, s->worker->mail, a->trial, &ask,
			       on_keys, s);
	return VERDICT_WAIT;
}

enum auth_verdict
password_check(struct session *s, struct slice password)
{
	const struct auth *a = s->login->auth;
	struct slice user = login_startup(s->login)->user;

	/* an md5 hash differs at once; the client is told when it would be told for other users */
	if (a->user == NULL || a->user->kind != AUTHFILE_MD5 ||
	    !is_md5_password(user, a->user->md5, password))
		return await_keys(s, password);
	s->credential = credential_new_password(password);
	return VERDICT_PASSED;
}
