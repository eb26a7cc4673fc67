/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/fleetkey.h"

#include <stdlib.h>

#include "tests/unit/secrets.h"

#include "tests/unit/unit.h"

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "F0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFFe0e1e2e3e4e5e6e7e8e9eaebecedeeef"

static const uint8_t nonce[FLEET_NONCE_BYTES + 1] = "twelve bytes";
static const uint8_t challenge[FLEET_CHALLENGE_BYTES + 1] = "sixteen  of them";

static struct fleet_keys *
keys(const char *text)
{
	struct err e = { 0 };
	struct fleet_keys *k = fleetkey_parse(slice_str(text), "keys", &e);

	if (k == NULL)
		fail_msg("%s", e.msg);
	return k;
}

static void
a_file_has_one_key_in_a_line(void **state)
{
	static const struct {
		const char *text;
		size_t n;
	} good[] = {
		{ KEY_A, 1 },
		{ KEY_A "\n", 1 },
		{ "# our keys\n\n  " KEY_A "  ; since May\r\n\t" KEY_B "#old", 2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct fleet_keys *k = keys(good[i].text);

		assert_int_equal(count_keys(k), good[i].n);
		fleetkey_unref(fleetkey_ref(k));
		fleetkey_unref(k);
	}
	fleetkey_unref(NULL);
}

static void
a_wrong_file_is_told_by_line_and_no_key_is_shown(void **state)
{
	static const struct {
		const char *text, *msg;
	} bad[] = {
		{ "", "keys: expected at least one key of 64 hexadecimal digits" },
		{ "# none\n;\n", "keys: expected at least one key of 64 hexadecimal digits" },
		{ "\nabc\n", "keys:2: expected a key of 64 hexadecimal digits (openssl rand -hex "
			     "32), found 3 bytes of something else" },
		{ KEY_A "0", "keys:1: expected a key of 64 hexadecimal digits (openssl rand -hex "
			     "32), found 65 bytes of something else" },
		{ "g" KEY_A, "keys:1: expected a key of 64 hexadecimal digits (openssl rand -hex "
			     "32), found 65 bytes of something else" },
		{ KEY_A "\n" KEY_B "\n" KEY_A, "keys:3: this key stands above already" },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(fleetkey_parse(slice_str(bad[i].text), "keys", &e));
		assert_string_equal(e.msg, bad[i].msg);
	}
	assert_null(fleetkey_parse(slice_of("\0", 1), "keys", NULL));
}

static void
at_most_eight_keys_are_taken(void **state)
{
	char text[9 * 65 + 1];
	struct err e;

	(void)state;
	for (int i = 0; i < 9; i++) {
		memcpy(text + i * 65, KEY_A "\n", 65);
		text[i * 65] = (char)('0' + i);
	}
	text[sizeof(text) - 1] = '\0';
	assert_null(fleetkey_parse(slice_str(text), "keys", &e));
	assert_string_equal(e.msg, "keys:9: more than 8 keys");
}

static void
a_short_secret_says_its_issuer_to_the_fleet(void **state)
{
	struct fleet_keys *k = keys(KEY_A), *both = keys(KEY_B "\n" KEY_A);
	struct fleet_short out[FLEET_KEYS_MAX];
	uint8_t secret[4];

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		struct fleet_short in = { .issuer = (uint16_t)(i + 1),
					  .life = i & FLEET_SHORT_LIFE,
					  .serial = i * 7919 & FLEET_SHORT_SERIAL };

		assert_true(fleetkey_mask(k, i * 31, &in, secret));
		assert_int_equal(fleetkey_unmask(k, i * 31, secret, out), 1);
		assert_memory_equal(&out[0].issuer, &in.issuer, sizeof(in.issuer));
		assert_int_equal(out[0].life, in.life);
		assert_int_equal(out[0].serial, in.serial);
		/* a key that no longer seals still opens */
		assert_int_equal(fleetkey_unmask(both, i * 31, secret, out), 2);
		assert_int_equal(out[1].issuer, in.issuer);
		assert_int_equal(out[1].serial, in.serial);
	}
	fleetkey_unref(k);
	fleetkey_unref(both);
}

static int
by_value(const void *a, const void *b)
{
	uint32_t x = get_u32(a), y = get_u32(b);

	return x < y ? -1 : x > y;
}

/* All serial numbers under one pid: no two secrets are the same, and each bit of them is set about
 * as often as not. */
static void
short_secrets_look_random_and_never_collide(void **state)
{
	enum { N = FLEET_SHORT_SERIAL + 1 };
	struct fleet_keys *k = keys(KEY_A);
	uint8_t(*secret)[4] = calloc(N, 4);
	unsigned set[32] = { 0 };

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		struct fleet_short in = { .issuer = 1, .life = 3, .serial = i };

		assert_true(fleetkey_mask(k, 4711, &in, secret[i]));
		for (int bit = 0; bit < 32; bit++)
			set[bit] += get_u32(secret[i]) >> bit & 1;
	}
	for (int bit = 0; bit < 32; bit++)
		assert_in_range(set[bit], N / 2 - N / 100, N / 2 + N / 100);
	qsort(secret, N, 4, by_value);
	for (uint32_t i = 1; i < N; i++)
		assert_memory_not_equal(secret[i - 1], secret[i], 4);
	free(secret);
	fleetkey_unref(k);
}

