/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/ownlogin.h"

#include <stdlib.h>
#include <sys/random.h>

#include <openssl/crypto.h>

#include "base/bug.h"
#include "base/hot.h"
#include "base/mem.h"
#include "protocol/scram.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/credential.h"
#include "proxy/auth/keymaker.h"
#include "proxy/auth/md5.h"
#include "proxy/net/tlsctx.h"

/* A node that asks for more iterations would delay all other logins: this many take some 40 ms. */
#define ITERATIONS_MAX 100000

struct ownlogin {
	struct credential *credential;
	struct scram_client scram;
	const struct ssl_st *ssl; /* of the connection; NULL: no TLS */
	enum binding_mode mode;
	struct ownlogin_away away;
	struct keyjob *job; /* the job that makes keys; NULL: there is none */
	bool is_scram; /* an exchange has begun: AuthenticationOk must not come before its end */
};

struct ownlogin *
ownlogin_new_credential(struct credential *c)
{
	struct ownlogin *o = xcalloc(1, sizeof(*o));

	o->credential = c != NULL ? credential_ref(c) : credential_new_none();
	return o;
}

struct ownlogin *
ownlogin_new(struct slice password)
{
	struct credential *c = credential_new_password(password);
	struct ownlogin *o = ownlogin_new_credential(c);

	credential_unref(c);
	return o;
}

HOT void
ownlogin_free(struct ownlogin *o)
{
	if (o == NULL)
		return;
	if (o->job != NULL)
		keyjob_forget(o->job);
	credential_unref(o->credential);
	scram_client_fini(&o->scram);
	free(o);
}

void
ownlogin_on_channel(struct ownlogin *o, const struct ssl_st *ssl, enum binding_mode mode)
{
	o->ssl = ssl;
	o->mode = mode;
}

void
ownlogin_may_wait(struct ownlogin *o, const struct ownlogin_away *away)
{
	o->away = *away;
}

/* The node asks for what this credential refuse_request give. */
static int
refuse_request(const struct ownlogin *o, const char *request, struct err *e)
{
	static const char *const known[] = {
		[CREDENTIAL_NONE] = "no secret of this user is known to the proxy",
		[CREDENTIAL_PASSWORD] = "the proxy knows the password",
		[CREDENTIAL_MD5] = "the proxy knows only an md5 hash of the password",
		[CREDENTIAL_SCRAM_KEYS] = "the proxy knows only the SCRAM keys of this user",
	};

	return err_set(e, SQLSTATE_INVALID_AUTHORIZATION, "the node asks for %s, and %s", request,
		       known[o->credential->kind]);
}

static int
answer_md5(const struct ownlogin *o, struct slice user, struct slice salt, struct buf *out,
	   struct err *e)
{
	const struct credential *c = o->credential;
	char text[MD5_PASSWORD_TEXT];
	bool ok;

	if (salt.n != MD5_SALT_BYTES)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "malformed request for a password");
	if (c->kind == CREDENTIAL_PASSWORD)
		ok = md5_password(user, slice_of(c->password, c->length), (const uint8_t *)salt.p,
				  text);
	else if (c->kind == CREDENTIAL_MD5)
		ok = md5_answer(c->md5, (const uint8_t *)salt.p, text);
	else
		return refuse_request(o, "an md5 hash", e);
	if (!ok)
		return err_set(e, SQLSTATE_INTERNAL_ERROR, "MD5 is not available");
	message_put_password(out, slice_str(text));
	return 0;
}

static int
not_bound(struct err *e)
{
	return err_set(e, SQLSTATE_INVALID_AUTHORIZATION,
		       "channel_binding = require, and the node did not bind the channel");
}

static int
no_mechanism(struct slice mechanisms, struct err *e)
{
	if (message_offers(mechanisms, "OAUTHBEARER"))
		return err_set(e, SQLSTATE_INVALID_AUTHORIZATION,
			       "the node asks for an OAuth token, which passes under auth = "
			       "passthrough alone");
	return err_set(e, SQLSTATE_INVALID_AUTHORIZATION,
		       "the node offers no SASL mechanism that is known here");
}

/* Bind to the node's certificate where that is possible; *plus: the node offers it too. */
static int
begin_binding(struct ownlogin *o, struct slice mechanisms, bool *plus, struct err *e)
{
	struct scram_binding node = { 0 };

	if (o->mode != BINDING_DISABLE)
		tls_end_point(o->ssl, true, &node);
	*plus = node.n > 0 && message_offers(mechanisms, SCRAM_MECHANISM_PLUS);
	if (!*plus && o->mode == BINDING_REQUIRE)
		return not_bound(e);
	if (!*plus && !message_offers(mechanisms, SCRAM_MECHANISM))
		return no_mechanism(mechanisms, e);
	if (node.n > 0)
		scram_client_bind(&o->scram, &node, *plus);
	return 0;
}

