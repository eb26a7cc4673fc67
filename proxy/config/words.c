/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/words.h"

#include <stddef.h>

const char *const tri_mode_words[] = { "off", "allow", "require", NULL };
const char *const tls_choice_words[] = { "auto", "off", "allow", "require", NULL };
const char *const sslmode_words[] = {
	[SSLMODE_DISABLE] = "disable",     [SSLMODE_ALLOW] = "allow",
	[SSLMODE_PREFER] = "prefer",       [SSLMODE_REQUIRE] = "require",
	[SSLMODE_VERIFY_CA] = "verify-ca", [SSLMODE_VERIFY_FULL] = "verify-full",
	[SSLMODE_VERIFY_FULL + 1] = NULL,
};
const char *const binding_mode_words[] = { "disable", "prefer", "require", NULL };
const char *const auth_method_words[] = {
	[METHOD_PASSTHROUGH] = "passthrough",
	[METHOD_TRUST] = "trust",
	[METHOD_SCRAM] = "scram-sha-256",
	[METHOD_MD5] = "md5",
	[METHOD_CERT] = "cert",
	[METHOD_HBA] = "hba",
	[METHOD_GLOBAL] = "global",
	[METHOD_PASSWORD] = "password",
	[METHOD_PEER] = "peer",
	[METHOD_REJECT] = "reject",
	[METHOD_REJECT + 1] = NULL,
};
const char *const pool_mode_words[] = { "off", "session", "transaction", NULL };
const char *const reads_mode_words[] = { "home", NULL };
const char *const consistency_mode_words[] = { "session", NULL };
const char *const residency_mode_words[] = { "prefer", "strict", NULL };
