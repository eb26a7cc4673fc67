/* SPDX-License-Identifier: PostgreSQL
 *
 * Every header goes through twice: whole, with bytes of the connection behind it, and cut short at
 * each of its bytes, where nothing but "more" may come out.
 */
#include "config.h"

#include "protocol/proxyhdr.h"

#include <stdlib.h>

#include "base/mem.h"
#include "protocol/crc32c.h"

#include "tests/unit/proxyhdr_put.h"

#include "tests/unit/unit.h"

#define SIG      "0d0a0d0a000d0a515549540a"
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What HAProxy 2.6.12 sent. */
static const char haproxy_check[] = SIG "20000000";
static const char haproxy_unix_client[] = SIG "20000007030004a9b87e8f";
static const char haproxy_plain[] = SIG "211100137f0000017f0000019e82a20d030004b970704d";
static const char haproxy_unique_id[] =
    SIG "2111002e7f0000017f000001a90c96bf030004bf7ff845"
	"050018636974793d70617269733b7372633d3132372e302e302e31";
static const char haproxy_tls[] =
    SIG "211100907f0000017f000001ad7ae799030004e8387730"
	"01000a706f737467726573716c0200106d6572696469616e2e6578616d706c65"
	"050018636974793d70617269733b7372633d3132372e302e302e3120003f0100000000"
	"210007544c5376312e332500075253413230343824000a5253412d534841323536"
	"230016544c535f4145535f3235365f47434d5f534841333834";
static const char haproxy_client_cert[] =
    SIG "211100987f0000017f000001ad80e79903000475ac038d"
	"01000a706f737467726573716c0200106d6572696469616e2e6578616d706c65"
	"050018636974793d70617269733b7372633d3132372e302e302e312000470700000000"
	"210007544c5376312e33220005616c6963652500075253413230343824000a5253412d534841323536"
	"230016544c535f4145535f3235365f47434d5f534841333834";

/* The header under test; slices of a parsed header point into it. */
static uint8_t bytes[PROXYHDR_MAX + 64];

static size_t
from_hex(const char *hex)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		char pair[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

		bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return n;
}

static size_t
from_text(const char *text)
{
	memcpy(bytes, text, strlen(text) + 1);
	return strlen(text);
}

/* Give the parser exactly n bytes, in memory of their own so that a sanitizer sees the end. */
static enum parse
parse_exactly(size_t n)
{
	uint8_t *copy = memcpy(xmalloc(n + 1), bytes, n);
	size_t consumed = 12345;
	struct proxyhdr h;
	enum parse got;

	memset(&h, 0x5a, sizeof(h));
	got = proxyhdr_parse(slice_of((const char *)copy, n), &h, &consumed, NULL);
	if (got != PARSE_DONE) {
		assert_int_equal(consumed, 12345);
		assert_int_equal(h.version, 0x5a);
	}
	free(copy);
	return got;
}

/* Parse a good header of n bytes, split everywhere and whole. */
static struct proxyhdr
good(size_t n)
{
	struct proxyhdr h;
	struct err e = { 0 };
	size_t consumed = 0;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(parse_exactly(i), PARSE_MORE);
	assert_int_equal(parse_exactly(n), PARSE_DONE);
	memcpy(bytes + n, "Q\0\0\0\5\0", 6);
	assert_int_equal(proxyhdr_parse(slice_of((char *)bytes, n + 6), &h, &consumed, &e),
			 PARSE_DONE);
	assert_int_equal(consumed, n);
	return h;
}

/* A bad one: never done; once bad, bad for good. Returns at how many bytes it was found out. */
static size_t
bad(size_t n)
{
	size_t at = 0;
	struct err e = { 0 };
	struct proxyhdr h;
	size_t consumed;

	for (size_t i = 0; i <= n; i++) {
		enum parse got = parse_exactly(i);

		assert_int_not_equal(got, PARSE_DONE);
		if (at != 0)
			assert_int_equal(got, PARSE_BAD);
		else if (got == PARSE_BAD)
			at = i;
	}
	assert_int_not_equal(at, 0);
	assert_int_equal(proxyhdr_parse(slice_of((char *)bytes, n), &h, &consumed, &e), PARSE_BAD);
	assert_string_equal(e.sqlstate, "08P01");
	assert_string_not_equal(e.msg, "");
	return at;
}

