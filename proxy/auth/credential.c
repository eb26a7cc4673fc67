/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/credential.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/bug.h"
#include "base/hot.h"
#include "base/mem.h"
#include "base/text.h"

/* Each node of a fleet may have its own salt for one password. */
#define MADE_MAX 16

struct credential_made {
	unsigned n, next; /* when full, the oldest is overwritten */
	struct {
		struct scram_challenge ask;
		struct scram_keys keys;
	} v[MADE_MAX];
};

static HOT struct credential *
make(enum credential_kind kind, struct slice password)
{
	struct credential *c = xcalloc(1, sizeof(*c) + password.n + 1);

	refcount_init(&c->refs);
	BUG_ON(pthread_mutex_init(&c->lock, NULL) != 0);
	c->kind = kind;
	c->length = password.n;
	if (password.n > 0)
		memcpy(c->password, password.p, password.n);
	return c;
}

struct credential *
credential_new_none(void)
{
	return make(CREDENTIAL_NONE, slice_of("", 0));
}

struct credential *
credential_new_password(struct slice password)
{
	return make(CREDENTIAL_PASSWORD, password);
}

struct credential *
credential_new_md5(const char *md5)
{
	struct credential *c = make(CREDENTIAL_MD5, slice_of("", 0));

	BUG_ON(!text_copy(c->md5, sizeof(c->md5), slice_str(md5)));
	/* PostgreSQL hashes the digits in lower case */
	for (char *p = c->md5; *p != '\0'; p++) {
		if (*p >= 'A' && *p <= 'F')
			*p = (char)(*p - 'A' + 'a');
	}
	return c;
}

HOT struct credential *
credential_new_keys(const struct scram_keys *keys)
{
	struct credential *c = make(CREDENTIAL_SCRAM_KEYS, slice_of("", 0));

	c->keys = *keys;
	return c;
}

struct credential *
credential_ref(struct credential *c)
{
	if (c != NULL)
		refcount_get(&c->refs);
	return c;
}

HOT void
credential_unref(struct credential *c)
{
	if (c == NULL || !refcount_put(&c->refs))
		return;
	if (c->made != NULL)
		OPENSSL_cleanse(c->made, sizeof(*c->made));
	free(c->made);
	pthread_mutex_destroy(&c->lock);
	OPENSSL_cleanse(c, sizeof(*c) + c->length);
	free(c);
}

/* With the lock held. */
static const struct scram_keys *
find(const struct credential_made *made, const struct scram_challenge *ask)
{
	for (unsigned i = 0; made != NULL && i < made->n; i++) {
		const struct scram_challenge *of = &made->v[i].ask;

		if (of->iterations == ask->iterations && of->salt_len == ask->salt_len &&
		    memcmp(of->salt, ask->salt, ask->salt_len) == 0)
			return &made->v[i].keys;
	}
	return NULL;
}

bool
credential_known_keys(struct credential *c, const struct scram_challenge *ask,
		      struct scram_keys *out)
{
	const struct scram_keys *known;

	BUG_ON(c->kind != CREDENTIAL_PASSWORD);
	pthread_mutex_lock(&c->lock);
	known = find(c->made, ask);
	if (known != NULL)
		*out = *known;
	pthread_mutex_unlock(&c->lock);
	return known != NULL;
}

int
credential_make_keys(struct credential *c, const struct scram_challenge *ask,
		     struct scram_keys *out, struct err *e)
{
	struct slice salt = slice_of((const char *)ask->salt, ask->salt_len);
	struct credential_made *made;

	BUG_ON(c->kind != CREDENTIAL_PASSWORD);
	if (scram_keys_make(slice_of(c->password, c->length), salt, ask->iterations, out, e) != 0)
		return -1;
	pthread_mutex_lock(&c->lock);
	if (c->made == NULL)
		c->made = xcalloc(1, sizeof(*c->made));
	made = c->made;
	if (find(made, ask) == NULL) {
		made->v[made->next].ask = *ask;
		made->v[made->next].keys = *out;
		made->next = (made->next + 1) % MADE_MAX;
		if (made->n < MADE_MAX)
			made->n++;
	}
	pthread_mutex_unlock(&c->lock);
	return 0;
}

HOT bool
credential_equal(const struct credential *a, const struct credential *b)
{
	if (a == NULL || b == NULL || a == b)
		return a == b;
	return a->kind == b->kind && a->length == b->length &&
	       CRYPTO_memcmp(a->password, b->password, a->length) == 0 &&
	       CRYPTO_memcmp(a->md5, b->md5, sizeof(a->md5)) == 0 &&
	       CRYPTO_memcmp(&a->keys, &b->keys, sizeof(a->keys)) == 0;
}

static bool
fits_verifier(const struct credential *c, const struct scram_verifier *v)
{
	struct slice salt = slice_of((const char *)v->salt, v->salt_len);
	struct scram_keys keys;
	struct err e;
	bool fit;

	if (c->kind == CREDENTIAL_SCRAM_KEYS)
		return scram_keys_fit(&c->keys, v);
	if (c->kind != CREDENTIAL_PASSWORD)
		return false;
	fit = scram_keys_make(slice_of(c->password, c->length), salt, v->iterations, &keys, &e) ==
		  0 &&
	      scram_keys_fit(&keys, v);
	scram_keys_wipe(&keys);
	return fit;
}

bool
credential_fits(const struct credential *c, struct slice user, struct slice secret)
{
	char made[MD5_PASSWORD_TEXT] = "";
	struct scram_verifier v;
	struct err e;
	bool fit;

	if (c->kind == CREDENTIAL_NONE)
		return true;
	if (scram_verifier_parse(secret, &v, &e) != 0) {
		if (c->kind == CREDENTIAL_MD5)
			return slice_is(secret, c->md5);
		return c->kind == CREDENTIAL_PASSWORD &&
		       md5_secret(user, slice_of(c->password, c->length), made) &&
		       slice_is(secret, made);
	}
	fit = fits_verifier(c, &v);
	scram_verifier_wipe(&v);
	return fit;
}
