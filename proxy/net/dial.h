/* SPDX-License-Identifier: PostgreSQL
 *
 * Dialling: from nothing to a connection on which a node will read a startup packet (or a cancel
 * request): TCP or unix connect over each address of the node, SSLRequest, TLS handshake, as the
 * region's sslmode says. A small machine driven by its owner's events; no timeouts of its own.
 */
#ifndef PROXY_NET_DIAL_H
#define PROXY_NET_DIAL_H

#include "proxy/config/config.h"
#include "proxy/net/stream.h"
#include "routing/topology.h"

struct tls_local;

/* With or without TLS: as the region's sslmode has it first, or the other way, for its second try.
 */
enum dial_way { DIAL_AS_CONFIGURED, DIAL_WITH_TLS, DIAL_WITHOUT_TLS };
enum dial_step { DIAL_CONNECT, DIAL_SSL_ASKED, DIAL_TLS, DIAL_READY, DIAL_FAILED };

/* Who is dialled, and how; all of it borrowed: it must outlive the dial. */
struct dial_target {
	const struct node *node;      /* host, port, addrs, live */
	const struct conf_main *conf; /* keepalive and its like */
	struct ssl_ctx_st *ctx;       /* NULL: no TLS */
	enum sslmode sslmode;
	uint64_t terms;     /* tlsset_terms() */
	struct slice first; /* while dial_begin() runs; empty unless dial_may_say() */
};

struct dial {
	struct stream *stream; /* the owner's; opened here */
	struct dial_target to;
	struct tls_local *tls;
	uint8_t next_addr;
	enum dial_way way;
	enum dial_step step;
	bool use_tls;
	bool said;          /* `first` has been; else it is the owner's to say when READY */
	bool our_fault;     /* no descriptor, no port: the node is not to blame */
	bool no_descriptor; /* … the former */
	bool tls_failed;    /* the handshake did, not the connection */
	char reason[200];   /* where it failed */
};

/* Whether the owner's first packet may go with the end of the TCP handshake: there is nothing that
 * is said before it. */
bool dial_may_say(const struct dial_target *to, enum dial_way way);
/* The stream must have been initialised with the callback that will call dial_on_event(). A second
 * try is the owner's business: see dial_other_way(). */
enum dial_step dial_begin(struct dial *d, struct stream *st, const struct dial_target *to,
			  enum dial_way way);
/* On each event of the stream until READY or FAILED; both are final. */
enum dial_step dial_on_event(struct dial *d, short what);
/* Whether sslmode lets the node be dialled the other way after a refusal or a failure of TLS: allow
 * begins without TLS, prefer with it (libpq's meaning). */
bool dial_other_way(const struct dial *d, enum dial_way *way);

#endif
