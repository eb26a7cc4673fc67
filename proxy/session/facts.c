/* SPDX-License-Identifier: PostgreSQL
 *
 * What SHOW shows of a session: nothing is kept for it that the session does not need itself.
 */
#include "config.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"
#include "proxy/session/session_int.h"
#include "routing/topology.h"

static const char *
state_label(const struct session *s)
{
	const char *doing = observers_doing(s);

	if (doing != NULL)
		return doing;
	if (s->state == SESSION_RELAY || s->state == SESSION_SQL)
		return exchange_activity_name(exchange_activity(&s->exchange));
	return session_state_row((enum session_state)s->state)->label;
}

/* Why the session cannot be moved to another node now. */
static const char *
move_block(const struct session *s)
{
	const char *why;

	if (!session_ops.can_move(s, &why))
		return why;
	if (!exchange_is_idle(&s->exchange) || settings_hold(s))
		return exchange_activity_name(exchange_activity(&s->exchange));
	return "";
}

static int64_t
wall_of(int64_t monotonic_us)
{
	return clock_wall_us() - (clock_us() - monotonic_us);
}

static struct slice
endpoint_of(const struct session *s)
{
	for (unsigned i = 0; i < s->claims.n; i++) {
		struct claim c = claims_get(&s->claims, i);

		if (c.kind == CLAIM_ENDPOINT)
			return c.value;
	}
	return slice_of("", 0);
}

static const char *
transport_of(const struct session *s)
{
	const char *transport = s->http != NULL ? session_ops.http_transport(s) : NULL;

	if (transport != NULL)
		return transport;
	return s->peer.family == ADDR_UNIX ? "unix" : "tcp";
}

/* A session that is parked is at home where its next transaction goes, as far as is known. */
const struct node_live *
session_place(const struct session *s)
{
	return s->server != NULL ? s->server->live : observers_place(s);
}

void
session_facts(const struct session *s, bool deep, struct session_facts *out)
{
	const struct config *config = s->worker->world->config;
	const struct node_live *place = session_place(s);

	*out = (struct session_facts){
		.id = s->id,
		.worker = s->worker->id,
		.database = session_name(s, NAME_DATABASE),
		.user = session_name(s, NAME_USER),
		.application_name = session_name(s, NAME_APPLICATION),
		.client_addr = s->peer,
		.true_addr = s->true_addr,
		.listener =
		    s->listener < config->nlisteners ? config->listeners[s->listener].name : "",
		.state = state_label(s),
		.city = session_name(s, NAME_CITY).p,
		.country = s->country,
		.source = (enum locality_source)s->source,
		.confidence = (enum confidence)s->confidence,
		.access = (enum access)s->access,
		.tls = stream_tls_version(&s->client),
		.auth = auth_method_words[(enum auth_method)s->auth_method],
		.hba_line = s->hba_line,
		.connected_at_us = wall_of(s->connected_at_us),
		.rx_bytes = s->rx_bytes,
		.tx_bytes = s->tx_bytes,
		.queries = s->exchange.simple + s->exchange.extended,
		.server_tls = "",
		.server_cipher = "",
		.client_rtt_us = -1,
		.server_rtt_us = -1,
		.move_block = move_block(s),
		.transport = transport_of(s),
		.target = s->http != NULL ? session_ops.http_target(s) : "",
		.endpoint = endpoint_of(s),
		.pooled = session_is_pooled(s),
		.console = s->state == SESSION_CONSOLE || s->state == SESSION_CONSOLE_LOGIN,
	};
	if (deep)
		out->client_rtt_us = stream_rtt_us(&s->client);
	if (place != NULL) {
		(void)text_copy(out->home, sizeof(out->home), slice_str(place->region));
		(void)text_copy(out->node, sizeof(out->node), slice_str(place->name));
	}
	if (s->server == NULL)
		return;
	out->server_pid = s->server->pid;
	out->server_tls = stream_tls_version(&s->server->stream);
	out->server_cipher = stream_tls_cipher(&s->server->stream);
	if (deep)
		out->server_rtt_us = stream_rtt_us(&s->server->stream);
}

const struct claims *
session_claims(const struct session *s)
{
	return &s->claims;
}

size_t
session_history(const struct session *s, struct session_step *out, size_t max)
{
	unsigned kept = s->marks < SESSION_HISTORY ? s->marks : SESSION_HISTORY;
	int64_t begin = wall_of(s->connected_at_us);
	size_t n = 0;

	for (unsigned i = (unsigned)(s->marks - kept); i < s->marks && n < max; i++) {
		unsigned mark = i % SESSION_HISTORY;
		uint8_t why = s->past.why[mark];

		out[n++] = (struct session_step){
			.at_us = begin + s->past.at_ms[mark] * USEC_PER_MSEC,
			.state = session_state_row((enum session_state)s->past.state[mark])->label,
			.note = why != WHY_NONE ? why_get((enum why)why)->counter : "",
		};
	}
	return n;
}

struct session *
session_by_id(const struct worker *w, uint64_t id)
{
	for (uint32_t i = 0; i < w->nslots; i++) {
		if (w->slots[i] != NULL && w->slots[i]->id == id)
			return w->slots[i];
	}
	return NULL;
}
