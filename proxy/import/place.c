/* SPDX-License-Identifier: PostgreSQL
 *
 * Where servers are: each list of hosts in [databases] becomes a region with a name.
 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "proxy/config/parse.h"
#include "proxy/config/values.h"
#include "proxy/import/import_int.h"
#include "routing/places.h"

#define NAME_MAX_BYTES 48 /* leaves room for a number */

/* Writes our form of a host and its port into `to`; false, with a note: there is none. */
static bool
node_of(struct import *m, size_t entry, struct slice host, const char *port,
	char to[OPTION_ITEM_MAX])
{
	char text[OPTION_ITEM_MAX];
	bool bare6 = host.n > 0 && host.p[0] != '[' && memchr(host.p, ':', host.n) != NULL;
	int n = snprintf(text, sizeof(text), "%s%.*s%s:%s", bare6 ? "[" : "", (int)host.n, host.p,
			 bare6 ? "]" : "", port);

	if (host.n > 0 && host.p[0] == '@') {
		import_note(m, entry,
			    "host \"%s\": sockets in the abstract namespace are not "
			    "supported",
			    quote(host).text);
		return false;
	}
	if (n <= 0 || n >= (int)sizeof(text) || !item_node(slice_str(text), to)) {
		import_note(m, entry, "host \"%s\" with port \"%s\" is no place of a server",
			    quote(host).text, quote(slice_str(port)).text);
		return false;
	}
	return true;
}

/* The nodes of a database, in one text; NULL: it has none. */
static char *
nodes_of(struct import *m, const struct import_database *d)
{
	const char *host = ini_word(&d->words, "host");
	const char *port = ini_word(&d->words, "port");
	struct buf nodes = { .cap = 0 };
	char node[OPTION_ITEM_MAX];
	struct slice rest;
	char *text;

	if (host == NULL)
		host = import_value(m, "unix_socket_dir", "/tmp");
	rest = slice_str(host);
	while (rest.p != NULL) {
		struct slice one = slice_trim(slice_cut(&rest, ','));

		if (!node_of(m, d->entry, one, port != NULL ? port : "5432", node))
			continue;
		buf_printf(&nodes, "%s%s", nodes.n > 0 ? ", " : "", node);
	}
	text = nodes.n > 0 ? xstrdup(buf_text(&nodes)) : NULL;
	buf_fini(&nodes);
	return text;
}

/* The cloud region among the labels of a host name (app.abc.us-east-1.rds.amazonaws.com). */
static struct slice
cloud_region(struct slice host, double *lat, double *lon)
{
	struct slice rest = host;

	while (rest.p != NULL) {
		struct slice label = slice_cut(&rest, '.');

		/* short labels may be airports or abbreviations */
		if (label.n > 5 && memchr(label.p, '-', label.n) != NULL &&
		    places_region(label, lat, lon))
			return label;
	}
	return (struct slice){ NULL, 0 };
}

/* The name for a region with this first node: without the port, and of a host name only the part
 * before the first dot. */
static void
base_name(struct slice node, char to[NAME_MAX_BYTES + 1])
{
	struct slice word = { node.p, strcspn(node.p, ",") };
	const char *colon = memrchr(word.p, ':', word.n);
	size_t n = 0;

	if (colon != NULL)
		word.n = (size_t)(colon - word.p);
	if (word.n > 0 && word.p[0] == '/')
		word = SLICE_LITERAL("local");
	else if (word.n > 0 && isalpha((unsigned char)word.p[0]))
		word.n = strcspn(word.p, ".:,");
	for (size_t i = 0; i < word.n && n < NAME_MAX_BYTES; i++) {
		bool good = isalnum((unsigned char)word.p[i]) || word.p[i] == '_';

		if (good)
			to[n++] = word.p[i];
		else if (n > 0 && to[n - 1] != '-')
			to[n++] = '-';
	}
	while (n > 0 && to[n - 1] == '-')
		n--;
	to[n] = '\0';
	if (n == 0)
		memcpy(to, "main", sizeof("main"));
}

static bool
name_is_taken(const struct import *m, const char *name)
{
	for (size_t i = 0; i < m->nregions; i++) {
		if (strcasecmp(m->regions[i].name, name) == 0)
			return true;
	}
	return false;
}

static void
name_region(struct import *m, struct import_region *r)
{
	struct slice host = { r->nodes, strcspn(r->nodes, ":,") };
	struct slice cloud = cloud_region(host, &r->lat, &r->lon);
	char base[NAME_MAX_BYTES + 1];
	char *name;

	if (cloud.p != NULL && cloud.n <= NAME_MAX_BYTES)
		text_copy(base, sizeof(base), cloud);
	else
		base_name(slice_str(r->nodes), base);
	name = xstrdup(base);
	for (int i = 2; name_is_taken(m, name); i++) {
		free(name);
		name = xasprintf("%s-%d", base, i);
	}
	r->placed = cloud.p != NULL && strcmp(name, base) == 0;
	r->located = cloud.p != NULL && !r->placed;
	r->name = name;
}

static size_t
find_region(struct import *m, char *take_nodes, size_t entry)
{
	struct import_region region = { .nodes = take_nodes, .entry = entry };

	for (size_t i = 0; i < m->nregions; i++) {
		if (strcmp(m->regions[i].nodes, take_nodes) == 0) {
			free(take_nodes);
			return i;
		}
	}
	name_region(m, &region);
	m->regions = xreallocarray(m->regions, m->nregions + 1, sizeof(*m->regions));
	m->regions[m->nregions] = region;
	return m->nregions++;
}

/* Whether a section of our file can have this name. */
static bool
name_is_good(struct import *m, const struct import_database *d)
{
	bool console = strcmp(d->name, "meridian") == 0;

	if (console || (strcmp(d->name, "*") != 0 &&
			!config_name_is_good(SECTION_DATABASE, slice_str(d->name)))) {
		import_note(m, d->entry, "the database is not carried over: %s",
			    console ? "meridian is the console's name"
				    : "no section can have its "
				      "name");
		return false;
	}
	return true;
}

static int
place_database(struct import *m, size_t entry, struct err *e)
{
	const struct ini_entry *at = &m->ini.v[entry];
	struct import_database d = { .name = at->key, .entry = entry };
	char *nodes = NULL;

	if (ini_find(&m->ini, at->section, at->key) != at) {
		import_note(m, entry, "the same database stands further down; that is taken");
		return 0;
	}
	if (ini_words_read(&d.words, slice_str(at->value), e) != 0) {
		ini_words_fini(&d.words);
		return err_prefix(e, "%s:%d: [databases] %s", at->file, at->line,
				  quote(slice_str(at->key)).text);
	}
	if (name_is_good(m, &d))
		nodes = nodes_of(m, &d);
	if (nodes == NULL) {
		ini_words_fini(&d.words);
		return 0;
	}
	d.region = find_region(m, nodes, entry);
	m->databases = xreallocarray(m->databases, m->ndatabases + 1, sizeof(*m->databases));
	m->databases[m->ndatabases++] = d;
	return 0;
}

int
import_place(struct import *m, struct err *e)
{
	for (size_t i = 0; i < m->ini.n; i++) {
		if (strcmp(m->ini.v[i].section, "databases") == 0 && place_database(m, i, e) != 0)
			return -1;
	}
	return 0;
}
