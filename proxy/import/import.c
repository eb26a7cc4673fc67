/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/import/import.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pgquote.h"
#include "proxy/config/check.h"
#include "proxy/config/config.h"
#include "proxy/config/parse.h"
#include "proxy/config/values.h"
#include "proxy/import/import_int.h"

#define FALLBACK_PEER_PORT "6432"
#define SYSTEM_AUTHORITIES "/etc/ssl/certs/ca-certificates.crt"

size_t
import_global(const struct import *m, const char *key)
{
	const struct ini_entry *at = ini_find(&m->ini, "pgbouncer", key);

	return at != NULL ? (size_t)(at - m->ini.v) : IMPORT_NO_ENTRY;
}

const char *
import_value(const struct import *m, const char *key, const char *fallback)
{
	size_t entry = import_global(m, key);

	return entry != IMPORT_NO_ENTRY ? m->ini.v[entry].value : fallback;
}

/* ---- [pgbouncer] ---- */

/* PgBouncer's listen_addr and unix_socket_dir become our `listen`. */
static void
put_listen(struct import *m, struct import_section *s)
{
	size_t entry = import_global(m, "listen_addr");
	const char *dir = import_value(m, "unix_socket_dir", "/tmp");
	struct slice rest = slice_str(import_value(m, "listen_addr", ""));
	struct buf list = { .cap = 0 };

	while (rest.p != NULL && rest.n > 0) {
		struct slice one = slice_trim(slice_cut(&rest, ','));
		char item[OPTION_ITEM_MAX];

		if (slice_is(one, "localhost"))
			one = SLICE_LITERAL("127.0.0.1");
		if (!item_listen(one, item))
			import_note(m, entry, "\"%s\" is no address; name the address instead",
				    quote(one).text);
		else
			buf_printf(&list, "%s%s", list.n > 0 ? ", " : "", item);
	}
	if (dir[0] == '@')
		import_note(m, import_global(m, "unix_socket_dir"),
			    "sockets in the abstract namespace are not supported");
	else if (dir[0] != '\0')
		buf_printf(&list, "%s%s", list.n > 0 ? ", " : "", dir);
	if (entry == IMPORT_NO_ENTRY)
		entry = import_global(m, "unix_socket_dir");
	if (list.n > 0)
		import_put(m, s, "listen", buf_text(&list), entry);
	buf_fini(&list);
}

/* Why only the nodes can authenticate the clients; NULL: PgBouncer could, and so can we. */
static const char *
why_passthrough(const struct import *m)
{
	const char *type = import_value(m, "auth_type", "md5");
	const struct rule *r = import_rule(import_rules_global(), "auth_type");
	const struct import_word *w = r->words;
	bool users = import_value(m, "auth_file", "")[0] != '\0' ||
		     import_value(m, "auth_user", "")[0] != '\0';

	while (w->from != NULL && strcasecmp(w->from, type) != 0)
		w++;
	if (w->to == NULL)
		return w->why != NULL ? w->why : "this auth_type is not known";
	if (!users && (strcmp(w->to, "md5") == 0 || strcmp(w->to, "scram-sha-256") == 0))
		return "neither auth_file nor auth_user says who may log in";
	return NULL;
}

static bool
is_left_out(const struct import *m, const struct rule *r)
{
	return m->passthrough && r->option != NULL &&
	       (strcmp(r->option, "auth") == 0 || strcmp(r->option, "pool") == 0);
}

/* The role of auth_query. */
static void
put_auth_user(struct import *m, struct import_section *s)
{
	size_t entry = import_global(m, "auth_user");
	const char *user = import_value(m, "auth_user", "");
	struct buf b = { .cap = 0 };

	if (user[0] == '\0')
		return;
	buf_str(&b, "user=");
	pgquote_conninfo(&b, slice_str(user));
	import_put(m, s, "auth_conninfo", buf_text(&b), entry);
	buf_fini(&b);
	entry = import_global(m, "auth_query");
	if (entry != IMPORT_NO_ENTRY && import_global(m, "auth_dbname") == IMPORT_NO_ENTRY)
		import_note(m, entry,
			    "it ran in the client's database; here it runs in that of "
			    "auth_dbname (postgres), with an empty search_path");
}

