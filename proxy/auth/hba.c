/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/hba_int.h"

#include <ifaddrs.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const foreign_methods[] = {
	"ident", "gss", "sspi", "pam", "bsd", "ldap", "radius", "oauth",
};

static int
find_word(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(words[i], word) == 0)
			return (int)i;
	}
	return -1;
}

/* ---- a record, field by field ---- */

struct record {
	const struct hbafile_line *line;
	size_t at;
};

static const struct hbafile_field *
next_field(struct record *r)
{
	return r->at < r->line->n ? &r->line->v[r->at++] : NULL;
}

/* Take a field that must have one value. NULL and *e: it is missing or has several. */
static const struct hbafile_token *
next_token(struct record *r, const char *what, struct err *e)
{
	const struct hbafile_field *field = next_field(r);

	if (field == NULL)
		err_set(e, "F0000", "end-of-line before %s", what);
	else if (field->n != 1)
		err_set(e, "F0000", "expected one value for %s, found %zu", what, field->n);
	else
		return &field->v[0];
	return NULL;
}

static int
read_type(struct record *r, struct rule *rule, struct err *e)
{
	const struct hbafile_token *t = next_token(r, "connection type", e);
	int type;

	if (t == NULL)
		return -1;
	type = find_word(hba_type_words, HBA_TYPES, t->text);
	if (type < 0)
		return err_set(e, "F0000",
			       "invalid connection type \"%s\": expected local, host, hostssl, "
			       "hostnossl, hostgssenc or hostnogssenc",
			       t->text);
	rule->shown.type = (enum hba_type)type;
	return 0;
}

/* ---- names ---- */

static const struct {
	const char *word;
	bool for_user;
	enum name_kind kind;
} name_words[] = {
	{ "all", true, NAME_ALL },
	{ "sameuser", false, NAME_SAMEUSER },
	{ "replication", false, NAME_REPLICATION },
};

static int
read_name(struct name *name, const struct hbafile_token *t, bool is_user, struct err *e)
{
	*name = (struct name){ .kind = NAME_PLAIN, .text = xstrdup(t->text) };
	if ((!t->quoted && t->text[0] == '+') ||
	    (!is_user && (hbafile_is_keyword(t, "samerole") || hbafile_is_keyword(t, "samegroup"))))
		return err_set(e, "F0000",
			       "\"%s\": a proxy does not know who is a member of a role", t->text);
	if (t->text[0] == '/') {
		if (hbaregex_compile(t->text + 1, &name->regex, e) != 0)
			return -1;
		name->kind = NAME_REGEX;
		return 0;
	}
	for (size_t i = 0; i < COUNT(name_words); i++) {
		if (hbafile_is_keyword(t, name_words[i].word) &&
		    (!is_user || name_words[i].for_user))
			name->kind = name_words[i].kind;
	}
	return 0;
}

static int
read_names(struct record *r, struct names *to, bool is_user, struct err *e)
{
	const struct hbafile_field *field = next_field(r);

	if (field == NULL)
		return err_set(e, "F0000", "end-of-line before %s specification",
			       is_user ? "role" : "database");
	to->v = xcalloc(field->n, sizeof(*to->v));
	for (size_t i = 0; i < field->n; i++) {
		to->n = i + 1;
		if (read_name(&to->v[i], &field->v[i], is_user, e) != 0)
			return -1;
	}
	return 0;
}

/* ---- addresses ---- */

static int
read_bits(struct rule *rule, struct slice host, struct slice bits, struct err *e)
{
	/* an IPv4 address written as a mapped IPv6 address was made plain, so its prefix is
	 * shortened too */
	bool mapped = rule->net.family == ADDR_IPV4 && memchr(host.p, ':', host.n) != NULL;
	int64_t skip = mapped ? 96 : 0, n;

	if (!text_to_int(bits, skip, skip + (int64_t)hba_family_bits(&rule->net), &n))
		return err_set(e, "F0000", "invalid CIDR mask in address \"%.*s/%.*s\"",
			       (int)host.n, host.p, (int)bits.n, bits.p);
	hba_set_bits(rule->mask, (size_t)(n - skip));
	return 0;
}

/* Read the mask, which is a field of its own. */
static int
read_mask(struct record *r, struct rule *rule, struct err *e)
{
	const struct hbafile_token *t = next_token(r, "netmask specification", e);
	struct addr mask;

	if (t == NULL)
		return err_hint(e, "Specify an address range in CIDR notation, or provide a "
				   "separate netmask.");
	if (!addr_parse(slice_str(t->text), &mask))
		return err_set(e, "F0000", "invalid IP mask \"%s\"", t->text);
	if (mask.family != rule->net.family)
		return err_set(e, "F0000", "IP address and mask do not match");
	memcpy(rule->mask, mask.ip, sizeof(rule->mask));
	return 0;
}

