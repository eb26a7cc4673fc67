/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/fleetkey.h"

#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/mem.h"
#include "base/snapshot.h"
#include "base/text.h"

#define KEY_BYTES      32
#define ID_BYTES       4
#define TAG_BYTES      16
#define AES_BLOCK      16
#define SEALED_VERSION 1
#define ROUNDS         8
#define HEAD_BYTES     (1 + ID_BYTES + FLEET_NONCE_BYTES)
/* What a letter's plain text takes at most. */
#define LETTER_PLAIN_MAX (1 + 2 + 2 + 4 + 4 + 1 + FLEET_SECRET_MAX)
#define PLAIN_MAX        (FLEET_BOX_MAX - HEAD_BYTES - TAG_BYTES)

_Static_assert(2 + 4 + 8 + FLEET_TOKEN_BYTES + 1 + 1 + 16 + 2 + 1 + FLEET_SECRET_MAX + 1 +
		       FLEET_NODE_MAX <=
		   PLAIN_MAX,
	       "a box has room for everything");
_Static_assert(LETTER_PLAIN_MAX <= PLAIN_MAX, "one buffer serves both");

struct key {
	uint8_t id[ID_BYTES];
	uint8_t mask[KEY_BYTES], box[KEY_BYTES], letter[KEY_BYTES];
};

struct fleet_keys {
	struct refcount refs;
	size_t n;
	struct key v[FLEET_KEYS_MAX];
};

/* ---- the file ---- */

static bool
derive(const uint8_t master[KEY_BYTES], const char *label, uint8_t *to, size_t n)
{
	uint8_t all[KEY_BYTES];
	size_t got = 0;
	bool good = EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, master, KEY_BYTES,
			      (const unsigned char *)label, strlen(label), all, sizeof(all),
			      &got) != NULL &&
		    got == sizeof(all);

	if (good)
		memcpy(to, all, n);
	OPENSSL_cleanse(all, sizeof(all));
	return good;
}

