/* SPDX-License-Identifier: PostgreSQL
 *
 * A PROXY header and what follows it. Every beginning of an accepted header wants more; what is bad
 * stays bad however much follows; nothing points outside the header; what is accepted and written
 * again means the same.
 */
#include "config.h"

#include "protocol/proxyhdr.h"

#include "tests/fuzz/fuzz.h"
#include "tests/unit/proxyhdr_put.h"

static bool
same(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static bool
inside(struct slice part, struct slice whole)
{
	return part.p == NULL || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void
check_slices(const struct proxyhdr *h, struct slice header)
{
	const struct slice parts[] = { h->authority,  h->alpn,        h->unique_id,
				       h->tlvs,       h->ssl.version, h->ssl.cn,
				       h->ssl.cipher, h->ssl.sig_alg, h->ssl.key_alg };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		FUZZ_ASSERT(inside(parts[i], header));
	FUZZ_ASSERT(h->authority.n <= PROXYHDR_HOST_MAX && h->unique_id.n <= PROXYHDR_UNIQUE_MAX);
	FUZZ_ASSERT(!h->ssl.verified || (h->ssl.cert && h->ssl.present));
	FUZZ_ASSERT(h->src.family == h->dst.family || h->src.family != ADDR_NONE);
}

/* The TLVs cover their bytes exactly, and the iterator always ends. */
static void
check_tlvs(const struct proxyhdr *h)
{
	struct slice rest = h->tlvs;
	struct proxyhdr_endpoint endpoint;
	struct proxyhdr_tlv tlv;
	size_t covered = 0;

	while (proxyhdr_tlv_next(&rest, &tlv)) {
		FUZZ_ASSERT(inside(tlv.value, h->tlvs));
		covered += 3 + tlv.value.n;
	}
	FUZZ_ASSERT(covered == h->tlvs.n);
	if (proxyhdr_endpoint(h, &endpoint))
		FUZZ_ASSERT(endpoint.cloud != NULL && endpoint.id[0] != '\0' &&
			    memchr(endpoint.id, '\0', sizeof(endpoint.id)) != NULL);
}

static void
check_rebuilt(const struct proxyhdr *h)
{
	struct proxyhdr_out out = { .is_local = h->is_local, .src = h->src, .dst = h->dst };
	struct buf b = { 0 };
	struct proxyhdr again;
	size_t consumed;
	struct slice sum;

	out.tlvs = h->is_local ? slice_of(NULL, 0) : h->tlvs;
	/* A checksum over the old header would not hold for the new one. */
	if (proxyhdr_tlv_find(h, PROXYHDR_CRC32C, &sum))
		out.tlvs = slice_of(NULL, 0);
	proxyhdr_put_v2(&b, &out);
	/* IPv6 in place of IPv4 makes it longer than the limit at worst. */
	if (!b.failed) {
		FUZZ_ASSERT(proxyhdr_parse(buf_view(&b), &again, &consumed, NULL) == PARSE_DONE);
		FUZZ_ASSERT(consumed == b.n && again.is_local == h->is_local);
		FUZZ_ASSERT(same(again.tlvs, out.tlvs));
		if (is_ip(&h->src) && is_ip(&h->dst))
			FUZZ_ASSERT(
			    addr_same_ip(&again.src, &h->src) && again.src.port == h->src.port &&
			    addr_same_ip(&again.dst, &h->dst) && again.dst.port == h->dst.port);
	}
	buf_fini(&b);
}

static void
check_v1_rebuilt(const struct proxyhdr *h)
{
	struct buf b = { 0 };
	struct proxyhdr again;
	size_t consumed;

	proxyhdr_put_v1(&b, &h->src, &h->dst);
	FUZZ_ASSERT(!b.failed && b.n <= PROXYHDR_V1_MAX);
	FUZZ_ASSERT(proxyhdr_parse(buf_view(&b), &again, &consumed, NULL) == PARSE_DONE);
	FUZZ_ASSERT(again.version == 1 && consumed == b.n);
	if (is_ip(&h->src) && is_ip(&h->dst))
		FUZZ_ASSERT(addr_same_ip(&again.src, &h->src) && again.src.port == h->src.port);
	buf_fini(&b);
}

/* The bytes as they come in, one more each time. */
static void
check_beginnings(struct slice in, enum parse whole, size_t length)
{
	bool was_bad = false;

	for (size_t n = 0; n <= in.n && n < 600; n++) {
		struct proxyhdr h;
		size_t consumed;
		enum parse got = proxyhdr_parse(slice_of(in.p, n), &h, &consumed, NULL);

		FUZZ_ASSERT(!was_bad || got == PARSE_BAD);
		was_bad = got == PARSE_BAD;
		if (whole == PARSE_DONE)
			FUZZ_ASSERT(got == (n < length ? PARSE_MORE : PARSE_DONE));
		if (whole == PARSE_MORE)
			FUZZ_ASSERT(got == PARSE_MORE);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	struct proxyhdr h;
	struct err e = { 0 };
	size_t consumed = 0;
	enum parse got = proxyhdr_parse(in, &h, &consumed, &e);

	FUZZ_ASSERT(got != PARSE_MORE || size < PROXYHDR_MAX);
	FUZZ_ASSERT(got != PARSE_BAD || (e.sqlstate[0] != '\0' && e.msg[0] != '\0'));
	check_beginnings(in, got, consumed);
	if (got != PARSE_DONE)
		return 0;
	FUZZ_ASSERT(consumed > 0 && consumed <= size && consumed <= PROXYHDR_MAX);
	FUZZ_ASSERT(h.version == 1 || h.version == 2);
	check_slices(&h, slice_of(in.p, consumed));
	check_tlvs(&h);
	check_rebuilt(&h);
	check_v1_rebuilt(&h);
	return 0;
}
