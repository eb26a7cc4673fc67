/* SPDX-License-Identifier: PostgreSQL
 *
 * SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677) as PostgreSQL speaks them ("SASL
 * Authentication" in its protocol chapter): both roles, each a machine that takes the peer's
 * message and appends its own answer to a buffer. What travels here is the SASL data alone; the
 * messages around it (AuthenticationSASL, SASLInitialResponse, …) belong to the caller.
 *
 * Knows no clock, no socket and no random source: nonces and salts come from the caller, so every
 * exchange can be replayed in a test. Of TLS it knows the bytes that a channel is bound by
 * (tls-server-end-point, RFC 5929: a hash of the server's certificate), which the caller brings.
 *
 * Errors: 08P01 for what breaks the protocol, 28000 for a channel that is not bound as it should
 * be, 28P01 for a proof that is wrong; the message of the latter is the same for every cause, and
 * none ever holds anything secret. A machine that has failed stays failed. Secrets are compared in
 * constant time and wiped by _fini.
 *
 * Passwords are prepared as PostgreSQL does it (protocol/saslprep.h).
 *
 * Time: scram_keys_make() and scram_verifier_make() run PBKDF2, about a millisecond per 4096
 * iterations: never on an event loop with unlimited iterations. All else hashes a handful of
 * blocks.
 */
#ifndef PROTOCOL_SCRAM_H
#define PROTOCOL_SCRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define SCRAM_MECHANISM          "SCRAM-SHA-256"
#define SCRAM_MECHANISM_PLUS     "SCRAM-SHA-256-PLUS"
#define SCRAM_KEY_BYTES          32
#define SCRAM_SALT_BYTES         16 /* what we make; others may differ */
#define SCRAM_SALT_MAX           64
#define SCRAM_NONCE_BYTES        18
#define SCRAM_NONCE_TEXT         24  /* base64 of the above */
#define SCRAM_NONCE_MAX          128 /* one side's part */
#define SCRAM_ITERATIONS_DEFAULT 4096
#define SCRAM_ITERATIONS_MAX     10000000
#define SCRAM_MESSAGE_MAX        1024
#define SCRAM_BINDING_MAX        64 /* the longest hash there is: SHA-512 */

/* What a server keeps instead of the password. */
struct scram_verifier {
	bool is_mock; /* stands in for a user that does not exist: no proof is ever right */
	uint8_t salt_len;
	uint8_t salt[SCRAM_SALT_MAX];
	int iterations;
	uint8_t stored_key[SCRAM_KEY_BYTES];
	uint8_t server_key[SCRAM_KEY_BYTES];
};

/* What a client needs to log in, instead of the password: where a server's StoredKey is the hash of
 * this ClientKey, salt and iterations do not matter. As secret as the password. */
struct scram_keys {
	uint8_t client_key[SCRAM_KEY_BYTES];
	uint8_t server_key[SCRAM_KEY_BYTES];
};

/* What a channel is bound by: the hash of the server's certificate. n 0: nothing is. */
struct scram_binding {
	uint8_t n;
	uint8_t hash[SCRAM_BINDING_MAX];
};

/* Runs PBKDF2. `salt`: 1..SCRAM_SALT_MAX bytes; iterations: 1..SCRAM_ITERATIONS_MAX. */
int scram_keys_make(struct slice password, struct slice salt, int iterations,
		    struct scram_keys *out, struct err *e) MUST_CHECK;
/* Whether these keys are those of the verifier: a password in clear is checked so. */
bool scram_keys_fit(const struct scram_keys *k, const struct scram_verifier *v);
void scram_keys_wipe(struct scram_keys *k);

/* PostgreSQL's text: SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, base64. The error
 * never quotes it. */
int scram_verifier_parse(struct slice text, struct scram_verifier *out, struct err *e) MUST_CHECK;
/* Runs PBKDF2: setup only. */
int scram_verifier_make(struct slice password, struct slice salt, int iterations,
			struct scram_verifier *out, struct err *e) MUST_CHECK;
/* For a user that does not exist: the same name always gets the same salt, so that asking twice
 * tells nothing. `secret` is random, made once per process (or kept longer, which hides more).
 * Costs what a lookup costs plus a few hashes; the exchange then does exactly the work of a real
 * one. */
