/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

/* RELOADING=1 and READY=1: they replace what was to be sent before. */
#define KEPT_MAX 2

struct notifier {
	struct loop *loop;
	struct sockaddr_un to;
	socklen_t to_len; /* 0: there is no supervisor */
	int fd;           /* or -1 */
	struct event ev;  /* the socket has room again */
	char kept[KEPT_MAX][128];
	unsigned nkept;
};

static void notifier_on_room(evutil_socket_t fd, short what, void *arg);

/* A supervisor that was restarted has another socket of the same name: close ours. */
static void
hang_up(struct notifier *n)
{
	if (n->fd < 0)
		return;
	event_del(&n->ev);
	close(n->fd);
	n->fd = -1;
}

static bool
call_up(struct notifier *n)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	if (connect(fd, (const struct sockaddr *)&n->to, n->to_len) != 0) {
		close(fd);
		return false;
	}
	n->fd = fd;
	event_assign(&n->ev, loop_base(n->loop), fd, EV_WRITE, notifier_on_room, n);
	return true;
}

/* False: the socket has no room now. */
static bool
say(struct notifier *n, const char *word)
{
	for (int i = 0; i < 2; i++) {
		if (n->fd < 0 && !call_up(n))
			return true;
		if (send(n->fd, word, strlen(word), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == EAGAIN)
			return false;
		hang_up(n);
	}
	return true;
}

static void
say_what_is_kept(struct notifier *n)
{
	while (n->nkept > 0 && say(n, n->kept[0])) {
		memmove(n->kept[0], n->kept[1], sizeof(n->kept[0]));
		n->nkept--;
	}
	if (n->nkept > 0)
		event_add(&n->ev, NULL);
}

static void
notifier_on_room(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	say_what_is_kept(arg);
}

void
notifier_say(struct notifier *n, const char *word)
{
	if (n->to_len == 0)
		return;
	if (n->nkept == KEPT_MAX) {
		memmove(n->kept[0], n->kept[1], sizeof(n->kept[0]));
		n->nkept--;
	}
	(void)text_copy(n->kept[n->nkept++], sizeof(n->kept[0]), slice_str(word));
	say_what_is_kept(n);
}

struct notifier *
notifier_new(struct loop *loop, const char *path)
{
	struct notifier *n = xcalloc(1, sizeof(*n));
	size_t len = path != NULL ? strlen(path) : 0;

	n->loop = loop;
	n->fd = -1;
	n->to.sun_family = AF_UNIX;
	if (len < 2 || len >= sizeof(n->to.sun_path) || (path[0] != '/' && path[0] != '@'))
		return n;
	memcpy(n->to.sun_path, path, len);
	n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (path[0] == '@')
		n->to.sun_path[0] = '\0';
	else
		n->to_len++;
	return n;
}

void
notifier_free(struct notifier *n)
{
	if (n == NULL)
		return;
	hang_up(n);
	free(n);
}
