/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/bug.h"
#include "base/text.h"
#include "protocol/b64.h"

#define PREFIX           SCRAM_MECHANISM "$"
#define AUTH_MAX         (4 * SCRAM_MESSAGE_MAX)
#define CLIENT_GS2       "n,,"
#define CLIENT_GS2_B64   "biws"
#define CLIENT_GS2_Y_B64 "eSws"

/* Keys and hashes. A failure of the library (out of memory, a provider that lacks SHA-256) is told
 * apart from a wrong proof. */

static bool
hmac(const uint8_t key[SCRAM_KEY_BYTES], struct slice data, uint8_t out[SCRAM_KEY_BYTES])
{
	size_t n = 0;

	return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, SCRAM_KEY_BYTES,
			 (const unsigned char *)data.p, data.n, out, SCRAM_KEY_BYTES, &n) != NULL &&
	       n == SCRAM_KEY_BYTES;
}

static bool
hash(const uint8_t in[SCRAM_KEY_BYTES], uint8_t out[SCRAM_KEY_BYTES])
{
	return EVP_Digest(in, SCRAM_KEY_BYTES, out, NULL, EVP_sha256(), NULL) == 1;
}

static bool
salted_password(struct slice password, struct slice salt, int iterations,
		uint8_t out[SCRAM_KEY_BYTES])
{
	return PKCS5_PBKDF2_HMAC(password.n > 0 ? password.p : "", (int)password.n,
				 (const unsigned char *)salt.p, (int)salt.n, iterations,
				 EVP_sha256(), SCRAM_KEY_BYTES, out) == 1;
}

static void
xor_keys(uint8_t to[SCRAM_KEY_BYTES], const uint8_t with[SCRAM_KEY_BYTES])
{
	for (size_t i = 0; i < SCRAM_KEY_BYTES; i++)
		to[i] ^= with[i];
}

static int
library_failed(struct err *e)
{
	return err_set(e, "XX000", "SCRAM: the cryptographic library failed");
}

static int
malformed(struct err *e, const char *what)
{
	return err_set(e, "08P01", "malformed SCRAM message: %s", what);
}

static int
unsupported(struct err *e, const char *what)
{
	return err_set(e, "0A000", "SCRAM: %s", what);
}

static int
refused(struct err *e)
{
	return err_set(e, "28P01", "password authentication failed");
}

/* Verifiers. */

static bool
key_decode(struct slice text, uint8_t out[SCRAM_KEY_BYTES])
{
	size_t n;

	return b64_decode(text, out, SCRAM_KEY_BYTES, &n) && n == SCRAM_KEY_BYTES;
}

static bool
salt_decode(struct slice text, uint8_t out[SCRAM_SALT_MAX], size_t *n)
{
	return b64_decode(text, out, SCRAM_SALT_MAX, n) && *n > 0;
}

static bool
number_decode(struct slice text, int64_t max, int *out)
{
	int64_t n;

	if (text.n == 0 || text.p[0] < '1' || text.p[0] > '9' || !text_to_int(text, 1, max, &n))
		return false;
	*out = (int)n;
	return true;
}

int
scram_verifier_parse(struct slice text, struct scram_verifier *out, struct err *e)
{
	struct scram_verifier v = { 0 };
	struct slice rest = text, iterations, salt, stored;
	size_t salt_len;
	int result = -1;

	if (!slice_starts(text, PREFIX))
		return err_set(e, "22023", "a SCRAM verifier begins with \"%s\"", PREFIX);
	rest = slice_skip(rest, sizeof(PREFIX) - 1);
	iterations = slice_cut(&rest, ':');
	salt = slice_cut(&rest, '$');
	stored = slice_cut(&rest, ':');
	if (!number_decode(iterations, SCRAM_ITERATIONS_MAX, &v.iterations))
		err_set(e, "22023", "the iterations of a SCRAM verifier are a number from 1 to %d",
			SCRAM_ITERATIONS_MAX);
	else if (!salt_decode(salt, v.salt, &salt_len))
		err_set(e, "22023", "the salt of a SCRAM verifier is base64 of 1 to %d bytes",
			SCRAM_SALT_MAX);
	else if (!key_decode(stored, v.stored_key) || !key_decode(rest, v.server_key))
		err_set(e, "22023", "the keys of a SCRAM verifier are base64 of %d bytes each",
			SCRAM_KEY_BYTES);
	else
		result = 0;
	if (result == 0) {
		v.salt_len = (uint8_t)salt_len;
		*out = v;
	}
	scram_verifier_wipe(&v);
	return result;
}

