/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/hot.h"
#include "base/suggest.h"
#include "base/text.h"
#include "protocol/fleetkey.h"
#include "proxy/auth/authfile.h"
#include "proxy/config/check.h"
#include "proxy/config/fleetfile.h"
#include "proxy/config/hbaload.h"
#include "proxy/config/parse.h"
#include "proxy/config/values.h"

#define READ_BYTES 65536
#define PIPE_MS    5000

/* ---- life ---- */

struct config *
config_new(void)
{
	struct config *c = xcalloc(1, sizeof(*c));

	refcount_init(&c->refs);
	c->version = 1;
	config_set_defaults(c, SECTION_MERIDIAN, 0);
	config_add_section(c, SECTION_LISTENER, xstrdup("main"));
	return c;
}

static void
for_each_value(struct config *c, void (*visit)(const struct option *o, void *conf))
{
	for (int k = 0; k < SECTION_KIND_COUNT; k++) {
		enum section_kind kind = (enum section_kind)k;
		const struct section *s = section_of(kind);

		for (size_t i = 0; i < config_count(c, kind); i++) {
			for (size_t j = 0; j < s->nrows; j++)
				visit(&s->rows[j], config_section(c, kind, i));
		}
	}
}

HOT enum auth_method
config_auth(const struct config *c, const struct conf_database *db)
{
	return db->auth != METHOD_GLOBAL ? db->auth : c->main.auth;
}

bool
config_asks_for_certificates(const struct config *c)
{
	for (size_t i = 0; i < c->nlisteners; i++) {
		if (c->listeners[i].tls != MODE_OFF && c->listeners[i].tls_ca_file != NULL)
			return true;
	}
	return false;
}

REFCOUNT_REF(config_ref, struct config)

void
config_unref(struct config *c)
{
	if (c == NULL || !refcount_put(&c->refs))
		return;
	for_each_value(c, value_fini);
	config_free_sections(c);
	if (c->auth_refs != NULL && refcount_put(c->auth_refs)) {
		authfile_free(c->auth);
		free(c->auth_refs);
	}
	fleetkey_unref(c->fleet_keys);
	hbaload_drop(c);
	free(c->path);
	free(c);
}

static struct config *
config_dup(const struct config *from)
{
	struct config *c = xmalloc(sizeof(*c));

	memcpy(c, from, sizeof(*c));
	refcount_init(&c->refs);
	c->path = from->path != NULL ? xstrdup(from->path) : NULL;
	config_own_sections(c);
	for_each_value(c, value_own);
	if (c->auth_refs != NULL)
		refcount_get(c->auth_refs);
	if (c->fleet_keys != NULL)
		fleetkey_ref(c->fleet_keys);
	hbaload_share(c);
	return c;
}

/* ---- loading ---- */

/* Read at most READ_BYTES. A pipe (a shell's <(…)) may have none yet: they are waited for, but only
 * for a while, since the control thread waits. */
static ssize_t
read_some(int fd, char *to)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	for (;;) {
		n = read(fd, to, READ_BYTES);
		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			return n;
		if (errno == EAGAIN && poll(&p, 1, PIPE_MS) == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
	}
}

/* The whole file into memory. An absent file is no error where `may_be_absent`: *out stays empty.
 */
static int
read_file(const char *path, bool may_be_absent, struct buf *out, struct err *e)
{
	/* O_NONBLOCK: opening a named pipe must not wait for its writer */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t got = 1;

	if (fd < 0 && errno == ENOENT && may_be_absent)
		return 0;
	if (fd < 0)
		return err_set(e, "F0000", "could not open configuration file \"%s\": %s", path,
			       strerror(errno));
	while (got > 0 && out->n <= CONFIG_FILE_MAX) {
		got = read_some(fd, buf_reserve(out, READ_BYTES));
		out->n += got > 0 ? (size_t)got : 0;
	}
	if (got < 0)
		err_set(e, "F0000", "could not read configuration file \"%s\": %s", path,
			strerror(errno));
	close(fd);
	return got < 0 ? -1 : 0;
}

