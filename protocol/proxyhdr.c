/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/proxyhdr.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "protocol/crc32c.h"

#define V2_FIXED    16
#define V2_SIG_SIZE 12
#define V2_LOCAL    0x20
#define V2_PROXY    0x21
#define V2_TCP4     0x11
#define V2_TCP6     0x21
#define TLV_FIXED   3
#define CRC_SIZE    4
#define SSL_FIXED   5
#define SSL_CLIENT  0x01
#define SSL_CERTS   0x06 /* on this connection, or when its TLS session began */
#define SSL_CERT    0x02

static const char v1_signature[] = "PROXY ";
static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

static enum parse
bad(struct err *e, const char *what)
{
	err_set(e, "08P01", "malformed PROXY protocol header: %s", what);
	return PARSE_BAD;
}

/* Is what has arrived of the signature right? */
static bool
signature_fits(struct slice in, const char *signature, size_t n)
{
	return in.n == 0 || memcmp(in.p, signature, in.n < n ? in.n : n) == 0;
}

/* Version 1: one line of blank-separated words. A word is whole when a blank or the end of the line
 * follows; until then it is looked at as far as it goes. */

static bool
only_of(struct slice s, const char *set)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\0' || strchr(set, s.p[i]) == NULL)
			return false;
	}
	return true;
}

static bool
v1_address(struct slice word, bool whole, bool ipv6, struct addr *out)
{
	const char *set = ipv6 ? "0123456789abcdefABCDEF:." : "0123456789.";

	if (word.n > (ipv6 ? 45 : 15) || !only_of(word, set))
		return false;
	if (!whole)
		return true;
	return (!ipv6 || memchr(word.p, ':', word.n) != NULL) && addr_parse(word, out);
}

static bool
v1_port(struct slice word, bool whole, uint16_t *out)
{
	int64_t n = 0;

	if (!only_of(word, "0123456789") || (word.n > 1 && word.p[0] == '0'))
		return false;
	if ((whole || word.n > 0) && !text_to_int(word, 0, 65535, &n))
		return false;
	*out = (uint16_t)n;
	return true;
}

/* The four words after the protocol. `ended`: the line goes no further than this. */
static enum parse
v1_endpoints(struct slice rest, bool ended, bool ipv6, struct proxyhdr *h, struct err *e)
{
	uint16_t ports[2];

	for (int i = 0; i < 4; i++) {
		struct slice word = slice_cut(&rest, ' ');
		bool last = rest.p == NULL, whole = ended || !last;

		if (i < 2 && !v1_address(word, whole, ipv6, i == 0 ? &h->src : &h->dst))
			return bad(e, "an address is not one of its family in canonical form");
		if (i >= 2 && !v1_port(word, whole, &ports[i - 2]))
			return bad(e, "a port is no number from 0 to 65535 in canonical form");
		if (!whole)
			return PARSE_MORE;
		if (last != (i == 3))
			return bad(e, last ? "the line ends too early" : "the line goes on");
	}
	h->src.port = ports[0];
	h->dst.port = ports[1];
	return PARSE_DONE;
}

static enum parse
v1_words(struct slice rest, bool ended, struct proxyhdr *h, struct err *e)
{
	static const char *const protocols[] = { "UNKNOWN", "TCP4", "TCP6" };
	struct slice word = slice_cut(&rest, ' ');
	bool whole = ended || rest.p != NULL;

	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		if (!whole && word.n <= strlen(protocols[i]) &&
		    memcmp(protocols[i], word.p, word.n) == 0)
			return PARSE_MORE;
		if (!whole || !slice_is(word, protocols[i]))
			continue;
		if (i == 0)
			return ended ? PARSE_DONE : PARSE_MORE;
		if (rest.p == NULL)
			return bad(e, "the line ends too early");
		return v1_endpoints(rest, ended, i == 2, h, e);
	}
	return bad(e, "the protocol is none of TCP4, TCP6, UNKNOWN");
}