static int
read_block(struct record *r, struct rule *rule, const char *text, struct err *e)
{
	struct slice bits = slice_str(text), host = slice_cut(&bits, '/');
	int rc;

	if (!addr_parse(host, &rule->net))
		return err_set(e, "F0000",
			       "\"%s\" is not an IP address (host names are not supported)", text);
	rule->place = PLACE_BLOCK;
	rc = bits.p != NULL ? read_bits(rule, host, bits, e) : read_mask(r, rule, e);
	for (size_t i = 0; i < sizeof(rule->mask); i++)
		rule->net.ip[i] &= rule->mask[i];
	return rc;
}

static int
read_address(struct record *r, struct rule *rule, struct err *e)
{
	const struct hbafile_token *t;
	int word;

	if (rule->shown.type == HBA_LOCAL)
		return 0;
	t = next_token(r, "IP address specification", e);
	if (t == NULL)
		return -1;
	word = find_word(hba_place_words, PLACE_BLOCK, t->text);
	if (word < 0 || t->quoted)
		return read_block(r, rule, t->text, e);
	rule->place = (enum place)word;
	return 0;
}

/* ---- methods ---- */

static int
read_method(struct record *r, struct hba_rule *rule, struct err *e)
{
	const struct hbafile_token *t = next_token(r, "authentication method", e);
	const char *word;
	int method;

	if (t == NULL)
		return -1;
	/* as PostgreSQL reads it */
	word = strcmp(t->text, "ident") == 0 && rule->type == HBA_LOCAL ? "peer" : t->text;
	method = find_word(hba_method_words, HBA_METHODS, word);
	if (method < 0)
		return err_set(e, "F0000",
			       find_word(foreign_methods, COUNT(foreign_methods), word) >= 0
				   ? "authentication method \"%s\" is not supported by this proxy"
				   : "invalid authentication method \"%s\"",
			       word);
	rule->method = (enum hba_method)method;
	rule->clientcert = rule->method == HBA_CERT ? HBA_CERT_VERIFY_FULL : HBA_CERT_ANY;
	if (rule->method == HBA_PEER && rule->type != HBA_LOCAL)
		return err_set(e, "F0000",
			       "peer authentication is only supported on local sockets");
	if (rule->method == HBA_CERT && rule->type != HBA_HOSTSSL)
		return err_set(e, "F0000",
			       "cert authentication is only supported on hostssl connections");
	return 0;
}

/* ---- options ---- */

static int
option_map(struct rule *rule, const char *value, struct err *e)
{
	if (rule->shown.method != HBA_CERT && rule->shown.method != HBA_PEER)
		return err_set(e, "F0000",
			       "authentication option \"map\" is only valid for authentication "
			       "methods peer and cert");
	free(rule->map);
	rule->shown.map = rule->map = xstrdup(value);
	return 0;
}

static int
option_clientcert(struct rule *rule, const char *value, struct err *e)
{
	int word = find_word(hba_clientcert_words, HBA_CLIENTCERTS, value);

	if (rule->shown.type != HBA_HOSTSSL)
		return err_set(e, "F0000",
			       "clientcert can only be configured for \"hostssl\" rows");
	if (word <= HBA_CERT_ANY)
		return err_set(e, "F0000", "invalid value for clientcert: \"%s\"", value);
	if (rule->shown.method == HBA_CERT && word != HBA_CERT_VERIFY_FULL)
		return err_set(e, "F0000",
			       "clientcert only accepts \"verify-full\" when using \"cert\" "
			       "authentication");
	rule->shown.clientcert = (enum hba_clientcert)word;
	return 0;
}

static int
option_clientname(struct rule *rule, const char *value, struct err *e)
{
	int word = find_word(hba_clientname_words, HBA_CLIENTNAMES, value);

	if (rule->shown.type != HBA_HOSTSSL)
		return err_set(e, "F0000",
			       "clientname can only be configured for \"hostssl\" rows");
	if (word < 0)
		return err_set(e, "F0000", "invalid value for clientname: \"%s\"", value);
	rule->shown.clientname = (enum hba_clientname)word;
	return 0;
}

static const struct {
	const char *name;
	int (*set)(struct rule *rule, const char *value, struct err *e);
} options[] = {
	{ "map", option_map },
	{ "clientcert", option_clientcert },
	{ "clientname", option_clientname },
};

