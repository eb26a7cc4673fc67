/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/bug.h"
#include "base/hot.h"
#include "base/text.h"
#include "protocol/b64.h"
#include "protocol/saslprep.h"
#include "protocol/scram_int.h"

#define PREFIX       SCRAM_MECHANISM "$"
#define PASSWORD_MAX 65536
#define SHA256_BLOCK 64

/* Keys and hashes. */

/* Hash a block that is the key under a mask, then the data (RFC 2104). The context has fetched its
 * algorithm: to begin anew costs no second search for it, which takes longer than the hash. */
static HOT bool
hash_masked(EVP_MD_CTX *ctx, const uint8_t key[SCRAM_KEY_BYTES], uint8_t mask, struct slice data,
	    uint8_t out[SCRAM_KEY_BYTES])
{
	uint8_t block[SHA256_BLOCK];
	bool ok;

	memset(block, mask, sizeof(block));
	for (size_t i = 0; i < SCRAM_KEY_BYTES; i++)
		block[i] ^= key[i];
	ok = EVP_DigestInit_ex(ctx, NULL, NULL) == 1 &&
	     EVP_DigestUpdate(ctx, block, sizeof(block)) == 1 &&
	     EVP_DigestUpdate(ctx, data.p, data.n) == 1 && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	OPENSSL_cleanse(block, sizeof(block));
	return ok;
}