void scram_verifier_mock(struct slice user, const uint8_t secret[SCRAM_KEY_BYTES],
			 struct scram_verifier *out);
void scram_verifier_wipe(struct scram_verifier *v);

/* Printable nonce out of random bytes. */
void scram_nonce(const uint8_t random[SCRAM_NONCE_BYTES], char to[SCRAM_NONCE_TEXT + 1]);

enum scram_step {
	SCRAM_START,
	SCRAM_SENT_FIRST,
	SCRAM_CHALLENGED,
	SCRAM_SENT_FINAL,
	SCRAM_OK,
	SCRAM_FAILED
};

/* The server: init, perhaps bind, first, final, perhaps keys, fini. */
struct scram_server {
	enum scram_step step;
	char gs2_flag; /* 'n', 'y' or 'p', as the client said */
	struct scram_verifier verifier;
	struct scram_binding binding;
	struct scram_keys keys; /* once it is over */
	char nonce[SCRAM_NONCE_MAX + 1];
	struct buf auth; /* AuthMessage so far */
	size_t nonce_at; /* where in `auth` the whole nonce stands */
	size_t nonce_len;
};

/* `nonce`: 1..SCRAM_NONCE_MAX printable bytes without a comma, never used before. Copies the
 * verifier. */
void scram_server_init(struct scram_server *s, const struct scram_verifier *v, const char *nonce);
/* The client has been offered SCRAM_MECHANISM_PLUS (INV-10), and this is the hash of our
 * certificate: it may bind to it, and may not say that it could but was not asked. b->n 0: as if
 * not called. */
void scram_server_bind(struct scram_server *s, const struct scram_binding *b);
/* SASLInitialResponse in: the mechanism that the client chose, and its client-first-message;
 * server-first-message appended to `out`. */
int scram_server_first(struct scram_server *s, struct slice mechanism, struct slice client_first,
		       struct buf *out, struct err *e) MUST_CHECK;
/* client-final-message in; 0: the client has proven itself, server-final-message was appended. */
int scram_server_final(struct scram_server *s, struct slice client_final, struct buf *out,
		       struct err *e) MUST_CHECK;
/* Only after scram_server_final() has said 0: what the client has shown by its proof (ClientProof
 * XOR ClientSignature), enough to log in wherever there is the same verifier. */
void scram_server_keys(const struct scram_server *s, struct scram_keys *out);
void scram_server_fini(struct scram_server *s);

/* What a server asks to be hashed. */
struct scram_challenge {
	uint8_t salt_len;
	uint8_t salt[SCRAM_SALT_MAX];
	int iterations; /* 1..SCRAM_ITERATIONS_MAX: the caller says what is too many */
};

/* The client: init, perhaps bind, first, challenge, final, verify, fini. Only after verify has the
 * server proven itself. */
struct scram_client {
	enum scram_step step;
	char gs2_flag;
	struct scram_binding binding;
	char nonce[SCRAM_NONCE_MAX + 1];
	struct buf auth;
	size_t nonce_at; /* where in `auth` the whole nonce stands, once challenged */
	size_t nonce_len;
	uint8_t server_signature[SCRAM_KEY_BYTES];
};

void scram_client_init(struct scram_client *c, const char *nonce);
/* The channel could be bound by `b`. `offered`: the server says that it can (the mechanism is
 * SCRAM_MECHANISM_PLUS then); otherwise the client tells it what it could have had, which a server
 * refuses whose offer was taken out on its way. */
void scram_client_bind(struct scram_client *c, const struct scram_binding *b, bool offered);
/* `user` may be empty, as libpq has it: PostgreSQL takes the name from the startup packet. */
int scram_client_first(struct scram_client *c, struct slice user, struct buf *out,
		       struct err *e) MUST_CHECK;
/* server-first-message in. */
int scram_client_challenge(struct scram_client *c, struct slice server_first,
			   struct scram_challenge *out, struct err *e) MUST_CHECK;
/* client-final-message out. The keys: of the password by the challenge's salt and iterations, or
 * such as the server has the verifier of. */
int scram_client_final(struct scram_client *c, const struct scram_keys *k, struct buf *out,
		       struct err *e) MUST_CHECK;
int scram_client_verify(struct scram_client *c, struct slice server_final,
			struct err *e) MUST_CHECK;
void scram_client_fini(struct scram_client *c);

#endif
