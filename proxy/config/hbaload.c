/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/hbaload.h"

#include "base/log.h"
#include "proxy/auth/hba.h"
#include "proxy/auth/ident.h"
#include "proxy/config/config.h"

void
hbaload_drop(struct config *c)
{
	hba_unref(c->hba);
	ident_unref(c->ident);
	c->hba = NULL;
	c->ident = NULL;
}

void
hbaload_share(struct config *c)
{
	if (c->hba != NULL)
		hba_ref(c->hba);
	if (c->ident != NULL)
		ident_ref(c->ident);
}

bool
hbaload_names(const char *option)
{
	static const char *const names[] = { "hba_file", "auth_ident_file", "auth" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(option, names[i]) == 0)
			return true;
	}
	return false;
}

static bool
uses(const struct config *c, enum auth_method method)
{
	for (size_t i = 0; i < c->ndatabases; i++) {
		if (c->databases[i].auth == method)
			return true;
	}
	return c->main.auth == method;
}

/* Why a line can never let a client in, or NULL. */
static const char *
fault_of(const struct config *c, const struct hba_rule *rule)
{
	bool password =
	    rule->method == HBA_SCRAM || rule->method == HBA_MD5 || rule->method == HBA_PASSWORD;

	if (password && c->main.auth_file == NULL && c->main.auth_conninfo == NULL)
		return "there are no secrets without auth_file or auth_conninfo";
	if (rule->clientcert != HBA_CERT_ANY && !config_asks_for_certificates(c))
		return "no listener has a tls_ca_file to check client certificates with";
	if (rule->map != NULL && !ident_has_map(c->ident, rule->map))
		return "auth_ident_file has no such map";
	return NULL;
}

static void
warn_of_faults(const struct config *c)
{
	for (size_t i = 0; i < hba_count(c->hba); i++) {
		const struct hba_rule *rule = hba_rule(c->hba, i);
		const char *fault = fault_of(c, rule);

		if (fault != NULL)
			log_msg(LOG_LEVEL_WARNING, "%s:%u: this line lets no client in: %s",
				rule->file, rule->line, fault);
	}
}

int
hbaload(struct config *c, struct err *e)
{
	const struct conf_main *m = &c->main;

	hbaload_drop(c);
	if (m->auth_ident_file != NULL && (c->ident = ident_load(m->auth_ident_file, e)) == NULL)
		return -1;
	if (m->hba_file != NULL && (c->hba = hba_load(m->hba_file, e)) == NULL)
		return -1;
	if (c->ident != NULL && uses(c, METHOD_CERT) && !ident_has_map(c->ident, HBALOAD_CERT_MAP))
		return err_set(e, "F0000",
			       "auth = cert takes its map \"" HBALOAD_CERT_MAP
			       "\" from auth_ident_file, but there is none in \"%s\"",
			       m->auth_ident_file);
	if (c->hba == NULL)
		return 0;
	if (uses(c, METHOD_HBA))
		warn_of_faults(c);
	else
		log_msg(LOG_LEVEL_WARNING, "hba_file is not asked: auth is not hba");
	return 0;
}