HOT bool
scram_hmac(const uint8_t key[SCRAM_KEY_BYTES], struct slice data, uint8_t out[SCRAM_KEY_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t inner[SCRAM_KEY_BYTES];
	bool ok;

	ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
	     hash_masked(ctx, key, 0x36, data, inner) &&
	     hash_masked(ctx, key, 0x5c, slice_of((const char *)inner, sizeof(inner)), out);
	OPENSSL_cleanse(inner, sizeof(inner));
	EVP_MD_CTX_free(ctx);
	return ok;
}

bool
scram_hash(const uint8_t in[SCRAM_KEY_BYTES], uint8_t out[SCRAM_KEY_BYTES])
{
	return EVP_Digest(in, SCRAM_KEY_BYTES, out, NULL, EVP_sha256(), NULL) == 1;
}

static bool
salted_password(struct slice password, struct slice salt, int iterations,
		uint8_t out[SCRAM_KEY_BYTES])
{
	struct buf prepared = { .cap = SASLPREP_ROOM(password.n) };
	bool ok;

	saslprep_put(&prepared, password);
	ok = !prepared.failed &&
	     PKCS5_PBKDF2_HMAC(prepared.n > 0 ? prepared.p : "", (int)prepared.n,
			       (const unsigned char *)salt.p, (int)salt.n, iterations, EVP_sha256(),
			       SCRAM_KEY_BYTES, out) == 1;
	if (prepared.n > 0)
		OPENSSL_cleanse(prepared.p, prepared.n);
	buf_fini(&prepared);
	return ok;
}

int
scram_library_failed(struct err *e)
{
	return err_set(e, "XX000", "SCRAM: the cryptographic library failed");
}

int
scram_malformed(struct err *e, const char *what)
{
	return err_set(e, "08P01", "malformed SCRAM message: %s", what);
}

int
scram_unsupported(struct err *e, const char *what)
{
	return err_set(e, "0A000", "SCRAM: %s", what);
}

int
scram_refused(struct err *e)
{
	return err_set(e, "28P01", "password authentication failed");
}

/* Verifiers. */

HOT bool
scram_key_decode(struct slice text, uint8_t out[SCRAM_KEY_BYTES])
{
	size_t n;

	return b64_decode(text, out, SCRAM_KEY_BYTES, &n) && n == SCRAM_KEY_BYTES;
}

bool
scram_salt_decode(struct slice text, uint8_t out[SCRAM_SALT_MAX], uint8_t *n)
{
	size_t length;

	if (!b64_decode(text, out, SCRAM_SALT_MAX, &length) || length == 0)
		return false;
	*n = (uint8_t)length;
	return true;
}

bool
scram_number_decode(struct slice text, int *out)
{
	int64_t n;

	if (text.n == 0 || text.p[0] < '1' || text.p[0] > '9' ||
	    !text_to_int(text, 1, SCRAM_ITERATIONS_MAX, &n))
		return false;
	*out = (int)n;
	return true;
}

int
scram_verifier_parse(struct slice text, struct scram_verifier *out, struct err *e)
{
	struct scram_verifier v = { 0 };
	struct slice rest = text, iterations, salt, stored;
	int result = -1;

	if (!slice_starts(text, PREFIX))
		return err_set(e, "22023", "a SCRAM verifier begins with \"%s\"", PREFIX);
	rest = slice_skip(rest, sizeof(PREFIX) - 1);
	iterations = slice_cut(&rest, ':');
	salt = slice_cut(&rest, '$');
	stored = slice_cut(&rest, ':');
	if (!scram_number_decode(iterations, &v.iterations))
		err_set(e, "22023", "the iterations of a SCRAM verifier are a number from 1 to %d",
			SCRAM_ITERATIONS_MAX);
	else if (!scram_salt_decode(salt, v.salt, &v.salt_len))
		err_set(e, "22023", "the salt of a SCRAM verifier is base64 of 1 to %d bytes",
			SCRAM_SALT_MAX);
	else if (!scram_key_decode(stored, v.stored_key) || !scram_key_decode(rest, v.server_key))
		err_set(e, "22023", "the keys of a SCRAM verifier are base64 of %d bytes each",
			SCRAM_KEY_BYTES);
	else
		result = 0;
	if (result == 0)
		*out = v;
	scram_verifier_wipe(&v);
	return result;
}

int
scram_keys_make(struct slice password, struct slice salt, int iterations, struct scram_keys *out,
		struct err *e)
{
	uint8_t salted[SCRAM_KEY_BYTES];
	bool ok;

	BUG_ON(salt.n == 0 || salt.n > SCRAM_SALT_MAX);
	BUG_ON(iterations < 1 || iterations > SCRAM_ITERATIONS_MAX);
	if (password.n > PASSWORD_MAX)
		return err_set(e, "22023", "a password is too long");
	ok = salted_password(password, salt, iterations, salted) &&
	     scram_hmac(salted, SLICE_LITERAL("Client Key"), out->client_key) &&
	     scram_hmac(salted, SLICE_LITERAL("Server Key"), out->server_key);
	OPENSSL_cleanse(salted, sizeof(salted));
	return ok ? 0 : scram_library_failed(e);
}

HOT bool
scram_keys_fit(const struct scram_keys *k, const struct scram_verifier *v)
{
	uint8_t stored[SCRAM_KEY_BYTES];
	bool fit = scram_hash(k->client_key, stored) &&
		   CRYPTO_memcmp(stored, v->stored_key, SCRAM_KEY_BYTES) == 0 && !v->is_mock;

	OPENSSL_cleanse(stored, sizeof(stored));
	return fit;
}

HOT void
scram_keys_wipe(struct scram_keys *k)
{
	OPENSSL_cleanse(k, sizeof(*k));
}

int
scram_verifier_make(struct slice password, struct slice salt, int iterations,
		    struct scram_verifier *out, struct err *e)
{
	struct scram_verifier v = { .iterations = iterations };
	struct scram_keys keys;
	int result = scram_keys_make(password, salt, iterations, &keys, e);

	if (result == 0 && !scram_hash(keys.client_key, v.stored_key))
		result = scram_library_failed(e);
	if (result == 0) {
		v.salt_len = (uint8_t)salt.n;
		memcpy(v.salt, salt.p, salt.n);
		memcpy(v.server_key, keys.server_key, SCRAM_KEY_BYTES);
		*out = v;
	}
	scram_keys_wipe(&keys);
	scram_verifier_wipe(&v);
	return result;
}

HOT void
scram_verifier_mock(struct slice user, const uint8_t secret[SCRAM_KEY_BYTES],
		    struct scram_verifier *out)
{
	struct scram_verifier v = { .is_mock = true,
				    .salt_len = SCRAM_SALT_BYTES,
				    .iterations = SCRAM_ITERATIONS_DEFAULT };
	uint8_t seed[SCRAM_KEY_BYTES] = { 0 };

	/* Were the library to fail, the zeros would serve as well: no proof is right anyway. The
	 * keys are neither said nor do they ever fit: they need be no hashes. */
	if (scram_hmac(secret, user, seed)) {
		memcpy(v.salt, seed, SCRAM_SALT_BYTES);
		for (size_t i = 0; i < SCRAM_KEY_BYTES; i++) {
			v.stored_key[i] = seed[i] ^ 0x5a;
			v.server_key[i] = seed[i] ^ 0xa5;
		}
	}
	*out = v;
	OPENSSL_cleanse(seed, sizeof(seed));
}

void
scram_verifier_wipe(struct scram_verifier *v)
{
	OPENSSL_cleanse(v, sizeof(*v));
}

/* Messages: attributes "x=value" with commas between them. */

HOT void
scram_nonce(const uint8_t random[SCRAM_NONCE_BYTES], char to[SCRAM_NONCE_TEXT + 1])
{
	struct buf b;

	buf_init(&b, SCRAM_NONCE_TEXT);
	b64_put(&b, random, SCRAM_NONCE_BYTES);
	BUG_ON(b.failed);
	text_copy(to, SCRAM_NONCE_TEXT + 1, buf_view(&b));
	buf_fini(&b);
}

HOT bool
scram_nonce_is_printable(struct slice nonce)
{
	for (size_t i = 0; i < nonce.n; i++) {
		if (nonce.p[i] < 0x21 || nonce.p[i] > 0x7e || nonce.p[i] == ',')
			return false;
	}
	return nonce.n > 0;
}

HOT void
scram_nonce_copy(char to[SCRAM_NONCE_MAX + 1], const char *nonce)
{
	BUG_ON(!scram_nonce_is_printable(slice_str(nonce)));
	BUG_ON(!text_copy(to, SCRAM_NONCE_MAX + 1, slice_str(nonce)));
}

HOT bool
scram_attribute(struct slice *rest, char name, struct slice *value)
{
	struct slice all = *rest, one;

	if (all.p == NULL)
		return false;
	one = slice_cut(&all, ',');
	if (one.n < 2 || one.p[0] != name || one.p[1] != '=')
		return false;
	*value = slice_skip(one, 2);
	*rest = all;
	return true;
}

HOT int
scram_begin(enum scram_step *step, enum scram_step wanted, struct slice message, struct err *e)
{
	bool in_turn = *step == wanted;

	*step = SCRAM_FAILED; /* until all of it was good */
	if (!in_turn)
		return scram_malformed(e, "it is out of turn");
	if (message.n == 0 || message.n > SCRAM_MESSAGE_MAX)
		return scram_malformed(e, "it is empty or longer than 1024 bytes");
	if (memchr(message.p, '\0', message.n) != NULL)
		return scram_malformed(e, "it holds a zero byte");
	return 0;
}

HOT int
scram_built(const struct buf *b, struct err *e)
{
	return b->failed ? err_set(e, "53200", "SCRAM: out of memory") : 0;
}

HOT bool
scram_mask(const uint8_t stored_key[SCRAM_KEY_BYTES], const struct buf *auth,
	   uint8_t key_or_proof[SCRAM_KEY_BYTES])
{
	uint8_t signature[SCRAM_KEY_BYTES];
	bool ok = scram_hmac(stored_key, buf_view(auth), signature);

	for (size_t i = 0; ok && i < SCRAM_KEY_BYTES; i++)
		key_or_proof[i] ^= signature[i];
	OPENSSL_cleanse(signature, sizeof(signature));
	return ok;
}

const char *
scram_gs2_header(char flag)
{
	return flag == 'p' ? "p=tls-server-end-point,," : flag == 'y' ? "y,," : "n,,";
}

HOT void
scram_put_binding(struct buf *b, char flag, const struct scram_binding *binding)
{
	uint8_t all[64 + SCRAM_BINDING_MAX];
	const char *header = scram_gs2_header(flag);
	size_t n = strlen(header);

	memcpy(all, header, n);
	if (flag == 'p') {
		memcpy(all + n, binding->hash, binding->n);
		n += binding->n;
	}
	b64_put(b, all, n);
}
