/* SPDX-License-Identifier: PostgreSQL
 *
 * What a client says in the extended protocol, for tests that say nothing odd: message by message,
 * appended to a buf.
 */
#ifndef TESTS_UNIT_SAYS_H
#define TESTS_UNIT_SAYS_H

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "protocol/message.h"

/* With one parameter of that type; 0: with none. */
static inline void
say_parse(struct buf *b, const char *name, const char *sql, uint32_t type)
{
	size_t at = buf_message(b, MSG_PARSE);

	buf_cstr(b, name);
	buf_cstr(b, sql);
	buf_u16(b, type != 0);
	if (type != 0)
		buf_u32(b, type);
	buf_message_end(b, at);
}

/* With one value, as text (NULL: with none), and all columns of the result in that format. */
static inline void
say_bind(struct buf *b, const char *portal, const char *statement, const char *value,
	 uint16_t format)
{
	size_t at = buf_message(b, MSG_BIND);

	buf_cstr(b, portal);
	buf_cstr(b, statement);
	buf_u16(b, 0);
	buf_u16(b, value != NULL);
	if (value != NULL) {
		buf_u32(b, (uint32_t)strlen(value));
		buf_str(b, value);
	}
	buf_u16(b, format != 0);
	if (format != 0)
		buf_u16(b, format);
	buf_message_end(b, at);
}

/* Describe and Close, of a statement ('S') or a portal ('P'). */
static inline void
say_target(struct buf *b, enum message_type type, char kind, const char *name)
{
	size_t at = buf_message(b, (char)type);

	buf_u8(b, (uint8_t)kind);
	buf_cstr(b, name);
	buf_message_end(b, at);
}

static inline void
say_execute(struct buf *b, const char *portal)
{
	size_t at = buf_message(b, MSG_EXECUTE);

	buf_cstr(b, portal);
	buf_u32(b, 0);
	buf_message_end(b, at);
}

#endif