static enum parse
parse_v1(struct slice in, struct proxyhdr *h, size_t *total, struct err *e)
{
	size_t max = PROXYHDR_V1_MAX - 1, head = sizeof(v1_signature) - 1, n = 0;
	enum parse got;
	bool ended;

	if (in.n <= head)
		return PARSE_MORE;
	while (n < in.n && n < max && in.p[n] != '\r' && in.p[n] != '\n')
		n++;
	if (n == max)
		return bad(e, "the line is longer than 107 bytes");
	ended = n < in.n;
	if (ended && (in.p[n] == '\n' || (n + 1 < in.n && in.p[n + 1] != '\n')))
		return bad(e, "the line does not end with CR LF");
	got = v1_words(slice_of(in.p + head, n - head), ended, h, e);
	if (got != PARSE_DONE)
		return got;
	if (n + 1 == in.n)
		return PARSE_MORE;
	h->version = 1;
	*total = n + 2;
	return PARSE_DONE;
}

/* Version 2: 16 fixed bytes, an address block by family, TLVs. */

static const struct v2_family {
	uint8_t code;
	uint8_t block; /* bytes of addresses */
	uint8_t family;
} v2_families[] = {
	{ 0x00, 0, ADDR_NONE },   { 0x11, 12, ADDR_IPV4 }, { 0x12, 12, ADDR_IPV4 },
	{ 0x21, 36, ADDR_IPV6 },  { 0x22, 36, ADDR_IPV6 }, { 0x31, 216, ADDR_UNIX },
	{ 0x32, 216, ADDR_UNIX },
};

static const struct v2_family *
v2_family(uint8_t code)
{
	for (size_t i = 0; i < sizeof(v2_families) / sizeof(v2_families[0]); i++) {
		if (v2_families[i].code == code)
			return &v2_families[i];
	}
	return NULL;
}

static void
v2_address(const char *ip, const char *port, uint8_t family, struct addr *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	out->family = family;
	if (family == ADDR_IPV6 && memcmp(ip, mapped, sizeof(mapped)) == 0) {
		out->family = ADDR_IPV4;
		ip += sizeof(mapped);
	}
	if (family == ADDR_UNIX)
		return;
	memcpy(out->ip, ip, out->family == ADDR_IPV4 ? 4 : 16);
	out->port = get_u16(port);
}

bool
proxyhdr_tlv_next(struct slice *rest, struct proxyhdr_tlv *out)
{
	size_t n;

	if (rest->n < TLV_FIXED)
		return false;
	n = get_u16(rest->p + 1);
	if (n > rest->n - TLV_FIXED)
		return false;
	out->type = (uint8_t)rest->p[0];
	out->value = slice_of(rest->p + TLV_FIXED, n);
	*rest = slice_skip(*rest, TLV_FIXED + n);
	return true;
}

bool
proxyhdr_tlv_find(const struct proxyhdr *h, uint8_t type, struct slice *value)
{
	struct slice rest = h->tlvs;
	struct proxyhdr_tlv tlv;

	while (proxyhdr_tlv_next(&rest, &tlv)) {
		if (tlv.type == type) {
			*value = tlv.value;
			return true;
		}
	}
	return false;
}

/* Does a sequence of TLVs end where it should? */
static bool
tlvs_are_whole(struct slice tlvs)
{
	struct proxyhdr_tlv tlv;

	while (proxyhdr_tlv_next(&tlvs, &tlv))
		;
	return tlvs.n == 0;
}

/* Where the first of its type goes. */
struct place {
	uint8_t type;
	size_t max;
	struct slice *to;
};

static bool
keep(const struct place *places, size_t n, const struct proxyhdr_tlv *tlv)
{
	for (size_t i = 0; i < n; i++) {
		if (places[i].type != tlv->type)
			continue;
		if (tlv->value.n > places[i].max)
			return false;
		if (places[i].to->p == NULL)
			*places[i].to = tlv->value;
	}
	return true;
}