static void
assert_addr(const struct addr *a, const char *expected)
{
	char text[ADDR_TEXT_MAX];

	assert_string_equal(addr_print(a, text), expected);
}

static void
assert_slice(struct slice s, const char *expected)
{
	assert_int_equal(s.n, strlen(expected));
	assert_memory_equal(s.p, expected, s.n);
}

static void
version_1_gives_both_ends(void **state)
{
	struct proxyhdr h;

	(void)state;
	h = good(from_text("PROXY TCP4 127.0.0.1 127.0.0.1 15410 48769\r\n"));
	assert_int_equal(h.version, 1);
	assert_false(h.is_local);
	assert_addr(&h.src, "127.0.0.1:15410");
	assert_addr(&h.dst, "127.0.0.1:48769");
	h = good(from_text("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"));
	assert_addr(&h.src, "255.255.255.255:65535");
	h = good(from_text("PROXY TCP4 0.0.0.0 10.0.0.1 0 0\r\n"));
	assert_addr(&h.dst, "10.0.0.1:0");
	h = good(from_text("PROXY TCP6 ::1 2001:DB8::21f:5bff:febf:ce22 48284 4060\r\n"));
	assert_addr(&h.src, "[::1]:48284");
	assert_addr(&h.dst, "[2001:db8::21f:5bff:febf:ce22]:4060");
	h = good(from_text("PROXY TCP6 ::ffff:203.0.113.9 ::1 1 2\r\n"));
	assert_addr(&h.src, "203.0.113.9:1");
	h = good(from_text("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
			   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"));
	assert_int_equal(h.dst.port, 65535);
}

static void
version_1_unknown_leaves_the_real_peer(void **state)
{
	struct proxyhdr h;
	char line[PROXYHDR_V1_MAX + 2];

	(void)state;
	h = good(from_text("PROXY UNKNOWN\r\n"));
	assert_int_equal(h.src.family, ADDR_NONE);
	assert_int_equal(h.version, 1);
	h = good(from_text("PROXY UNKNOWN ffff::1 what ever  it says\r\n"));
	assert_int_equal(h.src.family, ADDR_NONE);
	memset(line, 'f', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	strcpy(line + PROXYHDR_V1_MAX - 2, "\r\n");
	assert_int_equal(from_text(line), PROXYHDR_V1_MAX);
	good(PROXYHDR_V1_MAX);
	memset(line, 'f', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	strcpy(line + PROXYHDR_V1_MAX - 1, "\r\n");
	assert_int_equal(bad(from_text(line)), PROXYHDR_V1_MAX - 1);
}

static void
version_1_is_taken_in_canonical_form_only(void **state)
{
	/* the header, and at how many bytes it must be found out */
	static const struct {
		const char *text;
		size_t at;
	} lines[] = {
		{ "POST / HTTP/1.1\r\n", 2 },
		{ "PRI * HTTP/2.0\r\n", 3 },
		{ "GET / HTTP/1.1\r\n", 1 },
		{ "proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", 1 },
		{ "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", 7 },
		{ "PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", 10 },
		{ "PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n", 7 },
		{ "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", 8 },
		{ "PROXY UNKNOWNX\r\n", 14 },
		{ "PROXY \r\n", 7 },
		{ "PROXY\r\n", 6 },
		{ "PROXY TCP4\r\n", 11 },
		{ "PROXY TCP4 \r\n", 12 },
		{ "PROXY TCP4 1.1.1.1\r\n", 19 },
		{ "PROXY TCP4 1.1.1.1 2.2.2.2\r\n", 27 },
		{ "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", 29 },
		{ "PROXY TCP4 1.1.1.1 2.2.2.2 1 \r\n", 30 },
		{ "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", 31 },
		{ "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", 31 },
		{ "PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n", 20 },
		{ "PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n", 21 },
		{ "PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", 20 },
		{ "PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n", 17 },
		{ "PROXY TCP4 ::1 ::1 1 2\r\n", 12 },
		{ "PROXY TCP4 1.1.1.1x 2.2.2.2 1 2\r\n", 19 },
		{ "PROXY TCP4 111.111.111.1111 2.2.2.2 1 2\r\n", 27 },
		{ "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", 19 },
		{ "PROXY TCP6 [::1] ::1 1 2\r\n", 12 },
		{ "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", 19 },
		{ "PROXY TCP6 1::2::3 ::1 1 2\r\n", 19 },
		{ "PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n", 32 },
		{ "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", 29 },
		{ "PROXY TCP4 1.1.1.1 2.2.2.2 1 00\r\n", 31 },
		{ "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", 28 },
		{ "PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n", 28 },
		{ "PROXY TCP4 1.1.1.1 2.2.2.2  1 2\r\n", 28 },
		{ "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", 31 },
		{ "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rX", 32 },
		{ "PROXY TCP4 1.1.1.1\r2.2.2.2 1 2\r\n", 19 },
		{ "PROXY\tTCP4 1.1.1.1 2.2.2.2 1 2\r\n", 6 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		size_t at = bad(from_text(lines[i].text));

		if (at != lines[i].at)
			print_error("%s", lines[i].text);
		assert_int_equal(at, lines[i].at);
	}
	memcpy(bytes, "PROXY TCP4 1.1.1.1\0 2.2.2.2 1 2\r\n", 33);
	assert_int_equal(bad(33), 19);
}

static void
version_2_from_haproxy_gives_both_ends(void **state)
{
	struct proxyhdr h;

	(void)state;
	h = good(from_hex(haproxy_plain));
	assert_int_equal(h.version, 2);
	assert_false(h.is_local);
	assert_addr(&h.src, "127.0.0.1:40578");
	assert_addr(&h.dst, "127.0.0.1:41485");
	assert_false(h.ssl.present);
	assert_null(h.authority.p);
	h = good(from_hex(haproxy_unique_id));
	assert_slice(h.unique_id, "city=paris;src=127.0.0.1");
}

static void
version_2_of_every_family_is_understood(void **state)
{
	static const char ipv6[] = SIG "2121002420010db800000000000000000000000100000000"
				       "000000000000ffffcb007109d4310019";
	static const char udp4[] = SIG "2112000ccb007109c6336401d4310019";
	char unix_hex[2 * (16 + 216) + 1] = SIG "213100d8";
	struct proxyhdr h;

	(void)state;
	h = good(from_hex(ipv6));
	assert_addr(&h.src, "[2001:db8::1]:54321");
	assert_addr(&h.dst, "203.0.113.9:25");
	h = good(from_hex(udp4));
	assert_addr(&h.src, "203.0.113.9:54321");
	assert_addr(&h.dst, "198.51.100.1:25");
	memset(unix_hex + 32, '6', 432);
	h = good(from_hex(unix_hex));
	assert_int_equal(h.src.family, ADDR_UNIX);
	assert_int_equal(h.src.port, 0);
	assert_int_equal(h.dst.family, ADDR_UNIX);
}

static void
local_leaves_the_real_peer_and_skips_the_rest_unread(void **state)
{
	struct proxyhdr h;

	(void)state;
	h = good(from_hex(haproxy_check));
	assert_true(h.is_local);
	assert_int_equal(h.version, 2);
	assert_int_equal(h.src.family, ADDR_NONE);
	h = good(from_hex(haproxy_unix_client));
	assert_true(h.is_local);
	assert_int_equal(h.tlvs.n, 0);
	/* a family that nobody knows, TLVs that are none, a wrong checksum */
	h = good(from_hex(SIG "20ff0004ffffffff"));
	assert_true(h.is_local);
	h = good(from_hex(SIG "20110007030004a9b87e80"));
	assert_int_equal(h.src.family, ADDR_NONE);
}

static void
unspec_leaves_the_real_peer_and_keeps_readable_tlvs(void **state)
{
	struct proxyhdr h;
	struct slice v;

	(void)state;
	h = good(from_hex(SIG "21000000"));
	assert_false(h.is_local);
	assert_int_equal(h.src.family, ADDR_NONE);
	h = good(from_hex(SIG "21000008e400057061726973"));
	assert_true(proxyhdr_tlv_find(&h, 0xe4, &v));
	assert_slice(v, "paris");
	h = good(from_hex(SIG "21000003e40005"));
	assert_int_equal(h.src.family, ADDR_NONE);
	assert_int_equal(h.tlvs.n, 0);
	bad(from_hex(SIG "2100000703000400000000"));
}

static void
the_clients_tls_is_told(void **state)
{
	struct proxyhdr h;

	(void)state;
	h = good(from_hex(haproxy_tls));
	assert_slice(h.authority, "meridian.example");
	assert_slice(h.alpn, "postgresql");
	assert_true(h.ssl.present);
	assert_false(h.ssl.cert);
	assert_false(h.ssl.verified); /* HAProxy says "0: verified" all the same */
	assert_slice(h.ssl.version, "TLSv1.3");
	assert_slice(h.ssl.cipher, "TLS_AES_256_GCM_SHA384");
	assert_slice(h.ssl.sig_alg, "RSA-SHA256");
	assert_slice(h.ssl.key_alg, "RSA2048");
	assert_null(h.ssl.cn.p);
	h = good(from_hex(haproxy_client_cert));
	assert_true(h.ssl.cert);
	assert_true(h.ssl.verified);
	assert_slice(h.ssl.cn, "alice");
	/* a certificate that was not good; a certificate without TLS counts for nothing */
	h = good(from_hex(SIG "2100000820000503000000"
			      "13"));
	assert_true(h.ssl.cert);
	assert_false(h.ssl.verified);
	h = good(from_hex(SIG "2100000820000506000000"
			      "00"));
	assert_false(h.ssl.present);
	assert_false(h.ssl.cert);
	assert_false(h.ssl.verified);
}

static void
version_2_that_lies_about_lengths_is_bad(void **state)
{
	static const struct {
		const char *hex;
		size_t at;
	} headers[] = {
		{ "0d0a0d0a000d0a51554954"
		  "0b",
		  12 },                 /* signature */
		{ SIG "11110000", 13 }, /* version 1 */
		{ SIG "22110000", 13 }, /* no such command */
		{ SIG "21010000", 14 }, /* no such families */
		{ SIG "21130000", 14 },
		{ SIG "21410000", 14 },
		{ SIG "2111000b7f0000017f0000019e82a2", 16 }, /* addresses too short */
		{ SIG "212100237f", 16 },
		{ SIG "213100d77f", 16 },
		{ SIG "21113ff1", 16 }, /* longer than the limit */
		{ SIG "2011ffff", 16 },
		{ SIG "2111000d7f0000017f0000019e82a20d"
		      "e4",
		  29 }, /* TLVs cut short */
		{ SIG "2111000e7f0000017f0000019e82a20d"
		      "e400",
		  30 },
		{ SIG "2111000f7f0000017f0000019e82a20d"
		      "e40001",
		  31 },
		{ SIG "211100107f0000017f0000019e82a20d"
		      "e4000261",
		  32 },
		{ SIG "211100107f0000017f0000019e82a20d"
		      "e4ffff61",
		  32 },
		{ SIG "211100127f0000017f0000019e82a20d"
		      "030003000000",
		  34 }, /* checksum of 3 */
		{ SIG "211100147f0000017f0000019e82a20d"
		      "0300050000000000",
		  36 }, /* of 5 */
		{ SIG "211100137f0000017f0000019e82a20d"
		      "030004b970704e",
		  35 }, /* wrong */
		{ SIG "211100137f0000017f0000019e82a20e"
		      "030004b970704d",
		  35 },
		{ SIG "211100137f0000017f0000019e82a20d"
		      "20000401000000",
		  35 }, /* SSL of 4 */
		{ SIG "211100167f0000017f0000019e82a20d"
		      "20000701000000002100",
		  38 },
		{ SIG "211100177f0000017f0000019e82a20d"
		      "2000080100000000210001",
		  39 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(headers); i++) {
		size_t at = bad(from_hex(headers[i].hex));

		if (at != headers[i].at)
			print_error("%s\n", headers[i].hex);
		assert_int_equal(at, headers[i].at);
	}
}

/* A header with these TLVs in `bytes`. */
static size_t
with_tlvs(struct buf *tlvs, bool crc)
{
	struct proxyhdr_out out = { .crc32c = crc, .tlvs = buf_view(tlvs) };
	struct buf b = { 0 };
	size_t n;

	assert_false(tlvs->failed);
	assert_true(addr_parse_port(slice_str("203.0.113.9:4711"), &out.src));
	assert_true(addr_parse_port(slice_str("10.0.0.1:5432"), &out.dst));
	proxyhdr_put_v2(&b, &out);
	assert_false(b.failed);
	memcpy(bytes, b.p, b.n);
	n = b.n;
	buf_fini(&b);
	buf_fini(tlvs);
	return n;
}

static size_t
with_tlv(uint8_t type, const char *value, size_t n)
{
	struct buf tlvs = { 0 };

	proxyhdr_put_tlv(&tlvs, type, slice_of(value, n));
	return with_tlvs(&tlvs, false);
}

static void
known_tlvs_keep_to_their_lengths(void **state)
{
	char value[PROXYHDR_HOST_MAX + 1];
	struct proxyhdr h;

	(void)state;
	memset(value, 'x', sizeof(value));
	h = good(with_tlv(PROXYHDR_AUTHORITY, value, PROXYHDR_HOST_MAX));
	assert_int_equal(h.authority.n, PROXYHDR_HOST_MAX);
	bad(with_tlv(PROXYHDR_AUTHORITY, value, PROXYHDR_HOST_MAX + 1));
	h = good(with_tlv(PROXYHDR_UNIQUE_ID, value, PROXYHDR_UNIQUE_MAX));
	assert_int_equal(h.unique_id.n, PROXYHDR_UNIQUE_MAX);
	bad(with_tlv(PROXYHDR_UNIQUE_ID, value, PROXYHDR_UNIQUE_MAX + 1));
	h = good(with_tlv(PROXYHDR_AUTHORITY, value, 0));
	assert_non_null(h.authority.p);
	assert_int_equal(h.authority.n, 0);
}

static void
all_tlvs_can_be_walked(void **state)
{
	static const struct {
		uint8_t type;
		const char *value;
	} sent[] = {
		{ 0xe4, "paris" },
		{ PROXYHDR_NOOP, "" },
		{ 0xe8, "x-city=rome" },
		{ 0xe8, "x-country=IT" },
		{ 0xff, "?" },
		{ PROXYHDR_NETNS, "blue" },
		{ PROXYHDR_AUTHORITY, "one" },
		{ PROXYHDR_AUTHORITY, "two" },
	};
	struct buf tlvs = { 0 };
	struct proxyhdr_tlv tlv;
	struct proxyhdr h;
	struct slice rest, v;

	(void)state;
	for (size_t i = 0; i < COUNT(sent); i++)
		proxyhdr_put_tlv(&tlvs, sent[i].type, slice_str(sent[i].value));
	h = good(with_tlvs(&tlvs, false));
	rest = h.tlvs;
	for (size_t i = 0; i < COUNT(sent); i++) {
		assert_true(proxyhdr_tlv_next(&rest, &tlv));
		assert_int_equal(tlv.type, sent[i].type);
		assert_slice(tlv.value, sent[i].value);
	}
	assert_false(proxyhdr_tlv_next(&rest, &tlv));
	assert_slice(h.authority, "one");
	assert_true(proxyhdr_tlv_find(&h, 0xe8, &v));
	assert_slice(v, "x-city=rome");
	assert_false(proxyhdr_tlv_find(&h, 0xe5, &v));
}

static void
one_flipped_bit_is_seen_by_the_checksum(void **state)
{
	struct buf tlvs = { 0 };
	size_t n, consumed;
	struct proxyhdr h;

	(void)state;
	proxyhdr_put_tlv(&tlvs, 0xe4, slice_str("paris"));
	n = with_tlvs(&tlvs, true);
	good(n);
	for (size_t i = 16 * 8; i < n * 8; i++) {
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		/* a flip may turn the checksum's own TLV into another one, which no checksum sees
		 */
		if (i / 8 < 28 || i / 8 > 30)
			assert_int_equal(
			    proxyhdr_parse(slice_of((char *)bytes, n), &h, &consumed, NULL),
			    PARSE_BAD);
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

static void
a_second_checksum_is_bad(void **state)
{
	struct buf tlvs = { 0 };

	(void)state;
	proxyhdr_put_tlv(&tlvs, PROXYHDR_CRC32C, slice_of("\0\0\0\0", 4));
	bad(with_tlvs(&tlvs, true));
}

static void
the_longest_header_is_taken_and_none_longer(void **state)
{
	size_t room = PROXYHDR_MAX - 16 - 12 - 3;
	char *value = xcalloc(1, room + 1);
	struct proxyhdr_out out = { .src = { .family = ADDR_IPV4 },
				    .dst = { .family = ADDR_IPV4 } };
	struct buf tlvs = { 0 }, b = { 0 };
	struct proxyhdr h;
	size_t consumed;

	(void)state;
	assert_int_equal(with_tlv(0xe4, value, room), PROXYHDR_MAX);
	assert_int_equal(proxyhdr_parse(slice_of((char *)bytes, PROXYHDR_MAX), &h, &consumed, NULL),
			 PARSE_DONE);
	assert_int_equal(consumed, PROXYHDR_MAX);
	proxyhdr_put_tlv(&tlvs, 0xe4, slice_of(value, room + 1));
	out.tlvs = buf_view(&tlvs);
	proxyhdr_put_v2(&b, &out);
	assert_true(b.failed);
	buf_fini(&b);
	buf_fini(&tlvs);
	free(value);
}

static void
private_endpoints_are_decoded(void **state)
{
	static const char aws[] = "\1vpce-08d2bf15fac5001c9";
	static const char azure[] = "\1\x78\x56\x34\x12";
	static const char gcp[] = "\0\0\0\0\xff\xff\xff\xfe";
	struct proxyhdr_endpoint at;
	struct proxyhdr h;

	(void)state;
	h = good(with_tlv(PROXYHDR_AWS, aws, sizeof(aws) - 1));
	assert_true(proxyhdr_endpoint(&h, &at));
	assert_string_equal(at.cloud, "aws");
	assert_string_equal(at.id, "vpce-08d2bf15fac5001c9");
	h = good(with_tlv(PROXYHDR_AZURE, azure, 5));
	assert_true(proxyhdr_endpoint(&h, &at));
	assert_string_equal(at.cloud, "azure");
	assert_string_equal(at.id, "305419896");
	h = good(with_tlv(PROXYHDR_GCP, gcp, 8));
	assert_true(proxyhdr_endpoint(&h, &at));
	assert_string_equal(at.cloud, "gcp");
	assert_string_equal(at.id, "4294967294");
}

static void
what_is_no_private_endpoint_is_ignored(void **state)
{
	static const struct {
		uint8_t type;
		const char *value;
		size_t n;
	} values[] = {
		{ PROXYHDR_AWS, "\2vpce-1", 7 },   { PROXYHDR_AWS, "\1", 1 },
		{ PROXYHDR_AWS, "\1vpce 1", 7 },   { PROXYHDR_AWS, "\1vpce\0001", 7 },
		{ PROXYHDR_AWS, "", 0 },           { PROXYHDR_AZURE, "\2\1\0\0\0", 5 },
		{ PROXYHDR_AZURE, "\1\1\0\0", 4 }, { PROXYHDR_GCP, "1234567", 7 },
		{ PROXYHDR_GCP, "123456789", 9 },  { 0xe4, "12345678", 8 },
	};
	struct proxyhdr_endpoint at;
	char long_id[200];
	struct proxyhdr h;

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		h = good(with_tlv(values[i].type, values[i].value, values[i].n));
		assert_false(proxyhdr_endpoint(&h, &at));
	}
	memset(long_id, 'v', sizeof(long_id));
	long_id[0] = 1;
	h = good(with_tlv(PROXYHDR_AWS, long_id, sizeof(long_id)));
	assert_false(proxyhdr_endpoint(&h, &at));
}

static void
version_1_is_written_as_it_is_read(void **state)
{
	static const struct {
		const char *src, *dst, *line;
	} pairs[] = {
		{ "1.2.3.4:5", "6.7.8.9:10", "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n" },
		{ "[2001:db8::1]:5", "[::1]:10", "PROXY TCP6 2001:db8::1 ::1 5 10\r\n" },
		{ "1.2.3.4:5", "[::1]:10", "PROXY TCP6 ::ffff:1.2.3.4 ::1 5 10\r\n" },
	};
	struct addr none = { 0 };
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(pairs); i++) {
		struct addr src, dst;
		struct proxyhdr h;

		assert_true(addr_parse_port(slice_str(pairs[i].src), &src));
		assert_true(addr_parse_port(slice_str(pairs[i].dst), &dst));
		buf_clear(&b);
		proxyhdr_put_v1(&b, &src, &dst);
		assert_string_equal(buf_text(&b), pairs[i].line);
		h = good(from_text(pairs[i].line));
		assert_addr(&h.src, pairs[i].src);
		assert_addr(&h.dst, pairs[i].dst);
	}
	buf_clear(&b);
	proxyhdr_put_v1(&b, &none, &none);
	assert_string_equal(buf_text(&b), "PROXY UNKNOWN\r\n");
	buf_fini(&b);
}

static void
version_2_is_written_as_it_is_read(void **state)
{
	static const struct {
		const char *src, *dst;
	} pairs[] = {
		{ "1.2.3.4:5", "6.7.8.9:10" },
		{ "[2001:db8::1]:5", "[::1]:10" },
		{ "1.2.3.4:5", "[::1]:10" },
	};
	struct buf b = { 0 };
	struct proxyhdr h;

	(void)state;
	for (size_t i = 0; i < COUNT(pairs) * 2; i++) {
		struct proxyhdr_out out = { .crc32c = i % 2 == 0 };

		assert_true(addr_parse_port(slice_str(pairs[i / 2].src), &out.src));
		assert_true(addr_parse_port(slice_str(pairs[i / 2].dst), &out.dst));
		buf_clear(&b);
		buf_str(&b, "before"); /* what stands in the buffer already is not part of it */
		proxyhdr_put_v2(&b, &out);
		memcpy(bytes, b.p + 6, b.n - 6);
		h = good(b.n - 6);
		assert_addr(&h.src, pairs[i / 2].src);
		assert_addr(&h.dst, pairs[i / 2].dst);
		assert_int_equal(h.tlvs.n, out.crc32c ? 7 : 0);
	}
	buf_clear(&b);
	proxyhdr_put_v2(&b, &(struct proxyhdr_out){ .is_local = true });
	assert_int_equal(from_hex(haproxy_check), b.n);
	assert_memory_equal(b.p, bytes, b.n);
	buf_fini(&b);
}

static void
the_clients_tls_is_written_as_it_is_read(void **state)
{
	struct proxyhdr_ssl ssl = { .present = true,
				    .cert = true,
				    .verified = true,
				    .version = SLICE_LITERAL("TLSv1.3"),
				    .cn = SLICE_LITERAL("alice"),
				    .key_alg = SLICE_LITERAL("RSA2048") };
	struct buf tlvs = { 0 };
	struct proxyhdr h;

	(void)state;
	proxyhdr_put_ssl(&tlvs, &ssl);
	h = good(with_tlvs(&tlvs, true));
	assert_true(h.ssl.present && h.ssl.cert && h.ssl.verified);
	assert_slice(h.ssl.version, "TLSv1.3");
	assert_slice(h.ssl.cn, "alice");
	assert_slice(h.ssl.key_alg, "RSA2048");
	assert_null(h.ssl.cipher.p);
	ssl.verified = false;
	proxyhdr_put_ssl(&tlvs, &ssl);
	h = good(with_tlvs(&tlvs, true));
	assert_true(h.ssl.cert);
	assert_false(h.ssl.verified);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1_gives_both_ends),
		cmocka_unit_test(version_1_unknown_leaves_the_real_peer),
		cmocka_unit_test(version_1_is_taken_in_canonical_form_only),
		cmocka_unit_test(version_2_from_haproxy_gives_both_ends),
		cmocka_unit_test(version_2_of_every_family_is_understood),
		cmocka_unit_test(local_leaves_the_real_peer_and_skips_the_rest_unread),
		cmocka_unit_test(unspec_leaves_the_real_peer_and_keeps_readable_tlvs),
		cmocka_unit_test(the_clients_tls_is_told),
		cmocka_unit_test(version_2_that_lies_about_lengths_is_bad),
		cmocka_unit_test(known_tlvs_keep_to_their_lengths),
		cmocka_unit_test(all_tlvs_can_be_walked),
		cmocka_unit_test(one_flipped_bit_is_seen_by_the_checksum),
		cmocka_unit_test(a_second_checksum_is_bad),
		cmocka_unit_test(the_longest_header_is_taken_and_none_longer),
		cmocka_unit_test(private_endpoints_are_decoded),
		cmocka_unit_test(what_is_no_private_endpoint_is_ignored),
		cmocka_unit_test(version_1_is_written_as_it_is_read),
		cmocka_unit_test(version_2_is_written_as_it_is_read),
		cmocka_unit_test(the_clients_tls_is_written_as_it_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
