/* SPDX-License-Identifier: PostgreSQL
 *
 * The answer of a command's example, as psql shows it. The rows come from the command's table; the
 * headings are those that the statement really has, so that the manual cannot show others.
 */
#ifndef PROXY_ADMIN_EXAMPLE_H
#define PROXY_ADMIN_EXAMPLE_H

#include "base/buf.h"
#include "proxy/admin/command.h"

/* Appends the answer as lines; of a command without rows its tag. */
void example_answer(const struct command *c, struct buf *out);

#endif
