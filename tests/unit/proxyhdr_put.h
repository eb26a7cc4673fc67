/* SPDX-License-Identifier: PostgreSQL
 *
 * Writers of PROXY headers, for tests: Meridian only reads them. Include it before unit.h.
 */
#ifndef TESTS_UNIT_PROXYHDR_PUT_H
#define TESTS_UNIT_PROXYHDR_PUT_H

#include "protocol/crc32c.h"
#include "protocol/proxyhdr.h"

struct proxyhdr_out {
	bool is_local;
	bool crc32c; /* begin the TLVs with a checksum */
	struct addr src, dst;
	struct slice tlvs; /* as built by proxyhdr_put_tlv() */
};

static inline bool
is_ip(const struct addr *a)
{
	return a->family == ADDR_IPV4 || a->family == ADDR_IPV6;
}

static inline void
put_ip_text(struct buf *b, const struct addr *a, bool ipv6)
{
	char text[ADDR_TEXT_MAX];

	buf_str(b, ipv6 && a->family == ADDR_IPV4 ? " ::ffff:" : " ");
	buf_str(b, addr_print_ip(a, text));
}

/* Append a version 1 header; UNKNOWN where an address is neither IPv4 nor IPv6. Where the families
 * differ both are written as IPv6 (::ffff:…). */
static inline void
proxyhdr_put_v1(struct buf *b, const struct addr *src, const struct addr *dst)
{
	bool ipv6 = src->family == ADDR_IPV6 || dst->family == ADDR_IPV6;

	if (!is_ip(src) || !is_ip(dst)) {
		buf_str(b, "PROXY UNKNOWN\r\n");
		return;
	}
	buf_str(b, ipv6 ? "PROXY TCP6" : "PROXY TCP4");
	put_ip_text(b, src, ipv6);
	put_ip_text(b, dst, ipv6);
	buf_printf(b, " %u %u\r\n", src->port, dst->port);
}

static inline void
put_ip(struct buf *b, const struct addr *a, bool ipv6)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (ipv6 && a->family == ADDR_IPV4)
		buf_put(b, mapped, sizeof(mapped));
	buf_put(b, a->ip, a->family == ADDR_IPV4 ? 4 : 16);
}

/* Append one TLV; b->failed is set where the value is longer than 65535 bytes. */
static inline void
proxyhdr_put_tlv(struct buf *b, uint8_t type, struct slice value)
{
	if (value.n > UINT16_MAX) {
		b->failed = true;
		return;
	}
	buf_u8(b, type);
	buf_u16(b, (uint16_t)value.n);
	buf_slice(b, value);
}

/* Append a version 2 header; UNSPEC where an address is neither IPv4 nor IPv6. b->failed is set
 * where it would pass PROXYHDR_MAX. */
static inline void
proxyhdr_put_v2(struct buf *b, const struct proxyhdr_out *h)
{
	static const char signature[] = "\r\n\r\n\0\r\nQUIT\n", zeros[4];
	bool ip = !h->is_local && is_ip(&h->src) && is_ip(&h->dst);
	bool ipv6 = ip && (h->src.family == ADDR_IPV6 || h->dst.family == ADDR_IPV6);
	size_t block = !ip ? 0 : ipv6 ? 36 : 12;
	size_t start = b->n, extra = h->crc32c ? 3 + 4 : 0, sum_at;

	if (h->tlvs.n > PROXYHDR_MAX - 16 - block - extra) {
		b->failed = true;
		return;
	}
	buf_put(b, signature, 12);
	buf_u8(b, h->is_local ? 0x20 : 0x21);
	buf_u8(b, !ip ? 0 : ipv6 ? 0x21 : 0x11);
	buf_u16(b, (uint16_t)(block + extra + h->tlvs.n));
	if (ip) {
		put_ip(b, &h->src, ipv6);
		put_ip(b, &h->dst, ipv6);
		buf_u16(b, h->src.port);
		buf_u16(b, h->dst.port);
	}
	sum_at = b->n + 3;
	if (h->crc32c)
		proxyhdr_put_tlv(b, PROXYHDR_CRC32C, slice_of(zeros, sizeof(zeros)));
	buf_slice(b, h->tlvs);
	if (h->crc32c && !b->failed)
		put_u32(b->p + sum_at, crc32c(0, b->p + start, b->n - start));
}

/* Append an SSL TLV; empty fields are left out. */
static inline void
proxyhdr_put_ssl(struct buf *b, const struct proxyhdr_ssl *ssl)
{
	const struct proxyhdr_tlv parts[] = {
		{ PROXYHDR_SSL_VERSION, ssl->version }, { PROXYHDR_SSL_CN, ssl->cn },
		{ PROXYHDR_SSL_CIPHER, ssl->cipher },   { PROXYHDR_SSL_SIG_ALG, ssl->sig_alg },
		{ PROXYHDR_SSL_KEY_ALG, ssl->key_alg },
	};
	struct buf value;

	buf_init(&value, PROXYHDR_MAX);
	buf_u8(&value, (uint8_t)((ssl->present ? 0x01 : 0) | (ssl->cert ? 0x02 : 0)));
	buf_u32(&value, ssl->cert && ssl->verified ? 0 : 1);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i].value.n > 0)
			proxyhdr_put_tlv(&value, parts[i].type, parts[i].value);
	}
	if (value.failed)
		b->failed = true;
	else
		proxyhdr_put_tlv(b, PROXYHDR_SSL, buf_view(&value));
	buf_fini(&value);
}

#endif
