/* SPDX-License-Identifier: PostgreSQL
 *
 * What a client is asked for, and whether its answer is right.
 *
 * Passwords in clear come because they were asked for (hba_file's word `password`), or without
 * being asked (Neon's driver, POST /sql). Checking one against a SCRAM verifier takes PBKDF2, which
 * the keymaker does; the keys stay with the credential, so that a node with the same verifier costs
 * nothing more.
 */
#include "config.h"

#include "proxy/login/authenticate.h"

#include <openssl/crypto.h>

#include "base/hot.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/credential.h"
#include "proxy/auth/keymaker.h"
#include "proxy/http/http.h"
#include "proxy/net/tlsctx.h"
#include "proxy/net/websocket.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"

#define PASSWORD_MESSAGE_MAX (64 * 1024) /* PostgreSQL's limit for authentication messages */
/* Verifiers with more iterations are not used for passwords in clear: this many take some 40 ms. */
#define ITERATIONS_MAX 100000

/* ---- a password in clear ---- */

static bool
is_md5_password(struct slice user, const char *md5, struct slice password)
{
	char text[MD5_PASSWORD_TEXT];

	return md5_secret(user, password, text) && CRYPTO_memcmp(text, md5, sizeof(text)) == 0;
}

static bool
has_verifier(const struct auth *a)
{
	return a->user != NULL && a->user->kind == AUTHFILE_SCRAM;
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
	if (keys == NULL || !(has_verifier(a) && scram_keys_fit(keys, &a->user->scram))) {
		(void)auth_refuse(s, a->cannot_pass != NULL ? a->cannot_pass : "wrong password");
		return;
	}
	s->credential = a->trial;
	a->trial = NULL;
	auth_pass(s);
}

enum auth_verdict
password_check(struct session *s, struct slice password)
{
	struct auth *a = s->login->auth;
	struct slice user = login_startup(s->login)->user;
	struct scram_challenge ask;
	struct scram_verifier mock;
	const struct scram_verifier *v = &mock;

	/* an md5 hash differs at once; the client is told when it would be told for other users */
	if (a->user != NULL && a->user->kind == AUTHFILE_MD5 &&
	    is_md5_password(user, a->user->md5, password)) {
		s->credential = credential_new_password(password);
		return VERDICT_PASSED;
	}
	/* the parameters of the user's verifier, or of a made-up one: a password for a user that
	 * does not exist takes as long to be refused */
	scram_verifier_mock(user, s->worker->process->mock_secret, &mock);
	if (has_verifier(a) && a->user->scram.iterations <= ITERATIONS_MAX)
		v = &a->user->scram;
	else if (has_verifier(a))
		a->cannot_pass = "a verifier of too many iterations for a password in clear";
	ask = (struct scram_challenge){ .salt_len = v->salt_len, .iterations = v->iterations };
	memcpy(ask.salt, v->salt, v->salt_len);
	/* a request over HTTP is not read on meanwhile */
	if (http_speaks(s) && s->state != SESSION_LOOKUP)
		session_enter(s, SESSION_LOOKUP);
	a->awaits = AWAIT_KEYS;
	a->trial = credential_new_password(password);
	a->job = keymaker_post(s->worker->process->keymaker, s->worker->mail, a->trial, &ask,
			       on_keys, s);
	return VERDICT_WAIT;
}

HOT enum parse
early_password(struct session *s, bool needed)
{
	struct login *l = s->login;
	struct buf *in = &l->inbox;
	struct slice password;
	struct frame f;
	enum parse p;

	if (http_transport(s) != TRANSPORT_WEBSOCKET || l->said != NULL)
		return PARSE_DONE;
	if (in->n == 0)
		return websocket_in_frame(&s->client) ? PARSE_MORE : PARSE_DONE;
	if (in->p[0] != MSG_PASSWORD)
		return PARSE_DONE;
	p = frame_cut(buf_view(in), PASSWORD_MESSAGE_MAX, &f);
	if (p == PARSE_MORE)
		return p;
	if (p == PARSE_BAD || message_parse_password(f.body, &password) != PARSE_DONE) {
		session_close(s, WHY_PROTOCOL, "Invalid authentication message.");
		return PARSE_BAD;
	}
	if (needed && s->client.ssl == NULL && !http_hop_is_private(s)) {
		struct err e;

		err_set(&e, SQLSTATE_INVALID_AUTHORIZATION,
			"a password in clear may not come over a connection that is not private");
		err_detail(
		    &e,
		    "The client sent it in front of being asked. That is taken inside TLS, from "
		    "a peer in trusted_proxies, and on the proxy's own host.");
		err_hint(&e, "Connect by wss://, or set pipelineConnect = false in the client.");
		session_close_err(s, WHY_NOT_ALLOWED, &e);
		return PARSE_BAD;
	}
	l->said = credential_new_password(password);
	OPENSSL_cleanse(in->p, f.total);
	buf_drop(in, f.total);
	return PARSE_DONE;
}

