/* SPDX-License-Identifier: PostgreSQL
 *
 * The data files that the control thread keeps open for the workers: the gazetteer and the GeoIP
 * databases. It looks at them from time to time; one that was replaced (by rename) is opened anew,
 * and if that fails, the old one stays in use.
 */
#include "config.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "proxy/control_int.h"

#include "base/log.h"

#define CHECK_S        5
#define INSTALLED_FILE PKGDATADIR "/gazetteer.dat"

struct path {
	char text[PATH_MAX];
};

static bool
is_automatic(const struct conf_main *conf)
{
	return conf->gazetteer != NULL && strcmp(conf->gazetteer, "auto") == 0;
}

/* The file's path from the program's folder: in the tree where it was built, or in an installation
 * that is not where it was configured for (DESTDIR, a moved prefix). */
static const char *const beside_program[] = { "routing/gazetteer.dat",
					      "../share/" PACKAGE "/gazetteer.dat" };

/* The gazetteer that belongs to this program; `to` may hold its path. */
static const char *
own_gazetteer(struct path *to)
{
	ssize_t n = readlink("/proc/self/exe", to->text, sizeof(to->text));

	while (n > 0 && to->text[n - 1] != '/')
		n--;
	for (size_t i = 0; n > 0 && i < sizeof(beside_program) / sizeof(*beside_program); i++) {
		if (text_copy(to->text + n, sizeof(to->text) - (size_t)n,
			      slice_str(beside_program[i])) &&
		    access(to->text, R_OK) == 0)
			return to->text;
	}
	return INSTALLED_FILE;
}

/* NULL: no gazetteer is wanted. */
static const char *
gazetteer_path(const struct conf_main *conf, struct path *room)
{
	if (is_automatic(conf))
		return own_gazetteer(room);
	return conf->gazetteer != NULL && strcmp(conf->gazetteer, "off") != 0 ? conf->gazetteer
									      : NULL;
}

int
datafiles_open(const struct conf_main *conf, struct gazetteer **gazetteer, struct geo **geo,
	       struct err *e)
{
	struct path room;
	const char *path = gazetteer_path(conf, &room);

	*gazetteer = path != NULL ? gazetteer_open(path, e) : NULL;
	*geo = NULL;
	if (path != NULL && *gazetteer == NULL && !is_automatic(conf))
		return -1;
	*geo = geo_open(&conf->geoip, e);
	if (*geo != NULL || e->msg[0] == '\0')
		return 0;
	gazetteer_unref(*gazetteer);
	*gazetteer = NULL;
	return -1;
}

/* Log once what does not open. */
static void
complain(char told[512], const char *prefix, const char *what)
{
	if (strcmp(told, what) != 0)
		log_msg(LOG_LEVEL_WARNING, "%s: %s", prefix, what);
	(void)text_copy(told, 512, slice_str(what));
}

static void
log_gazetteer(const struct gazetteer *g, const char *what)
{
	struct gazetteer_size size = gazetteer_size(g);

	log_msg(LOG_LEVEL_INFO, "gazetteer %s: places=%zu names=%zu", what, size.places,
		size.names);
}

bool
datafiles_take_gazetteer(struct control *c)
{
	struct path room;
	const char *path = gazetteer_path(&c->config->main, &room);
	bool had = c->gazetteer != NULL;
	struct gazetteer *fresh = NULL;
	struct err e = { 0 };

	if (!gazetteer_changed(c->gazetteer, path))
		return false;
	if (path != NULL)
		fresh = gazetteer_open(path, &e);
	if (path != NULL && fresh == NULL) {
		complain(c->gazetteer_complaint,
			 had ? "keeping the gazetteer in use" : "no gazetteer is in use", e.msg);
		return false;
	}
	c->gazetteer_complaint[0] = '\0';
	gazetteer_unref(c->gazetteer);
	c->gazetteer = fresh;
	log_gazetteer(fresh, !had ? "opened" : fresh != NULL ? "replaced" : "closed");
	return true;
}

static bool
take_geo(struct control *c)
{
	struct geo *fresh;
	struct err e = { 0 };

	if (c->config->main.geoip.n == 0 ||
	    (c->geo != NULL && !geo_changed(c->geo, &c->config->main.geoip)))
		return false;
	fresh = geo_open(&c->config->main.geoip, &e);
	if (fresh == NULL) {
		/* while no database is open it is tried again; the reload has logged why */
		if (c->geo != NULL)
			complain(c->geo_complaint, "keeping the GeoIP databases in use", e.msg);
		return false;
	}
	c->geo_complaint[0] = '\0';
	log_msg(LOG_LEVEL_INFO, "GeoIP databases %s", c->geo != NULL ? "replaced" : "opened");
	geo_unref(c->geo);
	c->geo = fresh;
	return true;
}

static void
control_on_files_timer(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;
	bool gazetteer = datafiles_take_gazetteer(c);
	bool geo = take_geo(c);

	(void)fd;
	(void)what;
	if (gazetteer || geo)
		control_publish(c, false);
}

void
datafiles_init(struct control *c)
{
	event_assign(&c->files_timer, loop_base(c->loop), -1, EV_PERSIST, control_on_files_timer,
		     c);
	if (c->gazetteer != NULL)
		log_gazetteer(c->gazetteer, "opened");
	else
		(void)datafiles_take_gazetteer(c);
}

void
datafiles_watch(struct control *c)
{
	static const struct timeval every = { .tv_sec = CHECK_S };
	const struct conf_main *conf = &c->config->main;
	struct path room;

	/* the installed gazetteer comes with the program: only a reload looks at it */
	if (conf->geoip.n == 0 && (is_automatic(conf) || gazetteer_path(conf, &room) == NULL))
		event_del(&c->files_timer);
	else if (!event_pending(&c->files_timer, EV_TIMEOUT, NULL))
		event_add(&c->files_timer, &every);
}
