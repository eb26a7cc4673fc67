/* SPDX-License-Identifier: PostgreSQL
 *
 * What hba_file, or auth = cert, says about a session: which line applies to it, and whether its
 * certificate or its socket is what that line asks for. If the line's method has a password, that
 * is checked afterwards (authenticate.h). A refused client is told so in PostgreSQL's words, with
 * SQLSTATE 28000; only the log says which line it was, and what a certificate contains.
 */
#include "config.h"

#include "proxy/login/authenticate.h"

#include <pwd.h>

#include "base/bug.h"
#include "base/text.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/hba.h"
#include "proxy/auth/ident.h"
#include "proxy/config/hbaload.h"
#include "proxy/net/sock.h"
#include "proxy/net/tlscert.h"
#include "proxy/process/world.h"
#include "proxy/session/login_state.h"
#include "proxy/session/session_int.h"

#define PASSWD_BYTES   4096
#define NAME_SHOWN_MAX 100

/* The rules of auth = cert, with a file of maps and without one. */
static const struct hba_rule cert_rule = {
	.type = HBA_HOSTSSL,
	.method = HBA_CERT,
	.clientcert = HBA_CERT_VERIFY_FULL,
};
static const struct hba_rule cert_rule_with_map = {
	.type = HBA_HOSTSSL,
	.method = HBA_CERT,
	.clientcert = HBA_CERT_VERIFY_FULL,
	.map = HBALOAD_CERT_MAP,
};

enum auth_method
hbarule_method(const struct hba_rule *rule)
{
	static const enum auth_method methods[] = {
		[HBA_TRUST] = METHOD_TRUST,       [HBA_REJECT] = METHOD_REJECT,
		[HBA_SCRAM] = METHOD_SCRAM,       [HBA_MD5] = METHOD_MD5,
		[HBA_PASSWORD] = METHOD_PASSWORD, [HBA_CERT] = METHOD_CERT,
		[HBA_PEER] = METHOD_PEER,
	};

	return methods[rule->method];
}

/* The client's own address, as far as a trusted peer has told it. The client of a balancer that
 * connects by a unix socket is not local to this host. */
static const struct addr *
client_of(const struct session *s)
{
	bool is_ip = s->true_addr.family == ADDR_IPV4 || s->true_addr.family == ADDR_IPV6;

	return is_ip ? &s->true_addr : &s->peer;
}

/* The client's TLS, which may lie below a WebSocket. */
static const struct ssl_st *
tls_of(const struct session *s)
{
	if (s->client.ssl != NULL || s->client.ws == NULL)
		return s->client.ssl;
	return websocket_tls(s->client.ws);
}

/* ---- refusals ---- */

/* The text 'host "192.0.2.1", user "u", database "d", no encryption' follows `words`. */
static void
refuse_entry(struct session *s, const char *words, const char *replication_words)
{
	const struct startup *st = login_startup(s->login);
	const struct addr *client = client_of(s);
	bool physical = st->replication == REPLICATION_PHYSICAL;
	const char *tls = stream_is_encrypted(&s->client) ? "SSL encryption" : "no encryption";
	struct buf b = { .cap = 4096 };
	char ip[ADDR_TEXT_MAX];
	struct err e;

	buf_printf(&b, "%s host \"%s\", user \"%.*s\"", physical ? replication_words : words,
		   client->family == ADDR_UNIX ? "[local]" : addr_print_ip(client, ip),
		   (int)(st->user.n < NAME_SHOWN_MAX ? st->user.n : NAME_SHOWN_MAX), st->user.p);
	if (!physical)
		buf_printf(&b, ", database \"%.*s\"",
			   (int)(st->database.n < NAME_SHOWN_MAX ? st->database.n : NAME_SHOWN_MAX),
			   st->database.p);
	err_set(&e, SQLSTATE_INVALID_AUTHORIZATION, "%s, %s", buf_text(&b), tls);
	err_detail(&e, "This is the hba_file of the proxy, not that of the server.");
	session_close_err(s, WHY_AUTH_FAILED, &e);
	buf_fini(&b);
}

static void
refuse(struct session *s, const char *what)
{
	struct slice user = login_startup(s->login)->user;
	struct err e;

	err_set(&e, SQLSTATE_INVALID_AUTHORIZATION, "%s authentication failed for user \"%.*s\"",
		what, (int)(user.n < NAME_SHOWN_MAX ? user.n : NAME_SHOWN_MAX), user.p);
	session_close_err(s, WHY_AUTH_FAILED, &e);
}