static enum auth_verdict
take_password(struct session *s, struct slice body)
{
	struct slice password;

	if (message_parse_password(body, &password) != PARSE_DONE) {
		session_close(s, WHY_PROTOCOL, "Invalid authentication message.");
		return VERDICT_OVER;
	}
	return password_check(s, password);
}

/* ---- md5 ---- */

static enum auth_verdict
take_md5(struct session *s, struct slice body)
{
	const struct auth *a = s->login->auth;
	/* an answer is computed and compared for a user without a hash too; it never passes */
	const char *md5 = a->user != NULL && a->user->md5[0] != '\0'
			      ? a->user->md5
			      : "md500000000000000000000000000000000";
	char expected[MD5_PASSWORD_TEXT];
	struct slice answer;
	bool right;

	if (message_parse_password(body, &answer) != PARSE_DONE) {
		session_close(s, WHY_PROTOCOL, "Invalid authentication message.");
		return VERDICT_OVER;
	}
	right = md5_answer(md5, a->salt, expected) && answer.n == sizeof(expected) - 1 &&
		CRYPTO_memcmp(answer.p, expected, answer.n) == 0;
	if (!right || a->cannot_pass != NULL)
		return auth_refuse(s, a->cannot_pass != NULL ? a->cannot_pass : "wrong password");
	s->credential = credential_ref(a->user->credential);
	return VERDICT_PASSED;
}

/* ---- SCRAM ---- */

/* A wrong proof gets the error of any wrong password. An error in the protocol or the channel
 * binding is named: it tells nothing about the user. */
static enum auth_verdict
refuse_scram(struct session *s, const struct err *e)
{
	const struct auth *a = s->login->auth;

	if (slice_is(slice_str(e->sqlstate), SQLSTATE_INVALID_PASSWORD))
		return auth_refuse(s, a->cannot_pass != NULL ? a->cannot_pass : "wrong password");
	session_close_err(s, WHY_AUTH_FAILED, e);
	return VERDICT_OVER;
}

static HOT enum auth_verdict
take_sasl_initial(struct session *s, struct slice body)
{
	struct auth *a = s->login->auth;
	struct message_sasl_initial first;
	struct buf data = { .cap = SCRAM_MESSAGE_MAX }, out = { .cap = 2 * SCRAM_MESSAGE_MAX };
	enum auth_verdict verdict;
	struct err e;

	if (message_parse_sasl_initial(body, &first) != PARSE_DONE) {
		session_close(s, WHY_PROTOCOL, "Expected SCRAM-SHA-256.");
		return VERDICT_OVER;
	}
	a->awaits = AWAIT_SASL_PROOF;
	if (scram_server_first(&a->scram, first.mechanism, first.data, &data, &e) != 0) {
		verdict = refuse_scram(s, &e);
	} else {
		message_put_auth(&out, AUTH_SASL_CONTINUE, buf_view(&data));
		verdict = session_say(s, out.p, out.n) ? VERDICT_MORE : VERDICT_OVER;
	}
	buf_fini(&out);
	buf_fini(&data);
	return verdict;
}

/* The keys that the client's proof has shown serve at a node with the same verifier; a password
 * that auth_file has in clear serves at any node. */
static void
take_credential(struct session *s)
{
	const struct auth *a = s->login->auth;
	struct scram_keys keys;

	if (a->user->was_plain) {
		s->credential = credential_ref(a->user->credential);
		return;
	}
	scram_server_keys(&a->scram, &keys);
	s->credential = credential_new_keys(&keys);
	scram_keys_wipe(&keys);
}

static HOT enum auth_verdict
take_sasl_proof(struct session *s, struct slice body)
{
	struct auth *a = s->login->auth;
	struct buf data = { .cap = SCRAM_MESSAGE_MAX };
	enum auth_verdict verdict;
	struct err e;

	if (scram_server_final(&a->scram, body, &data, &e) != 0) {
		verdict = refuse_scram(s, &e);
	} else {
		take_credential(s);
		message_put_auth(&a->final, AUTH_SASL_FINAL, buf_view(&data));
		verdict = VERDICT_PASSED;
	}
	buf_fini(&data);
	return verdict;
}

/* ---- the methods ---- */

static void
ask(struct session *s, enum auth_awaits awaits, const struct buf *request)
{
	s->login->auth->awaits = awaits;
	(void)session_say(s, request->p, request->n);
}

static HOT void
prepare_scram(struct session *s)
{
	struct auth *a = s->login->auth;
	uint8_t random[SCRAM_NONCE_BYTES];
	char nonce[SCRAM_NONCE_TEXT + 1];
	struct scram_verifier mock;
	struct scram_binding binding;

	random_take(&s->worker->random, random, sizeof(random));
	scram_nonce(random, nonce);
	/* made for every user, so that an unknown one does not answer faster */
	scram_verifier_mock(login_startup(s->login)->user, s->worker->process->mock_secret, &mock);
	scram_server_init(&a->scram, a->cannot_pass != NULL ? &mock : &a->user->scram, nonce);
	tls_end_point(s->client.ssl, false, &binding);
	scram_server_bind(&a->scram, &binding);
}

