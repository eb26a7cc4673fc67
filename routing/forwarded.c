/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/forwarded.h"

#include "base/text.h"

/* The address of one entry; false where it says none. */
typedef bool (*entry_fn)(struct slice entry, struct addr *out);

bool
forwarded_address(struct slice text, struct addr *out)
{
	struct slice s = slice_trim(text);
	int64_t port;
	size_t n;

	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		s = slice_of(s.p + 1, s.n - 2);
	if (addr_parse(s, out)) {
		out->port = 0;
		return true;
	}
	if (addr_parse_port(s, out))
		return true;
	/* IPv6 with a port and without brackets, as a CDN writes it */
	for (n = s.n; n > 0 && s.p[n - 1] != ':';)
		n--;
	return n > 1 && text_to_int(slice_skip(s, n), 0, 65535, &port) &&
	       addr_parse(slice_of(s.p, n - 1), out) && out->family == ADDR_IPV6;
}

/* The element behind the last comma that stands in no quoted string; *rest keeps what stands before
 * it, with p == NULL where that is nothing. Read from the right, so that a quote which a client
 * left open cannot swallow what a proxy appended. */
static struct slice
cut_last(struct slice *rest)
{
	struct slice whole = *rest;
	bool quoted = false;

	for (size_t i = whole.n; i-- > 0;) {
		bool escaped = quoted && i > 0 && whole.p[i - 1] == '\\';

		if (whole.p[i] == '"' && !escaped)
			quoted = !quoted;
		if (whole.p[i] != ',' || quoted)
			continue;
		*rest = slice_of(whole.p, i);
		return slice_skip(whole, i + 1);
	}
	*rest = slice_of(NULL, 0);
	return whole;
}

/* The for= parameter of an element, RFC 7239 section 4. */
static bool
for_parameter(struct slice element, struct addr *out)
{
	while (element.n > 0) {
		struct slice value = slice_trim(slice_cut(&element, ';'));
		struct slice name = slice_trim(slice_cut(&value, '='));

		if (slice_is_nocase(name, "for"))
			return forwarded_address(value, out);
	}
	return false;
}

struct walk {
	const struct forwarded *f;
	unsigned skipped;
	bool known; /* *out is a proxy that was passed */
	struct addr *out;
};

/* Look at the next entry to the left; true where the walk is over. */
static bool
step(struct walk *w, struct slice entry, entry_fn read)
{
	struct addr a;
	bool good = read(slice_trim(entry), &a);

	if (w->skipped < w->f->hops) {
		w->skipped++;
	} else if (!good) {
		return true;
	} else if (!cidrlist_has(w->f->trusted, &a)) {
		*w->out = a;
		w->known = true;
		return true;
	}
	if (good) {
		*w->out = a;
		w->known = true;
	}
	return false;
}

static bool
walk_back(const struct forwarded *f, const struct http_head *h, const char *name, entry_fn read,
	  struct addr *out)
{
	struct walk w = { .f = f, .out = out };
	bool over = false;

	for (size_t i = h->nheaders; i-- > 0 && !over;) {
		struct slice rest = h->headers[i].value;

		if (!slice_is_nocase(h->headers[i].name, name))
			continue;
		while (rest.p != NULL && !over) {
			struct slice entry = cut_last(&rest);

			/* empty elements mean nothing (RFC 9110 section 5.6.1.2) */
			if (slice_trim(entry).n > 0)
				over = step(&w, entry, read);
		}
	}
	return w.known;
}

bool
forwarded_for(const struct forwarded *f, const struct http_head *h, const char *name,
	      struct addr *out)
{
	return walk_back(f, h, name, forwarded_address, out);
}

bool
forwarded_rfc7239(const struct forwarded *f, const struct http_head *h, const char *name,
		  struct addr *out)
{
	return walk_back(f, h, name, for_parameter, out);
}
