/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/files/digest.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "base/bug.h"

void
digest_text(struct slice text, char out[DIGEST_TEXT])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	BUG_ON(ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1);
	while (text.n > 0) {
		const char *end = text.p + text.n, *at = memchr(text.p, '\r', text.n);
		struct slice part;

		/* Up to the next \r that stands in front of \n. */
		while (at != NULL && !(at + 1 < end && at[1] == '\n'))
			at = memchr(at + 1, '\r', (size_t)(end - at - 1));
		part = slice_of(text.p, at != NULL ? (size_t)(at - text.p) : text.n);
		text = slice_skip(text, at != NULL ? part.n + 1 : part.n);
		BUG_ON(EVP_DigestUpdate(ctx, part.p, part.n) != 1);
	}
	BUG_ON(EVP_DigestFinal_ex(ctx, sum, &n) != 1 || n * 2 + 1 != DIGEST_TEXT);
	EVP_MD_CTX_free(ctx);
	for (unsigned i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", sum[i]);
}
