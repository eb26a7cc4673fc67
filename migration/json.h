/* SPDX-License-Identifier: PostgreSQL
 *
 * JSON of the control schema: members that may be missing, texts that may be no UTF-8.
 */
#ifndef MIGRATION_JSON_H
#define MIGRATION_JSON_H

#include <jansson.h>

/* The string of a member; "" where there is none. */
static inline const char *
json_member(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? s : "";
}

/* What comes from a catalog may have bytes that are no UTF-8. */
static inline json_t *
json_utf8(const char *s)
{
	json_t *j = json_string(s);

	return j != NULL ? j : json_string("(not UTF-8)");
}

#endif