static bool
parse_ssl(struct slice value, struct proxyhdr_ssl *ssl)
{
	const struct place places[] = {
		{ PROXYHDR_SSL_VERSION, SIZE_MAX, &ssl->version },
		{ PROXYHDR_SSL_CN, SIZE_MAX, &ssl->cn },
		{ PROXYHDR_SSL_CIPHER, SIZE_MAX, &ssl->cipher },
		{ PROXYHDR_SSL_SIG_ALG, SIZE_MAX, &ssl->sig_alg },
		{ PROXYHDR_SSL_KEY_ALG, SIZE_MAX, &ssl->key_alg },
	};
	struct slice rest = slice_skip(value, SSL_FIXED);
	struct proxyhdr_tlv tlv;

	if (value.n < SSL_FIXED || !tlvs_are_whole(rest))
		return false;
	ssl->present = (value.p[0] & SSL_CLIENT) != 0;
	ssl->cert = ssl->present && (value.p[0] & SSL_CERTS) != 0;
	ssl->verified = ssl->cert && get_u32(value.p + 1) == 0;
	while (proxyhdr_tlv_next(&rest, &tlv)) {
		if (!keep(places, sizeof(places) / sizeof(places[0]), &tlv))
			return false;
	}
	return true;
}

/* The sum over the whole header, with its own four bytes taken as zeros. */
static bool
checksum_fits(struct slice header, struct slice sum)
{
	static const char zeros[CRC_SIZE];
	size_t before = (size_t)(sum.p - header.p);
	struct slice after = slice_skip(header, before + CRC_SIZE);
	uint32_t crc = crc32c(0, header.p, before);

	crc = crc32c(crc, zeros, CRC_SIZE);
	return crc32c(crc, after.p, after.n) == get_u32(sum.p);
}

static enum parse
v2_tlvs(struct slice header, struct proxyhdr *h, struct err *e)
{
	struct slice rest = h->tlvs, sum = { NULL, 0 }, ssl = { NULL, 0 };
	const struct place places[] = {
		{ PROXYHDR_ALPN, SIZE_MAX, &h->alpn },
		{ PROXYHDR_AUTHORITY, PROXYHDR_HOST_MAX, &h->authority },
		{ PROXYHDR_UNIQUE_ID, PROXYHDR_UNIQUE_MAX, &h->unique_id },
		{ PROXYHDR_CRC32C, CRC_SIZE, &sum },
		{ PROXYHDR_SSL, SIZE_MAX, &ssl },
	};
	struct proxyhdr_tlv tlv;

	while (proxyhdr_tlv_next(&rest, &tlv)) {
		if (tlv.type == PROXYHDR_CRC32C && sum.p != NULL)
			return bad(e, "it has two checksums");
		if (!keep(places, sizeof(places) / sizeof(places[0]), &tlv))
			return bad(e, "a TLV is longer than its type allows");
		if (tlv.type == PROXYHDR_CRC32C && tlv.value.n != CRC_SIZE)
			return bad(e, "its checksum is not four bytes long");
	}
	if (sum.p != NULL && !checksum_fits(header, sum))
		return bad(e, "its CRC32C checksum is wrong");
	if (ssl.p != NULL && !parse_ssl(ssl, &h->ssl))
		return bad(e, "its SSL TLV is cut short");
	return PARSE_DONE;
}

/* What follows the fixed bytes of a PROXY command. */
static enum parse
v2_body(struct slice header, const struct v2_family *f, struct proxyhdr *h, struct err *e)
{
	const char *at = header.p + V2_FIXED;
	size_t ip = f->family == ADDR_IPV4 ? 4 : 16;

	if (f->family != ADDR_NONE) {
		v2_address(at, at + 2 * ip, f->family, &h->src);
		v2_address(at + ip, at + 2 * ip + 2, f->family, &h->dst);
	}
	h->tlvs = slice_skip(header, V2_FIXED + f->block);
	if (tlvs_are_whole(h->tlvs))
		return v2_tlvs(header, h, e);
	if (f->family != ADDR_NONE)
		return bad(e, "a TLV runs past its end");
	h->tlvs = slice_of(NULL, 0);
	return PARSE_DONE;
}

