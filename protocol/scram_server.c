/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <openssl/crypto.h>

#include "base/bug.h"
#include "base/hot.h"
#include "protocol/b64.h"
#include "protocol/scram_int.h"

#define GS2_TYPE "p="
#define GS2_PLUS "p=tls-server-end-point"

HOT void
scram_server_init(struct scram_server *s, const struct scram_verifier *v, const char *nonce)
{
	*s = (struct scram_server){ .verifier = *v };
	scram_nonce_copy(s->nonce, nonce);
	buf_init(&s->auth, SCRAM_AUTH_MAX);
}

HOT void
scram_server_bind(struct scram_server *s, const struct scram_binding *b)
{
	BUG_ON(s->step != SCRAM_START || b->n > SCRAM_BINDING_MAX);
	s->binding = *b;
}

/* The flag against what was offered and chosen, as PostgreSQL has it. */
static int
check_flag(const struct scram_server *s, struct slice flag, bool plus, struct err *e)
{
	if (slice_starts(flag, GS2_TYPE)) {
		if (!plus)
			return scram_malformed(e, "channel binding was not agreed on");
		if (!slice_is(flag, GS2_PLUS))
			return scram_malformed(e, "its type of channel binding is not known");
		return 0;
	}
	if (!slice_is(flag, "n") && !slice_is(flag, "y"))
		return scram_malformed(e, "the channel binding flag is none of n, y, p");
	if (plus)
		return scram_malformed(e, "channel binding was agreed on and is not used");
	if (flag.p[0] == 'y' && s->binding.n > 0) {
		err_set(e, "28000", "SCRAM channel binding negotiation error");
		return err_detail(e,
				  "The client supports SCRAM channel binding but thinks the server "
				  "does not. However, this server does support channel binding.");
	}
	return 0;
}

/* "n,," and its relatives: what the client thinks of channel binding, and for whom it speaks. */
static int
gs2_header(struct scram_server *s, struct slice *rest, bool plus, struct err *e)
{
	struct slice flag = slice_cut(rest, ','), authzid;

	if (check_flag(s, flag, plus, e) != 0)
		return -1;
	authzid = slice_cut(rest, ',');
	if (authzid.n > 0)
		return scram_unsupported(e, "an authorization identity is not supported");
	if (rest->p == NULL)
		return scram_malformed(e, "it ends in its header");
	s->gs2_flag = flag.p[0];
	return 0;
}

HOT int
scram_server_first(struct scram_server *s, struct slice mechanism, struct slice client_first,
		   struct buf *out, struct err *e)
{
	bool plus = slice_is(mechanism, SCRAM_MECHANISM_PLUS);
	struct slice rest = client_first, bare, user, nonce;
	size_t at;

	if (scram_begin(&s->step, SCRAM_START, client_first, e) != 0)
		return -1;
	if (!slice_is(mechanism, SCRAM_MECHANISM) && !(plus && s->binding.n > 0))
		return scram_malformed(e, "the mechanism is not one that was offered");
	if (gs2_header(s, &rest, plus, e) != 0)
		return -1;
	bare = rest;
	if (slice_starts(rest, "m="))
		return scram_unsupported(e, "a mandatory extension is not supported");
	if (!scram_attribute(&rest, 'n', &user) || !scram_attribute(&rest, 'r', &nonce))
		return scram_malformed(e, "a user name and a nonce were expected");
	if (!scram_nonce_is_printable(nonce) || nonce.n > SCRAM_NONCE_MAX)
		return scram_malformed(e, "the nonce is not 1 to 128 printable characters");
	buf_slice(&s->auth, bare);
	buf_str(&s->auth, ",");
	at = s->auth.n;
	/* server-first-message, behind what the client has said. */
	buf_str(&s->auth, "r=");
	s->nonce_at = s->auth.n;
	buf_slice(&s->auth, nonce);
	buf_str(&s->auth, s->nonce);
	s->nonce_len = s->auth.n - s->nonce_at;
	buf_str(&s->auth, ",s=");
	b64_put(&s->auth, s->verifier.salt, s->verifier.salt_len);
	buf_printf(&s->auth, ",i=%d", s->verifier.iterations);
	buf_slice(out, slice_skip(buf_view(&s->auth), at));
	if (scram_built(&s->auth, e) != 0 || scram_built(out, e) != 0)
		return -1;
	s->step = SCRAM_SENT_FIRST;
	return 0;
}