void
scram_verifier_put(struct buf *b, const struct scram_verifier *v)
{
	buf_printf(b, PREFIX "%d:", v->iterations);
	b64_put(b, v->salt, v->salt_len);
	buf_str(b, "$");
	b64_put(b, v->stored_key, SCRAM_KEY_BYTES);
	buf_str(b, ":");
	b64_put(b, v->server_key, SCRAM_KEY_BYTES);
}

int
scram_verifier_make(struct slice password, struct slice salt, int iterations,
		    struct scram_verifier *out, struct err *e)
{
	struct scram_verifier v = { .iterations = iterations };
	uint8_t salted[SCRAM_KEY_BYTES], client_key[SCRAM_KEY_BYTES];
	bool ok;

	BUG_ON(salt.n == 0 || salt.n > SCRAM_SALT_MAX);
	BUG_ON(iterations < 1 || iterations > SCRAM_ITERATIONS_MAX);
	if (password.n > INT32_MAX)
		return err_set(e, "22023", "a password is too long");
	v.salt_len = (uint8_t)salt.n;
	memcpy(v.salt, salt.p, salt.n);
	ok = salted_password(password, salt, iterations, salted) &&
	     hmac(salted, SLICE_LITERAL("Client Key"), client_key) &&
	     hash(client_key, v.stored_key) &&
	     hmac(salted, SLICE_LITERAL("Server Key"), v.server_key);
	if (ok)
		*out = v;
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(client_key, sizeof(client_key));
	scram_verifier_wipe(&v);
	return ok ? 0 : library_failed(e);
}

void
scram_verifier_mock(struct slice user, const uint8_t secret[SCRAM_KEY_BYTES],
		    struct scram_verifier *out)
{
	struct scram_verifier v = { .is_mock = true,
				    .salt_len = SCRAM_SALT_BYTES,
				    .iterations = SCRAM_ITERATIONS_DEFAULT };
	uint8_t seed[SCRAM_KEY_BYTES] = { 0 };

	/* Were the library to fail, the zeros would serve as well: no proof is right anyway. */
	if (hmac(secret, user, seed) && hmac(seed, SLICE_LITERAL("stored"), v.stored_key) &&
	    hmac(seed, SLICE_LITERAL("server"), v.server_key))
		memcpy(v.salt, seed, SCRAM_SALT_BYTES);
	*out = v;
	OPENSSL_cleanse(seed, sizeof(seed));
}

void
scram_verifier_wipe(struct scram_verifier *v)
{
	OPENSSL_cleanse(v, sizeof(*v));
}

/* Messages: attributes "x=value" with commas between them. */

void
scram_nonce(const uint8_t random[SCRAM_NONCE_BYTES], char to[SCRAM_NONCE_TEXT + 1])
{
	struct buf b;

	buf_init(&b, SCRAM_NONCE_TEXT);
	b64_put(&b, random, SCRAM_NONCE_BYTES);
	BUG_ON(b.failed);
	text_copy(to, SCRAM_NONCE_TEXT + 1, buf_view(&b));
	buf_fini(&b);
}

static bool
nonce_is_printable(struct slice nonce)
{
	for (size_t i = 0; i < nonce.n; i++) {
		if (nonce.p[i] < 0x21 || nonce.p[i] > 0x7e || nonce.p[i] == ',')
			return false;
	}
	return nonce.n > 0;
}

static void
nonce_copy(char to[SCRAM_NONCE_MAX + 1], const char *nonce)
{
	BUG_ON(!nonce_is_printable(slice_str(nonce)));
	BUG_ON(!text_copy(to, SCRAM_NONCE_MAX + 1, slice_str(nonce)));
}

/* Take the next attribute, which has to be called `name`. */
static bool
attribute(struct slice *rest, char name, struct slice *value)
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