/* One bit of pid, serial number or key changes about half of the secret. */
static void
whatever_changes_changes_all_of_a_short_secret(void **state)
{
	struct fleet_keys *k = keys(KEY_A), *other = keys(KEY_B);
	struct fleet_short in = { .issuer = 5, .life = 9, .serial = 0 };
	unsigned differ[3] = { 0 };
	uint8_t a[4], b[4];

	(void)state;
	for (uint32_t i = 0; i < 256; i++) {
		in.serial = i << 1;
		assert_true(fleetkey_mask(k, i << 1, &in, a));
		assert_true(fleetkey_mask(k, i << 1 | 1, &in, b));
		differ[0] += (unsigned)__builtin_popcount(get_u32(a) ^ get_u32(b));
		assert_true(fleetkey_mask(other, i << 1, &in, b));
		differ[1] += (unsigned)__builtin_popcount(get_u32(a) ^ get_u32(b));
		in.serial |= 1;
		assert_true(fleetkey_mask(k, i << 1, &in, b));
		differ[2] += (unsigned)__builtin_popcount(get_u32(a) ^ get_u32(b));
	}
	for (int i = 0; i < 3; i++)
		assert_in_range(differ[i], 256 * 15, 256 * 17);
	fleetkey_unref(k);
	fleetkey_unref(other);
}

static struct fleet_box
example(bool bound)
{
	struct fleet_box box = { .issuer = 1023,
				 .life = 0xdeadbeef,
				 .issued_at_us = INT64_C(1790000000000000),
				 .token = "the token of it",
				 .bound = bound };

	if (!bound)
		return box;
	box.addr = (struct addr){ ADDR_IPV6, 5432, "\x20\x01\x0d\xb8" };
	box.secret_len = FLEET_SECRET_MAX;
	memset(box.secret, 's', sizeof(box.secret));
	memset(box.node, 'n', FLEET_NODE_MAX);
	return box;
}

static void
assert_box(const struct fleet_box *a, const struct fleet_box *b)
{
	assert_int_equal(a->issuer, b->issuer);
	assert_int_equal(a->life, b->life);
	assert_int_equal(a->issued_at_us, b->issued_at_us);
	assert_memory_equal(a->token, b->token, sizeof(a->token));
	assert_int_equal(a->bound, b->bound);
	assert_int_equal(a->addr.family, b->addr.family);
	assert_int_equal(a->addr.port, b->addr.port);
	assert_memory_equal(a->addr.ip, b->addr.ip, sizeof(a->addr.ip));
	assert_int_equal(a->secret_len, b->secret_len);
	assert_memory_equal(a->secret, b->secret, sizeof(a->secret));
	assert_string_equal(a->node, b->node);
}

static void
a_box_comes_out_as_it_went_in(void **state)
{
	struct fleet_keys *k = keys(KEY_A), *later = keys(KEY_B "\n" KEY_A);

	(void)state;
	for (int bound = 0; bound < 2; bound++) {
		struct fleet_box in = example(bound), out;
		struct buf b = { 0 };

		assert_int_equal(fleetkey_seal(k, 77, nonce, &in, &b), 0);
		assert_in_range(b.n, 32, FLEET_BOX_MAX);
		assert_int_equal(fleetkey_open(k, 77, buf_view(&b), &out), PARSE_DONE);
		assert_box(&in, &out);
		memset(&out, 0, sizeof(out));
		assert_int_equal(fleetkey_open(later, 77, buf_view(&b), &out), PARSE_DONE);
		assert_box(&in, &out);
		buf_fini(&b);
	}
	fleetkey_unref(k);
	fleetkey_unref(later);
}

static void
an_altered_or_cut_box_does_not_open(void **state)
{
	struct fleet_keys *k = keys(KEY_A), *other = keys(KEY_B);
	struct fleet_box in = example(true), out;
	struct buf b = { 0 };
	char long_one[FLEET_BOX_MAX + 1] = { 1 };

	(void)state;
	assert_int_equal(fleetkey_seal(k, 77, nonce, &in, &b), 0);
	assert_int_equal(fleetkey_open(k, 78, buf_view(&b), &out), PARSE_BAD);
	assert_int_equal(fleetkey_open(other, 77, buf_view(&b), &out), PARSE_BAD);
	for (size_t i = 0; i < b.n; i++) {
		assert_int_equal(fleetkey_open(k, 77, slice_of(b.p, i), &out), PARSE_BAD);
		for (int bit = 0; bit < 8; bit++) {
			b.p[i] = (char)(b.p[i] ^ 1 << bit);
			assert_int_equal(fleetkey_open(k, 77, buf_view(&b), &out), PARSE_BAD);
			b.p[i] = (char)(b.p[i] ^ 1 << bit);
		}
	}
	assert_int_equal(fleetkey_open(k, 77, buf_view(&b), &out), PARSE_DONE);
	buf_u8(&b, 0);
	assert_int_equal(fleetkey_open(k, 77, buf_view(&b), &out), PARSE_BAD);
	assert_int_equal(fleetkey_open(k, 77, slice_of(long_one, sizeof(long_one)), &out),
			 PARSE_BAD);
	buf_fini(&b);
	fleetkey_unref(k);
	fleetkey_unref(other);
}

