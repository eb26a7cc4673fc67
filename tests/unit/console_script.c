/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "tests/unit/console_script.h"

#include <stdlib.h>

#include "protocol/message.h"

static void
put_list(struct buf *b, struct slice list)
{
	struct slice rest = list;
	size_t at = b->n;
	uint16_t n = 0;

	buf_u16(b, 0);
	for (; rest.n > 0; n++) {
		struct slice value = slice_cut(&rest, ',');

		if (slice_is(value, "NULL")) {
			buf_u32(b, UINT32_MAX);
			continue;
		}
		buf_u32(b, (uint32_t)value.n);
		buf_slice(b, value);
	}
	b->p[at + 1] = (char)n;
}

static void
put_string(struct buf *b, struct slice s)
{
	buf_slice(b, s);
	buf_u8(b, 0);
}

static void
put_oids(struct buf *b, struct slice list)
{
	size_t at = b->n;
	uint16_t n = 0;

	buf_u16(b, 0);
	for (; list.n > 0; n++)
		buf_u32(b, (uint32_t)strtoul(slice_cut(&list, ',').p, NULL, 10));
	b->p[at + 1] = (char)n;
}

static void
put_bind(struct buf *b, struct slice line)
{
	put_string(b, slice_cut(&line, '|'));
	put_string(b, slice_cut(&line, '|'));
	buf_u16(b, 0);
	put_list(b, slice_cut(&line, '|'));
	buf_u16(b, (uint16_t)line.n);
	for (size_t i = 0; i < line.n; i++)
		buf_u16(b, line.p[i] == 'b');
}

static void
put_line(struct buf *b, struct slice line)
{
	size_t at = buf_message(b, line.p[0]);
	char kind = line.p[0];

	if ((kind == 'D' || kind == 'C') && line.n > 1)
		buf_u8(b, (uint8_t)line.p[1]);
	line = slice_skip(line, kind == 'D' || kind == 'C' ? 3 : 2);
	if (kind == 'Q' || kind == 'D' || kind == 'C') {
		put_string(b, line);
	} else if (kind == 'P') {
		put_string(b, slice_cut(&line, '|'));
		put_string(b, slice_cut(&line, '|'));
		put_oids(b, line);
	} else if (kind == 'B') {
		put_bind(b, line);
	} else if (kind == 'E') {
		put_string(b, slice_cut(&line, '|'));
		buf_u32(b, (uint32_t)strtoul(line.n > 0 ? line.p : "0", NULL, 10));
	}
	buf_message_end(b, at);
}

void
put_script(struct buf *b, const char *script)
{
	struct slice rest = slice_str(script);

	while (rest.n > 0)
		put_line(b, slice_cut(&rest, '\n'));
}

void
feed(struct fake *f, const char *p, size_t n)
{
	if (n > 0)
		console_input(f->console, p, n);
	fake_settle(f);
}

void
ask(struct fake *f, const char *script, struct buf *answer)
{
	struct buf in = { 0 };

	put_script(&in, script);
	buf_clear(answer);
	feed(f, in.p, in.n);
	fake_print(f, answer);
	buf_fini(&in);
}

void
send_query(struct fake *f, const char *sql)
{
	struct buf in = { 0 };

	message_put_query(&in, slice_str(sql));
	console_input(f->console, in.p, in.n);
	buf_fini(&in);
}
