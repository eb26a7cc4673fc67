/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/suggest.h"
#include "base/text.h"
#include "proxy/config/values.h"
#include "routing/places.h"
#include "routing/sightings.h"

#define DEFAULT_PORT 6433

struct check {
	struct config *c;
	const struct origins *origins;
	bool files;
	struct err *err;
};

/* What a complaint is about: a section, and an option of it or NULL. */
struct spot {
	enum section_kind kind;
	size_t index;
	const char *option;
};

static const struct option *
spot_option(struct spot at)
{
	enum section_kind kind = at.kind;

	return at.option != NULL ? option_find(&kind, slice_str(at.option)) : NULL;
}

/* "meridian.conf:12: ", or where it is not in the file, "[region us-east1]: ". */
static void
put_spot(const struct check *k, struct spot at, struct buf *b)
{
	const struct section *s = section_of(at.kind);
	const char *name = config_section_name(k->c, at.kind, at.index);
	int line = 0;

	if (k->origins != NULL && k->origins->file != NULL) {
		line = origins_line(k->origins, at.kind, at.index, spot_option(at));
		if (line == 0)
			line = origins_line(k->origins, at.kind, at.index, NULL);
		buf_printf(b, "%s:", k->origins->file);
		if (line > 0)
			buf_printf(b, "%d:", line);
		buf_u8(b, ' ');
	}
	if (at.kind == SECTION_LISTENER && at.index == 0)
		buf_str(b, "[meridian]: ");
	else
		buf_printf(b, "[%s%s%s]: ", s->word, name[0] != '\0' ? " " : "", name);
}

