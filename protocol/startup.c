/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/startup.h"

#include <ctype.h>

#include "base/hot.h"
#include "protocol/fleetkey.h"
#include "protocol/frame.h"
#include "protocol/setting.h"
#include "protocol/sqlstate.h"

/* Request codes stand where the version stands: major 1234 (PostgreSQL's libpq/pqcomm.h). */
#define CODE_MAJOR  1234
#define CODE_CANCEL 5678
#define CODE_SSL    5679
#define CODE_GSSENC 5680

#define OWN_PREFIX "meridian."

/* ---- parsing ---- */

static enum parse
add_param(struct startup *out, struct slice name, struct slice value, struct err *e)
{
	const struct startup_param param = { name, value };

	if (slice_starts(name, "_pq_.")) {
		if (out->extensions_n == STARTUP_EXTENSIONS_MAX)
			goto too_many;
		out->extensions[out->extensions_n++] = param;
		return PARSE_DONE;
	}
	if (out->params_n == STARTUP_PARAMS_MAX)
		goto too_many;
	out->params[out->params_n++] = param;
	if (slice_is(name, "user")) {
		out->user = value;
	} else if (slice_is(name, "database")) {
		out->database = value;
	} else if (slice_is(name, "options")) {
		out->options = value;
	} else if (slice_is(name, "application_name")) {
		out->application_name = value;
	} else if (slice_is(name, "replication")) {
		bool physical;

		if (slice_is(value, "database")) {
			out->replication = REPLICATION_LOGICAL;
			return PARSE_DONE;
		}
		if (!setting_to_bool(value, &physical)) {
			err_set(e, SQLSTATE_INVALID_PARAMETER_VALUE,
				"invalid value for parameter \"replication\": \"%.*s\"",
				value.n < 64 ? (int)value.n : 64, value.p);
			err_hint(e, "Valid values are: \"false\", 0, \"true\", 1, \"database\".");
			return PARSE_BAD;
		}
		out->replication = physical ? REPLICATION_PHYSICAL : REPLICATION_NONE;
		return PARSE_DONE;
	}
	return PARSE_DONE;

too_many:
	err_set(e, SQLSTATE_PROGRAM_LIMIT_EXCEEDED, "too many parameters in startup packet");
	err_detail(e, "At most %d parameters and %d protocol extensions are taken.",
		   STARTUP_PARAMS_MAX, STARTUP_EXTENSIONS_MAX);
	return PARSE_BAD;
}

/* Pairs of strings, then one NUL that must be the last byte of the packet. A string without a NUL
 * is the rest, as for PostgreSQL, which reads the packet into a terminated buffer. */
static enum parse
parse_params(struct slice rest, struct startup *out, struct err *e)
{
	while (rest.n > 0 && rest.p[0] != '\0') {
		struct slice name = slice_cut(&rest, '\0');
		struct slice value;

		if (rest.n == 0)
			break; /* no value */
		value = slice_cut(&rest, '\0');
		if (add_param(out, name, value, e) != PARSE_DONE)
			return PARSE_BAD;
	}
	if (rest.n != 1) {
		err_set(e, SQLSTATE_PROTOCOL_VIOLATION,
			"invalid startup packet layout: expected terminator as last byte");
		return PARSE_BAD;
	}
	if (out->user.n == 0) {
		err_set(e, SQLSTATE_INVALID_AUTHORIZATION,
			"no PostgreSQL user name specified in startup packet");
		return PARSE_BAD;
	}
	if (out->database.n == 0)
		out->database = out->user;
	return PARSE_DONE;
}

static enum parse
parse_request(struct slice body, struct startup *out, struct err *e)
{
	if (out->minor == CODE_CANCEL) {
		if (body.n < 4 + STARTUP_CANCEL_KEY_MIN || body.n > 4 + STARTUP_CANCEL_KEY_MAX) {
			err_set(e, SQLSTATE_PROTOCOL_VIOLATION,
				"invalid length of cancel request packet");
			return PARSE_BAD;
		}
		out->kind = STARTUP_CANCEL;
		out->cancel_pid = get_u32(body.p);
		out->cancel_key = slice_skip(body, 4);
		return PARSE_DONE;
	}
	if (body.n != 0) {
		err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "invalid length of startup packet");
		return PARSE_BAD;
	}
	out->kind = out->minor == CODE_SSL ? STARTUP_SSL : STARTUP_GSSENC;
	return PARSE_DONE;
}