static int
message_begins(enum scram_step *step, enum scram_step wanted, struct slice message, struct err *e)
{
	bool in_turn = *step == wanted;

	*step = SCRAM_FAILED; /* until all of it was good */
	if (!in_turn)
		return malformed(e, "it is out of turn");
	if (message.n == 0 || message.n > SCRAM_MESSAGE_MAX)
		return malformed(e, "it is empty or longer than 1024 bytes");
	if (memchr(message.p, '\0', message.n) != NULL)
		return malformed(e, "it holds a zero byte");
	return 0;
}

static int
built(const struct buf *b, struct err *e)
{
	return b->failed ? err_set(e, "53200", "SCRAM: out of memory") : 0;
}

/* ClientSignature XOR ClientKey is ClientProof, so one function turns each into the other. */
static bool
client_mask(const uint8_t stored_key[SCRAM_KEY_BYTES], const struct buf *auth,
	    uint8_t key_or_proof[SCRAM_KEY_BYTES])
{
	uint8_t signature[SCRAM_KEY_BYTES];
	bool ok = hmac(stored_key, buf_view(auth), signature);

	if (ok)
		xor_keys(key_or_proof, signature);
	OPENSSL_cleanse(signature, sizeof(signature));
	return ok;
}

/* The server. */

void
scram_server_init(struct scram_server *s, const struct scram_verifier *v, const char *nonce)
{
	*s = (struct scram_server){ .verifier = *v };
	nonce_copy(s->nonce, nonce);
	buf_init(&s->auth, AUTH_MAX);
}

/* "n,," and its relatives: what the client thinks of channel binding, and for whom it speaks. */
static int
gs2_header(struct slice *rest, char *flag, struct err *e)
{
	struct slice binding = slice_cut(rest, ','), authzid;

	if (slice_starts(binding, "p="))
		return malformed(e, "channel binding was not offered");
	if (!slice_is(binding, "n") && !slice_is(binding, "y"))
		return malformed(e, "the channel binding flag is none of n, y, p");
	if (rest->p == NULL)
		return malformed(e, "it ends in its header");
	authzid = slice_cut(rest, ',');
	if (authzid.n > 0)
		return unsupported(e, "an authorization identity is not supported");
	if (rest->p == NULL)
		return malformed(e, "it ends in its header");
	*flag = binding.p[0];
	return 0;
}

int
scram_server_first(struct scram_server *s, struct slice client_first, struct buf *out,
		   struct err *e)
{
	struct slice rest = client_first, bare, user, nonce;
	size_t at;

	if (message_begins(&s->step, SCRAM_START, client_first, e) != 0 ||
	    gs2_header(&rest, &s->gs2_flag, e) != 0)
		return -1;
	bare = rest;
	if (slice_starts(rest, "m="))
		return unsupported(e, "a mandatory extension is not supported");
	if (!attribute(&rest, 'n', &user) || !attribute(&rest, 'r', &nonce))
		return malformed(e, "a user name and a nonce were expected");
	if (!nonce_is_printable(nonce) || nonce.n > SCRAM_NONCE_MAX)
		return malformed(e, "the nonce is not 1 to 128 printable characters");
	buf_slice(&s->auth, bare);
	buf_str(&s->auth, ",");
	at = s->auth.n;
	buf_str(&s->auth, "r=");
	s->nonce_at = s->auth.n;
	buf_slice(&s->auth, nonce);
	buf_str(&s->auth, s->nonce);
	s->nonce_len = s->auth.n - s->nonce_at;
	buf_str(&s->auth, ",s=");
	b64_put(&s->auth, s->verifier.salt, s->verifier.salt_len);
	buf_printf(&s->auth, ",i=%d", s->verifier.iterations);
	buf_slice(out, slice_skip(buf_view(&s->auth), at));
	if (built(&s->auth, e) != 0 || built(out, e) != 0)
		return -1;
	s->step = SCRAM_SENT_FIRST;
	return 0;
}

