/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/sightings.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/text.h"

/* Base backups and the walsenders of logical replication are no standbys. A receiver of WAL without
 * a server (pg_receivewal) looks like a standby; it is never used, since no probe is answered. */
static const char replication_sql[] =
    "SELECT application_name, pg_catalog.host(client_addr), NULL, NULL, true,"
    " coalesce(state, '" SIGHTING_HIDDEN "')"
    " FROM pg_catalog.pg_stat_replication AS r"
    " WHERE state IS DISTINCT FROM 'backup' AND NOT EXISTS"
    " (SELECT FROM pg_catalog.pg_replication_slots AS s"
    " WHERE s.active_pid = r.pid AND s.slot_type = 'logical')"
    " UNION ALL SELECT NULL, sender_host, sender_port, NULL, true, status"
    " FROM pg_catalog.pg_stat_wal_receiver WHERE status = 'streaming'";

/* A worker takes queries where it has the metadata, and has them in step. */
static const char citus_sql[] =
    "SELECT NULL, nodename, nodeport, NULLIF(nodecluster, 'default'),"
    " isactive AND noderole = 'primary' AND (groupid = 0 OR (hasmetadata AND metadatasynced)),"
    " CASE WHEN NOT isactive THEN 'inactive' WHEN noderole <> 'primary' THEN noderole::text"
    " WHEN groupid = 0 THEN 'coordinator' WHEN NOT hasmetadata OR NOT metadatasynced"
    " THEN 'without metadata' WHEN NOT shouldhaveshards THEN 'draining' ELSE 'worker' END"
    " FROM pg_catalog.pg_dist_node";

static const char cockroachdb_sql[] =
    "SELECT node_id::string, sql_address, NULL, regexp_extract(locality, 'region=([^,]+)'),"
    " is_live, CASE WHEN is_live THEN 'live' ELSE 'dead' END"
    " FROM crdb_internal.gossip_nodes";

static const char yugabyte_sql[] =
    "SELECT uuid, host, port, region, node_type = 'primary', node_type"
    " FROM yb_servers()";

static const char aurora_sql[] =
    "SELECT server_id, NULL, NULL, NULL, true,"
    " CASE session_id WHEN 'MASTER_SESSION_ID' THEN 'writer' ELSE 'reader' END"
    " FROM aurora_replica_status()";

static const struct {
	const char *name, *sql;
	bool same_system;
} sources[] = {
	[DISCOVER_REPLICATION] = { "replication", replication_sql, true },
	[DISCOVER_CITUS] = { "citus", citus_sql, false },
	[DISCOVER_COCKROACHDB] = { "cockroachdb", cockroachdb_sql, false },
	[DISCOVER_YUGABYTE] = { "yugabyte", yugabyte_sql, false },
	[DISCOVER_AURORA] = { "aurora", aurora_sql, false },
	[DISCOVER_PATRONI] = { "patroni", NULL, false },
};

const char *
discover_source_name(enum discover_source s)
{
	return sources[s].name;
}

static unsigned
bits_of(struct slice word)
{
	for (unsigned i = 0; i < DISCOVER_SOURCES; i++)
		if (slice_is_nocase(word, sources[i].name))
			return DISCOVER_BIT(i);
	return slice_is_nocase(word, "auto") ? DISCOVER_AUTO : 0;
}

bool
discover_is_word(struct slice word)
{
	return slice_is_nocase(word, "off") || bits_of(word) != 0;
}

unsigned
discover_bits(const struct strlist *words)
{
	unsigned bits = 0;

	for (size_t i = 0; i < words->n; i++)
		bits |= bits_of(slice_str(words->v[i]));
	return bits;
}

const char *
discover_sql(enum discover_source s)
{
	return sources[s].sql;
}

bool
discover_same_system(enum discover_source s)
{
	return sources[s].same_system;
}

/* ---- reading ---- */

/* The host without its brackets; *port stays where there is none. */
static bool
split_address(struct slice s, struct slice *host, uint16_t *port)
{
	struct slice number;

	if (!host_port_split(s, host, &number))
		return false;
	if (host->p[0] == '[')
		*host = slice_of(host->p + 1, host->n - 2);
	return number.p == NULL || port_parse(number, port);
}

static int
refuse(struct err *e, const char *what, struct slice value)
{
	char safe[80] = "";
	struct buf b = { .cap = 256 };

	text_put_safe(&b, value, 60);
	(void)text_copy(safe, sizeof(safe), buf_view(&b));
	buf_fini(&b);
	return err_set(e, "08P01", "the answer has %s that cannot be one: %s", what, safe);
}

/* As PostgreSQL writes it ("t"), or another one ("true"); null is false. */
static bool
is_true(struct slice s, bool *out)
{
	*out = slice_is(s, "t");
	return s.p == NULL || *out || slice_is(s, "f") || text_to_bool(s, out);
}