HOT enum parse
startup_parse(struct slice packet, struct startup *out, struct err *e)
{
	struct slice body;

	out->params_n = 0;
	out->extensions_n = 0;
	out->replication = REPLICATION_NONE;
	out->user = out->database = out->application_name = out->options = slice_of(NULL, 0);
	out->cancel_pid = 0;
	out->cancel_key = out->letter = slice_of(NULL, 0);
	if (packet.n < STARTUP_BYTES_MIN || packet.n > STARTUP_BYTES_MAX ||
	    get_u32(packet.p) != packet.n) {
		err_set(e, SQLSTATE_PROTOCOL_VIOLATION, "invalid length of startup packet");
		return PARSE_BAD;
	}
	out->major = get_u16(packet.p + 4);
	out->minor = get_u16(packet.p + 6);
	body = slice_skip(packet, 8);
	if (out->major == CODE_MAJOR && out->minor >= CODE_CANCEL && out->minor <= CODE_GSSENC)
		return parse_request(body, out, e);
	if (out->major != 3) {
		/* another proxy, perhaps */
		out->kind = STARTUP_BAD_VERSION;
		if (out->major == FLEET_CODE_MAJOR) {
			out->letter = body;
			if (out->minor == FLEET_CODE_HELLO && body.n == 0)
				out->kind = STARTUP_FLEET_HELLO;
			else if (out->minor == FLEET_CODE_LETTER)
				out->kind = STARTUP_FLEET_LETTER;
		}
		err_set(e, SQLSTATE_FEATURE_NOT_SUPPORTED,
			"unsupported frontend protocol %u.%u: server supports 3.0 to 3.%d",
			out->major, out->minor, STARTUP_MINOR_LATEST);
		return PARSE_DONE;
	}
	out->kind = STARTUP_V3;
	return parse_params(body, out, e);
}

HOT bool
startup_param(const struct startup *in, const char *name, struct slice *value)
{
	for (size_t i = in->params_n; i-- > 0;) {
		if (slice_is(in->params[i].name, name)) {
			*value = in->params[i].value;
			return true;
		}
	}
	return false;
}

/* ---- the words of `options` ---- */

/* isspace() in the C locale. */
static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* pg_split_opts(): a backslash takes the next byte as it is; one at the very end is lost. */
HOT bool
startup_option_word(struct slice *rest, struct buf *word)
{
	struct slice s = *rest;
	bool escaped = false;

	while (s.n > 0 && is_blank(s.p[0]))
		s = slice_skip(s, 1);
	if (s.n == 0) {
		*rest = s;
		return false;
	}
	for (; s.n > 0 && (escaped || !is_blank(s.p[0])); s = slice_skip(s, 1)) {
		if (!escaped && s.p[0] == '\\') {
			escaped = true;
			continue;
		}
		escaped = false;
		buf_u8(word, (uint8_t)s.p[0]);
	}
	*rest = s;
	return true;
}

/* Where in an options string we are: one word or, for "-c" "name=value", two. */
struct option_walk {
	struct slice rest;
	struct buf words;  /* scratch: the words of the current option, unescaped, end to end */
	struct slice text; /* the option as it stands in the string */
	struct slice name; /* both empty where it is not a setting */
	struct slice value;
};

/* "name=value", with dashes in the name made underscores (ParseLongOption). */
static void
split_setting(struct option_walk *w, size_t from)
{
	char *p = w->words.p + from;
	size_t n = w->words.n - from;
	char *eq = n > 0 ? memchr(p, '=', n) : NULL;

	if (eq == NULL)
		return;
	for (char *c = p; c < eq; c++)
		if (*c == '-')
			*c = '_';
	w->name = slice_of(p, (size_t)(eq - p));
	w->value = slice_of(eq + 1, n - w->name.n - 1);
}

