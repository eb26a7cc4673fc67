/* SPDX-License-Identifier: PostgreSQL
 *
 * The items of lists: their syntax, and their normal form.
 */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/values.h"

#include <stdio.h>

#include "base/addr.h"
#include "base/text.h"
#include "protocol/fleetkey.h"
#include "routing/headers.h"
#include "routing/patroni.h"
#include "routing/places.h"
#include "routing/sightings.h"

bool
item_text(struct slice item, char to[OPTION_ITEM_MAX])
{
	return item.n > 0 && text_copy(to, OPTION_ITEM_MAX, item);
}

bool
item_city(struct slice item, char to[OPTION_ITEM_MAX])
{
	char folded[PLACE_NAME_MAX];

	return places_fold(item, folded) > 0 && item_text(slice_str(folded), to);
}

bool
item_header(struct slice item, char to[OPTION_ITEM_MAX])
{
	_Static_assert(HEADERS_ITEM_MAX <= OPTION_ITEM_MAX, "an item has room for a header");
	return headers_item(item, to);
}

bool
item_country(struct slice item, char to[OPTION_ITEM_MAX])
{
	const char *code = places_country(item);

	return code != NULL && item_text(slice_str(code), to);
}

static bool
is_port(struct slice s)
{
	uint16_t port;

	return port_parse(s, &port);
}

/* Join host and port, if there is one; IPv6 goes into brackets. */
static bool
join_host_port(struct slice host, const char *port, char to[OPTION_ITEM_MAX])
{
	bool bare6 = memchr(host.p, ':', host.n) != NULL && host.p[0] != '[';
	int n = snprintf(to, OPTION_ITEM_MAX, "%s%.*s%s%s%s", bare6 ? "[" : "", (int)host.n, host.p,
			 bare6 ? "]" : "", port[0] != '\0' ? ":" : "", port);

	return n > 0 && n < OPTION_ITEM_MAX;
}

static const char *
port_text(struct slice port, const char *fallback, char to[8])
{
	if (port.p == NULL)
		return fallback;
	text_copy(to, 8, port);
	return to;
}

/* The directory of a unix socket must leave room for its name: sun_path has 108 bytes. */
#define SOCKET_DIR_MAX 88

bool
item_listen(struct slice item, char to[OPTION_ITEM_MAX])
{
	struct slice host, port, rest = item;
	struct addr a;
	char digits[8];

	if (item.n > 0 && item.p[0] == '/')
		return item.n <= SOCKET_DIR_MAX && item_text(item, to);
	if (item.n > 0 && item.p[0] == '*') {
		host = slice_cut(&rest, ':');
		port = rest;
		if (host.n != 1 || (port.p != NULL && !is_port(port)))
			return false;
	} else if (!host_port_split(item, &host, &port) || !addr_parse(host, &a)) {
		return false;
	}
	return join_host_port(host, port_text(port, "", digits), to);
}

/* A node or a peer, with the default port where none is written. */
static bool
put_node(struct slice item, const char *default_port, char to[OPTION_ITEM_MAX])
{
	struct slice host, port, rest = item;
	char digits[8];

	if (item.n > 0 && item.p[0] == '/') {
		host = slice_cut(&rest, ':');
		port = rest;
		if (host.n > SOCKET_DIR_MAX || (port.p != NULL && !is_port(port)))
			return false;
	} else if (!host_port_split(item, &host, &port)) {
		return false;
	}
	return join_host_port(host, port_text(port, default_port, digits), to);
}

bool
item_node(struct slice item, char to[OPTION_ITEM_MAX])
{
	return put_node(item, "5432", to);
}

bool
item_discover(struct slice item, char to[OPTION_ITEM_MAX])
{
	return discover_is_word(item) && item_text(item, to);
}

bool
item_patroni_api(struct slice item, char to[OPTION_ITEM_MAX])
{
	return patroni_api(item, to, OPTION_ITEM_MAX);
}

bool
item_mapping(struct slice item, char to[OPTION_ITEM_MAX])
{
	struct slice where = item, from = slice_trim(slice_cut(&where, '='));
	int n;

	where = slice_trim(where);
	if (from.n == 0 || where.n == 0 || memchr(item.p, '\0', item.n) != NULL)
		return false;
	n = snprintf(to, OPTION_ITEM_MAX, "%.*s=%.*s", (int)from.n, from.p, (int)where.n, where.p);
	return n > 0 && n < OPTION_ITEM_MAX;
}

bool
item_address_mapping(struct slice item, char to[OPTION_ITEM_MAX])
{
	struct slice where = item;
	char node[OPTION_ITEM_MAX];

	(void)slice_cut(&where, '=');
	where = slice_trim(where);
	return where.n > 0 && where.p[0] != '/' && put_node(where, "", node) &&
	       item_mapping(item, to);
}

bool
item_peer(struct slice item, char to[OPTION_ITEM_MAX])
{
	struct slice where = item, id = slice_trim(slice_cut(&where, '='));
	char node[OPTION_ITEM_MAX];
	int64_t number;
	int n;

	if (!text_to_int(id, 1, FLEET_PEER_MAX, &number) ||
	    !put_node(slice_trim(where), "6433", node))
		return false;
	n = snprintf(to, OPTION_ITEM_MAX, "%d=%s", (int)number, node);
	return n > 0 && n < OPTION_ITEM_MAX;
}
