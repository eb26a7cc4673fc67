/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/hba_int.h"

#include <stdlib.h>

#include "base/text.h"

const char *const hba_type_words[HBA_TYPES] = {
	[HBA_LOCAL] = "local",           [HBA_HOST] = "host",
	[HBA_HOSTSSL] = "hostssl",       [HBA_HOSTNOSSL] = "hostnossl",
	[HBA_HOSTGSSENC] = "hostgssenc", [HBA_HOSTNOGSSENC] = "hostnogssenc",
};
const char *const hba_method_words[HBA_METHODS] = {
	[HBA_TRUST] = "trust", [HBA_REJECT] = "reject",     [HBA_SCRAM] = "scram-sha-256",
	[HBA_MD5] = "md5",     [HBA_PASSWORD] = "password", [HBA_CERT] = "cert",
	[HBA_PEER] = "peer",
};
const char *const hba_place_words[PLACE_BLOCK] = { "all", "samehost", "samenet" };
const char *const hba_clientcert_words[HBA_CLIENTCERTS] = {
	[HBA_CERT_ANY] = "",
	[HBA_CERT_VERIFY_CA] = "verify-ca",
	[HBA_CERT_VERIFY_FULL] = "verify-full",
};
const char *const hba_clientname_words[HBA_CLIENTNAMES] = {
	[HBA_NAME_CN] = "CN", [HBA_NAME_DN] = "DN"
};

const char *
hba_method_name(enum hba_method method)
{
	return hba_method_words[method];
}

size_t
hba_family_bits(const struct addr *a)
{
	return a->family == ADDR_IPV4 ? 32 : 128;
}

void
hba_set_bits(uint8_t mask[16], size_t bits)
{
	memset(mask, 0, 16);
	for (size_t i = 0; i < bits; i++)
		mask[i / 8] |= (uint8_t)(0x80 >> (i % 8));
}

/* ---- matching ---- */

/* The question, its names cut to PostgreSQL's length and terminated. */
struct asked {
	const struct hba_question *q;
	char database[HBA_NAME_MAX + 1], user[HBA_NAME_MAX + 1];
};

static bool
fits_type(enum hba_type type, const struct hba_question *q)
{
	bool local = q->client->family == ADDR_UNIX;

	switch (type) {
	case HBA_LOCAL:
		return local;
	case HBA_HOST:
	case HBA_HOSTNOGSSENC:
		return !local;
	case HBA_HOSTSSL:
		return !local && q->tls;
	case HBA_HOSTNOSSL:
		return !local && !q->tls;
	case HBA_HOSTGSSENC:
		return false;
	}
	return false;
}

static bool
is_own(const struct hba_own *own, const struct addr *client, bool whole_net)
{
	for (size_t i = 0; i < own->n; i++) {
		if (whole_net ? cidr_has(&own->v[i], client) : addr_same_ip(&own->v[i].net, client))
			return true;
	}
	return false;
}

static bool
fits_block(const struct rule *rule, const struct addr *client)
{
	if (rule->net.family != client->family)
		return false;
	for (size_t i = 0; i < hba_family_bits(client) / 8; i++) {
		if ((client->ip[i] & rule->mask[i]) != rule->net.ip[i])
			return false;
	}
	return true;
}

static bool
fits_address(const struct hba *h, const struct rule *rule, const struct addr *client)
{
	switch (rule->place) {
	case PLACE_ALL:
		return true;
	case PLACE_SAMEHOST:
	case PLACE_SAMENET:
		return is_own(&h->own, client, rule->place == PLACE_SAMENET);
	case PLACE_BLOCK:
		return fits_block(rule, client);
	}
	return false;
}

static bool
fits_name(const struct name *name, const char *text, const struct asked *asked)
{
	switch (name->kind) {
	case NAME_PLAIN:
		return strcmp(name->text, text) == 0;
	case NAME_REGEX:
		return regexec(&name->regex, text, 0, NULL, 0) == 0;
	case NAME_ALL:
		return true;
	case NAME_SAMEUSER:
		return strcmp(asked->database, asked->user) == 0;
	case NAME_REPLICATION:
		return false; /* the word stands for physical replication, not for a name */
	}
	return false;
}