/* On to the next option; false at the end, or without memory (words.failed). */
static HOT bool
option_next(struct option_walk *w)
{
	const char *from;

	while (w->rest.n > 0 && is_blank(w->rest.p[0]))
		w->rest = slice_skip(w->rest, 1);
	from = w->rest.p;
	buf_clear(&w->words);
	w->name = w->value = slice_of(NULL, 0);
	if (!startup_option_word(&w->rest, &w->words) || w->words.failed)
		return false;
	if (slice_is(buf_view(&w->words), "-c"))
		startup_option_word(&w->rest, &w->words);
	w->text = slice_of(from, (size_t)(w->rest.p - from));
	if (w->words.failed)
		return false;
	if (w->words.n > 2 && w->words.p[0] == '-' &&
	    (w->words.p[1] == 'c' || w->words.p[1] == '-'))
		split_setting(w, 2);
	return true;
}

static bool
is_own(struct slice name)
{
	size_t n = sizeof(OWN_PREFIX) - 1;

	return name.n > n && strncasecmp(name.p, OWN_PREFIX, n) == 0;
}

/* What no server may get from a client through us: our own settings, and what CockroachDB takes
 * only from its proxy. */
static HOT bool
is_dropped(struct slice name)
{
	return is_own(name) || slice_is_nocase(name, "crdb:remote_addr") ||
	       slice_is_nocase(name, "crdb:session_revival_token_base64");
}

HOT void
startup_options_strip(struct buf *out, struct slice options)
{
	struct option_walk w = { .rest = options };
	size_t start = out->n;
	bool found = false;

	while (!found && option_next(&w))
		found = is_dropped(w.name);
	w.rest = options;
	if (!found)
		buf_slice(out, options);
	while (found && option_next(&w)) {
		if (is_dropped(w.name))
			continue;
		if (out->n > start)
			buf_u8(out, ' ');
		buf_slice(out, w.text);
	}
	out->failed |= w.words.failed;
	buf_fini(&w.words);
}

bool
startup_setting_value(const struct startup *in, const char *name, struct buf *value)
{
	struct option_walk w = { .rest = in->options };
	bool found = false;

	while (option_next(&w)) {
		if (!slice_is_nocase(w.name, name))
			continue;
		buf_clear(value);
		buf_slice(value, w.value);
		found = true;
	}
	buf_fini(&w.words);
	for (size_t i = 0; i < in->params_n; i++) {
		if (!slice_is_nocase(in->params[i].name, name))
			continue;
		buf_clear(value);
		buf_slice(value, in->params[i].value);
		found = true;
	}
	return found;
}

bool
startup_may_delay(const struct startup *in)
{
	struct option_walk w = { .rest = in->options };
	bool may = false;

	for (size_t i = 0; i < in->params_n; i++) {
		if (slice_is_nocase(in->params[i].name, "post_auth_delay"))
			return true;
	}
	/* what is no setting may be a switch that is short for it ("-W", "-EW30"). */
	while (!may && option_next(&w))
		may = w.name.n == 0 || slice_is_nocase(w.name, "post_auth_delay");
	may |= w.words.failed;
	buf_fini(&w.words);
	return may;
}

/* ---- our own settings ---- */

/* Append a setting's name in the form in which it is compared; returns where it stands. */
static struct slice
put_setting_name(struct buf *text, struct slice name)
{
	size_t at = text->n;

	name = slice_skip(name, sizeof(OWN_PREFIX) - 1);
	for (size_t i = 0; i < name.n; i++)
		buf_u8(text, (uint8_t)tolower((unsigned char)name.p[i]));
	return slice_of(text->p + at, name.n);
}

