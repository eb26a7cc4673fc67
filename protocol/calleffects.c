/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/calleffects.h"

#include <stdint.h>
#include <string.h>

#include "protocol/message.h"
#include "protocol/setting.h"
#include "protocol/sqleffects.h"

#define OID_BYTES  4
#define SET_CONFIG 2078

/* Any setting, and any of them back to its default. */
#define ANY_SETTING (EFFECT_UNNAMED | EFFECT_SETTINGS_ALL)

static const struct {
	uint32_t first, last;
	unsigned effects;
} functions[] = {
	{ 715, 715, 0 },   /* lo_create */
	{ 764, 765, 0 },   /* lo_import, lo_export */
	{ 767, 767, 0 },   /* lo_import */
	{ 952, 958, 0 },   /* lo_open, lo_close, loread, lowrite, lo_lseek, lo_creat, lo_tell */
	{ 964, 964, 0 },   /* lo_unlink */
	{ 1004, 1004, 0 }, /* lo_truncate */
	{ 3170, 3172, 0 }, /* lo_lseek64, lo_tell64, lo_truncate64 */
	{ 3457, 3460, 0 }, /* lo_from_bytea, lo_get, lo_put */
	{ 3779, 3779, EFFECT_SESSION }, /* pg_create_physical_replication_slot */
	{ 3786, 3786, EFFECT_SESSION }, /* pg_create_logical_replication_slot */
	{ 4220, 4224, EFFECT_SESSION }, /* pg_copy_…_replication_slot */
	{ 6006, 6006, EFFECT_SESSION }, /* pg_replication_origin_session_setup */
};

static uint32_t
function_of(struct slice body)
{
	return body.n >= OID_BYTES ? get_u32(body.p) : 0;
}

size_t
calleffects_wants(struct slice body, size_t n)
{
	return function_of(body) == SET_CONFIG || n < OID_BYTES ? n : OID_BYTES;
}

/* set_config(name, value, is_local) */
bool
calleffects_setting(struct slice body, struct call_setting *out)
{
	struct message_call m;
	struct slice local;

	if (function_of(body) != SET_CONFIG || message_parse_call(body, &m) != PARSE_DONE ||
	    m.values_n != 3 || !message_next_value(&m.values, &out->name) ||
	    !message_next_value(&m.values, &out->value) || !message_next_value(&m.values, &local))
		return false;
	/* what neither boolrecv() nor boolin() takes fails */
	out->is_local = message_format(m.formats, m.formats_n, 2) == 1
			    ? local.n == 1 && *local.p != 0
			    : setting_is_true(local);
	return out->name.n > 0;
}

static unsigned
set_config_effects(struct slice body, struct buf *names)
{
	struct call_setting c;
	unsigned meaning;

	if (!calleffects_setting(body, &c))
		return EFFECT_CODE; /* it fails */
	if (memchr(c.name.p, '\0', c.name.n) != NULL)
		return ANY_SETTING;
	meaning = sqleffects_has_meaning(c.name) ? EFFECT_MEANING : 0;
	if (c.is_local)
		return meaning;
	if (names != NULL)
		sqleffects_put_name(names, c.name);
	/* NULL takes it back to its default; one with a dot has none */
	return EFFECT_SETTINGS | meaning |
	       (slice_is_nocase(c.name, "dynamic_library_path") ? EFFECT_SESSION : 0) |
	       (c.value.p == NULL && memchr(c.name.p, '.', c.name.n) == NULL ? EFFECT_SETTINGS_ALL
									     : 0);
}

unsigned
calleffects(struct slice body, size_t n, struct buf *names)
{
	uint32_t function = function_of(body);

	if (n < OID_BYTES)
		return EFFECT_CODE; /* it fails */
	if (body.n < OID_BYTES)
		return EFFECT_CODE | ANY_SETTING;
	if (function == SET_CONFIG)
		return body.n < n ? ANY_SETTING : set_config_effects(body, names);
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		if (function < functions[i].first || function > functions[i].last)
			continue;
		return functions[i].effects != 0 ? functions[i].effects | EFFECT_CODE : 0;
	}
	return EFFECT_CODE;
}