/* Take client-final-message apart: *head is all of it up to ",p=". */
static int
parse_final(const struct scram_server *s, struct slice message, struct slice *head,
	    uint8_t proof[SCRAM_KEY_BYTES], struct err *e)
{
	struct slice rest = message, binding, nonce, one = { NULL, 0 }, before;
	struct slice ours = slice_of(s->auth.p + s->nonce_at, s->nonce_len);

	if (!attribute(&rest, 'c', &binding) || !attribute(&rest, 'r', &nonce))
		return malformed(e, "a channel binding and a nonce were expected");
	if (!slice_is(binding, s->gs2_flag == 'n' ? CLIENT_GS2_B64 : CLIENT_GS2_Y_B64))
		return malformed(e, "its channel binding differs from the one at the beginning");
	if (nonce.n != ours.n || memcmp(nonce.p, ours.p, ours.n) != 0)
		return malformed(e, "its nonce is not the one that was agreed on");
	do {
		before = rest;
		if (rest.p == NULL)
			return malformed(e, "a proof was expected");
		one = slice_cut(&rest, ',');
	} while (!slice_starts(one, "p="));
	if (rest.p != NULL || !key_decode(slice_skip(one, 2), proof))
		return malformed(e, "the proof at its end is not base64 of 32 bytes");
	*head = slice_of(message.p, (size_t)(before.p - 1 - message.p));
	return 0;
}

/* Is the key that hides in the proof the one that was stored? */
static int
check_proof(const struct scram_server *s, const uint8_t proof[SCRAM_KEY_BYTES],
	    uint8_t server_signature[SCRAM_KEY_BYTES], struct err *e)
{
	uint8_t client_key[SCRAM_KEY_BYTES], hashed[SCRAM_KEY_BYTES];
	bool ok, right;

	memcpy(client_key, proof, SCRAM_KEY_BYTES);
	ok = client_mask(s->verifier.stored_key, &s->auth, client_key) &&
	     hash(client_key, hashed) &&
	     hmac(s->verifier.server_key, buf_view(&s->auth), server_signature);
	right = ok && CRYPTO_memcmp(hashed, s->verifier.stored_key, SCRAM_KEY_BYTES) == 0;
	OPENSSL_cleanse(client_key, sizeof(client_key));
	OPENSSL_cleanse(hashed, sizeof(hashed));
	if (!ok)
		return library_failed(e);
	return right && !s->verifier.is_mock ? 0 : refused(e);
}

int
scram_server_final(struct scram_server *s, struct slice client_final, struct buf *out,
		   struct err *e)
{
	uint8_t proof[SCRAM_KEY_BYTES], signature[SCRAM_KEY_BYTES];
	struct slice head;
	int result;

	if (message_begins(&s->step, SCRAM_SENT_FIRST, client_final, e) != 0 ||
	    parse_final(s, client_final, &head, proof, e) != 0)
		return -1;
	buf_str(&s->auth, ",");
	buf_slice(&s->auth, head);
	result = built(&s->auth, e) != 0 ? -1 : check_proof(s, proof, signature, e);
	if (result == 0) {
		buf_str(out, "v=");
		b64_put(out, signature, sizeof(signature));
		result = built(out, e);
	}
	if (result == 0)
		s->step = SCRAM_OK;
	OPENSSL_cleanse(proof, sizeof(proof));
	OPENSSL_cleanse(signature, sizeof(signature));
	return result;
}

void
scram_server_fini(struct scram_server *s)
{
	buf_fini(&s->auth);
	OPENSSL_cleanse(s, sizeof(*s));
}

/* The client. */

void
scram_client_init(struct scram_client *c, const char *nonce)
{
	*c = (struct scram_client){ 0 };
	nonce_copy(c->nonce, nonce);
	buf_init(&c->auth, AUTH_MAX);
}

int
scram_client_first(struct scram_client *c, struct slice user, struct buf *out, struct err *e)
{
	if (c->step != SCRAM_START)
		return malformed(e, "it is out of turn");
	c->step = SCRAM_FAILED;
	if (user.n > SCRAM_MESSAGE_MAX / 8)
		return malformed(e, "the user name is too long");
	buf_str(&c->auth, "n=");
	for (size_t i = 0; i < user.n; i++) {
		if (user.p[i] == '=' || user.p[i] == ',')
			buf_str(&c->auth, user.p[i] == '=' ? "=3D" : "=2C");
		else
			buf_put(&c->auth, &user.p[i], 1);
	}
	buf_str(&c->auth, ",r=");
	buf_str(&c->auth, c->nonce);
	buf_str(out, CLIENT_GS2);
	buf_slice(out, buf_view(&c->auth));
	if (built(&c->auth, e) != 0 || built(out, e) != 0)
		return -1;
	c->step = SCRAM_SENT_FIRST;
	return 0;
}

