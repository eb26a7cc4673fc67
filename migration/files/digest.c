/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/files/digest.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "base/bug.h"

/* Up to the next \r that stands in front of \n. */
static struct slice
cut_line_end(struct slice *rest)
{
	struct slice head = *rest;
	const char *at = rest->p;

	while ((at = memchr(at, '\r', (size_t)(rest->p + rest->n - at))) != NULL) {
		if (at + 1 < rest->p + rest->n && at[1] == '\n')
			break;
		at++;
	}
	if (at != NULL)
		head.n = (size_t)(at - head.p);
	*rest = slice_skip(*rest, at != NULL ? head.n + 1 : head.n);
	return head;
}

void
digest_text(struct slice text, char out[DIGEST_TEXT])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	BUG_ON(ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1);
	while (text.n > 0) {
		struct slice part = cut_line_end(&text);

		BUG_ON(EVP_DigestUpdate(ctx, part.p, part.n) != 1);
	}
	BUG_ON(EVP_DigestFinal_ex(ctx, sum, &n) != 1 || n * 2 + 1 != DIGEST_TEXT);
	EVP_MD_CTX_free(ctx);
	for (unsigned i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", sum[i]);
}
