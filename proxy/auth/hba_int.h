/* SPDX-License-Identifier: PostgreSQL
 *
 * What hba.c, which reads the file, and hba_match.c, which matches and shows rules, share of struct
 * hba.
 */
#ifndef PROXY_AUTH_HBA_INT_H
#define PROXY_AUTH_HBA_INT_H

#include <stdint.h>

#include "base/snapshot.h"
#include "proxy/auth/hba.h"
#include "proxy/auth/hbafile.h"
#include "proxy/auth/hbaregex.h"

#define HBA_TYPES       (HBA_HOSTNOGSSENC + 1)
#define HBA_METHODS     (HBA_PEER + 1)
#define HBA_CLIENTCERTS (HBA_CERT_VERIFY_FULL + 1)
#define HBA_CLIENTNAMES (HBA_NAME_DN + 1)

enum name_kind { NAME_PLAIN, NAME_REGEX, NAME_ALL, NAME_SAMEUSER, NAME_REPLICATION };

struct name {
	enum name_kind kind;
	char *text;    /* as written */
	regex_t regex; /* NAME_REGEX: what follows the / */
};

struct names {
	struct name *v;
	size_t n;
};

enum place { PLACE_ALL, PLACE_SAMEHOST, PLACE_SAMENET, PLACE_BLOCK };

struct rule {
	struct hba_rule shown; /* must be the first field: hba_put() casts it back */
	struct names databases, users;
	enum place place; /* not set for HBA_LOCAL */
	struct addr net;  /* PLACE_BLOCK, with the bits outside `mask` cleared */
	uint8_t mask[16];
	char *map, *file;
};

struct hba {
	struct refcount refs;
	struct rule *v;
	size_t n;
	struct hba_own own;
};

extern const char *const hba_type_words[HBA_TYPES];
extern const char *const hba_method_words[HBA_METHODS];
extern const char *const hba_place_words[PLACE_BLOCK]; /* the places that are written as a word */
extern const char *const hba_clientcert_words[HBA_CLIENTCERTS];
extern const char *const hba_clientname_words[HBA_CLIENTNAMES];

size_t hba_family_bits(const struct addr *a);
void hba_set_bits(uint8_t mask[16], size_t bits);

#endif