static bool
read_hex(struct slice text, uint8_t to[KEY_BYTES])
{
	if (text.n != (size_t)2 * KEY_BYTES)
		return false;
	for (size_t i = 0; i < KEY_BYTES; i++) {
		int high = text_hex_digit(text.p[2 * i]), low = text_hex_digit(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		to[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool
make_key(struct slice text, struct key *to)
{
	uint8_t master[KEY_BYTES];
	bool good = read_hex(text, master) &&
		    derive(master, "meridian fleet key id", to->id, sizeof(to->id)) &&
		    derive(master, "meridian fleet short secret", to->mask, sizeof(to->mask)) &&
		    derive(master, "meridian fleet box", to->box, sizeof(to->box)) &&
		    derive(master, "meridian fleet letter", to->letter, sizeof(to->letter));

	OPENSSL_cleanse(master, sizeof(master));
	return good;
}

static int
take_line(struct fleet_keys *k, struct slice line, struct err *e)
{
	struct key key;

	line = slice_cut(&line, '#');
	line = slice_trim(slice_cut(&line, ';'));
	if (line.n == 0)
		return 0;
	if (k->n == FLEET_KEYS_MAX)
		return err_set(e, "F0000", "more than %d keys", FLEET_KEYS_MAX);
	if (!make_key(line, &key))
		return err_set(e, "F0000",
			       "expected a key of 64 hexadecimal digits (openssl rand -hex 32), "
			       "found %zu bytes of something else",
			       line.n);
	for (size_t i = 0; i < k->n; i++) {
		if (memcmp(k->v[i].id, key.id, ID_BYTES) == 0)
			return err_set(e, "F0000", "this key stands above already");
	}
	k->v[k->n++] = key;
	OPENSSL_cleanse(&key, sizeof(key));
	return 0;
}

struct fleet_keys *
fleetkey_parse(struct slice text, const char *name, struct err *e)
{
	struct fleet_keys *k = xcalloc(1, sizeof(*k));
	unsigned line = 0;

	refcount_init(&k->refs);
	while (text.n > 0) {
		line++;
		if (take_line(k, slice_cut(&text, '\n'), e) != 0) {
			err_prefix(e, "%s:%u", name, line);
			fleetkey_unref(k);
			return NULL;
		}
	}
	if (k->n > 0)
		return k;
	err_set(e, "F0000", "%s: expected at least one key of 64 hexadecimal digits", name);
	fleetkey_unref(k);
	return NULL;
}

REFCOUNT_REF(fleetkey_ref, struct fleet_keys)

void
fleetkey_unref(struct fleet_keys *k)
{
	if (k == NULL || !refcount_put(&k->refs))
		return;
	OPENSSL_cleanse(k, sizeof(*k));
	free(k);
}

/* ---- short secrets ---- */

/* The round function: AES over {round, pid, half}, of which 16 bits are taken. */
static bool
round_bits(EVP_CIPHER_CTX *aes, int round, uint32_t pid, uint16_t half, uint16_t *out)
{
	uint8_t in[AES_BLOCK] = { (uint8_t)round }, block[AES_BLOCK];
	int n = 0;

	put_u32(in + 1, pid);
	in[5] = (uint8_t)(half >> 8);
	in[6] = (uint8_t)half;
	if (EVP_EncryptUpdate(aes, block, &n, in, AES_BLOCK) != 1 || n != AES_BLOCK)
		return false;
	*out = get_u16(block);
	return true;
}

static bool
permute(const struct key *key, uint32_t pid, uint32_t *value, bool back)
{
	EVP_CIPHER_CTX *aes = EVP_CIPHER_CTX_new();
	uint16_t left = (uint16_t)(*value >> 16), right = (uint16_t)*value, bits = 0;
	bool good = aes != NULL &&
		    EVP_EncryptInit_ex(aes, EVP_aes_256_ecb(), NULL, key->mask, NULL) == 1 &&
		    EVP_CIPHER_CTX_set_padding(aes, 0) == 1;

	for (int i = 0; good && i < ROUNDS; i++) {
		uint16_t kept = back ? left : right;

		good = round_bits(aes, back ? ROUNDS - 1 - i : i, pid, kept, &bits);
		if (back) {
			left = right ^ bits;
			right = kept;
		} else {
			right = left ^ bits;
			left = kept;
		}
	}
	EVP_CIPHER_CTX_free(aes);
	*value = (uint32_t)left << 16 | right;
	return good;
}

bool
fleetkey_mask(const struct fleet_keys *k, uint32_t pid, const struct fleet_short *in,
	      uint8_t secret[4])
{
	uint32_t value = (uint32_t)(in->issuer & FLEET_PEER_MAX) << 22 |
			 (in->life & FLEET_SHORT_LIFE) << 18 | (in->serial & FLEET_SHORT_SERIAL);
	bool good = permute(&k->v[0], pid, &value, false);

	put_u32(secret, value);
	return good;
}

size_t
fleetkey_unmask(const struct fleet_keys *k, uint32_t pid, const uint8_t secret[4],
		struct fleet_short out[FLEET_KEYS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < k->n; i++) {
		uint32_t value = get_u32(secret);

		if (!permute(&k->v[i], pid, &value, true))
			continue;
		out[n++] = (struct fleet_short){ .issuer = (uint16_t)(value >> 22),
						 .life = value >> 18 & FLEET_SHORT_LIFE,
						 .serial = value & FLEET_SHORT_SERIAL };
	}
	return n;
}

/* ---- what is sealed ---- */

/* Version and key id, then what only fits this box: all of it is authenticated, none encrypted. */
struct context {
	uint8_t bytes[1 + ID_BYTES + FLEET_CHALLENGE_BYTES];
	size_t n;
};

static struct context
context_of(const uint8_t head[1 + ID_BYTES], struct slice rest)
{
	struct context c = { .n = 1 + ID_BYTES + rest.n };

	memcpy(c.bytes, head, 1 + ID_BYTES);
	memcpy(c.bytes + 1 + ID_BYTES, rest.p, rest.n);
	return c;
}

/* AES-256-GCM in either direction, `n` bytes in place. */
static bool
gcm(const uint8_t key[KEY_BYTES], const uint8_t nonce[FLEET_NONCE_BYTES], const struct context *c,
    bool seal, uint8_t *bytes, size_t n, uint8_t tag[TAG_BYTES])
{
	EVP_CIPHER_CTX *aes = EVP_CIPHER_CTX_new();
	uint8_t rest[AES_BLOCK];
	int got = 0;
	bool good = aes != NULL &&
		    EVP_CipherInit_ex(aes, EVP_aes_256_gcm(), NULL, key, nonce, seal) == 1 &&
		    EVP_CipherUpdate(aes, NULL, &got, c->bytes, (int)c->n) == 1 &&
		    EVP_CipherUpdate(aes, bytes, &got, bytes, (int)n) == 1;

	if (good && !seal)
		good = EVP_CIPHER_CTX_ctrl(aes, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1;
	good = good && EVP_CipherFinal_ex(aes, rest, &got) == 1;
	if (good && seal)
		good = EVP_CIPHER_CTX_ctrl(aes, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag) == 1;
	EVP_CIPHER_CTX_free(aes);
	return good;
}

/* Which of a key's uses: where its bytes for that stand. */
enum use { USE_BOX = offsetof(struct key, box), USE_LETTER = offsetof(struct key, letter) };

/* Head, plain text sealed, tag. */
static int
put_sealed(const struct fleet_keys *k, enum use use, const uint8_t nonce[FLEET_NONCE_BYTES],
	   struct slice about, const struct buf *plain, struct buf *out)
{
	const struct key *key = &k->v[0];
	uint8_t head[HEAD_BYTES] = { SEALED_VERSION }, bytes[PLAIN_MAX], tag[TAG_BYTES];
	struct context c;
	bool good;

	memcpy(head + 1, key->id, ID_BYTES);
	memcpy(head + 1 + ID_BYTES, nonce, FLEET_NONCE_BYTES);
	memcpy(bytes, plain->p, plain->n);
	c = context_of(head, about);
	good = gcm((const uint8_t *)key + use, nonce, &c, true, bytes, plain->n, tag);
	if (good) {
		buf_put(out, head, sizeof(head));
		buf_put(out, bytes, plain->n);
		buf_put(out, tag, sizeof(tag));
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return good && !out->failed ? 0 : -1;
}

/* The plain text of what put_sealed() wrote; its length, or 0. */
static size_t
open_sealed(const struct fleet_keys *k, enum use use, struct slice about, struct slice in,
	    uint8_t plain[PLAIN_MAX])
{
	const uint8_t *p = (const uint8_t *)in.p;
	uint8_t tag[TAG_BYTES];
	struct context c;
	size_t n;

	if (in.n <= HEAD_BYTES + TAG_BYTES || in.n > FLEET_BOX_MAX || p[0] != SEALED_VERSION)
		return 0;
	n = in.n - HEAD_BYTES - TAG_BYTES;
	memcpy(tag, p + HEAD_BYTES + n, TAG_BYTES);
	c = context_of(p, about);
	for (size_t i = 0; i < k->n; i++) {
		if (memcmp(k->v[i].id, p + 1, ID_BYTES) != 0)
			continue;
		memcpy(plain, p + HEAD_BYTES, n);
		if (gcm((const uint8_t *)&k->v[i] + use, p + 1 + ID_BYTES, &c, false, plain, n,
			tag))
			return n;
	}
	return 0;
}

/* Fields of a plain text, front to back; `bad` where they end too early. */
struct reader {
	const uint8_t *p;
	size_t n;
	bool bad;
};

static const uint8_t *
take(struct reader *r, size_t n)
{
	static const uint8_t nothing[FLEET_NODE_MAX];
	const uint8_t *at = r->p;

	if (n > r->n)
		r->bad = true;
	if (r->bad)
		return nothing;
	r->p += n;
	r->n -= n;
	return at;
}

/* A length and so many bytes, at most `max`. Returns the length, 0 where it is wrong. */
static uint8_t
take_counted(struct reader *r, void *to, size_t max)
{
	uint8_t n = *take(r, 1);
	const uint8_t *from;

	if (n > max)
		r->bad = true;
	from = take(r, r->bad ? 0 : n);
	if (r->bad)
		return 0;
	memcpy(to, from, n);
	return n;
}

static void
put_counted(struct buf *b, const void *p, size_t n)
{
	buf_u8(b, (uint8_t)n);
	buf_put(b, p, n);
}

static void
plain_fini(struct buf *plain)
{
	if (plain->p != NULL)
		OPENSSL_cleanse(plain->p, plain->size);
	buf_fini(plain);
}

/* ---- boxes ---- */

int
fleetkey_seal(const struct fleet_keys *k, uint32_t pid, const uint8_t nonce[FLEET_NONCE_BYTES],
	      const struct fleet_box *in, struct buf *out)
{
	struct buf plain = { .cap = PLAIN_MAX };
	uint8_t about[4];
	int r = -1;

	if (in->secret_len > FLEET_SECRET_MAX)
		return -1;
	put_u32(about, pid);
	buf_u16(&plain, in->issuer);
	buf_u32(&plain, in->life);
	buf_u64(&plain, (uint64_t)in->issued_at_us);
	buf_put(&plain, in->token, sizeof(in->token));
	buf_u8(&plain, in->bound);
	if (in->bound) {
		buf_u8(&plain, in->addr.family);
		buf_put(&plain, in->addr.ip, sizeof(in->addr.ip));
		buf_u16(&plain, in->addr.port);
		put_counted(&plain, in->secret, in->secret_len);
		put_counted(&plain, in->node, strnlen(in->node, FLEET_NODE_MAX));
	}
	if (!plain.failed)
		r = put_sealed(k, USE_BOX, nonce, slice_of((char *)about, sizeof(about)), &plain,
			       out);
	plain_fini(&plain);
	return r;
}

enum parse
fleetkey_open(const struct fleet_keys *k, uint32_t pid, struct slice secret, struct fleet_box *out)
{
	uint8_t plain[PLAIN_MAX], about[4];
	struct fleet_box box = { 0 };
	struct reader r = { .p = plain };

	put_u32(about, pid);
	r.n = open_sealed(k, USE_BOX, slice_of((char *)about, sizeof(about)), secret, plain);
	box.issuer = get_u16(take(&r, 2));
	box.life = get_u32(take(&r, 4));
	box.issued_at_us = (int64_t)get_u64(take(&r, 8));
	memcpy(box.token, take(&r, sizeof(box.token)), sizeof(box.token));
	box.bound = *take(&r, 1) != 0;
	if (box.bound) {
		box.addr.family = *take(&r, 1);
		memcpy(box.addr.ip, take(&r, sizeof(box.addr.ip)), sizeof(box.addr.ip));
		box.addr.port = get_u16(take(&r, 2));
		box.secret_len = take_counted(&r, box.secret, FLEET_SECRET_MAX);
		box.node[take_counted(&r, box.node, FLEET_NODE_MAX)] = '\0';
		r.bad |= box.addr.family != ADDR_IPV4 && box.addr.family != ADDR_IPV6;
	}
	OPENSSL_cleanse(plain, sizeof(plain));
	if (r.bad || r.n > 0)
		return PARSE_BAD;
	*out = box;
	return PARSE_DONE;
}

/* ---- letters ---- */

static size_t
begin_packet(struct buf *out, uint16_t minor)
{
	size_t at = buf_message(out, 0);

	buf_u16(out, FLEET_CODE_MAJOR);
	buf_u16(out, minor);
	return at;
}

void
fleetkey_put_hello(struct buf *out)
{
	buf_message_end(out, begin_packet(out, FLEET_CODE_HELLO));
}

int
fleetkey_put_letter(const struct fleet_keys *k, const uint8_t nonce[FLEET_NONCE_BYTES],
		    const uint8_t challenge[FLEET_CHALLENGE_BYTES], const struct fleet_letter *in,
		    struct buf *out)
{
	struct buf plain = { .cap = PLAIN_MAX };
	size_t at;
	int r = -1;

	if (in->secret_len > FLEET_SECRET_MAX)
		return -1;
	buf_u8(&plain, in->hops);
	buf_u16(&plain, in->from);
	buf_u16(&plain, in->to);
	buf_u32(&plain, in->life);
	buf_u32(&plain, in->pid);
	put_counted(&plain, in->secret, in->secret_len);
	at = begin_packet(out, FLEET_CODE_LETTER);
	if (!plain.failed)
		r = put_sealed(k, USE_LETTER, nonce,
			       slice_of((const char *)challenge, FLEET_CHALLENGE_BYTES), &plain,
			       out);
	buf_message_end(out, at);
	plain_fini(&plain);
	return r;
}

enum parse
fleetkey_open_letter(const struct fleet_keys *k, const uint8_t challenge[FLEET_CHALLENGE_BYTES],
		     struct slice body, struct fleet_letter *out)
{
	uint8_t plain[PLAIN_MAX];
	struct fleet_letter l = { 0 };
	struct reader r = { .p = plain };

	r.n = open_sealed(k, USE_LETTER, slice_of((const char *)challenge, FLEET_CHALLENGE_BYTES),
			  body, plain);
	l.hops = *take(&r, 1);
	l.from = get_u16(take(&r, 2));
	l.to = get_u16(take(&r, 2));
	l.life = get_u32(take(&r, 4));
	l.pid = get_u32(take(&r, 4));
	l.secret_len = take_counted(&r, l.secret, FLEET_SECRET_MAX);
	OPENSSL_cleanse(plain, sizeof(plain));
	if (r.bad || r.n > 0)
		return PARSE_BAD;
	*out = l;
	return PARSE_DONE;
}