static int
read_option(struct rule *rule, const char *text, struct err *e)
{
	struct slice value = slice_str(text), name = slice_cut(&value, '=');

	if (value.p == NULL)
		return err_set(e, "F0000", "authentication option not in name=value format: \"%s\"",
			       text);
	for (size_t i = 0; i < COUNT(options); i++) {
		if (slice_is(name, options[i].name))
			return options[i].set(rule, value.p, e);
	}
	return err_set(e, "F0000", "unrecognized authentication option name: \"%.*s\"", (int)name.n,
		       name.p);
}

static int
read_options(struct record *r, struct rule *rule, struct err *e)
{
	const struct hbafile_field *field;

	while ((field = next_field(r)) != NULL) {
		for (size_t i = 0; i < field->n; i++) {
			if (read_option(rule, field->v[i].text, e) != 0)
				return -1;
		}
	}
	return 0;
}

static int
take_line(void *arg, const struct hbafile_line *line, struct err *e)
{
	struct hba *h = arg;
	struct record r = { line, 0 };
	struct rule *rule;

	h->v = xreallocarray(h->v, h->n + 1, sizeof(*h->v));
	rule = &h->v[h->n++];
	*rule = (struct rule){ .file = xstrdup(line->file) };
	rule->shown.file = rule->file;
	rule->shown.line = line->number;
	if (read_type(&r, rule, e) != 0 || read_names(&r, &rule->databases, false, e) != 0 ||
	    read_names(&r, &rule->users, true, e) != 0 || read_address(&r, rule, e) != 0 ||
	    read_method(&r, &rule->shown, e) != 0)
		return -1;
	return read_options(&r, rule, e);
}

/* ---- the table ---- */

struct hba *
hba_read(const struct hbafile_source *source, const char *path, const struct hba_own *own,
	 struct err *e)
{
	struct hba *h = xcalloc(1, sizeof(*h));

	refcount_init(&h->refs);
	h->own.n = own->n;
	h->own.v = xcalloc(own->n, sizeof(*own->v));
	for (size_t i = 0; i < own->n; i++)
		h->own.v[i] = own->v[i];
	if (hbafile_read(source, path, take_line, h, e) == 0)
		return h;
	hba_unref(h);
	return NULL;
}

static void
names_fini(struct names *names)
{
	for (size_t i = 0; i < names->n; i++) {
		if (names->v[i].kind == NAME_REGEX)
			regfree(&names->v[i].regex);
		free(names->v[i].text);
	}
	free(names->v);
}

REFCOUNT_REF(hba_ref, struct hba)

void
hba_unref(struct hba *h)
{
	if (h == NULL || !refcount_put(&h->refs))
		return;
	for (size_t i = 0; i < h->n; i++) {
		names_fini(&h->v[i].databases);
		names_fini(&h->v[i].users);
		free(h->v[i].map);
		free(h->v[i].file);
	}
	free(h->v);
	free(h->own.v);
	free(h);
}

size_t
hba_count(const struct hba *h)
{
	return h->n;
}

const struct hba_rule *
hba_rule(const struct hba *h, size_t i)
{
	return &h->v[i].shown;
}

/* ---- this host ---- */

static uint8_t
mask_bits(const struct sockaddr *mask, const struct addr *a)
{
	struct addr m;
	uint8_t bits = 0;

	if (mask == NULL || !addr_from_sockaddr(mask, &m) || m.family != a->family)
		return (uint8_t)hba_family_bits(a);
	while (bits < hba_family_bits(a) && (m.ip[bits / 8] & (0x80 >> (bits % 8))) != 0)
		bits++;
	return bits;
}

struct hba *
hba_load(const char *path, struct err *e)
{
	struct hba_own own = { NULL, 0 };
	struct ifaddrs *all;
	struct hba *h;

	if (getifaddrs(&all) != 0) {
		err_set(e, "58000", "hba_file: the system does not tell its addresses: %m");
		return NULL;
	}
	for (const struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
		struct cidr c = { .bits = 0 };

		if (at->ifa_addr == NULL || !addr_from_sockaddr(at->ifa_addr, &c.net) ||
		    c.net.family == ADDR_UNIX)
			continue;
		c.bits = mask_bits(at->ifa_netmask, &c.net);
		own.v = xreallocarray(own.v, own.n + 1, sizeof(*own.v));
		own.v[own.n++] = c;
	}
	freeifaddrs(all);
	h = hba_read(&hbafile_disk, path, &own, e);
	free(own.v);
	if (h == NULL)
		err_prefix(e, "hba_file");
	return h;
}
