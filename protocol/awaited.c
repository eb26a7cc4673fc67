/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/awaited.h"

#include <string.h>

#include "protocol/frame.h"
#include "protocol/message.h"

void
awaited_begin(struct awaited *a)
{
	*a = (struct awaited){ 0 };
}

static void
pop(struct awaited *a)
{
	memmove(a->types, a->types + 1, --a->n);
}

/* ---- messages ---- */

static void
on_client(struct awaited *a, char type)
{
	if (type == '\0' || strchr("PBDECSQF", type) == NULL) {
		/* Flush awaits nothing; COPY's are not for us */
		a->lost = a->lost || type != MSG_FLUSH;
	} else if (a->n == AWAITED_MAX) {
		a->lost = true;
	} else {
		a->types[a->n++] = type;
		a->client.kind_due = type == MSG_DESCRIBE;
	}
}

static bool
ends_round(char type)
{
	return type == MSG_SYNC || type == MSG_QUERY || type == MSG_FUNCTION_CALL;
}

/* What is skipped up to the Sync is not answered. */
static void
on_error(struct awaited *a)
{
	while (a->n > 0 && !ends_round(a->types[0]))
		pop(a);
}

/* Which message of the client's this answers to the end; 0: none. */
static const char *
answers(char type)
{
	static const struct {
		char type;
		const char *to;
	} table[] = {
		{ MSG_PARSE_COMPLETE, "P" },   { MSG_BIND_COMPLETE, "B" },
		{ MSG_CLOSE_COMPLETE, "C" },   { MSG_NO_DATA, "Ds" },
		{ MSG_ROW_DESCRIPTION, "Ds" }, { MSG_COMMAND_COMPLETE, "E" },
		{ MSG_EMPTY_QUERY, "E" },      { MSG_PORTAL_SUSPENDED, "E" },
		{ MSG_READY, "SQF" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].type == type)
			return table[i].to;
	}
	return NULL;
}

static void
on_server(struct awaited *a, char type)
{
	const char *to = answers(type);

	if (type == MSG_ERROR) {
		on_error(a);
		return;
	}
	if (to == NULL)
		return;
	if (a->n == 0)
		a->lost = true;
	else if (strchr(to, a->types[0]) != NULL)
		pop(a);
	else if (a->types[0] != MSG_QUERY)
		a->lost = true;
}

/* ---- the stream ---- */

static const char *
pass_body(struct awaited *a, struct awaited_side *side, const char *p, const char *end)
{
	size_t n = (size_t)(end - p) < side->left ? (size_t)(end - p) : side->left;

	if (side->kind_due && n > 0) {
		side->kind_due = false;
		if (a->n > 0 && p[0] == 'S')
			a->types[a->n - 1] = 's';
	}
	side->left -= n;
	return p + n;
}

static void
follow(struct awaited *a, struct awaited_side *side, void (*on)(struct awaited *a, char type),
       const char *p, size_t n)
{
	const char *end = slice_skip(slice_of(p, n), n).p; /* p may be NULL */
	uint32_t len;

	while (p < end && !a->lost) {
		if (side->left > 0) {
			p = pass_body(a, side, p, end);
			continue;
		}
		side->head[side->have++] = (uint8_t)*p++;
		if (side->have < FRAME_HEAD_BYTES)
			continue;
		side->have = 0;
		len = get_u32(side->head + 1);
		a->lost = len < 4;
		side->left = len - 4;
		on(a, (char)side->head[0]);
	}
}

void
awaited_client(struct awaited *a, const char *p, size_t n)
{
	follow(a, &a->client, on_client, p, n);
}

void
awaited_server(struct awaited *a, const char *p, size_t n)
{
	follow(a, &a->server, on_server, p, n);
}

/* ---- answers ---- */

static void
put_answer(char type, struct buf *out)
{
	switch (type) {
	case MSG_PARSE:
		message_put_bare(out, MSG_PARSE_COMPLETE);
		break;
	case MSG_BIND:
		message_put_bare(out, MSG_BIND_COMPLETE);
		break;
	case MSG_CLOSE:
		message_put_bare(out, MSG_CLOSE_COMPLETE);
		break;
	case 's':
		message_put_parameter_description(out, NULL, 0);
		message_put_bare(out, MSG_NO_DATA);
		break;
	case MSG_DESCRIBE:
		message_put_bare(out, MSG_NO_DATA);
		break;
	case MSG_EXECUTE:
		message_put_command_complete(out, "COMMIT");
		break;
	case MSG_QUERY:
		message_put_command_complete(out, "COMMIT");
		message_put_ready(out, 'I');
		break;
	default:
		message_put_ready(out, 'I');
		break;
	}
}

bool
awaited_put_commit(const struct awaited *a, struct buf *out)
{
	unsigned commands = 0;

	if (a->lost || a->n == 0 || a->client.have > 0 || a->client.left > 0)
		return false;
	for (unsigned i = 0; i < a->n; i++) {
		char type = a->types[i];

		commands += type == MSG_EXECUTE || type == MSG_QUERY;
		if (type == MSG_FUNCTION_CALL || ends_round(type) != (i + 1U == a->n))
			return false;
	}
	if (commands != 1)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		put_answer(a->types[i], out);
	return true;
}