static int
begin_scram(struct ownlogin *o, struct slice mechanisms, struct buf *out, struct err *e)
{
	enum credential_kind kind = o->credential->kind;
	uint8_t random[SCRAM_NONCE_BYTES];
	char nonce[SCRAM_NONCE_TEXT + 1];
	struct buf first = { .cap = SCRAM_MESSAGE_MAX };
	bool plus;
	int result;

	if (o->is_scram)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "unexpected SASL message");
	if (!message_offers(mechanisms, SCRAM_MECHANISM) &&
	    !message_offers(mechanisms, SCRAM_MECHANISM_PLUS))
		return no_mechanism(mechanisms, e);
	if (kind != CREDENTIAL_PASSWORD && kind != CREDENTIAL_SCRAM_KEYS)
		return refuse_request(o, "SCRAM", e);
	BUG_ON(getrandom(random, sizeof(random), 0) != sizeof(random));
	scram_nonce(random, nonce);
	scram_client_init(&o->scram, nonce);
	o->is_scram = true;
	if (begin_binding(o, mechanisms, &plus, e) != 0)
		return -1;
	result = scram_client_first(&o->scram, slice_of("", 0), &first, e);
	if (result == 0)
		message_put_sasl_initial(out,
					 slice_str(plus ? SCRAM_MECHANISM_PLUS : SCRAM_MECHANISM),
					 buf_view(&first));
	buf_fini(&first);
	return result;
}

static int
prove(struct ownlogin *o, const struct scram_keys *keys, struct buf *out, struct err *e)
{
	struct buf final = { .cap = SCRAM_MESSAGE_MAX };
	int result = scram_client_final(&o->scram, keys, &final, e);

	if (result == 0)
		message_put_sasl_response(out, buf_view(&final));
	buf_fini(&final);
	return result;
}

/* Calls back last: the callee may free the object. */
static void
on_keys(void *arg, const struct scram_keys *keys)
{
	struct ownlogin *o = arg;
	struct buf reply = { .cap = 2 * SCRAM_MESSAGE_MAX };
	struct err e;
	int result;

	o->job = NULL;
	if (keys != NULL)
		result = prove(o, keys, &reply, &e);
	else
		result = err_set(&e, SQLSTATE_INTERNAL_ERROR, "SCRAM keys could not be made");
	o->away.ready(o->away.arg, buf_view(&reply), result == 0 ? NULL : &e);
	buf_fini(&reply);
}

/* Make keys for the challenge, on this thread or on the keymaker's. */
static int
make_keys(struct ownlogin *o, const struct scram_challenge *ask, struct buf *out, struct err *e)
{
	struct scram_keys keys;
	int result;

	if (ask->iterations > ITERATIONS_MAX)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION,
			       "the node asks for more than %d SCRAM iterations", ITERATIONS_MAX);
	if (o->away.maker != NULL) {
		o->job = keymaker_post(o->away.maker, o->away.home, o->credential, ask, on_keys, o);
		return 0;
	}
	result = credential_make_keys(o->credential, ask, &keys, e);
	if (result == 0)
		result = prove(o, &keys, out, e);
	scram_keys_wipe(&keys);
	return result;
}

static int
continue_scram(struct ownlogin *o, struct slice data, struct buf *out, struct err *e)
{
	struct credential *c = o->credential;
	struct scram_challenge ask;
	struct scram_keys keys;
	int result;

	if (scram_client_challenge(&o->scram, data, &ask, e) != 0)
		return -1;
	if (c->kind == CREDENTIAL_SCRAM_KEYS)
		return prove(o, &c->keys, out, e);
	if (!credential_known_keys(c, &ask, &keys))
		return make_keys(o, &ask, out, e);
	result = prove(o, &keys, out, e);
	scram_keys_wipe(&keys);
	return result;
}

int
ownlogin_answer(struct ownlogin *o, struct slice user, const struct message_auth *auth,
		struct buf *out, struct err *e)
{
	const struct credential *c = o->credential;

	/* where channel binding is required, the password must not be sent in another way */
	if (o->mode == BINDING_REQUIRE && (auth->code == AUTH_CLEARTEXT || auth->code == AUTH_MD5))
		return not_bound(e);
	if (o->job != NULL)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION,
			       "the node did not wait for an answer");
	switch (auth->code) {
	case AUTH_OK:
		if (o->is_scram && o->scram.step != SCRAM_OK)
			return err_set(e, SQLSTATE_PROTOCOL_VIOLATION,
				       "the node has not proven that it knows the password");
		if (o->mode == BINDING_REQUIRE && o->scram.gs2_flag != 'p')
			return not_bound(e);
		return 0;
	case AUTH_CLEARTEXT:
		if (c->kind != CREDENTIAL_PASSWORD)
			return refuse_request(o, "the password in clear", e);
		message_put_password(out, slice_of(c->password, c->length));
		return 0;
	case AUTH_MD5:
		return answer_md5(o, user, auth->data, out, e);
	case AUTH_SASL:
		return begin_scram(o, auth->data, out, e);
	case AUTH_SASL_CONTINUE:
		return continue_scram(o, auth->data, out, e);
	case AUTH_SASL_FINAL:
		return scram_client_verify(&o->scram, auth->data, e);
	default:
		return err_set(e, SQLSTATE_INVALID_AUTHORIZATION,
			       "authentication method %u of the node is not known here",
			       (unsigned)auth->code);
	}
}

const char *
ownlogin_suspicion(const struct ownlogin *o)
{
	switch (o->credential->kind) {
	case CREDENTIAL_SCRAM_KEYS:
		return o->is_scram ? "the node may have another SCRAM verifier for this user than "
				     "the proxy: each salt makes other keys"
				   : NULL;
	case CREDENTIAL_MD5:
		return "the node may have another password for this user than the proxy";
	case CREDENTIAL_NONE:
	case CREDENTIAL_PASSWORD:
		break;
	}
	return NULL;
}