HOT size_t
startup_settings(const struct startup *in, struct buf *text, struct startup_setting *out,
		 size_t max)
{
	struct option_walk w = { .rest = in->options };
	size_t room = in->options.n, n = 0;

	for (size_t i = 0; i < in->params_n; i++)
		room += in->params[i].name.n;
	if (buf_reserve(text, room) == NULL) /* no slice may move while we go on writing */
		return 0;
	while (n < max && option_next(&w)) {
		if (!is_own(w.name))
			continue;
		out[n].name = put_setting_name(text, w.name);
		out[n++].value = slice_of(text->p + text->n, w.value.n);
		buf_slice(text, w.value);
	}
	buf_fini(&w.words);
	for (size_t i = 0; i < in->params_n && n < max; i++) {
		if (!is_own(in->params[i].name))
			continue;
		out[n].name = put_setting_name(text, in->params[i].name);
		out[n++].value = in->params[i].value;
	}
	return n;
}

/* ---- building ---- */

static void
put_param(struct buf *out, struct slice name, struct slice value)
{
	buf_slice(out, name);
	buf_u8(out, 0);
	buf_slice(out, value);
	buf_u8(out, 0);
}

static HOT bool
is_replaced(const struct startup_edit *edit, struct slice name)
{
	for (size_t i = 0; i < edit->set_n; i++)
		if (slice_same_nocase(edit->set[i].name, name))
			return true;
	return false;
}

static void
put_options(struct buf *out, struct slice options)
{
	size_t at = out->n, from;

	buf_str(out, "options");
	buf_u8(out, 0);
	from = out->n;
	startup_options_strip(out, options);
	if (out->n == from && !out->failed) {
		out->n = at; /* nothing is left of it */
		return;
	}
	buf_u8(out, 0);
}

/* Names that struct startup holds apart are written from there, so that a packet which said
 * `user` twice cannot mean one thing to us and another to the server. */
static bool
is_held_apart(struct slice name)
{
	return slice_is(name, "user") || slice_is(name, "database") || slice_is(name, "options");
}

HOT void
startup_build(struct buf *out, const struct startup *in, const struct startup_edit *edit)
{
	static const struct startup_edit none;
	size_t at = buf_message(out, 0);
	bool newer = in->minor > STARTUP_MINOR_LATEST;
	struct slice name;

	if (edit == NULL)
		edit = &none;
	buf_u16(out, in->major);
	buf_u16(out, edit->plain && newer ? STARTUP_MINOR_LATEST : in->minor);
	put_param(out, slice_str("user"), edit->user.n > 0 ? edit->user : in->user);
	if (edit->database.n > 0)
		put_param(out, slice_str("database"), edit->database);
	else if ((startup_param(in, "database", &name) && name.n > 0) || edit->user.n > 0)
		put_param(out, slice_str("database"), in->database);
	if (in->options.n > 0 && !is_replaced(edit, slice_str("options")))
		put_options(out, in->options);
	for (size_t i = 0; i < in->params_n; i++) {
		name = in->params[i].name;
		if (!is_held_apart(name) && !is_dropped(name) && !is_replaced(edit, name))
			put_param(out, name, in->params[i].value);
	}
	for (size_t i = 0; i < in->extensions_n && !edit->plain; i++)
		put_param(out, in->extensions[i].name, in->extensions[i].value);
	for (size_t i = 0; i < edit->set_n; i++)
		put_param(out, edit->set[i].name, edit->set[i].value);
	buf_u8(out, 0);
	if (out->failed)
		return;
	if (out->n - at > STARTUP_BYTES_MAX)
		out->failed = true;
	buf_message_end(out, at);
}

void
startup_build_ssl_request(struct buf *out)
{
	buf_u32(out, 8);
	buf_u16(out, CODE_MAJOR);
	buf_u16(out, CODE_SSL);
}

void
startup_build_cancel(struct buf *out, uint32_t pid, struct slice key)
{
	size_t at = buf_message(out, 0);

	buf_u16(out, CODE_MAJOR);
	buf_u16(out, CODE_CANCEL);
	buf_u32(out, pid);
	buf_slice(out, key);
	buf_message_end(out, at);
}