/* One item of `peers`; false, with a note: it cannot become one. */
static bool
put_peer(struct import *m, size_t entry, struct buf *list)
{
	const struct ini_entry *at = &m->ini.v[entry];
	enum section_kind kind = SECTION_MERIDIAN;
	const struct option *o = option_find(&kind, SLICE_LITERAL("peers"));
	struct ini_words words;
	struct err e;
	const char *host, *port;
	char item[OPTION_ITEM_MAX], text[OPTION_ITEM_MAX];
	bool good = ini_words_read(&words, slice_str(at->value), &e) == 0;

	host = good ? ini_word(&words, "host") : NULL;
	port = good ? ini_word(&words, "port") : NULL;
	if (host != NULL && host[0] != '/' && host[0] != '@') {
		bool bare6 = strchr(host, ':') != NULL;
		int n = snprintf(text, sizeof(text), "%s=%s%s%s:%s", at->key, bare6 ? "[" : "",
				 host, bare6 ? "]" : "", port != NULL ? port : FALLBACK_PEER_PORT);

		good = n > 0 && n < (int)sizeof(text) && o != NULL && o->item != NULL &&
		       o->item(slice_str(text), item);
	} else {
		good = false;
	}
	if (good)
		buf_printf(list, "%s%s", list->n > 0 ? ", " : "", item);
	else
		import_note(m, entry, "a peer has an id of 1 to 1023 and an address with a port");
	if (ini_word(&words, "pool_size") != NULL)
		import_note(m, entry, "pool_size: cancel requests to a peer are not pooled");
	ini_words_fini(&words);
	return good;
}

static void
put_peers(struct import *m, struct import_section *s)
{
	struct buf list = { .cap = 0 };
	size_t first = IMPORT_NO_ENTRY;

	for (size_t i = 0; i < m->ini.n; i++) {
		if (strcmp(m->ini.v[i].section, "peers") != 0)
			continue;
		if (put_peer(m, i, &list) && first == IMPORT_NO_ENTRY)
			first = i;
	}
	/* without shared keys proxies do not trust each other */
	if (list.n > 0) {
		buf_printf(&s->text, "; peers = %s\n; fleet_key_file =\n", buf_text(&list));
		import_note(m, first,
			    "peers need fleet_key_file, the same on each: both stand there as "
			    "comments");
	}
	buf_fini(&list);
}

static void
put_globals(struct import *m, struct import_section *s)
{
	struct rules rules = import_rules_global();

	put_listen(m, s);
	for (size_t i = 0; i < rules.n; i++) {
		const struct rule *r = &rules.v[i];
		size_t entry = import_global(m, r->key);

		if (r->how == CARRY_NOT || r->how == CARRY_APART || r->to != SECTION_MERIDIAN ||
		    is_left_out(m, r))
			continue;
		if (entry != IMPORT_NO_ENTRY)
			import_apply(m, s, r, m->ini.v[entry].value, entry);
		else if (r->fallback != NULL)
			import_put(m, s, r->option, r->fallback, IMPORT_NO_ENTRY);
	}
	/* here a certificate alone would switch TLS on */
	if (import_global(m, "client_tls_cert_file") != IMPORT_NO_ENTRY)
		import_put(m, s, "tls", "off", IMPORT_NO_ENTRY);
	put_auth_user(m, s);
	put_peers(m, s);
}

/* Options of [pgbouncer] that are options of each region or each database here. */
static void
put_shared(struct import *m, struct import_section *s)
{
	struct rules rules = import_rules_global();

	for (size_t i = 0; i < rules.n; i++) {
		const struct rule *r = &rules.v[i];
		size_t entry = import_global(m, r->key);

		if (r->to != s->kind || r->option == NULL || is_left_out(m, r))
			continue;
		if (entry != IMPORT_NO_ENTRY)
			import_apply(m, s, r, m->ini.v[entry].value, entry);
		else if (r->fallback != NULL)
			import_put(m, s, r->option, r->fallback, IMPORT_NO_ENTRY);
	}
}

