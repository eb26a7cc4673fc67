/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hot.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/utf8.h"
#include "routing/locality_int.h"

/* A client claims as much as it likes: that much is kept (INV-4). */
#define CLAIMS_MAX      32
#define CLAIM_VALUE_MAX 128
#define CLAIM_HEAD      3 /* source, kind and trust, length */
#define CLAIM_TRUSTED   0x80
#define CLAIM_LATER     0x40
#define CLAIM_KIND      0x3f

const char *const locality_source_words[SOURCE_COUNT + 1] = {
	[SOURCE_OVERRIDE] = "override", [SOURCE_STARTUP] = "startup", [SOURCE_SNI] = "sni",
	[SOURCE_HEADER] = "header",     [SOURCE_TLV] = "tlv",         [SOURCE_GEOIP] = "geoip",
	[SOURCE_SELF] = "self",
};

static const char *const kind_names[CLAIM_KIND_COUNT] = {
	[CLAIM_CITY] = "city",         [CLAIM_COUNTRY] = "country", [CLAIM_REGION] = "region",
	[CLAIM_LOCATION] = "location", [CLAIM_ADDRESS] = "address", [CLAIM_NAME] = "name",
	[CLAIM_ENDPOINT] = "endpoint",
};

const char *
locality_source_name(enum locality_source s)
{
	return (unsigned)s < SOURCE_COUNT ? locality_source_words[s] : "?";
}

const char *
claim_kind_name(enum claim_kind k)
{
	return (unsigned)k < CLAIM_KIND_COUNT ? kind_names[k] : "?";
}

const char *
confidence_name(enum confidence c)
{
	static const char *const names[] = { "none", "country", "city", "exact" };

	return (unsigned)c < sizeof(names) / sizeof(names[0]) ? names[c] : "?";
}

/* Cut to `max` bytes, not within a character. */
static size_t
cut_length(const char *p, size_t n, size_t max)
{
	if (n <= max)
		return n;
	for (size_t back = 0; back < 3 && max > back; back++) {
		if (((unsigned char)p[max - back] & 0xc0) != 0x80)
			return max - back;
	}
	return max;
}

static HOT void
add(struct claims *c, enum locality_source source, unsigned kind, struct slice value)
{
	size_t n = cut_length(value.p, value.n, CLAIM_VALUE_MAX);
	uint8_t *at;

	if (c->n >= CLAIMS_MAX)
		return;
	c->packed = xreallocarray(c->packed, c->size + CLAIM_HEAD + n, 1);
	at = c->packed + c->size;
	at[0] = (uint8_t)source;
	at[1] = (uint8_t)kind;
	at[2] = (uint8_t)n;
	if (n > 0)
		memcpy(at + CLAIM_HEAD, value.p, n);
	c->size = (uint16_t)(c->size + CLAIM_HEAD + n);
	c->n++;
	c->nlater = (uint8_t)(c->nlater + ((kind & CLAIM_LATER) != 0));
}

HOT void
claims_add(struct claims *c, enum locality_source source, enum claim_kind kind, bool trusted,
	   struct slice value)
{
	add(c, source, kind | (trusted ? CLAIM_TRUSTED : 0U), value);
}

HOT struct claim
claims_get(const struct claims *c, unsigned i)
{
	const uint8_t *at = c->packed;

	while (i-- > 0)
		at += CLAIM_HEAD + at[2];
	return (struct claim){
		.source = (enum locality_source)at[0],
		.kind = (enum claim_kind)(at[1] & CLAIM_KIND),
		.trusted = (at[1] & CLAIM_TRUSTED) != 0,
		.later = (at[1] & CLAIM_LATER) != 0,
		.value = slice_of((const char *)at + CLAIM_HEAD, at[2]),
	};
}

/* Drop the claims whose first byte, or of whose second some bits, are these. */
static HOT void
drop(struct claims *c, unsigned byte, unsigned mask, unsigned bits)
{
	uint8_t *from = c->packed, *to = c->packed;
	uint8_t kept = 0;

	for (unsigned i = 0; i < c->n; i++) {
		size_t n = (size_t)CLAIM_HEAD + from[2];

		if ((from[byte] & mask) == bits) {
			c->nlater = (uint8_t)(c->nlater - ((from[1] & CLAIM_LATER) != 0));
		} else {
			memmove(to, from, n);
			to += n;
			kept++;
		}
		from += n;
	}
	c->n = kept;
	c->size = (uint16_t)(kept > 0 ? to - c->packed : 0);
	if (kept == 0)
		claims_fini(c);
}