static void
what_does_not_fit_is_not_sealed(void **state)
{
	struct fleet_keys *k = keys(KEY_A);
	struct fleet_box in = example(true);
	struct fleet_letter l = { .secret_len = FLEET_SECRET_MAX + 1 };
	struct buf b = { 0 };

	(void)state;
	in.secret_len = FLEET_SECRET_MAX + 1;
	assert_int_equal(fleetkey_seal(k, 77, nonce, &in, &b), -1);
	assert_int_equal(fleetkey_put_letter(k, nonce, challenge, &l, &b), -1);
	assert_int_equal(b.n, 0);
	fleetkey_unref(k);
}

static void
hello_is_a_packet_of_eight_bytes(void **state)
{
	struct buf b = { 0 };

	(void)state;
	fleetkey_put_hello(&b);
	assert_int_equal(b.n, 8);
	assert_memory_equal(b.p, "\0\0\0\x08MF\0\x01", 8);
	buf_fini(&b);
}

static void
a_letter_opens_for_its_challenge_alone(void **state)
{
	struct fleet_keys *k = keys(KEY_A), *later = keys(KEY_B "\n" KEY_A);
	struct fleet_letter in = { .hops = 0,
				   .from = 1,
				   .to = 1023,
				   .life = 99,
				   .pid = 0x7fffffff,
				   .secret_len = FLEET_TOKEN_BYTES,
				   .secret = "the token of it" };
	struct fleet_letter out;
	uint8_t another[FLEET_CHALLENGE_BYTES];
	struct buf b = { 0 };
	struct slice body;

	(void)state;
	assert_int_equal(fleetkey_put_letter(k, nonce, challenge, &in, &b), 0);
	assert_int_equal(get_u32(b.p), b.n);
	assert_memory_equal(b.p + 4, "MF\0\x02", 4);
	body = slice_skip(buf_view(&b), 8);
	assert_int_equal(fleetkey_open_letter(later, challenge, body, &out), PARSE_DONE);
	assert_int_equal(out.hops, in.hops);
	assert_int_equal(out.from, in.from);
	assert_int_equal(out.to, in.to);
	assert_int_equal(out.life, in.life);
	assert_int_equal(out.pid, in.pid);
	assert_int_equal(out.secret_len, in.secret_len);
	assert_memory_equal(out.secret, in.secret, sizeof(in.secret));
	for (size_t i = 0; i < sizeof(another); i++) {
		memcpy(another, challenge, sizeof(another));
		another[i] ^= 1;
		assert_int_equal(fleetkey_open_letter(k, another, body, &out), PARSE_BAD);
	}
	for (size_t i = 0; i < body.n; i++) {
		assert_int_equal(fleetkey_open_letter(k, challenge, slice_of(body.p, i), &out),
				 PARSE_BAD);
		b.p[8 + i] ^= 1;
		assert_int_equal(fleetkey_open_letter(k, challenge, body, &out), PARSE_BAD);
		b.p[8 + i] ^= 1;
	}
	buf_fini(&b);
	fleetkey_unref(k);
	fleetkey_unref(later);
}

/* The same key seals boxes and letters, but not with the same bits. */
static void
a_box_is_no_letter(void **state)
{
	struct fleet_keys *k = keys(KEY_A);
	struct fleet_box in = example(false);
	struct fleet_letter out;
	uint8_t about[FLEET_CHALLENGE_BYTES] = { 0, 0, 0, 77 };
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(fleetkey_seal(k, 77, nonce, &in, &b), 0);
	assert_int_equal(fleetkey_open_letter(k, about, buf_view(&b), &out), PARSE_BAD);
	buf_fini(&b);
	fleetkey_unref(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_has_one_key_in_a_line),
		cmocka_unit_test(a_wrong_file_is_told_by_line_and_no_key_is_shown),
		cmocka_unit_test(at_most_eight_keys_are_taken),
		cmocka_unit_test(a_short_secret_says_its_issuer_to_the_fleet),
		cmocka_unit_test(short_secrets_look_random_and_never_collide),
		cmocka_unit_test(whatever_changes_changes_all_of_a_short_secret),
		cmocka_unit_test(a_box_comes_out_as_it_went_in),
		cmocka_unit_test(an_altered_or_cut_box_does_not_open),
		cmocka_unit_test(what_does_not_fit_is_not_sealed),
		cmocka_unit_test(hello_is_a_packet_of_eight_bytes),
		cmocka_unit_test(a_letter_opens_for_its_challenge_alone),
		cmocka_unit_test(a_box_is_no_letter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
