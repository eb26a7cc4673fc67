/* SPDX-License-Identifier: PostgreSQL
 *
 * What the fleet's keys do with the bytes of strangers. The first byte says what the rest is: a
 * file of keys, a secret to open, a letter to open, or the contents of a box to be sealed. A
 * stranger has no key: nothing that was not sealed by this program may open, but for the seeds,
 * which were.
 */
#include "config.h"

#include "protocol/fleetkey.h"

#include "tests/fuzz/fuzz.h"
#include "tests/unit/secrets.h"

static const char key_text[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
			       "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeffe0e1e2e3e4e5e6e7e8e9eaebecedeeef\n";
static const uint8_t nonce[FLEET_NONCE_BYTES + 1] = "twelve bytes";
static const uint8_t challenge[FLEET_CHALLENGE_BYTES + 1] = "sixteen  of them";

static void
read_file(struct slice text)
{
	struct err e = { 0 };
	struct fleet_keys *k = fleetkey_parse(text, "keys", &e);

	if (k == NULL)
		FUZZ_ASSERT(e.msg[0] != '\0');
	else
		FUZZ_ASSERT(count_keys(k) > 0 && count_keys(k) <= FLEET_KEYS_MAX);
	fleetkey_unref(k);
}

/* What opens was sealed with its nonce: to seal it again gives the same bytes. */
static void
open_box(const struct fleet_keys *k, struct slice in)
{
	struct fleet_box box;
	struct buf again = { 0 };
	uint32_t pid;

	if (in.n < 4)
		return;
	pid = get_u32(in.p);
	in = slice_skip(in, 4);
	if (fleetkey_open(k, pid, in, &box) != PARSE_DONE)
		return;
	FUZZ_ASSERT(fleetkey_seal(k, pid, (const uint8_t *)in.p + 5, &box, &again) == 0);
	FUZZ_ASSERT(again.n == in.n && memcmp(again.p, in.p, in.n) == 0);
	buf_fini(&again);
}

static void
open_letter(const struct fleet_keys *k, struct slice body)
{
	struct fleet_letter l;
	struct buf again = { 0 };

	if (fleetkey_open_letter(k, challenge, body, &l) != PARSE_DONE)
		return;
	FUZZ_ASSERT(l.secret_len <= FLEET_SECRET_MAX);
	FUZZ_ASSERT(fleetkey_put_letter(k, (const uint8_t *)body.p + 5, challenge, &l, &again) ==
		    0);
	FUZZ_ASSERT(again.n == 8 + body.n && memcmp(again.p + 8, body.p, body.n) == 0);
	buf_fini(&again);
}

static void
open_short(const struct fleet_keys *k, struct slice in)
{
	struct fleet_short out[FLEET_KEYS_MAX];
	uint8_t again[4];

	if (in.n < 8)
		return;
	FUZZ_ASSERT(fleetkey_unmask(k, get_u32(in.p), (const uint8_t *)in.p + 4, out) == 2);
	FUZZ_ASSERT(out[0].issuer <= FLEET_PEER_MAX);
	FUZZ_ASSERT(fleetkey_mask(k, get_u32(in.p), &out[0], again));
	FUZZ_ASSERT(memcmp(again, in.p + 4, sizeof(again)) == 0);
}

/* A byte of the input, 0 behind its end. */
static uint8_t
byte(struct slice in, size_t i)
{
	return i < in.n ? (uint8_t)in.p[i] : 0;
}

static void
seal(const struct fleet_keys *k, struct slice in)
{
	struct fleet_box box = { .issuer = byte(in, 0), .bound = byte(in, 1) & 1 }, out;
	struct buf b = { 0 };

	box.addr.family = byte(in, 1) & 2 ? ADDR_IPV4 : ADDR_IPV6;
	box.secret_len = byte(in, 2) % (FLEET_SECRET_MAX + 1);
	for (size_t i = 0; i < box.secret_len; i++)
		box.secret[i] = byte(in, 3 + i);
	for (size_t i = 0; i < FLEET_NODE_MAX; i++)
		box.node[i] = (char)byte(in, 40 + i);
	FUZZ_ASSERT(fleetkey_seal(k, 7, nonce, &box, &b) == 0 && b.n <= FLEET_BOX_MAX);
	FUZZ_ASSERT(fleetkey_open(k, 7, buf_view(&b), &out) == PARSE_DONE);
	FUZZ_ASSERT(out.issuer == box.issuer && out.bound == box.bound);
	if (box.bound)
		FUZZ_ASSERT(strcmp(out.node, box.node) == 0 &&
			    memcmp(out.secret, box.secret, box.secret_len) == 0);
	b.p[byte(in, 0) % b.n] ^= 0x40;
	FUZZ_ASSERT(fleetkey_open(k, 7, buf_view(&b), &out) == PARSE_BAD);
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fleet_keys *k = fleetkey_parse(slice_str(key_text), "keys", NULL);
	struct slice rest = slice_skip(slice_of((const char *)data, size), 1);

	FUZZ_ASSERT(k != NULL);
	switch (size > 0 ? data[0] : 0) {
	case 'f':
		read_file(rest);
		break;
	case 'b':
		open_box(k, rest);
		break;
	case 'l':
		open_letter(k, rest);
		break;
	case 's':
		open_short(k, rest);
		break;
	case 'p':
		seal(k, rest);
		break;
	default:
		break;
	}
	fleetkey_unref(k);
	return 0;
}