static HOT void
ask_scram(struct session *s)
{
	static const char *const mechanisms[] = { SCRAM_MECHANISM_PLUS, SCRAM_MECHANISM };
	struct buf b = { .cap = 256 };

	prepare_scram(s);
	if (s->login->auth->scram.binding.n > 0)
		message_put_auth_sasl(&b, mechanisms, 2);
	else
		message_put_auth_sasl(&b, mechanisms + 1, 1);
	ask(s, AWAIT_SASL_INITIAL, &b);
	buf_fini(&b);
}

static void
ask_md5(struct session *s)
{
	struct auth *a = s->login->auth;
	struct buf b = { .cap = 64 };

	random_take(&s->worker->random, a->salt, sizeof(a->salt));
	message_put_auth(&b, AUTH_MD5, slice_of((const char *)a->salt, sizeof(a->salt)));
	ask(s, AWAIT_MD5, &b);
	buf_fini(&b);
}

static void
ask_password(struct session *s)
{
	struct buf b = { .cap = 64 };

	message_put_auth(&b, AUTH_CLEARTEXT, slice_of(NULL, 0));
	ask(s, AWAIT_PASSWORD, &b);
	buf_fini(&b);
}

/* The client is asked for nothing. What is known of the user serves for the login at the node, and
 * so does a password that it has sent. */
static HOT void
trust(struct session *s)
{
	struct login *l = s->login;

	if (l->said != NULL)
		s->credential = credential_ref(l->said);
	else if (l->auth->user != NULL)
		s->credential = credential_ref(l->auth->user->credential);
	else
		s->credential = credential_new_none();
	auth_pass(s);
}

/* For each method: how it asks, and whether a password in clear answers it. */
static const struct {
	void (*ask)(struct session *s);
	bool wants_password;
} methods[] = {
	[METHOD_TRUST] = { trust, false },
	[METHOD_SCRAM] = { ask_scram, true },
	[METHOD_MD5] = { ask_md5, true },
	[METHOD_PASSWORD] = { ask_password, true },
	/* these clients have proven themselves (hbarule.h) */
	[METHOD_CERT] = { trust, false },
	[METHOD_PEER] = { trust, false },
};

bool
auth_needs_secret(const struct session *s)
{
	return methods[s->login->auth->method].wants_password;
}

/* md5 means SCRAM for users with a verifier; and for unknown ones, if most users would be asked for
 * SCRAM. */
static HOT void
choose_method(struct session *s)
{
	struct auth *a = s->login->auth;
	const struct authfile *file = s->login->world->config->auth;
	bool scram;

	if (a->user != NULL)
		scram = a->user->kind == AUTHFILE_SCRAM &&
			(!a->user->was_plain || a->user->md5[0] == '\0');
	else
		scram = file == NULL || !authfile_is_mostly_md5(file);
	if (a->method == METHOD_MD5 && scram)
		a->method = METHOD_SCRAM;
	if (a->user == NULL)
		a->cannot_pass = "no such user";
	else if (a->user->kind == AUTHFILE_NONE || a->method == METHOD_SCRAM)
		a->cannot_pass = authfile_why_not(a->user);
}

HOT void
auth_ask(struct session *s)
{
	struct auth *a = s->login->auth;

	choose_method(s);
	if (methods[a->method].wants_password) {
		switch (early_password(s, true)) {
		case PARSE_BAD:
			return;
		case PARSE_MORE:
			a->awaits = AWAIT_EARLY;
			return;
		case PARSE_DONE:
			break;
		}
		if (s->login->said != NULL) {
			const struct credential *said = s->login->said;

			if (password_check(s, slice_of(said->password, said->length)) ==
			    VERDICT_PASSED)
				auth_pass(s);
			return;
		}
	}
	methods[a->method].ask(s);
}

void
auth_ask_bound(struct session *s)
{
	choose_method(s);
	prepare_scram(s);
	s->login->auth->awaits = AWAIT_SASL_INITIAL;
}

static enum auth_verdict
out_of_turn(struct session *s, struct slice body)
{
	(void)body;
	session_close(s, WHY_PROTOCOL, "Unexpected password message.");
	return VERDICT_OVER;
}

HOT enum auth_verdict
auth_check_answer(struct session *s, struct slice body)
{
	static enum auth_verdict (*const takes[])(struct session *, struct slice) = {
		[AWAIT_NOTHING] = out_of_turn,        [AWAIT_SECRET] = out_of_turn,

		[AWAIT_EARLY] = out_of_turn,          [AWAIT_SASL_INITIAL] = take_sasl_initial,
		[AWAIT_SASL_PROOF] = take_sasl_proof, [AWAIT_MD5] = take_md5,
		[AWAIT_PASSWORD] = take_password,     [AWAIT_KEYS] = out_of_turn,
	};

	return takes[s->login->auth->awaits](s, body);
}
