/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/net/tlsbio.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "proxy/net/rawio.h"
#include "proxy/net/stream.h"

/* Two records and the header of a third. */
#define CHATTER_MAX (40 * 1024)

/* What the BIO is working on. */
struct task {
	BIO_METHOD *method;
	struct stream *st; /* the stream that is served now */
	long left;         /* bytes that may still be read before SSL_read() must return some */
};

/* False: SSL_read() would not end by itself. */
static bool
may_read(BIO *bio)
{
	const struct task *t = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (t->left > 0)
		return true;
	errno = EPROTO;
	return false;
}

static int
socket_read(BIO *bio, char *to, int size)
{
	struct task *t = BIO_get_data(bio);
	ssize_t n;

	if (!may_read(bio))
		return -1;
	n = raw_recv(t->st->fd, to, (size_t)size);
	if (n > 0)
		t->left -= n;
	else if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	return (int)n;
}

static int
socket_write(BIO *bio, const char *p, int n)
{
	const struct task *t = BIO_get_data(bio);
	ssize_t w = raw_send(t->st->fd, p, (size_t)n);

	BIO_clear_retry_flags(bio);
	if (w < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)w;
}

static int
websocket_read(BIO *bio, char *to, int size)
{
	struct task *t = BIO_get_data(bio);
	ssize_t n;

	if (!may_read(bio))
		return -1;
	n = websocket_recv(t->st, to, (size_t)size);
	if (n > 0)
		t->left -= n;
	else if (n == STREAM_AGAIN)
		BIO_set_retry_read(bio);
	return n < 0 ? -1 : (int)n;
}

static int
websocket_write(BIO *bio, const char *p, int n)
{
	const struct task *t = BIO_get_data(bio);
	ssize_t w = websocket_push(t->st, p, (size_t)n);

	BIO_clear_retry_flags(bio);
	if (w == 0)
		BIO_set_retry_write(bio);
	return w <= 0 ? -1 : (int)w;
}

/* Nothing needs flushing, and no other request of OpenSSL's matters here. */
static long
bio_ctrl(BIO *bio, int command, long argument, void *pointer)
{
	(void)bio;
	(void)argument;
	(void)pointer;
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int
bio_destroy(BIO *bio)
{
	struct task *t = BIO_get_data(bio);

	if (t != NULL)
		BIO_meth_free(t->method);
	free(t);
	return 1;
}

struct bio_st *
tlsbio_new(enum tlsbio_kind kind)
{
	static const struct {
		int (*read)(BIO *bio, char *to, int size);
		int (*write)(BIO *bio, const char *p, int n);
	} kinds[TLSBIO_KINDS] = {
		[TLSBIO_SOCKET] = { socket_read, socket_write },
		[TLSBIO_WEBSOCKET] = { websocket_read, websocket_write },
	};
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");
	struct task *t;
	BIO *bio;

	if (method == NULL)
		return NULL;
	BIO_meth_set_read(method, kinds[kind].read);
	BIO_meth_set_write(method, kinds[kind].write);
	BIO_meth_set_ctrl(method, bio_ctrl);
	BIO_meth_set_destroy(method, bio_destroy);
	bio = BIO_new(method);
	if (bio == NULL) {
		BIO_meth_free(method);
		return NULL;
	}
	BIO_set_init(bio, 1);
	t = xcalloc(1, sizeof(*t));
	t->method = method;
	BIO_set_data(bio, t);
	return bio;
}

void
tlsbio_free(struct bio_st *bio)
{
	BIO_free(bio);
}

void
tlsbio_attach(struct bio_st *bio, struct ssl_st *ssl)
{
	BIO_up_ref(bio); /* for SSL_set_bio(), which takes one */
	SSL_set_bio(ssl, bio, bio);
}

void
tlsbio_aim(struct ssl_st *ssl, struct stream *st)
{
	struct task *t = BIO_get_data(SSL_get_rbio(ssl));

	t->st = st;
	t->left = LONG_MAX;
}

void
tlsbio_limit(struct ssl_st *ssl)
{
	struct task *t = BIO_get_data(SSL_get_rbio(ssl));

	t->left = CHATTER_MAX;
}