static const struct option *
main_option(struct slice name, enum section_kind *kind, struct err *e)
{
	const struct section *s;
	struct suggestion near = { .word = name };
	const struct option *o;

	*kind = SECTION_MERIDIAN;
	o = option_find(kind, name);
	if (o != NULL)
		return o;
	for (int k = SECTION_MERIDIAN; k <= SECTION_LISTENER; k++) {
		s = section_of((enum section_kind)k);
		for (size_t i = 0; i < s->nrows; i++)
			suggest_offer(&near, s->rows[i].name);
	}
	err_set(e, "42704", "unknown option \"%s\"", quote(name).text);
	if (near.best != NULL)
		err_hint(e, "Did you mean \"%s\"?", near.best);
	return NULL;
}

/* --set OPTION=VALUE */
static int
apply_set(struct config *c, const char *text, struct err *e)
{
	struct slice value = slice_str(text), name = slice_trim(slice_cut(&value, '='));
	enum section_kind kind;
	const struct option *o;

	if (value.p == NULL)
		return err_set(e, "F0000", "--set: expected OPTION=VALUE, found \"%s\"", text);
	o = main_option(name, &kind, e);
	if (o == NULL || value_set(o, config_section(c, kind, 0), value, e) < 0)
		return err_prefix(e, "--set %s", quote(name).text);
	return 0;
}

/* Whether an earlier argument names the same region. */
static bool
is_repeated(const struct strlist *args, size_t at, struct slice name)
{
	for (size_t i = 0; i < at; i++) {
		struct slice rest = slice_str(args->v[i]);
		struct slice other = slice_trim(slice_cut(&rest, '='));

		if (other.n == name.n && memcmp(other.p, name.p, name.n) == 0)
			return true;
	}
	return false;
}

/* --region NAME=HOST:PORT[,…]: another region, or other nodes for one of the file. */
static int
apply_region(struct config *c, const struct strlist *args, size_t at, struct err *e)
{
	const char *text = args->v[at];
	struct slice nodes = slice_str(text), name = slice_trim(slice_cut(&nodes, '='));
	enum section_kind kind = SECTION_REGION;
	const struct option *o = option_find(&kind, SLICE_LITERAL("nodes"));
	int index, result;

	if (nodes.p == NULL)
		return err_set(e, "F0000", "--region: expected NAME=HOST:PORT[,…], found \"%s\"",
			       text);
	if (!config_name_is_good(kind, name))
		return err_set(e, "F0000", "--region: expected a name of %s, found \"%s\"",
			       config_name_expected(kind), quote(name).text);
	index = config_find_section(c, kind, name);
	if (index < 0)
		index = (int)config_add_section(c, kind, xstrndup(name.p, name.n));
	if (is_repeated(args, at, name))
		result = value_append(o, &c->regions[index], nodes, e);
	else
		result = value_set(o, &c->regions[index], nodes, e);
	return result < 0 ? err_prefix(e, "--region %s", quote(name).text) : 0;
}

/* Options that replace a list of [meridian]. */
static int
apply_list(struct config *c, const char *option, const struct strlist *list, struct err *e)
{
	enum section_kind kind = SECTION_MERIDIAN;
	const struct option *o = option_find(&kind, slice_str(option));
	void *conf = config_section(c, kind, 0);

	if (list->n > 0)
		value_fini(o, conf);
	for (size_t i = 0; i < list->n; i++) {
		if (value_append(o, conf, slice_str(list->v[i]), e) < 0)
			return err_prefix(e, "--%s", option);
	}
	return 0;
}

static int
apply_args(struct config *c, const struct config_args *args, struct err *e)
{
	struct strlist *listen = &c->listeners[0].listen;

	if (apply_list(c, "listen", &args->listen, e) < 0 ||
	    apply_list(c, "geoip", &args->geoip, e) < 0)
		return -1;
	for (size_t i = 0; i < args->set.n; i++) {
		if (apply_set(c, args->set.v[i], e) < 0)
			return -1;
	}
	for (size_t i = 0; i < args->regions.n; i++) {
		if (apply_region(c, &args->regions, i, e) < 0)
			return -1;
	}
	if (args->socket_dir == NULL)
		return 0;
	if (args->socket_dir[0] != '/')
		return err_set(e, "F0000",
			       "--socket-dir: expected a directory that begins with /, "
			       "found \"%s\"",
			       args->socket_dir);
	strlist_add(listen, args->socket_dir);
	return 0;
}