static void
log_rule(const struct session *s, const struct hba_rule *rule, const char *why)
{
	if (rule->file != NULL)
		log_limited(LOG_LEVEL_INFO, session_subject(s), "login refused: %s (%s:%u)", why,
			    rule->file, rule->line);
	else
		log_limited(LOG_LEVEL_INFO, session_subject(s), "login refused: %s", why);
}

/* ---- proofs ---- */

static bool
is_allowed(const struct session *s, const struct hba_rule *rule, struct slice name)
{
	const struct login *l = s->login;
	struct buf b = { .cap = 4096 };

	if (ident_allows(l->world->config->ident, rule->map, name, login_startup(l)->user))
		return true;
	if (rule->map != NULL)
		buf_printf(&b, "map \"%s\" does not let ", rule->map);
	text_put_safe(&b, name, NAME_SHOWN_MAX);
	buf_str(&b, rule->map != NULL ? " be this user" : " is not this user");
	log_rule(s, rule, buf_text(&b));
	buf_fini(&b);
	return false;
}

/* Whether the certificate was issued to the user. */
static bool
names_user(struct session *s, const struct hba_rule *rule)
{
	struct buf name = { .cap = IDENT_NAME_MAX };
	bool named = rule->clientname == HBA_NAME_DN ? tlscert_put_dn(tls_of(s), &name)
						     : tlscert_put_cn(tls_of(s), &name);
	bool allowed = named && is_allowed(s, rule, buf_view(&name));

	if (!named)
		log_rule(s, rule, "the client certificate contains no user name");
	if (!allowed)
		refuse(s, "certificate");
	buf_fini(&name);
	return allowed;
}

static bool
certificate_fits(struct session *s, const struct hba_rule *rule)
{
	struct err e;

	if (rule->clientcert == HBA_CERT_ANY)
		return true;
	if (!tlscert_is_there(tls_of(s))) {
		log_rule(s, rule, "no client certificate");
		err_set(&e, SQLSTATE_INVALID_AUTHORIZATION,
			"connection requires a valid client certificate");
		session_close_err(s, WHY_AUTH_FAILED, &e);
		return false;
	}
	return rule->clientcert == HBA_CERT_VERIFY_CA || names_user(s, rule);
}

/* Whether the operating-system user at the other end is the one wanted. A connection that speaks
 * HTTP may have come through a proxy on its own host, whose user proves nothing. */
static bool
peer_fits(struct session *s, const struct hba_rule *rule)
{
	char bytes[PASSWD_BYTES];
	struct passwd entry, *found = NULL;
	unsigned uid;
	bool allowed;

	if (rule->method != HBA_PEER)
		return true;
	if (s->peer.family == ADDR_UNIX && s->http == NULL && sock_peer_uid(s->client.fd, &uid) &&
	    getpwuid_r(uid, &entry, bytes, sizeof(bytes), &found) != 0)
		found = NULL;
	if (found == NULL)
		log_rule(s, rule, "the system does not name the user of the other end");
	allowed = found != NULL && is_allowed(s, rule, slice_str(entry.pw_name));
	if (!allowed)
		refuse(s, "Peer");
	return allowed;
}

/* ---- the rule ---- */

const struct hba_rule *
hbarule_enter(struct session *s, enum auth_method method)
{
	const struct config *c = s->login->world->config;
	const struct hba_rule *rule;
	const struct startup *st = login_startup(s->login);
	const struct hba_question q = {
		.database = st->database,
		.user = st->user,
		.client = client_of(s),
		.tls = stream_is_encrypted(&s->client),
		.physical = st->replication == REPLICATION_PHYSICAL,
	};

	BUG_ON(method != METHOD_CERT && (method != METHOD_HBA || c->hba == NULL));
	if (method == METHOD_CERT)
		rule = c->ident != NULL ? &cert_rule_with_map : &cert_rule;
	else
		rule = hba_match(s->login->world->config->hba, &q);
	if (rule == NULL) {
		log_limited(LOG_LEVEL_INFO, session_subject(s),
			    "login refused: no line of hba_file fits");
		refuse_entry(s, "no pg_hba.conf entry for",
			     "no pg_hba.conf entry for replication connection from");
		return NULL;
	}
	if (rule->method == HBA_REJECT) {
		log_rule(s, rule, "rejected");
		refuse_entry(s, "pg_hba.conf rejects connection for",
			     "pg_hba.conf rejects replication connection for");
		return NULL;
	}
	return certificate_fits(s, rule) && peer_fits(s, rule) ? rule : NULL;
}
