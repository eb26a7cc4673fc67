/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/options.h"

#include "base/hot.h"
#include "proxy/config/options_int.h"
#include "proxy/config/words.h"

static const struct section *const sections[SECTION_KIND_COUNT] = {
	[SECTION_MERIDIAN] = &section_meridian,
	[SECTION_LISTENER] = &section_listener,
	[SECTION_REGION] = &section_region,
	[SECTION_DATABASE] = &section_database,
};

HOT const struct section *
section_of(enum section_kind kind)
{
	return sections[kind];
}

int
section_find(struct slice word)
{
	for (int i = 0; i < SECTION_KIND_COUNT; i++) {
		if (slice_is(word, sections[i]->word))
			return i;
	}
	return -1;
}

static const struct option *
find_row(const struct section *s, struct slice name)
{
	for (size_t i = 0; i < s->nrows; i++) {
		if (slice_is(name, s->rows[i].name))
			return &s->rows[i];
	}
	return NULL;
}

const struct option *
option_find(enum section_kind *kind, struct slice name)
{
	const struct option *o = find_row(sections[*kind], name);

	if (o == NULL && *kind == SECTION_MERIDIAN) {
		o = find_row(sections[SECTION_LISTENER], name);
		if (o != NULL)
			*kind = SECTION_LISTENER;
	}
	return o;
}

const char *
option_apply_name(enum option_apply apply)
{
	static const char *const names[] = { "at once", "new sessions", "restart" };

	return names[apply];
}

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
const char *const reads_mode_words[] = { "home", "observe", "nearest", NULL };
const char *const consistency_mode_words[] = { "session", "eventual", "strict", "bounded:TIME",
					       NULL };
const char *const lost_wal_mode_words[] = { "home", "fail", NULL };
const char *const residency_mode_words[] = { "prefer", "strict", NULL };