/* Read auth_file, unless this is a copy that shares the original's. */
static int
load_auth(struct config *c, struct err *e)
{
	if (c->auth_refs != NULL && refcount_put(c->auth_refs)) {
		authfile_free(c->auth);
		free(c->auth_refs);
	}
	c->auth = NULL;
	c->auth_refs = NULL;
	if (c->main.auth_file == NULL)
		return 0;
	c->auth = authfile_load(c->main.auth_file, c->salt_secret, e);
	if (c->auth == NULL)
		return -1;
	c->auth_refs = xcalloc(1, sizeof(*c->auth_refs));
	refcount_init(c->auth_refs);
	return 0;
}

/* The same for fleet_key_file. */
static int
load_fleet_keys(struct config *c, struct err *e)
{
	fleetkey_unref(c->fleet_keys);
	c->fleet_keys = NULL;
	if (c->main.fleet_key_file != NULL)
		c->fleet_keys = fleetfile_load(c->main.fleet_key_file, e);
	return c->main.fleet_key_file == NULL || c->fleet_keys != NULL ? 0 : -1;
}

static int
read_config(struct config *c, const struct config_args *args, struct origins *origins,
	    struct err *e)
{
	const char *path = args->path != NULL ? args->path : CONFIG_DEFAULT_PATH;
	struct buf text = { .cap = 2 * CONFIG_FILE_MAX };
	int rc = read_file(path, args->path == NULL, &text, e);

	if (rc == 0 && text.p != NULL) {
		c->path = xstrdup(path);
		rc = config_parse(c, buf_view(&text), c->path, origins, e);
	}
	buf_fini(&text);
	return rc;
}

struct config *
config_load(const struct config_args *args, struct err *e)
{
	struct config *c = config_new();
	struct origins origins = { NULL, NULL, 0 };
	bool good = read_config(c, args, &origins, e) == 0 && apply_args(c, args, e) == 0;

	memcpy(c->salt_secret, args->salt_secret, sizeof(c->salt_secret));
	if (good) {
		config_resolve(c);
		good = config_check(c, &origins, true, e) == 0 && load_auth(c, e) == 0 &&
		       load_fleet_keys(c, e) == 0 && hbaload(c, e) == 0;
	}
	origins_fini(&origins);
	if (good)
		return c;
	config_unref(c);
	return NULL;
}

struct config *
config_set(const struct config *c, const char *option, const char *value, struct err *e)
{
	enum section_kind kind;
	const struct option *o = main_option(slice_str(option), &kind, e);
	struct config *copy;
	bool good;

	if (o == NULL)
		return NULL;
	if (o->apply == APPLY_RESTART) {
		err_set(e, "55P02", "option \"%s\" cannot be changed while the proxy runs", option);
		err_hint(e, "Change it in the configuration file and restart.");
		return NULL;
	}
	copy = config_dup(c);
	copy->version++;
	good = value_set(o, config_section(copy, kind, 0), slice_str(value), e) == 0;
	if (!good)
		err_prefix(e, "option \"%s\"", option);
	if (good) {
		config_resolve(copy);
		good = config_check(copy, NULL, true, e) == 0;
	}
	if (good && strcmp(o->name, "auth_file") == 0)
		good = load_auth(copy, e) == 0;
	if (good && strcmp(o->name, "fleet_key_file") == 0)
		good = load_fleet_keys(copy, e) == 0;
	if (good && hbaload_names(o->name))
		good = hbaload(copy, e) == 0;
	if (good)
		return copy;
	config_unref(copy);
	return NULL;
}

HOT const struct conf_database *
config_database(const struct config *c, struct slice name)
{
	static const struct conf_database builtin = { .access = ACCESS_READ_WRITE,
						      .auth = METHOD_GLOBAL,
						      .pool_size = -1,
						      .min_pool_size = -1,
						      .reserve_pool_size = -1 };
	int own = config_find_section(c, SECTION_DATABASE, name);

	if (own < 0)
		own = config_find_section(c, SECTION_DATABASE, SLICE_LITERAL("*"));
	return own < 0 ? &builtin : &c->databases[own];
}

HOT struct pool_sizes
config_pool_sizes(const struct config *c, const struct conf_database *d)
{
	const struct conf_main *m = &c->main;

	return (struct pool_sizes){
		.size = d->pool_size > 0 ? d->pool_size : m->default_pool_size,
		.min = d->min_pool_size >= 0 ? d->min_pool_size : m->min_pool_size,
		.reserve = d->reserve_pool_size >= 0 ? d->reserve_pool_size : m->reserve_pool_size,
	};
}
