/* SPDX-License-Identifier: PostgreSQL
 *
 * What the proxies of a fleet share is a file of keys, and this is what they do with it. Bytes in,
 * structs out: random bytes and the time are parameters.
 *
 * The file: one key of 64 hexadecimal digits in a line, comments behind # or ;. The first key
 * seals, all of them open. Each use has a key of its own, derived by HMAC-SHA-256.
 *
 * Short secrets. Up to protocol 3.1 a cancel key has four bytes. They are a permutation, under the
 * key and the process id, of {issuer 10 bits, its life 4, a serial number 18}: a Feistel network of
 * eight rounds over AES. Who has no key sees 32 random bits, and guesses as such; the fleet reads
 * who issued it. Nothing proves that it is genuine: the issuer compares it with what it gave.
 *
 * Boxes. A node's secret leaves the proxy only in one of these (INV-9). Protocol 3.2 has room for
 * 256 bytes; ours take at most FLEET_BOX_MAX, which leaves some to
 * a proxy in front. AES-256-GCM; the process id is authenticated with it:
 *
 *     version 1 | key id 4 | nonce 12 | sealed | tag 16
 *     sealed: issuer 2 | life 4 | issued at 8 | token 16 | bound 1
 *             and where bound: family 1 | address 16 | port 2 | length 1 | secret | length 1 | node
 *
 * Letters, by which one proxy hands a request on to another: a packet of the startup packets' form.
 * The sender says hello, the other answers FLEET_ANSWER_HELLO and a challenge, and the letter is
 * sealed with that: one that was overheard says nothing, and is good for nothing afterwards.
 */
#ifndef PROTOCOL_FLEETKEY_H
#define PROTOCOL_FLEETKEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define FLEET_FILE_MAX        4096
#define FLEET_KEYS_MAX        8
#define FLEET_PEER_MAX        1023
#define FLEET_TOKEN_BYTES     16
#define FLEET_NONCE_BYTES     12
#define FLEET_CHALLENGE_BYTES 16
#define FLEET_SECRET_MAX      32
#define FLEET_NODE_MAX        64
#define FLEET_BOX_MAX         190

/* Where a startup packet has its version: 19782 is "MF". */
#define FLEET_CODE_MAJOR  19782
#define FLEET_CODE_HELLO  1
#define FLEET_CODE_LETTER 2

/* The first byte of each answer to a peer. */
#define FLEET_ANSWER_HELLO   'F' /* a challenge follows */
#define FLEET_ANSWER_FOUND   'D' /* the session is here, and was seen to */
#define FLEET_ANSWER_UNKNOWN 'U' /* no such session */
#define FLEET_ANSWER_GONE    'G' /* the one who issued it has ended: this is its successor */
#define FLEET_ANSWER_REFUSED 'R' /* no letter of this fleet, or not for this proxy */

struct fleet_keys;

/* Immutable, refcounted. NULL and *e, which never shows a key; `name` stands for the file. */
struct fleet_keys *fleetkey_parse(struct slice text, const char *name, struct err *e) MUST_CHECK;
struct fleet_keys *fleetkey_ref(struct fleet_keys *k);
void fleetkey_unref(struct fleet_keys *k); /* accepts NULL */

struct fleet_short {
	uint16_t issuer; /* 1 … FLEET_PEER_MAX */
	uint8_t life;    /* the low 4 bits of the issuer's */
	uint32_t serial; /* the low 18 bits count */
};

#define FLEET_SHORT_LIFE   0xfu
#define FLEET_SHORT_SERIAL 0x3ffffu

/* False where the cryptographic library fails. */
bool fleetkey_mask(const struct fleet_keys *k, uint32_t pid, const struct fleet_short *in,
		   uint8_t secret[4]) MUST_CHECK;
/* What a secret would mean under each key, the first one first. Returns how many. */
size_t fleetkey_unmask(const struct fleet_keys *k, uint32_t pid, const uint8_t secret[4],
		       struct fleet_short out[FLEET_KEYS_MAX]);

/* A session, and where it is bound to one server for life, that server. */
struct fleet_box {
	uint16_t issuer;
	uint32_t life;
	int64_t issued_at_us; /* wall clock */
	uint8_t token[FLEET_TOKEN_BYTES];
	bool bound; /* what follows counts: only where the session cannot be given another server */
	struct addr addr;
	uint8_t secret_len;
	uint8_t secret[FLEET_SECRET_MAX];
	char node[FLEET_NODE_MAX + 1]; /* its name in the configuration: "db1:5432" */
};

/* Append the secret for a client that knows the session by `pid`; the nonce must be random. -1
 * where the library fails. */
int fleetkey_seal(const struct fleet_keys *k, uint32_t pid, const uint8_t nonce[FLEET_NONCE_BYTES],
		  const struct fleet_box *in, struct buf *out) MUST_CHECK;
/* PARSE_BAD: no box of this fleet, or another pid's. Never PARSE_MORE. */
enum parse fleetkey_open(const struct fleet_keys *k, uint32_t pid, struct slice secret,
			 struct fleet_box *out) MUST_CHECK;

/* A cancel request that is handed on. */
struct fleet_letter {
	uint8_t hops; /* how often it was handed on before: 0, as no proxy hands it on twice */
	uint16_t from, to;
	uint32_t life; /* of the issuer; 0: not known */
	uint32_t pid;
	uint8_t secret_len; /* as the issuer knows the session: four bytes, or a token */
	uint8_t secret[FLEET_SECRET_MAX];
};

/* Append the packets. */
void fleetkey_put_hello(struct buf *out);
int fleetkey_put_letter(const struct fleet_keys *k, const uint8_t nonce[FLEET_NONCE_BYTES],
			const uint8_t challenge[FLEET_CHALLENGE_BYTES],
			const struct fleet_letter *in, struct buf *out) MUST_CHECK;
/* `body`: what follows the code in the packet. PARSE_BAD: not of this fleet, or an answer to
 * another challenge. Never PARSE_MORE. */
enum parse fleetkey_open_letter(const struct fleet_keys *k,
				const uint8_t challenge[FLEET_CHALLENGE_BYTES], struct slice body,
				struct fleet_letter *out) MUST_CHECK;

#endif
