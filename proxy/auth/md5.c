/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/md5.h"

#include <openssl/evp.h>

#define DIGEST 16

static bool
hex_of_both(struct slice a, struct slice b, char to[2 * DIGEST + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 &&
		    EVP_DigestUpdate(ctx, a.p, a.n) == 1 && EVP_DigestUpdate(ctx, b.p, b.n) == 1 &&
		    EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	for (size_t i = 0; good && i < DIGEST; i++) {
		to[2 * i] = digits[digest[i] >> 4];
		to[2 * i + 1] = digits[digest[i] & 15];
	}
	to[2 * DIGEST] = '\0';
	return good;
}

bool
md5_secret(struct slice user, struct slice password, char to[MD5_PASSWORD_TEXT])
{
	memcpy(to, "md5", 3);
	return hex_of_both(password, user, to + 3);
}

bool
md5_answer(const char secret[MD5_PASSWORD_TEXT], const uint8_t salt[MD5_SALT_BYTES],
	   char to[MD5_PASSWORD_TEXT])
{
	memcpy(to, "md5", 3);
	return hex_of_both(slice_of(secret + 3, 2 * DIGEST),
			   slice_of((const char *)salt, MD5_SALT_BYTES), to + 3);
}

bool
md5_password(struct slice user, struct slice password, const uint8_t salt[MD5_SALT_BYTES],
	     char to[MD5_PASSWORD_TEXT])
{
	char secret[MD5_PASSWORD_TEXT];
	bool good = md5_secret(user, password, secret) && md5_answer(secret, salt, to);

	explicit_bzero(secret, sizeof(secret));
	return good;
}
