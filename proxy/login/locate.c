/* SPDX-License-Identifier: PostgreSQL
 *
 * Where a client is and where it goes: gathers the claims of a session, has its locality decided,
 * and asks for the route.
 */
#include "config.h"

#include "proxy/login/login_int.h"

#include <stdlib.h>

#include "base/hot.h"
#include "base/words.h"
#include "protocol/sqlstate.h"
#include "proxy/http/http.h"
#include "proxy/net/tlsctx.h"
#include "proxy/process/worker_int.h"
#include "proxy/reads/reads.h"
#include "routing/headers.h"
#include "routing/tlvs.h"

bool
locate_claim_name(struct session *s, struct slice name)
{
	const char *suffix = s->worker->world->config->listeners[s->listener].sni_suffix;
	size_t n;

	if (suffix == NULL || name.n == 0)
		return false;
	if (suffix[0] == '.')
		suffix++;
	n = strlen(suffix);
	if (name.n <= n + 1 || strncasecmp(name.p + name.n - n, suffix, n) != 0 ||
	    name.p[name.n - n - 1] != '.')
		return false;
	name.n -= n + 1;
	claims_drop(&s->claims, SOURCE_SNI);
	claims_add(&s->claims, SOURCE_SNI, CLAIM_NAME, false, name);
	return true;
}

void
locate_claim_tlvs(struct session *s, const struct proxyhdr *h)
{
	/* only trusted peers' headers are read, so they are believed (INV-16) */
	tlvs_claim(&s->worker->world->config->main.tlv, h, &s->claims);
	/* … except for the name, which the client itself has chosen */
	(void)locate_claim_name(s, h->authority);
}

void
locate_claim_headers(struct session *s, const struct http_head *h)
{
	const struct conf_main *conf = &s->worker->world->config->main;
	struct header_rules rules = { .names = &conf->header_names,
				      .trusted = &conf->trusted_proxies,
				      .hops = (unsigned)conf->trusted_hops };
	bool trusted = cidrlist_has(&conf->trusted_proxies, &s->hop);
	unsigned n = trusted ? 0 : headers_count(&rules, h);
	struct slice host = h->host;

	claims_drop(&s->claims, SOURCE_HEADER);
	s->true_addr = s->hop;
	headers_claim(&rules, h, trusted, &s->claims, &s->true_addr);
	/* the Host header of an earlier request does not count for this one; the name of the TLS
	 * handshake does */
	if (s->http->is_named) {
		claims_drop(&s->claims, SOURCE_SNI);
		if (s->client.ssl != NULL)
			(void)locate_claim_name(s, slice_str(tls_server_name(s->client.ssl)));
	}
	/* Host without its port; an address in brackets cannot be a name */
	s->http->is_named = locate_claim_name(s, slice_trim(slice_cut(&host, ':')));
	stat_add(&s->worker->stats.headers_ignored, n);
}

static bool
is_reads_setting(struct slice name)
{
	const char *known;

	for (size_t i = 0; (known = reads_setting_name(i)) != NULL; i++) {
		if (slice_is(name, known))
			return true;
	}
	return false;
}

/* Unknown names and wrong values get PostgreSQL's own errors: a client that misspells its city
 * would otherwise be routed anywhere, unnoticed. */
static void
refuse_setting(struct session *s, const struct startup_setting *set, bool known)
{
	struct buf hint = { .cap = 512 };
	struct err e;
	int n = (int)(set->name.n < 64 ? set->name.n : 64);

	if (known) {
		err_set(&e, SQLSTATE_INVALID_PARAMETER_VALUE,
			"invalid value for parameter \"meridian.%.*s\": \"%.*s\"", n, set->name.p,
			(int)(set->value.n < 64 ? set->value.n : 64), set->value.p);
		buf_str(&hint, "Available values: ");
		for (int i = 0; i <= ACCESS_PREFER_STANDBY; i++)
			buf_printf(&hint, "%s%s", i > 0 ? ", " : "", access_words[i]);
	} else {
		err_set(&e, SQLSTATE_UNDEFINED_OBJECT,
			"unrecognized configuration parameter \"meridian.%.*s\"", n, set->name.p);
		buf_str(&hint, "Available parameters: meridian.access");
		for (size_t i = 0; locate_setting_name(i) != NULL; i++)
			buf_printf(&hint, ", meridian.%s", locate_setting_name(i));
		for (size_t i = 0; reads_setting_name(i) != NULL; i++)
			buf_printf(&hint, ", meridian.%s", reads_setting_name(i));
	}
	err_hint(&e, "%s.", buf_text(&hint));
	buf_fini(&hint);
	session_close_err(s, WHY_BAD_SETTING, &e);
}

