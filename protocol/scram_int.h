/* SPDX-License-Identifier: PostgreSQL
 *
 * What both roles of SCRAM share: the hashes, the parts that messages are made of, the errors. For
 * protocol/scram*.c alone.
 */
#ifndef PROTOCOL_SCRAM_INT_H
#define PROTOCOL_SCRAM_INT_H

#include "protocol/scram.h"

#define SCRAM_AUTH_MAX (4 * SCRAM_MESSAGE_MAX)

/* Hashes. False: the cryptographic library failed (out of memory, a provider that lacks SHA-256),
 * which is told apart from a wrong proof. */
bool scram_hmac(const uint8_t key[SCRAM_KEY_BYTES], struct slice data,
		uint8_t out[SCRAM_KEY_BYTES]);
bool scram_hash(const uint8_t in[SCRAM_KEY_BYTES], uint8_t out[SCRAM_KEY_BYTES]);
/* ClientSignature XOR ClientKey is ClientProof, so one function turns each into the other. */
bool scram_mask(const uint8_t stored_key[SCRAM_KEY_BYTES], const struct buf *auth,
		uint8_t key_or_proof[SCRAM_KEY_BYTES]);

/* Parts of messages. */
bool scram_key_decode(struct slice text, uint8_t out[SCRAM_KEY_BYTES]);
bool scram_salt_decode(struct slice text, uint8_t out[SCRAM_SALT_MAX], uint8_t *n);
bool scram_number_decode(struct slice text, int *out);
bool scram_nonce_is_printable(struct slice nonce);
void scram_nonce_copy(char to[SCRAM_NONCE_MAX + 1], const char *nonce);
/* Take the next attribute, which has to be called `name`. */
bool scram_attribute(struct slice *rest, char name, struct slice *value);
/* The header that says what the client thinks of channel binding: "n,,", "y,,", "p=…,,". */
const char *scram_gs2_header(char flag);
/* The attribute c: that header, and what the channel is bound by, in base64. */
void scram_put_binding(struct buf *b, char flag, const struct scram_binding *binding);

/* A message arrives: the machine has failed until all of it was good. */
int scram_begin(enum scram_step *step, enum scram_step wanted, struct slice message, struct err *e);
/* -1 and 53200 where the buffer has failed. */
int scram_built(const struct buf *b, struct err *e);
int scram_library_failed(struct err *e);
int scram_malformed(struct err *e, const char *what);
int scram_unsupported(struct err *e, const char *what);
int scram_refused(struct err *e);

#endif
