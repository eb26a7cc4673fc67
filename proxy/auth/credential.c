/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/credential.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"

static struct credential *
make(enum credential_kind kind, struct slice password)
{
	struct credential *c = xcalloc(1, sizeof(*c) + password.n + 1);

	refcount_init(&c->refs);
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
	return c;
}

struct credential *
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

void
credential_unref(struct credential *c)
{
	if (c == NULL || !refcount_put(&c->refs))
		return;
	OPENSSL_cleanse(c, sizeof(*c) + c->length);
	free(c);
}

bool
credential_equal(const struct credential *a, const struct credential *b)
{
	if (a == NULL || b == NULL || a == b)
		return a == b;
	return a->kind == b->kind && a->length == b->length &&
	       CRYPTO_memcmp(a->password, b->password, a->length) == 0 &&
	       CRYPTO_memcmp(a->md5, b->md5, sizeof(a->md5)) == 0 &&
	       CRYPTO_memcmp(&a->keys, &b->keys, sizeof(a->keys)) == 0;
}