/* False: there is no such setting, or no such value. */
static bool
take_setting(struct session *s, const struct startup_setting *set, bool *known)
{
	const char *name;
	int access;

	*known = true;
	for (size_t i = 0; (name = locate_setting_name(i)) != NULL; i++) {
		if (slice_is(set->name, name)) {
			claims_add(&s->claims, SOURCE_STARTUP,
				   (enum claim_kind)locate_setting(set->name), false, set->value);
			return true;
		}
	}
	*known = slice_is(set->name, "access");
	access = *known ? words_find(access_words, set->value) : -1;
	if (access >= 0)
		s->login->access = (enum access)access;
	return access >= 0;
}

/* Of a setting of reads nearby. */
static bool
check_reads(struct session *s, struct slice name, struct slice value)
{
	struct err e;

	s->login->reads_nearby = s->login->database->pool == POOL_TRANSACTION;
	if (reads_set(s, name, value, false, &e) == 0)
		return true;
	session_close_err(s, WHY_BAD_SETTING, &e);
	return false;
}

static bool
claim_token(struct session *s)
{
	const char *token = http_token(s);

	if (token == NULL)
		return true;
	s->login->token = token;
	return check_reads(s, SLICE_LITERAL("token"), slice_str(token));
}

static HOT bool
claim_settings(struct session *s)
{
	struct login *l = s->login;
	struct startup_setting set[32];
	size_t n = startup_settings(login_startup(l), &l->text, set, 32);
	bool known;

	l->reads_nearby = l->database->reads != READS_HOME;
	if (UNLIKELY(s->http != NULL) && !claim_token(s))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (is_reads_setting(set[i].name)) {
			if (!check_reads(s, set[i].name, set[i].value))
				return false;
		} else if (!take_setting(s, &set[i], &known)) {
			refuse_setting(s, &set[i], known);
			return false;
		}
	}
	return true;
}

/* Comes before the client's own claims, which therefore cannot crowd it out. */
static HOT void
claim_address(struct session *s)
{
	char address[ADDR_TEXT_MAX];

	claims_drop(&s->claims, SOURCE_GEOIP);
	if (s->true_addr.family == ADDR_IPV4 || s->true_addr.family == ADDR_IPV6)
		claims_add(&s->claims, SOURCE_GEOIP, CLAIM_ADDRESS, true,
			   slice_str(addr_print_ip(&s->true_addr, address)));
}

void
locate_claim_console(struct session *s)
{
	struct login *l = s->login;
	struct startup_setting set[32];
	size_t n = startup_settings(login_startup(l), &l->text, set, 32);
	bool known;

	l->access = config_database(l->world->config, login_startup(l)->database)->access;
	claim_address(s);
	for (size_t i = 0; i < n; i++)
		(void)take_setting(s, &set[i], &known);
	s->access = (uint8_t)l->access;
}

HOT bool
locate_session(struct session *s)
{
	struct login *l = s->login;
	const struct startup *st = login_startup(l);
	struct locality_input in;
	struct slice names[NAME_COUNT];

	l->database = config_database(l->world->config, st->database);
	l->access = l->database->access;
	claim_address(s);
	if (!claim_settings(s))
		return false;
	if (l->through != NULL)
		l->access = ACCESS_PRIMARY;
	locate_input(s, l->world, l->database->residency == RESIDENCY_STRICT, &in);
	for (unsigned i = 0; i < s->claims.n; i++) {
		struct claim c = claims_get(&s->claims, i);

		locate_count_claim(s, &c, in.strict);
	}
	locality_decide(&in, &l->locality, NULL, NULL);
	locate_note(s, &l->locality);
	s->access = (uint8_t)l->access;
	names[NAME_USER] = st->user;
	names[NAME_DATABASE] = st->database;
	names[NAME_APPLICATION] = st->application_name;
	names[NAME_CITY] = slice_str(l->locality.city);
	session_set_names(s, names);
	return true;
}