static int refuse(const struct check *k, struct spot at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void warn(const struct check *k, struct spot at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int
refuse(const struct check *k, struct spot at, const char *fmt, ...)
{
	struct buf b = { .cap = 0 };
	va_list ap;

	put_spot(k, at, &b);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	err_set(k->err, "F0000", "%s", buf_text(&b));
	buf_fini(&b);
	return -1;
}

static void
warn(const struct check *k, struct spot at, const char *fmt, ...)
{
	struct buf b = { .cap = 0 };
	va_list ap;

	/* SET does not warn of what was so before */
	if (k->origins == NULL)
		return;
	put_spot(k, at, &b);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	log_msg(LOG_LEVEL_WARNING, "%s", buf_text(&b));
	buf_fini(&b);
}

/* ---- values that follow from others ---- */

/* The port of the first address in `listen`; 0: there are only unix sockets. */
static int
first_port(const struct conf_listener *l)
{
	for (size_t i = 0; i < l->listen.n; i++) {
		if (l->listen.v[i][0] != '/')
			return atoi(strrchr(l->listen.v[i], ':') + 1);
	}
	return 0;
}

/* A client that knows the port of an address can name the unix socket beside it. */
static int
socket_port(const struct config *c, const struct conf_listener *l)
{
	int port = c->main.listen_port != 0 ? c->main.listen_port : first_port(l);

	for (size_t i = 0; port == 0 && i < c->nlisteners; i++)
		port = first_port(&c->listeners[i]);
	return port != 0 ? port : DEFAULT_PORT;
}

static void
resolve_listener(struct conf_listener *l, int port)
{
	static const enum tri_mode modes[] = { MODE_OFF, MODE_OFF, MODE_ALLOW, MODE_REQUIRE };

	for (size_t i = 0; i < l->listen.n; i++) {
		char *bare = l->listen.v[i];
		const char *colon = strrchr(bare, ':'), *bracket = strrchr(bare, ']');
		bool has_port = colon != NULL && (bracket == NULL || colon > bracket);

		if (bare[0] == '/' || has_port)
			continue;
		l->listen.v[i] = xasprintf("%s:%d", bare, port);
		free(bare);
	}
	l->tls = modes[l->tls_choice];
	if (l->tls_choice == TLS_AUTO && l->tls_cert_file != NULL)
		l->tls = MODE_ALLOW;
}

int
config_region(const struct config *c, struct slice name)
{
	struct slice bare = places_strip_provider(name);
	int found = config_find_section(c, SECTION_REGION, name);

	for (size_t i = 0; found < 0 && i < c->nregions; i++) {
		struct slice other = places_strip_provider(slice_str(c->regions[i].name));

		if (other.n == bare.n && strncasecmp(other.p, bare.p, bare.n) == 0)
			found = (int)i;
	}
	return found;
}

void
config_resolve(struct config *c)
{
	struct conf_main *m = &c->main;

	m->stale_after = m->stale_after_set > 0 ? m->stale_after_set : 3 * m->probe_interval;
	for (size_t i = 0; i < c->nlisteners; i++)
		resolve_listener(&c->listeners[i],
				 m->listen_port != 0 ? m->listen_port : DEFAULT_PORT);
	for (size_t i = 0; i < c->nlisteners; i++)
		c->listeners[i].socket_port = socket_port(c, &c->listeners[i]);
	for (size_t i = 0; i < c->nregions; i++) {
		struct conf_region *r = &c->regions[i];

		if (!r->has_location)
			r->has_location = places_region(slice_str(r->name), &r->lat, &r->lon);
	}
	/* names of regions become the names of the sections ("us-east1" → "gcp-us-east1") */
	for (size_t i = 0; i < c->ndatabases; i++) {
		struct strlist *names = &c->databases[i].regions;

		for (size_t j = 0; j < names->n; j++) {
			int region = config_region(c, slice_str(names->v[j]));

			if (region < 0)
				continue;
			free(names->v[j]);
			names->v[j] = xstrdup(c->regions[region].name);
		}
	}
}

/* ---- values that contradict each other ---- */

static int
check_file(const struct check *k, struct spot at, const char *path)
{
	struct stat st;
	bool is_file;
	int fd;

	if (path == NULL || !k->files)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return refuse(k, at, "option \"%s\": could not open \"%s\": %s", at.option,
			      quote(slice_str(path)).text, strerror(errno));
	is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	close(fd);
	/* opening a pipe or a device later could block for ever */
	if (!is_file)
		return refuse(k, at, "option \"%s\": \"%s\" is not a regular file", at.option,
			      quote(slice_str(path)).text);
	return 0;
}

/* Two options that only make sense together. */
static int
check_pair(const struct check *k, struct spot at, const char *value, const char *partner,
	   const char *partner_value)
{
	if (value != NULL && partner_value == NULL)
		return refuse(k, at, "option \"%s\" needs option \"%s\" beside it", at.option,
			      partner);
	return 0;
}

static bool
is_wildcard(const char *listen)
{
	return listen[0] == '*' || strncmp(listen, "0.0.0.0:", 8) == 0 ||
	       strncmp(listen, "[::]:", 5) == 0;
}

/* Whether two addresses cannot both be listened on: the same address, or two names of all
 * addresses. */
static bool
listens_clash(const char *a, const char *b)
{
	if (strcmp(a, b) == 0)
		return true;
	return (a[0] == '*' || b[0] == '*') && is_wildcard(a) && is_wildcard(b) &&
	       strcmp(strrchr(a, ':'), strrchr(b, ':')) == 0;
}

static int
check_listen(const struct check *k, size_t index, const char *listen)
{
	struct spot at = { SECTION_LISTENER, index, "listen" };

	for (size_t i = 0; i <= index; i++) {
		const struct conf_listener *other = &k->c->listeners[i];

		for (size_t j = 0; j < other->listen.n; j++) {
			const char *o = other->listen.v[j];

			if (o == listen)
				return 0;
			if (listens_clash(o, listen))
				return refuse(
				    k, at,
				    "\"%s\" is listened on already, by listener \"%s\" as "
				    "\"%s\"",
				    listen, other->name, o);
		}
	}
	return 0;
}

static int
check_listener(const struct check *k, size_t index)
{
	const struct conf_listener *l = &k->c->listeners[index];
	struct spot here = { SECTION_LISTENER, index, NULL };
	struct spot cert = { SECTION_LISTENER, index, "tls_cert_file" };
	struct spot key = { SECTION_LISTENER, index, "tls_key_file" };
	struct spot ca = { SECTION_LISTENER, index, "tls_ca_file" };
	struct spot tls = { SECTION_LISTENER, index, "tls" };

	if (l->listen.n == 0 && (index > 0 || k->c->nlisteners == 1))
		return refuse(k, here, "option \"listen\" is missing: nothing to listen on");
	for (size_t i = 0; i < l->listen.n; i++) {
		if (check_listen(k, index, l->listen.v[i]) < 0)
			return -1;
	}
	if ((l->tls_choice == TLS_ALLOW || l->tls_choice == TLS_REQUIRE) &&
	    l->tls_cert_file == NULL)
		return refuse(k, tls, "tls = %s needs option \"tls_cert_file\"",
			      tri_mode_words[l->tls]);
	if (check_pair(k, cert, l->tls_cert_file, "tls_key_file", l->tls_key_file) < 0 ||
	    check_pair(k, key, l->tls_key_file, "tls_cert_file", l->tls_cert_file) < 0 ||
	    check_pair(k, ca, l->tls_ca_file, "tls_cert_file", l->tls_cert_file) < 0)
		return -1;
	if (check_file(k, cert, l->tls_cert_file) < 0 || check_file(k, key, l->tls_key_file) < 0 ||
	    check_file(k, ca, l->tls_ca_file) < 0)
		return -1;
	if (l->proxy_protocol != MODE_OFF && k->c->main.trusted_proxies.n == 0)
		warn(k, (struct spot){ SECTION_LISTENER, index, "proxy_protocol" },
		     "trusted_proxies is empty, so what PROXY headers say will not count");
	if (l->metrics && !l->http)
		warn(k, (struct spot){ SECTION_LISTENER, index, "metrics" },
		     "metrics = on does nothing without http = on");
	return 0;
}

/* A node in two regions is probed and counted twice: that is legal, for tests. */
static void
check_node(const struct check *k, size_t index, const char *node)
{
	struct spot at = { SECTION_REGION, index, "nodes" };

	for (size_t i = 0; i < index; i++) {
		const struct conf_region *other = &k->c->regions[i];

		for (size_t j = 0; j < other->nodes.n; j++) {
			if (strcmp(other->nodes.v[j], node) == 0)
				warn(k, at, "node \"%s\" also stands in region \"%s\"", node,
				     other->name);
		}
	}
}

static int
check_region_tls(const struct check *k, size_t index)
{
	const struct conf_region *r = &k->c->regions[index];
	struct spot root = { SECTION_REGION, index, "sslrootcert" };
	struct spot patroni = { SECTION_REGION, index, "patroni_ca_file" };
	struct spot cert = { SECTION_REGION, index, "sslcert" };
	struct spot key = { SECTION_REGION, index, "sslkey" };

	if (r->sslmode >= SSLMODE_VERIFY_CA && r->sslrootcert == NULL)
		return refuse(k, (struct spot){ SECTION_REGION, index, "sslmode" },
			      "sslmode = %s needs option \"sslrootcert\"",
			      sslmode_words[r->sslmode]);
	if (r->channel_binding == BINDING_REQUIRE && r->sslmode < SSLMODE_REQUIRE)
		return refuse(k, (struct spot){ SECTION_REGION, index, "channel_binding" },
			      "channel_binding = require needs sslmode = require or stricter");
	if (check_pair(k, cert, r->sslcert, "sslkey", r->sslkey) < 0 ||
	    check_pair(k, key, r->sslkey, "sslcert", r->sslcert) < 0)
		return -1;
	if (check_file(k, patroni, r->patroni_ca_file) < 0)
		return -1;
	if (check_file(k, root, r->sslrootcert) < 0 || check_file(k, cert, r->sslcert) < 0)
		return -1;
	return check_file(k, key, r->sslkey);
}

/* Whether any region has nodes that are asked for others. */
static bool
discovers(const struct config *c)
{
	for (size_t i = 0; i < c->nregions; i++)
		if ((c->regions[i].nodes.n > 0 || c->regions[i].patroni_api.n > 0) &&
		    discover_bits(&c->regions[i].discover) != 0)
			return true;
	return false;
}

static int
check_locality_map(const struct check *k)
{
	const struct strlist *map = &k->c->main.locality_map;
	struct spot at = { SECTION_MERIDIAN, 0, "locality_map" };

	for (size_t i = 0; i < map->n; i++) {
		const char *region = strchr(map->v[i], '=') + 1;
		bool known = false;

		for (size_t j = 0; j < k->c->nregions && !known; j++)
			known = strcasecmp(k->c->regions[j].name, region) == 0;
		if (!known)
			return refuse(k, at, "there is no region \"%s\"", region);
	}
	return 0;
}

static void
check_discover(const struct check *k, size_t index, unsigned discover)
{
	const struct conf_region *r = &k->c->regions[index];
	struct spot at = { SECTION_REGION, index, "discover" }, api = at;

	api.option = "patroni_api";
	if ((discover & ~DISCOVER_BIT(DISCOVER_PATRONI)) != 0 && k->c->main.probe_conninfo == NULL)
		warn(k, at, "discover does nothing without probe_conninfo");
	if (r->patroni_api.n > 0 && (discover & DISCOVER_BIT(DISCOVER_PATRONI)) == 0)
		warn(k, api, "patroni_api does nothing without discover = patroni");
}

static int
check_region(const struct check *k, size_t index)
{
	const struct conf_region *r = &k->c->regions[index];
	struct spot here = { SECTION_REGION, index, NULL };

	if (r->nodes.n == 0 && !discovers(k->c))
		return refuse(k, here,
			      "option \"nodes\" is missing: a region needs at least one node");
	check_discover(k, index, discover_bits(&r->discover));
	for (size_t i = 0; i < r->nodes.n; i++)
		check_node(k, index, r->nodes.v[i]);
	if (!r->has_location)
		warn(k, here,
		     "no location, and the name is not that of a known cloud region: only callers "
		     "from its cities, countries and networks will find it near");
	return check_region_tls(k, index);
}

static int
unknown_region(const struct check *k, struct spot at, const char *name)
{
	struct suggestion near = { .word = slice_str(name) };

	for (size_t i = 0; i < k->c->nregions; i++)
		suggest_offer(&near, k->c->regions[i].name);
	if (near.best != NULL)
		return refuse(k, at, "option \"%s\": unknown region \"%s\" (did you mean \"%s\"?)",
			      at.option, quote(slice_str(name)).text, near.best);
	return refuse(k, at, "option \"%s\": unknown region \"%s\"", at.option,
		      quote(slice_str(name)).text);
}

/* Whether header_names has its default. */
static bool
headers_are_default(const struct check *k)
{
	struct spot at = { SECTION_MERIDIAN, 0, "header_names" };
	const struct option *o = spot_option(at);
	struct buf text = { .cap = 0 };
	bool same;

	value_print(o, &k->c->main, false, &text);
	same = strcmp(buf_text(&text), o->fallback) == 0;
	buf_fini(&text);
	return same;
}

/* Secrets to check passwords against are needed, or a listener that asks for certificates. */
static int
check_auth(const struct check *k, struct spot at, enum auth_method method)
{
	const struct conf_main *m = &k->c->main;

	at.option = "auth";
	if ((method == METHOD_SCRAM || method == METHOD_MD5) && m->auth_file == NULL &&
	    m->auth_conninfo == NULL)
		return refuse(k, at,
			      "auth = %s needs option \"auth_file\", or \"auth_conninfo\" for "
			      "auth_query",
			      auth_method_words[method]);
	if (method == METHOD_HBA && m->hba_file == NULL)
		return refuse(k, at, "auth = hba needs option \"hba_file\"");
	if (method == METHOD_CERT && !config_asks_for_certificates(k->c))
		return refuse(k, at, "auth = cert needs option \"tls_ca_file\" of a listener");
	return 0;
}

/* A query without its parameter would fail at each login. */
static int
check_query(const struct check *k, struct spot at, const char *query)
{
	at.option = "auth_query";
	if (query == NULL || strstr(query, "$1") != NULL)
		return 0;
	return refuse(k, at, "option \"auth_query\" must have the user's name in it, as $1");
}

/* A session that reads nearby changes its server between transactions. */
static int
check_reads(const struct check *k, struct spot at, const struct conf_database *d)
{
	if (d->reads == READS_HOME)
		return 0;
	at.option = "reads";
	if (d->pool != POOL_TRANSACTION)
		return refuse(k, at, "reads = %s needs pool = transaction",
			      reads_mode_words[d->reads]);
	if (k->c->main.probe_conninfo == NULL)
		warn(k, at, "without probe_conninfo it is not known which standbys can be read");
	return 0;
}

static int
check_database(const struct check *k, size_t index)
{
	const struct conf_database *d = &k->c->databases[index];
	struct spot at = { SECTION_DATABASE, index, "regions" };
	bool http = false;
	for (size_t i = 0; i < d->regions.n; i++) {
		if (config_region(k->c, slice_str(d->regions.v[i])) < 0)
			return unknown_region(k, at, d->regions.v[i]);
	}
	for (size_t i = 0; i < k->c->nlisteners; i++)
		http = http || k->c->listeners[i].http;
	/* a load balancer may merely have passed on such a header from its client */
	at.option = "residency";
	if (d->residency == RESIDENCY_STRICT && http && k->c->main.trusted_proxies.n > 0 &&
	    headers_are_default(k))
		warn(k, at,
		     "with residency = strict, set header_names to the headers that your load "
		     "balancer sets: clients can send the others through it");
	/* where the node authenticates the client, the connection cannot be given to another one */
	at.option = "pool";
	if (d->pool != POOL_OFF && config_auth(k->c, d) == METHOD_PASSTHROUGH)
		return refuse(k, at,
			      "pool = %s needs an auth other than passthrough: the proxy must know "
			      "by itself who a client is",
			      pool_mode_words[d->pool]);
	if (check_reads(k, at, d) != 0 || check_query(k, at, d->auth_query) != 0)
		return -1;
	at.option = "auth_query";
	if (d->auth_query != NULL && k->c->main.auth_conninfo == NULL)
		warn(k, at, "without auth_conninfo auth_query is not asked");
	return check_auth(k, at, d->auth);
}

/* Two options that give one type of TLV different meanings. */
static int
check_tlvs(const struct check *k)
{
	const struct tlv_rules *t = &k->c->main.tlv;
	const struct {
		const char *option;
		int type;
	} all[] = {
		{ "tlv_city", t->city },       { "tlv_location", t->location },
		{ "tlv_country", t->country }, { "tlv_region", t->region },
		{ "tlv_pairs", t->pairs },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct spot at = { SECTION_MERIDIAN, 0, all[i].option };

		for (size_t j = 0; j < i; j++) {
			if (all[i].type != 0 && all[i].type == all[j].type)
				return refuse(k, at, "option \"%s\": 0x%02x is %s already",
					      all[i].option, (unsigned)all[i].type, all[j].option);
		}
	}
	return 0;
}

/* A fleet needs a number for each proxy, and a key by which proxies trust each other. */
static int
check_fleet(const struct check *k)
{
	const struct conf_main *m = &k->c->main;
	struct spot peers = { SECTION_MERIDIAN, 0, "peers" };
	struct spot keys = { SECTION_MERIDIAN, 0, "fleet_key_file" };

	if (m->fleet_key_file != NULL && m->peer_id == 0)
		return refuse(k, keys,
			      "option \"fleet_key_file\" needs option \"peer_id\" beside it");
	if (m->peers.n > 0 &&
	    check_pair(k, peers, m->peers.v[0], "fleet_key_file", m->fleet_key_file) < 0)
		return -1;
	for (size_t i = 0; i < m->peers.n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (atoi(m->peers.v[i]) == atoi(m->peers.v[j]))
				return refuse(k, peers, "option \"peers\": there are two peers %d",
					      atoi(m->peers.v[i]));
		}
	}
	return check_file(k, keys, m->fleet_key_file);
}

static int
check_main(const struct check *k)
{
	const struct conf_main *m = &k->c->main;
	struct spot region = { SECTION_MERIDIAN, 0, "region" };
	struct spot users = { SECTION_MERIDIAN, 0, "auth_file" };
	double lat, lon;

	if (m->region != NULL && config_region(k->c, slice_str(m->region)) < 0 &&
	    !places_region(slice_str(m->region), &lat, &lon))
		return unknown_region(k, region, m->region);
	if (m->admin_users.n + m->stats_users.n + m->migration_users.n > 0 && m->auth_file == NULL)
		warn(k, users,
		     "admin_users, migration_users and stats_users have no secrets without "
		     "auth_file: they cannot open the console over TCP");
	if (check_auth(k, users, m->auth) < 0 || check_query(k, users, m->auth_query) < 0 ||
	    check_fleet(k) < 0)
		return -1;
	return check_tlvs(k);
}

int
config_check(struct config *c, const struct origins *origins, bool files, struct err *e)
{
	struct check k = { c, origins, files, e };

	if (c->nregions == 0) {
		err_set(e, "F0000", "%s%sno region is configured: at least one is required",
			origins != NULL && origins->file != NULL ? origins->file : "",
			origins != NULL && origins->file != NULL ? ": " : "");
		err_hint(e, "Write a section [region NAME] with nodes = HOST:PORT, or give "
			    "--region NAME=HOST:PORT.");
		return -1;
	}
	if (c->nregions > ROUTE_REGIONS_MAX)
		return err_set(e, "F0000",
			       "%zu regions are configured, but at most %d are possible",
			       c->nregions, ROUTE_REGIONS_MAX);
	if (check_main(&k) < 0)
		return -1;
	for (size_t i = 0; i < c->nlisteners; i++) {
		if (check_listener(&k, i) < 0)
			return -1;
	}
	if (check_locality_map(&k) < 0)
		return -1;
	for (size_t i = 0; i < c->nregions; i++) {
		if (check_region(&k, i) < 0)
			return -1;
	}
	for (size_t i = 0; i < c->ndatabases; i++) {
		if (check_database(&k, i) < 0)
			return -1;
	}
	return 0;
}
