/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/ownlogin.h"

#include <stdlib.h>
#include <sys/random.h>

#include <openssl/crypto.h>

#include "base/bug.h"
#include "base/mem.h"
#include "protocol/scram.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/md5.h"

/* A node that asks for more would hold up everybody on this worker: this many take some 30 ms. */
#define ITERATIONS_MAX 100000

struct ownlogin {
	char *password;
	size_t length;
	struct scram_client scram;
	bool is_scram; /* an exchange has begun: only its end may be followed by AuthenticationOk */
};

struct ownlogin *
ownlogin_new(struct slice password)
{
	struct ownlogin *o = xcalloc(1, sizeof(*o));

	o->password = xstrndup(password.n > 0 ? password.p : "", password.n);
	o->length = password.n;
	return o;
}

void
ownlogin_free(struct ownlogin *o)
{
	if (o == NULL)
		return;
	OPENSSL_cleanse(o->password, o->length);
	free(o->password);
	scram_client_fini(&o->scram);
	free(o);
}

static int
answer_md5(const struct ownlogin *o, struct slice user, struct slice salt, struct buf *out,
	   struct err *e)
{
	char text[MD5_PASSWORD_TEXT];

	if (salt.n != MD5_SALT_BYTES)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "malformed request for a password");
	if (!md5_password(user, slice_of(o->password, o->length), (const uint8_t *)salt.p, text))
		return err_set(e, SQLSTATE_INTERNAL_ERROR, "MD5 is not available");
	message_put_password(out, slice_str(text));
	return 0;
}

static int
begin_scram(struct ownlogin *o, struct slice mechanisms, struct buf *out, struct err *e)
{
	uint8_t random[SCRAM_NONCE_BYTES];
	char nonce[SCRAM_NONCE_TEXT + 1];
	struct buf first = { .cap = SCRAM_MESSAGE_MAX };
	int result;

	if (o->is_scram || !message_offers(mechanisms, SCRAM_MECHANISM))
		return err_set(e, SQLSTATE_INVALID_AUTHORIZATION,
			       "the node offers no SASL mechanism that is known here");
	BUG_ON(getrandom(random, sizeof(random), 0) != sizeof(random));
	scram_nonce(random, nonce);
	scram_client_init(&o->scram, nonce);
	o->is_scram = true;
	result = scram_client_first(&o->scram, slice_of("", 0), &first, e);
	if (result == 0)
		message_put_sasl_initial(out, slice_str(SCRAM_MECHANISM), buf_view(&first));
	buf_fini(&first);
	return result;
}

static int
go_on_scram(struct ownlogin *o, struct slice data, struct buf *out, struct err *e)
{
	struct buf final = { .cap = SCRAM_MESSAGE_MAX };
	struct scram_challenge ask;
	struct scram_keys keys;
	int result;

	if (!o->is_scram)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "unexpected SASL message");
	if (scram_client_challenge(&o->scram, data, &ask, e) != 0)
		return -1;
	if (ask.iterations > ITERATIONS_MAX)
		return err_set(e, SQLSTATE_PROTOCOL_VIOLATION,
			       "the node asks for more than %d SCRAM iterations", ITERATIONS_MAX);
	result = scram_keys_make(slice_of(o->password, o->length),
				 slice_of((const char *)ask.salt, ask.salt_len), ask.iterations,
				 &keys, e);
	if (result == 0)
		result = scram_client_final(&o->scram, &keys, &final, e);
	if (result == 0)
		message_put_sasl_response(out, buf_view(&final));
	scram_keys_wipe(&keys);
	buf_fini(&final);
	return result;
}

int
ownlogin_answer(struct ownlogin *o, struct slice user, const struct message_auth *auth,
		struct buf *out, struct err *e)
{
	switch (auth->code) {
	case AUTH_OK:
		if (o->is_scram && o->scram.step != SCRAM_OK)
			return err_set(e, SQLSTATE_PROTOCOL_VIOLATION,
				       "the node has not proven that it knows the password");
		return 0;
	case AUTH_CLEARTEXT:
		message_put_password(out, slice_of(o->password, o->length));
		return 0;
	case AUTH_MD5:
		return answer_md5(o, user, auth->data, out, e);
	case AUTH_SASL:
		return begin_scram(o, auth->data, out, e);
	case AUTH_SASL_CONTINUE:
		return go_on_scram(o, auth->data, out, e);
	case AUTH_SASL_FINAL:
		if (!o->is_scram)
			return err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "unexpected SASL message");
		return scram_client_verify(&o->scram, auth->data, e);
	default:
		return err_set(e, SQLSTATE_INVALID_AUTHORIZATION,
			       "authentication method %u of the node is not known here",
			       (unsigned)auth->code);
	}
}