static int
read_row(struct sighting *s, const struct slice *columns, struct err *e)
{
	struct slice host = columns[SIGHTING_HOST];
	uint16_t port = 0;

	*s = (struct sighting){ 0 };
	if (!text_copy(s->name, sizeof(s->name), columns[SIGHTING_NAME]))
		return refuse(e, "a name", columns[SIGHTING_NAME]);
	if (!text_copy(s->place, sizeof(s->place), columns[SIGHTING_PLACE]))
		return refuse(e, "a place", columns[SIGHTING_PLACE]);
	if (!text_copy(s->state, sizeof(s->state), columns[SIGHTING_STATE]))
		return refuse(e, "a state", columns[SIGHTING_STATE]);
	if (!is_true(columns[SIGHTING_SERVES], &s->serves))
		return refuse(e, "a truth value", columns[SIGHTING_SERVES]);
	if (columns[SIGHTING_PORT].n > 0 && !port_parse(columns[SIGHTING_PORT], &port))
		return refuse(e, "a port", columns[SIGHTING_PORT]);
	/* a directory of unix sockets is of no use on another machine */
	if (host.n > 0 && host.p[0] != '/') {
		if (!split_address(host, &host, &port) ||
		    !text_copy(s->host, sizeof(s->host), host))
			return refuse(e, "a host", columns[SIGHTING_HOST]);
	}
	s->port = port;
	return 0;
}

static bool
has(const struct sightings *list, const struct sighting *s)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct sighting *o = &list->v[i];

		if (o->port == s->port && strcasecmp(o->host, s->host) == 0 &&
		    strcmp(o->name, s->name) == 0)
			return true;
	}
	return false;
}

int
sightings_add(struct sightings *list, const struct slice columns[SIGHTING_COLUMNS], struct err *e)
{
	struct sighting s;

	if (read_row(&s, columns, e) != 0)
		return -1;
	if (s.host[0] == '\0' && s.name[0] == '\0')
		return 0;
	if (has(list, &s))
		return 0;
	if (list->n == SIGHTINGS_MAX)
		return err_set(e, "54000", "the answer has more than %d nodes", SIGHTINGS_MAX);
	list->v = xreallocarray(list->v, list->n + 1, sizeof(*list->v));
	list->v[list->n++] = s;
	return 0;
}

void
sightings_fini(struct sightings *list)
{
	free(list->v);
	*list = (struct sightings){ 0 };
}

/* ---- maps ---- */

static bool
is_like(const char *pattern, const char *text)
{
	return text[0] != '\0' && fnmatch(pattern, text, FNM_CASEFOLD) == 0;
}

static bool
matches(const struct sighting *s, const char *pattern)
{
	char both[SIGHTING_HOST_MAX + 8];
	struct cidr block;
	struct addr a;

	if (cidr_parse(slice_str(pattern), &block))
		return addr_parse(slice_str(s->host), &a) && cidr_has(&block, &a);
	snprintf(both, sizeof(both), "%s:%u", s->host, (unsigned)s->port);
	return is_like(pattern, s->name) || is_like(pattern, s->host) ||
	       (s->host[0] != '\0' && s->port != 0 && is_like(pattern, both));
}

/* What the first item whose pattern matches says; NULL: none does. */
static const char *
mapped(const struct sighting *s, const struct strlist *map, bool with_place)
{
	for (size_t i = 0; i < map->n; i++) {
		struct slice to = slice_str(map->v[i]), from = slice_cut(&to, '=');
		char pattern[SIGHTING_HOST_MAX];

		if (text_copy(pattern, sizeof(pattern), from) &&
		    (matches(s, pattern) || (with_place && is_like(pattern, s->place))))
			return to.p;
	}
	return NULL;
}

bool
sighting_address(const struct sighting *s, const struct strlist *address_map,
		 char host[SIGHTING_HOST_MAX], uint16_t *port)
{
	const char *to = mapped(s, address_map, false);
	const char *said = to != NULL ? to : s->name;
	struct slice at;

	*port = 0;
	if (split_address(slice_str(said), &at, port) && (to != NULL || *port != 0) &&
	    text_copy(host, SIGHTING_HOST_MAX, at)) {
		if (*port == 0)
			*port = s->port != 0 ? s->port : 5432;
		return true;
	}
	*port = s->port != 0 ? s->port : 5432;
	return text_copy(host, SIGHTING_HOST_MAX, slice_str(s->host)) && s->host[0] != '\0';
}

const char *
sighting_place(const struct sighting *s, const struct strlist *locality_map)
{
	const char *to = mapped(s, locality_map, true);

	if (to != NULL)
		return to;
	return s->place[0] != '\0' ? s->place : NULL;
}