HOT void
claims_drop(struct claims *c, enum locality_source source)
{
	drop(c, 0, UINT8_MAX, source);
}

void
claims_reset(struct claims *c, enum claim_kind kind)
{
	drop(c, 1, CLAIM_LATER | CLAIM_KIND, CLAIM_LATER | kind);
}

void
claims_reset_all(struct claims *c)
{
	drop(c, 1, CLAIM_LATER, CLAIM_LATER);
}

void
claims_set(struct claims *c, enum claim_kind kind, struct slice value)
{
	claims_reset(c, kind);
	add(c, SOURCE_STARTUP, kind | CLAIM_LATER, value);
}

HOT void
claims_fini(struct claims *c)
{
	free(c->packed);
	*c = (struct claims){ 0 };
}

static bool
is_percent_encoded(struct slice s)
{
	bool any = false;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '%')
			continue;
		if (s.n - i < 3 || text_hex_digit(s.p[i + 1]) < 0 || text_hex_digit(s.p[i + 2]) < 0)
			return false;
		any = true;
	}
	return any;
}

static size_t
percent_decode(struct slice s, char *to)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '%') {
			to[n++] = s.p[i];
			continue;
		}
		to[n++] = (char)(text_hex_digit(s.p[i + 1]) << 4 | text_hex_digit(s.p[i + 2]));
		i += 2;
	}
	return n;
}

/* Append one byte of UTF-8, or one character of Latin-1 as UTF-8; C0 and C1 controls are dropped.
 */
static size_t
put_printable(char *to, size_t n, unsigned char c, bool latin1)
{
	if (c < 0x20 || c == 0x7f || (latin1 && c >= 0x80 && c < 0xa0))
		return n;
	if (latin1 && c >= 0x80) {
		to[n++] = (char)(0xc0 | c >> 6);
		c = (unsigned char)(0x80 | (c & 0x3f));
	}
	to[n++] = (char)c;
	return n;
}

static size_t
make_printable(struct slice s, char *to)
{
	bool latin1 = !utf8_valid(s);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (!latin1 && c == 0xc2 && (unsigned char)s.p[i + 1] < 0xa0)
			i++; /* a C1 control */
		else
			n = put_printable(to, n, c, latin1);
	}
	return n;
}

static bool
means_unknown(struct slice s)
{
	static const char *const words[] = { "", "?", "-", "unknown", "null", "zz", "xx", "t1" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (slice_is_nocase(s, words[i]))
			return true;
	}
	return false;
}

size_t
claim_clean(struct slice raw, char to[PLACE_NAME_MAX])
{
	char decoded[CLAIM_VALUE_MAX], printable[2 * CLAIM_VALUE_MAX];
	struct slice s = slice_trim(raw);

	s.n = cut_length(s.p, s.n, CLAIM_VALUE_MAX);
	if (is_percent_encoded(s))
		s = slice_of(decoded, percent_decode(s, decoded));
	s = slice_trim(slice_of(printable, make_printable(s, printable)));
	s.n = cut_length(s.p, s.n, PLACE_NAME_MAX - 1);
	if (means_unknown(s))
		s.n = 0;
	memcpy(to, s.p, s.n);
	to[s.n] = '\0';
	return s.n;
}

bool
claim_location(struct slice s, double *lat, double *lon)
{
	struct slice head = slice_trim(slice_cut(&s, ','));
	double a, b;

	if (!text_to_double(head, &a) || !text_to_double(slice_trim(s), &b))
		return false;
	if (fabs(a) > 90 || fabs(b) > 180 || (fpclassify(a) == FP_ZERO && fpclassify(b) == FP_ZERO))
		return false;
	*lat = a;
	*lon = b;
	return true;
}

bool
claim_is_sound(enum claim_kind kind, struct slice value)
{
	char text[PLACE_NAME_MAX];
	struct slice s = slice_of(text, claim_clean(value, text));
	double lat, lon;

	if (s.n == 0)
		return true;
	if (kind == CLAIM_LOCATION)
		return claim_location(s, &lat, &lon);
	return kind != CLAIM_COUNTRY || places_country(s) != NULL;
}
