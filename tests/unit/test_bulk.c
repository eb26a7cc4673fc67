/* SPDX-License-Identifier: PostgreSQL
 *
 * Bulk over a TCP connection on loopback: what the kernel's low-water mark is, and that nobody's
 * bytes are left lying below it.
 */
#include "config.h"

#include "proxy/session/bulk.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ev/loop.h"

#include "tests/unit/unit.h"

#define ROOM        ((size_t)128 << 10)
#define PATIENCE_US (10 * 1000 * 1000LL)

struct bulky {
	struct loop *loop;
	struct stream st;
	struct bulk_state bulk;
	int peer;
	size_t got;
	unsigned reads;
	char room[ROOM];
};

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct bulky *b = arg;
	ssize_t n = stream_recv(&b->st, b->room, ROOM);

	(void)fd;
	(void)what;
	b->reads++;
	if (n <= 0)
		return;
	b->got += (size_t)n;
	bulk_heard(&b->bulk, (size_t)n, ROOM, &b->st, b->loop);
}

static int
setup(void **state)
{
	struct bulky *b = test_calloc(1, sizeof(*b));
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd, large = 4 << 20;

	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large)), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &n), 0);
	b->peer = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(b->peer, (struct sockaddr *)&at, sizeof(at)), 0);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	close(listener);
	b->loop = loop_new();
	stream_init(&b->st, loop_base(b->loop), fd, on_readable, b);
	stream_want(&b->st, EV_READ);
	*state = b;
	return 0;
}

static int
teardown(void **state)
{
	struct bulky *b = *state;

	bulk_end(&b->bulk);
	stream_fini(&b->st);
	close(b->peer);
	loop_free(b->loop);
	test_free(b);
	return 0;
}

static int
mark(const struct bulky *b)
{
	int low = 0;
	socklen_t n = sizeof(low);

	assert_int_equal(getsockopt(b->st.fd, SOL_SOCKET, SO_RCVLOWAT, &low, &n), 0);
	return low;
}

/* What was in front of it was bulk. */
static void
earn(struct bulky *b)
{
	bulk_heard(&b->bulk, BULK_BEHIND, SIZE_MAX, &b->st, b->loop);
}

/* And it has arrived. */
static void
peer_says(struct bulky *b, size_t n)
{
	static const char bytes[2 * ROOM];
	int64_t deadline = clock_us() + PATIENCE_US;
	int there = 0;

	assert_int_equal(send(b->peer, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
	while ((size_t)there < n && clock_us() < deadline)
		assert_int_equal(ioctl(b->st.fd, FIONREAD, &there), 0);
	assert_int_equal(there, n);
}

static void
the_mark_is_set_behind_16_mb_of_large_pieces_and_taken_back(void **state)
{
	struct bulky *b = *state;

	for (size_t n = 0; n + BULK_READ < BULK_BEHIND; n += BULK_READ)
		bulk_heard(&b->bulk, BULK_READ, ROOM, &b->st, b->loop);
	for (unsigned i = 0; i < 10000; i++)
		bulk_heard(&b->bulk, BULK_READ - 1, ROOM, &b->st, b->loop);
	assert_int_equal(mark(b), 1);
	bulk_heard(&b->bulk, BULK_READ, ROOM, &b->st, b->loop);
	assert_int_equal(mark(b), BULK_LOW);
	bulk_end(&b->bulk);
	assert_int_equal(mark(b), 1);
	assert_null(b->bulk.now);
	bulk_heard(&b->bulk, BULK_READ, ROOM, &b->st, b->loop);
	assert_int_equal(mark(b), 1);
}

/* No tick is waited for here: loop_poll() runs what is due now, and the clock stands a tick behind
 * at most; the mark would hold the rest back until then. */
static void
what_a_full_read_leaves_below_the_mark_is_read_at_once(void **state)
{
	struct bulky *b = *state;
	size_t rest = 1000;

	earn(b);
	peer_says(b, ROOM + rest);
	loop_poll(b->loop);
	assert_int_equal(b->got, ROOM);
	loop_poll(b->loop);
	assert_int_equal(b->got, ROOM + rest);
	assert_int_equal(b->reads, 2);
	/* and whoever is not to be read is not (with the low mark: a tick may have made it the high
	 * one) */
	bulk_end(&b->bulk);
	earn(b);
	peer_says(b, ROOM + rest);
	loop_poll(b->loop);
	stream_want(&b->st, 0);
	loop_poll(b->loop);
	assert_int_equal(b->reads, 3);
	stream_want(&b->st, EV_READ);
	loop_poll(b->loop);
	assert_int_equal(b->got, 2 * (ROOM + rest));
}

static void
until(struct bulky *b, int low)
{
	int64_t deadline = clock_us() + PATIENCE_US;

	while (mark(b) != low && clock_us() < deadline)
		loop_poll(b->loop);
	assert_int_equal(mark(b), low);
}

static void
quick_ones_have_a_higher_mark_and_lose_it_by_steps(void **state)
{
	struct bulky *b = *state;

	earn(b); /* 16 MB are quick */
	assert_int_equal(mark(b), BULK_LOW);
	until(b, BULK_HIGH);
	peer_says(b, BULK_LOW);
	loop_poll(b->loop);
	until(b, BULK_LOW);
	until(b, 1);
	assert_int_equal(b->got, BULK_LOW);
	assert_null(b->bulk.now);
	/* and 256 kB bring it back */
	bulk_heard(&b->bulk, BULK_AGAIN, ROOM, &b->st, b->loop);
	assert_int_equal(mark(b), BULK_LOW);
}

static void
slow_ones_keep_the_lower_mark(void **state)
{
	struct bulky *b = *state;
	int64_t deadline = clock_us() + PATIENCE_US;

	b->bulk.bytes = BULK_BEHIND;
	bulk_heard(&b->bulk, BULK_QUICK - 1, ROOM, &b->st, b->loop);
	assert_int_equal(mark(b), BULK_LOW);
	while (b->bulk.now != NULL && clock_us() < deadline) {
		loop_poll(b->loop);
		assert_int_not_equal(mark(b), BULK_HIGH);
	}
	assert_null(b->bulk.now);
}

int
main(void)
{
#define EACH(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		EACH(the_mark_is_set_behind_16_mb_of_large_pieces_and_taken_back),
		EACH(what_a_full_read_leaves_below_the_mark_is_read_at_once),
		EACH(quick_ones_have_a_higher_mark_and_lose_it_by_steps),
		EACH(slow_ones_keep_the_lower_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
