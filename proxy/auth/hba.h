/* SPDX-License-Identifier: PostgreSQL
 *
 * The option hba_file: which clients may log in from where, and how they prove who they are, in the
 * grammar of pg_hba.conf (PostgreSQL documentation, "The pg_hba.conf File", as of 18; lines and
 * fields are read by proxy/auth/hbafile.h). The first rule that matches decides; where none does,
 * the client is refused.
 *
 * What a proxy cannot know is an error when the file is read, and is never skipped: membership of
 * roles (+role, samerole), host names, and methods other than those of enum hba_method. Records for
 * GSSAPI (hostgssenc) are read and never match. Regular expressions are POSIX extended ones of the
 * C library.
 *
 * The table is immutable once loaded, refcounted, and may be read by any thread. Errors name file
 * and line.
 */
#ifndef PROXY_AUTH_HBA_H
#define PROXY_AUTH_HBA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct hba;
struct hbafile_source;

/* PostgreSQL cuts the names of a startup packet to this; so does the comparison here. */
#define HBA_NAME_MAX 63

enum hba_type {
	HBA_LOCAL,
	HBA_HOST,
	HBA_HOSTSSL,
	HBA_HOSTNOSSL,
	HBA_HOSTGSSENC,
	HBA_HOSTNOGSSENC,
};

enum hba_method {
	HBA_TRUST,
	HBA_REJECT,
	HBA_SCRAM,
	HBA_MD5,
	HBA_PASSWORD,
	HBA_CERT,
	HBA_PEER,
};

/* What the client's certificate must be as well: signed by one of tls_ca_file, or also issued to
 * the user. The method cert implies the latter. */
enum hba_clientcert { HBA_CERT_ANY, HBA_CERT_VERIFY_CA, HBA_CERT_VERIFY_FULL };
/* The part of the certificate that names the user. */
enum hba_clientname { HBA_NAME_CN, HBA_NAME_DN };

struct hba_rule {
	enum hba_type type;
	enum hba_method method;
	enum hba_clientcert clientcert;
	enum hba_clientname clientname;
	const char *map;  /* in auth_ident_file; NULL: the names must be equal */
	const char *file; /* where the rule is written … */
	unsigned line;    /* … 0: it stands for an option */
};

/* Which client asks, and from where. */
struct hba_question {
	struct slice database, user;
	const struct addr *client; /* ADDR_UNIX: over a unix socket */
	bool tls;
	bool physical; /* physical replication, which has no database */
};

/* The addresses of this host, for samehost and samenet. */
struct hba_own {
	struct cidr *v; /* net: the whole address; bits: the length of its network's prefix */
	size_t n;
};

/* NULL and *e on failure. */
struct hba *hba_load(const char *path, struct err *e) MUST_CHECK;
/* The same with the caller's own files and addresses. */
struct hba *hba_read(const struct hbafile_source *source, const char *path,
		     const struct hba_own *own, struct err *e) MUST_CHECK;
struct hba *hba_ref(struct hba *h);
void hba_unref(struct hba *h); /* accepts NULL */

/* NULL: no rule matches. Valid as long as the table. */
const struct hba_rule *hba_match(const struct hba *h, const struct hba_question *q);

size_t hba_count(const struct hba *h);
const struct hba_rule *hba_rule(const struct hba *h, size_t i);
/* Append one column of a rule as it would be written in the file; "" where the rule has none. */
enum hba_column { HBA_TYPE, HBA_DATABASE, HBA_USER, HBA_ADDRESS, HBA_METHOD, HBA_OPTIONS };
void hba_put(struct buf *b, const struct hba_rule *rule, enum hba_column column);

const char *hba_method_name(enum hba_method method); /* "scram-sha-256" */

#endif
