/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/unit.h"

/* A supervisor, and who tells it things. */
struct stage {
	char path[64];
	char heard[256]; /* the words since the last look, with | between them */
	int fd;
	struct loop *loop;
	struct notifier *n;
};

static int
supervise(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	(void)unlink(path);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static int
setup(void **state)
{
	struct stage *t = calloc(1, sizeof(*t));

	snprintf(t->path, sizeof(t->path), "/tmp/test_notify.%d", (int)getpid());
	t->fd = supervise(t->path);
	t->loop = loop_new();
	t->n = notifier_new(t->loop, t->path);
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct stage *t = *state;

	notifier_free(t->n);
	loop_free(t->loop);
	close(t->fd);
	(void)unlink(t->path);
	free(t);
	return 0;
}

/* Whatever waits in the supervisor's queue; what filled it is left out. */
static const char *
heard(struct stage *t)
{
	char word[200];
	size_t at = 0;
	ssize_t n;

	t->heard[0] = '\0';
	while ((n = recv(t->fd, word, sizeof(word) - 1, 0)) > 0) {
		word[n] = '\0';
		if (strcmp(word, "full") != 0)
			at += (size_t)snprintf(t->heard + at, sizeof(t->heard) - at, "%s|", word);
	}
	return t->heard;
}

/* Until the queue takes no more. */
static void
fill(struct stage *t)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", t->path);
	while (sendto(fd, "full", 4, 0, (struct sockaddr *)&a, sizeof(a)) == 4)
		;
	close(fd);
}

static void
who_listens_is_told(void **state)
{
	struct stage *t = *state;

	notifier_say(t->n, "READY=1");
	notifier_say(t->n, "STOPPING=1");
	assert_string_equal(heard(t), "READY=1|STOPPING=1|");
}

static void
who_does_not_read_is_not_waited_for_and_told_later(void **state)
{
	struct stage *t = *state;

	notifier_say(t->n, "READY=1");
	assert_string_equal(heard(t), "READY=1|");
	fill(t);
	notifier_say(t->n, "RELOADING=1");
	notifier_say(t->n, "READY=1");
	loop_poll(t->loop);
	assert_string_equal(heard(t), "");
	loop_poll(t->loop);
	assert_string_equal(heard(t), "RELOADING=1|READY=1|");
	loop_poll(t->loop);
	assert_string_equal(heard(t), "");
}

static void
of_what_it_did_not_take_the_last_two_words_count(void **state)
{
	struct stage *t = *state;

	fill(t);
	notifier_say(t->n, "RELOADING=1\nMONOTONIC_USEC=1");
	notifier_say(t->n, "READY=1");
	notifier_say(t->n, "RELOADING=1\nMONOTONIC_USEC=2");
	notifier_say(t->n, "READY=1");
	(void)heard(t);
	loop_poll(t->loop);
	assert_string_equal(heard(t), "RELOADING=1\nMONOTONIC_USEC=2|READY=1|");
}

static void
a_new_word_does_not_overtake_one_that_is_kept(void **state)
{
	struct stage *t = *state;

	fill(t);
	notifier_say(t->n, "READY=1");
	(void)heard(t);
	notifier_say(t->n, "STOPPING=1");
	assert_string_equal(heard(t), "READY=1|STOPPING=1|");
}

static void
a_supervisor_that_was_replaced_is_told(void **state)
{
	struct stage *t = *state;

	notifier_say(t->n, "READY=1");
	close(t->fd);
	notifier_say(t->n, "READY=2");
	t->fd = supervise(t->path);
	notifier_say(t->n, "READY=3");
	assert_string_equal(heard(t), "READY=3|");
}

static void
nobody_is_told_where_there_is_nobody(void **state)
{
	static const char *const paths[] = { NULL, "", "/", "relative",
					     "/tmp/there-is-no-such/notify" };
	struct stage *t = *state;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct notifier *n = notifier_new(t->loop, paths[i]);

		notifier_say(n, "READY=1");
		notifier_free(n);
	}
	assert_string_equal(heard(t), "");
}

static void
a_name_that_begins_with_an_at_sign_is_abstract(void **state)
{
	struct stage *t = *state;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char name[64], word[16] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	size_t len = (size_t)snprintf(name, sizeof(name), "@test_notify.%d", (int)getpid());
	struct notifier *n;

	memcpy(a.sun_path, name, len);
	a.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&a, (socklen_t)(sizeof(sa_family_t) + len)),
			 0);
	n = notifier_new(t->loop, name);
	notifier_say(n, "READY=1");
	assert_int_equal(recv(fd, word, sizeof(word) - 1, 0), 7);
	assert_string_equal(word, "READY=1");
	notifier_free(n);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_listens_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(who_does_not_read_is_not_waited_for_and_told_later,
						setup, teardown),
		cmocka_unit_test_setup_teardown(of_what_it_did_not_take_the_last_two_words_count,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_new_word_does_not_overtake_one_that_is_kept,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_supervisor_that_was_replaced_is_told, setup,
						teardown),
		cmocka_unit_test_setup_teardown(nobody_is_told_where_there_is_nobody, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_name_that_begins_with_an_at_sign_is_abstract,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
