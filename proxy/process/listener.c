/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/process/listener.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "base/addr.h"
#include "base/text.h"
#include "proxy/config/config.h"
#include "proxy/net/sock.h"
#include "proxy/process/worker_int.h"

/* One socket for all workers; each has a descriptor of its own, and the first that accepts a
 * connection has it. */
static void
share(struct worker **workers, int nworkers, int take_fd, size_t listener, enum listen_kind kind)
{
	for (int i = 0; i < nworkers; i++) {
		int fd = i == 0 ? take_fd : fcntl(take_fd, F_DUPFD_CLOEXEC, 3);

		if (fd >= 0)
			worker_ops.accept_from(workers[i], fd, (uint16_t)listener, kind);
	}
}

static int
open_unix(struct listeners *l, const struct config *config, const char *dir, size_t listener,
	  struct worker **workers, int nworkers, struct err *e)
{
	const struct conf_main *conf = &config->main;
	char *path = xasprintf("%s/.s.PGSQL.%d", dir, config->listeners[listener].socket_port);
	int fd = sock_listen_unix(path, conf->unix_socket_mode, conf->listen_backlog, e);

	if (fd >= 0) {
		share(workers, nworkers, fd, listener, LISTEN_UNIX);
		strlist_add(&l->unlink, path);
		strlist_add(&l->shown, path);
	}
	free(path);
	return fd >= 0 ? 0 : -1;
}

/* "*:6433" is every address of both families, or of the one that exists; returns how many addresses
 * were written (≤ 2). */
static size_t
parse_listen(const char *text, struct addr out[2])
{
	static const char *const any[] = { "0.0.0.0", "::" };
	size_t n = sock_has_ipv6() ? 2 : 1;
	int64_t port;

	if (text[0] != '*')
		return addr_parse_port(slice_str(text), &out[0]) ? 1 : 0;
	if (text[1] != ':' || !text_to_int(slice_str(text + 2), 1, 65535, &port))
		return 0;
	for (size_t i = 0; i < n; i++) {
		(void)addr_parse(slice_str(any[i]), &out[i]);
		out[i].port = (uint16_t)port;
	}
	return n;
}

static int
open_tcp(struct listeners *l, const struct conf_main *conf, const char *text, size_t listener,
	 struct worker **workers, int nworkers, struct err *e)
{
	struct addr at[2];
	size_t n = parse_listen(text, at);

	if (n == 0)
		return err_set(e, "F0000", "could not listen on \"%s\": not an address", text);
	for (size_t a = 0; a < n; a++) {
		if (sock_probe_listen(&at[a], e) != 0)
			return -1;
		for (int i = 0; i < nworkers; i++) {
			int fd = sock_listen(&at[a], conf, e);

			if (fd < 0)
				return -1;
			worker_ops.accept_from(workers[i], fd, (uint16_t)listener, LISTEN_TCP);
		}
	}
	strlist_add(&l->shown, text);
	return 0;
}

/* The listener that an inherited descriptor belongs to, by its name (FileDescriptorName=); else
 * main. */
static size_t
listener_by_name(const struct config *config, const char *name)
{
	for (size_t i = 0; name != NULL && i < config->nlisteners; i++) {
		if (strcmp(config->listeners[i].name, name) == 0)
			return i;
	}
	return 0;
}

/* The sockets that systemd has opened for us (socket activation). Returns a mask of the listeners
 * they serve. */
static uint64_t
inherit(struct listeners *l, const struct config *config, struct worker **workers, int nworkers)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);
	uint64_t served = 0;

	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;
		size_t listener = listener_by_name(config, names != NULL ? names[i] : NULL);
		bool is_unix = sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0;

		if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
			continue;
		(void)evutil_make_socket_nonblocking(fd);
		share(workers, nworkers, fd, listener, is_unix ? LISTEN_UNIX : LISTEN_INHERITED);
		strlist_add(&l->shown, "inherited");
		served |= UINT64_C(1) << (listener & 63);
	}
	for (int i = 0; names != NULL && i < n; i++)
		free(names[i]);
	free(names);
	return served;
}

int
listeners_open(struct listeners *l, const struct config *config, struct worker **workers,
	       int nworkers, struct err *e)
{
	uint64_t inherited = inherit(l, config, workers, nworkers);

	for (size_t i = 0; i < config->nlisteners; i++) {
		const struct strlist *at = &config->listeners[i].listen;

		if (inherited & (UINT64_C(1) << (i & 63)))
			continue;
		for (size_t k = 0; k < at->n; k++) {
			bool is_unix = at->v[k][0] == '/';
			int r = is_unix
				    ? open_unix(l, config, at->v[k], i, workers, nworkers, e)
				    : open_tcp(l, &config->main, at->v[k], i, workers, nworkers, e);

			if (r != 0)
				return -1;
		}
	}
	return 0;
}

void
listeners_unlink(struct listeners *l)
{
	for (size_t i = 0; i < l->unlink.n; i++)
		(void)unlink(l->unlink.v[i]);
	strlist_fini(&l->unlink);
}

void
listeners_fini(struct listeners *l)
{
	listeners_unlink(l);
	strlist_fini(&l->shown);
}