/* ---- sections ---- */

static void
end_section(struct import_section *s, struct buf *conf)
{
	const struct section *is = section_of(s->kind);

	buf_printf(conf, "\n[%s%s%s]\n", is->word, s->name != NULL ? " " : "",
		   s->name != NULL ? s->name : "");
	buf_slice(conf, buf_view(&s->text));
	buf_fini(&s->text);
}

static void
put_region(struct import *m, const struct import_region *r, struct buf *conf)
{
	struct import_section s = { .kind = SECTION_REGION, .name = r->name };
	const char *sslmode = import_value(m, "server_tls_sslmode", "");
	char *place = NULL;

	import_put(m, &s, "nodes", r->nodes, r->entry);
	if (r->located) {
		place = xasprintf("%.4f, %.4f", r->lat, r->lon);
		import_put(m, &s, "location", place, r->entry);
	} else if (!r->placed) {
		buf_str(&s.text, "; location = LATITUDE, LONGITUDE\n");
	}
	put_shared(m, &s);
	if (strncmp(sslmode, "verify-", strlen("verify-")) == 0)
		import_put(m, &s, "sslrootcert", SYSTEM_AUTHORITIES, IMPORT_NO_ENTRY);
	end_section(&s, conf);
	free(place);
}

static void
put_database(struct import *m, const struct import_database *d, struct buf *conf)
{
	struct import_section s = { .kind = SECTION_DATABASE, .name = d->name };
	struct rules rules = import_rules_database();

	if (m->nregions > 1)
		import_put(m, &s, "regions", m->regions[d->region].name, d->entry);
	for (size_t i = 0; i < d->words.n; i++) {
		const struct ini_word *w = &d->words.v[i];
		const struct rule *r = import_rule(rules, w->key);

		if (ini_word(&d->words, w->key) != w->value)
			continue; /* the last one counts */
		if (r == NULL)
			import_note(m, d->entry, "%s: this key of a connection string is not known",
				    quote(slice_str(w->key)).text);
		else if (r->how == CARRY_NOT)
			import_note(m, d->entry, "%s: %s", w->key, r->why);
		else if (r->how != CARRY_APART && !is_left_out(m, r))
			import_apply(m, &s, r, w->value, d->entry);
	}
	for (size_t i = 0; i < rules.n; i++) {
		if (rules.v[i].fallback != NULL)
			import_put(m, &s, rules.v[i].option, rules.v[i].fallback, IMPORT_NO_ENTRY);
	}
	put_shared(m, &s);
	end_section(&s, conf);
}

/* For a file that names no server: PgBouncer starts with it and refuses every client, but we need a
 * region. */
static void
put_placeholder(struct import *m, struct buf *conf)
{
	struct import_section s = { .kind = SECTION_REGION, .name = "main" };
	const char *dir = import_value(m, "unix_socket_dir", "/tmp");
	char *node = xasprintf("%s:5432", dir[0] == '/' ? dir : "127.0.0.1");

	import_put(m, &s, "nodes", node, IMPORT_NO_ENTRY);
	put_shared(m, &s);
	end_section(&s, conf);
	free(node);
	import_note(m, IMPORT_NO_ENTRY,
		    "it names no database that can be carried over; [region main] stands in for "
		    "the servers that are to be written there");
}

/* ---- the rest ---- */

/* Note the words of a line of [users], and the options of [pgbouncer], that have no counterpart. */
static void
note_entry(struct import *m, size_t entry)
{
	const struct ini_entry *at = &m->ini.v[entry];
	const struct rule *r = NULL;

	if (strcmp(at->section, "databases") == 0 || strcmp(at->section, "peers") == 0)
		return;
	if (strcmp(at->section, "users") == 0) {
		import_note(m, entry, "there are no settings for one user");
		return;
	}
	if (strcmp(at->section, "pgbouncer") == 0)
		r = import_rule(import_rules_global(), at->key);
	if (r == NULL)
		import_note(m, entry, "this option is not known");
	else if (import_global(m, at->key) != entry)
		import_note(m, entry, "the same option stands further down; that is taken");
	else if (r->how == CARRY_NOT)
		import_note(m, entry, "%s", r->why);
}