static bool
fits_names(const struct names *names, const char *text, const struct asked *asked)
{
	for (size_t i = 0; i < names->n; i++) {
		if (fits_name(&names->v[i], text, asked))
			return true;
	}
	return false;
}

static bool
fits_database(const struct names *names, const struct asked *asked)
{
	if (!asked->q->physical)
		return fits_names(names, asked->database, asked);
	for (size_t i = 0; i < names->n; i++) {
		if (names->v[i].kind == NAME_REPLICATION)
			return true;
	}
	return false;
}

const struct hba_rule *
hba_match(const struct hba *h, const struct hba_question *q)
{
	struct asked asked = { .q = q };

	(void)text_copy(asked.database, sizeof(asked.database), q->database);
	(void)text_copy(asked.user, sizeof(asked.user), q->user);
	for (size_t i = 0; i < h->n; i++) {
		const struct rule *rule = &h->v[i];

		if (fits_type(rule->shown.type, q) &&
		    (rule->shown.type == HBA_LOCAL || fits_address(h, rule, q->client)) &&
		    fits_database(&rule->databases, &asked) &&
		    fits_names(&rule->users, asked.user, &asked))
			return &rule->shown;
	}
	return NULL;
}

/* ---- showing ---- */

static void
put_names(struct buf *b, const struct names *names)
{
	for (size_t i = 0; i < names->n; i++) {
		const struct name *name = &names->v[i];
		bool plain =
		    name->kind == NAME_PLAIN &&
		    (name->text[0] == '+' || name->text[0] == '@' ||
		     strcmp(name->text, "all") == 0 || strcmp(name->text, "replication") == 0 ||
		     strncmp(name->text, "same", 4) == 0);

		if (i > 0)
			buf_u8(b, ',');
		hbafile_put(b, name->text, plain);
	}
}

/* -1: the bits are no prefix. */
static int
prefix_length(const uint8_t mask[16], size_t max)
{
	uint8_t same[16];
	int bits = 0;

	while ((size_t)bits < max && (mask[bits / 8] & (0x80 >> (bits % 8))) != 0)
		bits++;
	hba_set_bits(same, (size_t)bits);
	return memcmp(same, mask, max / 8) == 0 ? bits : -1;
}

static void
put_address(struct buf *b, const struct rule *rule)
{
	struct addr mask = { .family = rule->net.family };
	char text[ADDR_TEXT_MAX];
	int bits = prefix_length(rule->mask, hba_family_bits(&rule->net));

	if (rule->shown.type == HBA_LOCAL)
		return;
	if (rule->place != PLACE_BLOCK) {
		buf_str(b, hba_place_words[rule->place]);
		return;
	}
	buf_str(b, addr_print_ip(&rule->net, text));
	if (bits >= 0) {
		buf_printf(b, "/%d", bits);
		return;
	}
	memcpy(mask.ip, rule->mask, sizeof(mask.ip));
	buf_printf(b, " %s", addr_print_ip(&mask, text));
}

static void
put_option(struct buf *b, size_t from, const char *name, const char *value)
{
	char *text = xasprintf("%s=%s", name, value);

	if (b->n > from)
		buf_u8(b, ' ');
	hbafile_put(b, text, false);
	free(text);
}

static void
put_options(struct buf *b, const struct hba_rule *rule)
{
	size_t from = b->n;

	if (rule->clientcert != HBA_CERT_ANY)
		put_option(b, from, "clientcert", hba_clientcert_words[rule->clientcert]);
	if (rule->clientname != HBA_NAME_CN)
		put_option(b, from, "clientname", hba_clientname_words[rule->clientname]);
	if (rule->map != NULL)
		put_option(b, from, "map", rule->map);
}

void
hba_put(struct buf *b, const struct hba_rule *shown, enum hba_column column)
{
	const struct rule *rule = (const struct rule *)shown;

	switch (column) {
	case HBA_TYPE:
		buf_str(b, hba_type_words[shown->type]);
		break;
	case HBA_DATABASE:
		put_names(b, &rule->databases);
		break;
	case HBA_USER:
		put_names(b, &rule->users);
		break;
	case HBA_ADDRESS:
		put_address(b, rule);
		break;
	case HBA_METHOD:
		buf_str(b, hba_method_words[shown->method]);
		break;
	case HBA_OPTIONS:
		put_options(b, shown);
		break;
	}
}
