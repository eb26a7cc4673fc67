/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/net/tlsbio.h"

#include <errno.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "proxy/net/rawio.h"
#include "proxy/net/stream.h"

static int
socket_read(BIO *bio, char *to, int size)
{
	const struct stream *st = BIO_get_data(bio);
	ssize_t n = raw_recv(st->fd, to, (size_t)size);

	BIO_clear_retry_flags(bio);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	return (int)n;
}

static int
socket_write(BIO *bio, const char *p, int n)
{
	const struct stream *st = BIO_get_data(bio);
	ssize_t w = raw_send(st->fd, p, (size_t)n);

	BIO_clear_retry_flags(bio);
	if (w < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)w;
}

static int
websocket_read(BIO *bio, char *to, int size)
{
	ssize_t n = websocket_recv(BIO_get_data(bio), to, (size_t)size);

	BIO_clear_retry_flags(bio);
	if (n == STREAM_AGAIN)
		BIO_set_retry_read(bio);
	return n < 0 ? -1 : (int)n;
}

static int
websocket_write(BIO *bio, const char *p, int n)
{
	ssize_t w = websocket_push(BIO_get_data(bio), p, (size_t)n);

	BIO_clear_retry_flags(bio);
	if (w == 0)
		BIO_set_retry_write(bio);
	return w <= 0 ? -1 : (int)w;
}

/* There is nothing to flush, and nothing else that OpenSSL asks for matters. */
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
	BIO_meth_free(BIO_get_app_data(bio));
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
	BIO_set_app_data(bio, method);
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
	BIO_set_data(SSL_get_rbio(ssl), st);
}