static int
by_place(const void *a, const void *b)
{
	const struct import_note *x = a, *y = b;

	if (x->entry != y->entry)
		return x->entry < y->entry ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static void
print_notes(struct import *m, const char *path, struct import_result *out)
{
	if (m->nnotes > 0)
		qsort(m->notes, m->nnotes, sizeof(*m->notes), by_place);
	for (size_t i = 0; i < m->nnotes; i++) {
		const struct import_note *n = &m->notes[i];
		const struct ini_entry *at = n->entry < m->ini.n ? &m->ini.v[n->entry] : NULL;

		/* a reason that many regions share is given once */
		if (i > 0 && n[-1].entry == n->entry && strcmp(n[-1].text, n->text) == 0)
			continue;
		if (at != NULL)
			buf_printf(&out->notes, "%s:%d: [%s] %s: %s\n", at->file, at->line,
				   quote(slice_str(at->section)).text,
				   quote(slice_str(at->key)).text, n->text);
		else
			buf_printf(&out->notes, "%s: %s\n", path, n->text);
		out->nnotes++;
	}
}

/* ---- the whole import ---- */

/* Check that what was written can be read. */
static int
read_back(struct buf *conf, struct err *e)
{
	struct config *c = config_new();
	struct origins origins = { 0 };
	int rc = config_parse(c, buf_view(conf), "the new file", &origins, e);

	if (rc == 0) {
		config_resolve(c);
		rc = config_check(c, NULL, false, e);
	}
	origins_fini(&origins);
	config_unref(c);
	return rc == 0 ? 0 : err_prefix(e, "what it says cannot be used here");
}

static void
write_conf(struct import *m, const char *path, struct import_result *out)
{
	struct import_section main = { .kind = SECTION_MERIDIAN };

	buf_printf(&out->conf, "; Made from %s by meridian --import-pgbouncer.\n",
		   quote(slice_str(path)).text);
	buf_str(&out->conf, "; The console is the database meridian here, not pgbouncer.\n");
	m->passthrough = why_passthrough(m) != NULL;
	if (m->passthrough)
		import_note(m, import_global(m, "auth_type"),
			    "%s; so the nodes authenticate their clients (auth = passthrough), and "
			    "there are no pools",
			    why_passthrough(m));
	put_globals(m, &main);
	end_section(&main, &out->conf);
	for (size_t i = 0; i < m->nregions; i++)
		put_region(m, &m->regions[i], &out->conf);
	if (m->nregions == 0)
		put_placeholder(m, &out->conf);
	for (size_t i = 0; i < m->ndatabases; i++)
		put_database(m, &m->databases[i], &out->conf);
	for (size_t i = 0; i < m->ini.n; i++)
		note_entry(m, i);
	if (m->ndatabases > 0 && ini_find(&m->ini, "databases", "*") == NULL)
		import_note(m, IMPORT_NO_ENTRY,
			    "PgBouncer refuses databases that it does not list; here they are "
			    "served as well, without a pool");
}

int
import_pgbouncer(const char *path, const struct ini_source *from, struct import_result *out,
		 struct err *e)
{
	struct import m = { .nnotes = 0 };
	int rc;

	*out = (struct import_result){ .nnotes = 0 };
	rc = ini_read(&m.ini, path, from, e);
	if (rc == 0)
		rc = import_place(&m, e);
	if (rc == 0) {
		write_conf(&m, path, out);
		print_notes(&m, path, out);
		rc = read_back(&out->conf, e);
	}
	for (size_t i = 0; i < m.nnotes; i++)
		free(m.notes[i].text);
	for (size_t i = 0; i < m.nregions; i++) {
		free(m.regions[i].name);
		free(m.regions[i].nodes);
	}
	for (size_t i = 0; i < m.ndatabases; i++)
		ini_words_fini(&m.databases[i].words);
	free(m.notes);
	free(m.regions);
	free(m.databases);
	ini_fini(&m.ini);
	return rc;
}

void
import_result_fini(struct import_result *r)
{
	buf_fini(&r->conf);
	buf_fini(&r->notes);
}
