/* SPDX-License-Identifier: PostgreSQL
 *
 * Dialling: from nothing to a connection on which a node will read a startup packet (or a cancel
 * request). TCP or unix connect over each address of the node, SSLRequest, TLS handshake, as the
 * region's sslmode wants them. A small state machine driven by its owner's events; it has no
 * timeouts of its own.
 */
#ifndef PROXY_NET_DIAL_H
#define PROXY_NET_DIAL_H

#include "proxy/config/config.h"
#include "proxy/net/stream.h"
#include "routing/topology.h"

struct tls_local;

/* With or without TLS: as the region's sslmode wants it first, or the other way, for its second
 * try. */
enum dial_way { DIAL_AS_CONFIGURED, DIAL_WITH_TLS, DIAL_WITHOUT_TLS };
enum dial_step { DIAL_CONNECT, DIAL_SSL_ASKED, DIAL_TLS, DIAL_READY, DIAL_FAILED };

/* The node to dial, and how; all of it is borrowed and must outlive the dial. */
struct dial_target {
	const struct node *node;      /* host, port, addrs, live */
	const struct conf_main *conf; /* keepalive and the like */
	struct ssl_ctx_st *ctx;       /* NULL: no TLS */
	enum sslmode sslmode;
	uint64_t terms;     /* tlsset_terms() */
	struct slice first; /* only while dial_begin() runs; empty unless dial_may_say() */
};

struct dial {
	struct stream *stream; /* the owner's; opened here */
	struct dial_target to;
	struct tls_local *tls;
	uint8_t next_addr;
	enum dial_way way;
	enum dial_step step;
	bool use_tls;
	bool said;          /* `first` was sent; else the owner sends it when READY */
	bool our_fault;     /* no descriptor, no port: it does not count against the node */
	bool no_descriptor; /* … the former of these */
	bool tls_failed;    /* the handshake has failed, not the connection */
	char reason[200];   /* of the failure */
};

/* Whether the owner's first packet may be sent with the end of the TCP handshake: nothing has to be
 * sent before it. */
bool dial_may_say(const struct dial_target *to, enum dial_way way);
/* The stream must have been initialised with the callback that will call dial_on_event(). The owner
 * makes the second try: see dial_other_way(). */
enum dial_step dial_begin(struct dial *d, struct stream *st, const struct dial_target *to,
			  enum dial_way way);
/* To be called on each event of the stream until READY or FAILED, which are final. */
enum dial_step dial_on_event(struct dial *d, short what);
/* Whether sslmode allows another try the other way after a refusal or a failure of TLS: allow
 * begins without TLS, prefer with it (libpq's meaning). */
bool dial_other_way(const struct dial *d, enum dial_way *way);

#endif