/* Whether the client repeats its header and, where the channel is bound, knows our certificate. */
static int
check_binding(const struct scram_server *s, struct slice said, struct err *e)
{
	struct buf wanted = { .cap = SCRAM_MESSAGE_MAX };
	bool same;

	scram_put_binding(&wanted, s->gs2_flag, &s->binding);
	same = !wanted.failed && slice_same(buf_view(&wanted), said);
	buf_fini(&wanted);
	if (same)
		return 0;
	if (s->gs2_flag == 'p')
		return err_set(e, "28000", "SCRAM channel binding check failed");
	return scram_malformed(e, "its channel binding differs from the one at the beginning");
}

/* Take client-final-message apart: *head is all of it up to ",p=". */
static int
parse_final(const struct scram_server *s, struct slice message, struct slice *head,
	    uint8_t proof[SCRAM_KEY_BYTES], struct err *e)
{
	struct slice rest = message, binding, nonce, one = { NULL, 0 }, before;
	struct slice ours = slice_of(s->auth.p + s->nonce_at, s->nonce_len);

	if (!scram_attribute(&rest, 'c', &binding) || !scram_attribute(&rest, 'r', &nonce))
		return scram_malformed(e, "a channel binding and a nonce were expected");
	if (check_binding(s, binding, e) != 0)
		return -1;
	if (!slice_same(nonce, ours))
		return scram_malformed(e, "its nonce is not the one that was agreed on");
	do {
		before = rest;
		if (rest.p == NULL)
			return scram_malformed(e, "a proof was expected");
		one = slice_cut(&rest, ',');
	} while (!slice_starts(one, "p="));
	if (rest.p != NULL || !scram_key_decode(slice_skip(one, 2), proof))
		return scram_malformed(e, "the proof at its end is not base64 of 32 bytes");
	*head = slice_of(message.p, (size_t)(before.p - 1 - message.p));
	return 0;
}

/* Is the key that hides in the proof the one that was stored? */
static int
check_proof(struct scram_server *s, const uint8_t proof[SCRAM_KEY_BYTES],
	    uint8_t server_signature[SCRAM_KEY_BYTES], struct err *e)
{
	struct scram_keys k;
	bool ok, right;

	memcpy(k.client_key, proof, SCRAM_KEY_BYTES);
	memcpy(k.server_key, s->verifier.server_key, SCRAM_KEY_BYTES);
	ok = scram_mask(s->verifier.stored_key, &s->auth, k.client_key) &&
	     scram_hmac(k.server_key, buf_view(&s->auth), server_signature);
	right = ok && scram_keys_fit(&k, &s->verifier);
	if (right)
		s->keys = k;
	scram_keys_wipe(&k);
	if (!ok)
		return scram_library_failed(e);
	return right ? 0 : scram_refused(e);
}

HOT int
scram_server_final(struct scram_server *s, struct slice client_final, struct buf *out,
		   struct err *e)
{
	uint8_t proof[SCRAM_KEY_BYTES], signature[SCRAM_KEY_BYTES];
	struct slice head;
	int result;

	if (scram_begin(&s->step, SCRAM_SENT_FIRST, client_final, e) != 0 ||
	    parse_final(s, client_final, &head, proof, e) != 0)
		return -1;
	buf_str(&s->auth, ",");
	buf_slice(&s->auth, head);
	result = scram_built(&s->auth, e) != 0 ? -1 : check_proof(s, proof, signature, e);
	if (result == 0) {
		buf_str(out, "v=");
		b64_put(out, signature, sizeof(signature));
		result = scram_built(out, e);
	}
	if (result == 0)
		s->step = SCRAM_OK;
	OPENSSL_cleanse(proof, sizeof(proof));
	OPENSSL_cleanse(signature, sizeof(signature));
	return result;
}

HOT void
scram_server_keys(const struct scram_server *s, struct scram_keys *out)
{
	BUG_ON(s->step != SCRAM_OK);
	*out = s->keys;
}

HOT void
scram_server_fini(struct scram_server *s)
{
	buf_fini(&s->auth);
	OPENSSL_cleanse(s, sizeof(*s));
}