struct server_first {
	struct slice nonce;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	int iterations;
};

static int
parse_server_first(const struct scram_client *c, struct slice message, int max_iterations,
		   struct server_first *out, struct err *e)
{
	struct slice rest = message, salt, iterations;

	if (slice_starts(message, "m="))
		return unsupported(e, "a mandatory extension is not supported");
	if (!attribute(&rest, 'r', &out->nonce) || !attribute(&rest, 's', &salt) ||
	    !attribute(&rest, 'i', &iterations))
		return malformed(e, "a nonce, a salt and a number of iterations were expected");
	if (!nonce_is_printable(out->nonce) || out->nonce.n <= strlen(c->nonce) ||
	    !slice_starts(out->nonce, c->nonce))
		return malformed(e, "the server's nonce does not continue ours");
	if (!salt_decode(salt, out->salt, &out->salt_len))
		return malformed(e, "its salt is not base64 of 1 to 64 bytes");
	if (!number_decode(iterations, max_iterations, &out->iterations))
		return malformed(e, "its number of iterations is none or above our limit");
	return 0;
}

/* The proof for the AuthMessage in c->auth; remembers what the server must answer. */
static bool
client_proof(struct scram_client *c, struct slice password, const struct server_first *f,
	     uint8_t proof[SCRAM_KEY_BYTES])
{
	struct slice salt = slice_of((const char *)f->salt, f->salt_len);
	uint8_t salted[SCRAM_KEY_BYTES], stored[SCRAM_KEY_BYTES], server[SCRAM_KEY_BYTES];
	bool ok;

	ok = salted_password(password, salt, f->iterations, salted) &&
	     hmac(salted, SLICE_LITERAL("Client Key"), proof) && hash(proof, stored) &&
	     client_mask(stored, &c->auth, proof) &&
	     hmac(salted, SLICE_LITERAL("Server Key"), server) &&
	     hmac(server, buf_view(&c->auth), c->server_signature);
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(stored, sizeof(stored));
	OPENSSL_cleanse(server, sizeof(server));
	return ok;
}

int
scram_client_final(struct scram_client *c, struct slice server_first, struct slice password,
		   int max_iterations, struct buf *out, struct err *e)
{
	uint8_t proof[SCRAM_KEY_BYTES];
	struct server_first f;
	size_t at;
	int result;

	if (message_begins(&c->step, SCRAM_SENT_FIRST, server_first, e) != 0 ||
	    parse_server_first(c, server_first, max_iterations, &f, e) != 0)
		return -1;
	if (password.n > INT32_MAX)
		return malformed(e, "the password is too long");
	buf_str(&c->auth, ",");
	buf_slice(&c->auth, server_first);
	buf_str(&c->auth, ",");
	at = c->auth.n;
	buf_str(&c->auth, "c=" CLIENT_GS2_B64 ",r=");
	buf_slice(&c->auth, f.nonce);
	if (built(&c->auth, e) != 0)
		return -1;
	if (!client_proof(c, password, &f, proof))
		return library_failed(e);
	buf_slice(out, slice_skip(buf_view(&c->auth), at));
	buf_str(out, ",p=");
	b64_put(out, proof, sizeof(proof));
	OPENSSL_cleanse(proof, sizeof(proof));
	result = built(out, e);
	if (result == 0)
		c->step = SCRAM_SENT_FINAL;
	return result;
}

int
scram_client_verify(struct scram_client *c, struct slice server_final, struct err *e)
{
	uint8_t signature[SCRAM_KEY_BYTES];
	struct slice rest = server_final, value;

	if (message_begins(&c->step, SCRAM_SENT_FINAL, server_final, e) != 0)
		return -1;
	if (attribute(&rest, 'e', &value))
		return refused(e);
	if (!attribute(&rest, 'v', &value) || !key_decode(value, signature))
		return malformed(e, "a server signature was expected");
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