static enum parse
parse_v2(struct slice in, struct proxyhdr *h, size_t *total, struct err *e)
{
	const struct v2_family *f = NULL;
	size_t n;

	if (in.n > V2_SIG_SIZE) {
		h->is_local = in.p[V2_SIG_SIZE] == V2_LOCAL;
		if (!h->is_local && in.p[V2_SIG_SIZE] != V2_PROXY)
			return bad(e, "its version and command are neither 2 LOCAL nor 2 PROXY");
	}
	if (in.n > V2_SIG_SIZE + 1 && !h->is_local) {
		f = v2_family((uint8_t)in.p[V2_SIG_SIZE + 1]);
		if (f == NULL)
			return bad(e, "its address family is unknown");
	}
	if (in.n < V2_FIXED)
		return PARSE_MORE;
	n = V2_FIXED + (size_t)get_u16(in.p + 14);
	if (n > PROXYHDR_MAX)
		return bad(e, "it is longer than 16384 bytes");
	if (f != NULL && n < V2_FIXED + (size_t)f->block)
		return bad(e, "its addresses are cut short");
	if (in.n < n)
		return PARSE_MORE;
	h->version = 2;
	*total = n;
	return f != NULL ? v2_body(slice_of(in.p, n), f, h, e) : PARSE_DONE;
}

enum parse
proxyhdr_parse(struct slice in, struct proxyhdr *out, size_t *consumed, struct err *e)
{
	struct proxyhdr h = { 0 };
	enum parse got;
	size_t total = 0;

	if (in.n == 0)
		return PARSE_MORE;
	if (signature_fits(in, v1_signature, sizeof(v1_signature) - 1))
		got = parse_v1(in, &h, &total, e);
	else if (signature_fits(in, v2_signature, V2_SIG_SIZE))
		got = parse_v2(in, &h, &total, e);
	else
		return bad(e, "it begins with neither signature");
	if (got == PARSE_DONE) {
		*out = h;
		*consumed = total;
	}
	return got;
}

/* Private endpoints. Each returns false where the value is not of its form. */

static bool
aws_id(struct slice v, char *to, size_t size)
{
	static const char set[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-";

	if (v.n < 2 || v.p[0] != 0x01 || !only_of(slice_skip(v, 1), set))
		return false;
	return text_copy(to, size, slice_skip(v, 1));
}

static bool
azure_id(struct slice v, char *to, size_t size)
{
	uint32_t id = 0;

	if (v.n != 5 || v.p[0] != 0x01)
		return false;
	for (int i = 4; i > 0; i--)
		id = id << 8 | (uint8_t)v.p[i]; /* little-endian, unlike all the rest */
	snprintf(to, size, "%" PRIu32, id);
	return true;
}

static bool
gcp_id(struct slice v, char *to, size_t size)
{
	if (v.n != 8)
		return false;
	snprintf(to, size, "%" PRIu64, get_u64(v.p));
	return true;
}

bool
proxyhdr_endpoint(const struct proxyhdr *h, struct proxyhdr_endpoint *out)
{
	static const struct {
		uint8_t type;
		const char *cloud;
		bool (*decode)(struct slice v, char *to, size_t size);
	} clouds[] = {
		{ PROXYHDR_AWS, "aws", aws_id },
		{ PROXYHDR_AZURE, "azure", azure_id },
		{ PROXYHDR_GCP, "gcp", gcp_id },
	};
	char id[PROXYHDR_ENDPOINT_MAX];
	struct slice value;

	for (size_t i = 0; i < sizeof(clouds) / sizeof(clouds[0]); i++) {
		if (proxyhdr_tlv_find(h, clouds[i].type, &value) &&
		    clouds[i].decode(value, id, sizeof(id))) {
			out->cloud = clouds[i].cloud;
			memcpy(out->id, id, sizeof(id));
			return true;
		}
	}
	return false;
}
