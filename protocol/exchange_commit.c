/* SPDX-License-Identifier: PostgreSQL
 *
 * The answer to a COMMIT in the place of a server that has committed, and gone: to each request
 * that the client has not heard the answer to.
 */
#include "config.h"

#include "protocol/exchange_list.h"

#include "protocol/exchange_int.h"
#include "protocol/message.h"

/* One command, which may be a COMMIT, up to the end of its round, and nothing else. */
static bool
is_one_command(const struct exchange_list *l)
{
	unsigned commands = 0;

	for (uint32_t i = l->heard; i < l->n; i++) {
		char type = l->v[i].type;

		commands += type == MSG_EXECUTE || type == MSG_QUERY;
		if (ends_round(type) != (i + 1 == l->n) || strchr("PBDCEQS", type) == NULL)
			return false;
	}
	return commands == 1;
}

static void
put_answer(const struct exchange_request *r, struct buf *out)
{
	switch (r->type) {
	case MSG_PARSE:
		message_put_bare(out, MSG_PARSE_COMPLETE);
		break;
	case MSG_BIND:
		message_put_bare(out, MSG_BIND_COMPLETE);
		break;
	case MSG_CLOSE:
		message_put_bare(out, MSG_CLOSE_COMPLETE);
		break;
	case MSG_DESCRIBE:
		if (r->of_statement)
			message_put_parameter_description(out, NULL, 0);
		message_put_bare(out, MSG_NO_DATA);
		break;
	case MSG_QUERY:
	case MSG_EXECUTE:
		message_put_command_complete(out, "COMMIT");
		break;
	default:
		break;
	}
	if (ends_round(r->type))
		message_put_ready(out, 'I');
}

bool
exchange_put_commit(const struct exchange *x, struct buf *out)
{
	const struct exchange_list *l = x->list;

	if (!exchange_is_all_listed(x) || l->strayed || x->copy != EXCHANGE_COPY_NONE ||
	    !exchange_at_client_boundary(x) || !is_one_command(l))
		return false;
	for (uint32_t i = l->heard; i < l->n; i++) {
		const struct exchange_request *r = &l->v[i];

		if (r->fate == REQUEST_FORWARD)
			put_answer(r, out);
		else if (r->fate == REQUEST_REPLACE)
			message_put_bare(out, r->instead);
	}
	return !out->failed;
}
