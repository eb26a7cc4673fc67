/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <openssl/crypto.h>

#include "base/bug.h"
#include "protocol/b64.h"
#include "protocol/scram_int.h"

#define USER_MAX (SCRAM_MESSAGE_MAX / 8)

void
scram_client_init(struct scram_client *c, const char *nonce)
{
	*c = (struct scram_client){ .gs2_flag = 'n' };
	scram_nonce_copy(c->nonce, nonce);
	buf_init(&c->auth, SCRAM_AUTH_MAX);
}

void
scram_client_bind(struct scram_client *c, const struct scram_binding *b, bool offered)
{
	BUG_ON(c->step != SCRAM_START || b->n == 0 || b->n > SCRAM_BINDING_MAX);
	c->gs2_flag = offered ? 'p' : 'y';
	c->binding = *b;
}

int
scram_client_first(struct scram_client *c, struct slice user, struct buf *out, struct err *e)
{
	if (c->step != SCRAM_START)
		return scram_malformed(e, "it is out of turn");
	c->step = SCRAM_FAILED;
	if (user.n > USER_MAX)
		return scram_malformed(e, "the user name is too long");
	buf_str(&c->auth, "n=");
	for (size_t i = 0; i < user.n; i++) {
		if (user.p[i] == '=' || user.p[i] == ',')
			buf_str(&c->auth, user.p[i] == '=' ? "=3D" : "=2C");
		else
			buf_put(&c->auth, &user.p[i], 1);
	}
	buf_str(&c->auth, ",r=");
	buf_str(&c->auth, c->nonce);
	buf_str(out, scram_gs2_header(c->gs2_flag));
	buf_slice(out, buf_view(&c->auth));
	if (scram_built(&c->auth, e) != 0 || scram_built(out, e) != 0)
		return -1;
	c->step = SCRAM_SENT_FIRST;
	return 0;
}

static int
parse_server_first(const struct scram_client *c, struct slice message, struct slice *nonce,
		   struct scram_challenge *out, struct err *e)
{
	struct slice rest = message, salt, iterations;

	if (slice_starts(message, "m="))
		return scram_unsupported(e, "a mandatory extension is not supported");
	if (!scram_attribute(&rest, 'r', nonce) || !scram_attribute(&rest, 's', &salt) ||
	    !scram_attribute(&rest, 'i', &iterations))
		return scram_malformed(e,
				       "a nonce, a salt and a number of iterations were expected");
	if (!scram_nonce_is_printable(*nonce) || nonce->n <= strlen(c->nonce) ||
	    !slice_starts(*nonce, c->nonce))
		return scram_malformed(e, "the server's nonce does not continue ours");
	if (!scram_salt_decode(salt, out->salt, &out->salt_len))
		return scram_malformed(e, "its salt is not base64 of 1 to 64 bytes");
	if (!scram_number_decode(iterations, &out->iterations))
		return scram_malformed(e, "its number of iterations is none or above our limit");
	return 0;
}

int
scram_client_challenge(struct scram_client *c, struct slice server_first,
		       struct scram_challenge *out, struct err *e)
{
	struct scram_challenge got = { 0 };
	struct slice nonce;

	if (scram_begin(&c->step, SCRAM_SENT_FIRST, server_first, e) != 0 ||
	    parse_server_first(c, server_first, &nonce, &got, e) != 0)
		return -1;
	buf_str(&c->auth, ",");
	c->nonce_at = c->auth.n + (size_t)(nonce.p - server_first.p);
	c->nonce_len = nonce.n;
	buf_slice(&c->auth, server_first);
	if (scram_built(&c->auth, e) != 0)
		return -1;
	*out = got;
	c->step = SCRAM_CHALLENGED;
	return 0;
}

/* The proof for the AuthMessage in c->auth; remembers what the server must answer. */
static bool
prove(struct scram_client *c, const struct scram_keys *k, uint8_t proof[SCRAM_KEY_BYTES])
{
	uint8_t stored[SCRAM_KEY_BYTES];
	bool ok;

	memcpy(proof, k->client_key, SCRAM_KEY_BYTES);
	ok = scram_hash(k->client_key, stored) && scram_mask(stored, &c->auth, proof) &&
	     scram_hmac(k->server_key, buf_view(&c->auth), c->server_signature);
	OPENSSL_cleanse(stored, sizeof(stored));
	return ok;
}

int
scram_client_final(struct scram_client *c, const struct scram_keys *k, struct buf *out,
		   struct err *e)
{
	uint8_t proof[SCRAM_KEY_BYTES];
	bool in_turn = c->step == SCRAM_CHALLENGED;
	int result = -1;
	size_t at;

	c->step = SCRAM_FAILED;
	if (!in_turn)
		return scram_malformed(e, "it is out of turn");
	/* client-final-message-without-proof, behind a comma: to the AuthMessage and to `out` */
	buf_str(&c->auth, ",");
	at = c->auth.n;
	buf_str(&c->auth, "c=");
	scram_put_binding(&c->auth, c->gs2_flag, &c->binding);
	buf_str(&c->auth, ",r=");
	if (buf_reserve(&c->auth, c->nonce_len) != NULL)
		buf_put(&c->auth, c->auth.p + c->nonce_at, c->nonce_len);
	buf_slice(out, slice_skip(buf_view(&c->auth), at));
	if (scram_built(&c->auth, e) != 0 || scram_built(out, e) != 0)
		return -1;
	if (!prove(c, k, proof)) {
		scram_library_failed(e);
	} else {
		buf_str(out, ",p=");
		b64_put(out, proof, sizeof(proof));
		result = scram_built(out, e);
	}
	OPENSSL_cleanse(proof, sizeof(proof));
	if (result == 0)
		c->step = SCRAM_SENT_FINAL;
	return result;
}

int
scram_client_verify(struct scram_client *c, struct slice server_final, struct err *e)
{
	uint8_t signature[SCRAM_KEY_BYTES];
	struct slice rest = server_final, value;

	if (scram_begin(&c->step, SCRAM_SENT_FINAL, server_final, e) != 0)
		return -1;
	if (scram_attribute(&rest, 'e', &value))
		return scram_refused(e);
	if (!scram_attribute(&rest, 'v', &value) || !scram_key_decode(value, signature))
		return scram_malformed(e, "a server signature was expected");
	if (CRYPTO_memcmp(signature, c->server_signature, sizeof(signature)) != 0)
		return err_set(e, "28P01", "the server does not know the password");
	c->step = SCRAM_OK;
	return 0;
}

void
scram_client_fini(struct scram_client *c)
{
	buf_fini(&c->auth);
	OPENSSL_cleanse(c, sizeof(*c));
}
