/* SPDX-License-Identifier: PostgreSQL
 *
 * The answer of a command's example, as psql shows it: the rows are the table's, the headings are
 * those of the statement, so that they cannot differ.
 */
#ifndef PROXY_ADMIN_EXAMPLE_H
#define PROXY_ADMIN_EXAMPLE_H

#include "base/buf.h"
#include "proxy/admin/command.h"

/* Append lines; of a command without rows its tag. */
void example_answer(const struct command *c, struct buf *out);

#endif
