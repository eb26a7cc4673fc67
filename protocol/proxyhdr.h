/* SPDX-License-Identifier: PostgreSQL
 *
 * The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): what a load balancer says
 * about the connection that it forwards, before the first byte of the connection itself.
 *
 * Knows the format, read and written. Does not know which peers may send it: the caller looks that
 * up in trusted_proxies, and reads no header of another peer (INV-16). What the TLVs say is as true
 * as their sender. No byte past the header is read (INV-7).
 *
 * A balancer that does not know its client (LOCAL health checks, UNKNOWN, UNSPEC) leaves src and
 * dst at ADDR_NONE: the real peer is the client then.
 *
 * All slices point into the bytes that were parsed and live no longer than those. Nothing is
 * allocated.
 *
 * Strictness: version 1 is taken in its canonical form only (single blanks, no leading zeros in
 * IPv4 addresses and ports, CRLF). In version 2 every length is checked: an address block that is
 * too short, a TLV past the end, a TLV that is longer than its specification, a second or a wrong
 * checksum make the header bad. Unknown TLVs are kept. As the specification demands, what follows
 * LOCAL is skipped unread (HAProxy sends LOCAL for its health checks, and for clients that have no
 * IP address). After UNSPEC the TLVs are read if they can be, and skipped if not.
 */
#ifndef PROTOCOL_PROXYHDR_H
#define PROTOCOL_PROXYHDR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* The longest header taken, all of it. Version 2 could announce 64 kB; HAProxy sends and takes at
 * most one of its buffers (tune.bufsize, 16 kB), and no other sender comes near that. A longer one
 * is bad as soon as its length is seen. */
#define PROXYHDR_MAX          16384
#define PROXYHDR_V1_MAX       107
#define PROXYHDR_UNIQUE_MAX   128
#define PROXYHDR_HOST_MAX     255
#define PROXYHDR_ENDPOINT_MAX 128

enum proxyhdr_type {
	PROXYHDR_ALPN = 0x01,
	PROXYHDR_AUTHORITY = 0x02,
	PROXYHDR_CRC32C = 0x03,
	PROXYHDR_NOOP = 0x04,
	PROXYHDR_UNIQUE_ID = 0x05,
	PROXYHDR_SSL = 0x20,
	PROXYHDR_SSL_VERSION = 0x21,
	PROXYHDR_SSL_CN = 0x22,
	PROXYHDR_SSL_CIPHER = 0x23,
	PROXYHDR_SSL_SIG_ALG = 0x24,
	PROXYHDR_SSL_KEY_ALG = 0x25,
	PROXYHDR_NETNS = 0x30,
	PROXYHDR_CUSTOM_MIN = 0xe0,
	PROXYHDR_GCP = 0xe0,   /* Private Service Connect: connection id */
	PROXYHDR_AWS = 0xea,   /* VPC endpoint id */
	PROXYHDR_AZURE = 0xee, /* private endpoint link id */
	PROXYHDR_CUSTOM_MAX = 0xef,
};

/* The client's TLS, as ended by the sender. */
struct proxyhdr_ssl {
	bool present;  /* the client used TLS */
	bool cert;     /* the client showed a certificate, now or when its TLS session began */
	bool verified; /* ... and the sender found it good; never true without `cert` */
	struct slice version, cn, cipher, sig_alg, key_alg;
};

struct proxyhdr {
	uint8_t version; /* 1 or 2 */
	bool is_local;   /* LOCAL: the sender's own connection, such as a health check */
	struct addr src, dst;
	struct slice authority; /* the host that the client asked for (TLS SNI) */
	struct slice alpn;
	struct slice unique_id;
	struct proxyhdr_ssl ssl;
	struct slice tlvs; /* all of them, as sent: for proxyhdr_tlv_next() */
};

struct proxyhdr_tlv {
	uint8_t type;
	struct slice value;
};

/* Read a header at the start of `in`. DONE: *out and *consumed are set and the connection's own
 * bytes begin at in.p[*consumed]. MORE: so far it may become one. BAD: it cannot, *e says why;
 * found at the first wrong byte, but for an address of version 1 (at its end) and for TLVs (once
 * the header is whole). `in` may be empty. Where a type other than CRC32C comes twice, the first
 * counts for the fields of struct proxyhdr. */
enum parse proxyhdr_parse(struct slice in, struct proxyhdr *out, size_t *consumed,
			  struct err *e) MUST_CHECK;

/* Walk the TLVs: start with `rest = h.tlvs`; false at the end (or at one that is cut short, which
 * proxyhdr_parse has excluded for its own). */
bool proxyhdr_tlv_next(struct slice *rest, struct proxyhdr_tlv *out);
/* The first TLV of this type. */
bool proxyhdr_tlv_find(const struct proxyhdr *h, uint8_t type, struct slice *value);

/* The private endpoint that the connection came through, if a cloud says so. */
struct proxyhdr_endpoint {
	const char *cloud;              /* "aws", "azure", "gcp" */
	char id[PROXYHDR_ENDPOINT_MAX]; /* "vpce-08d2bf15fac5001c9"; decimal for the others */
};
bool proxyhdr_endpoint(const struct proxyhdr *h, struct proxyhdr_endpoint *out);

#endif
