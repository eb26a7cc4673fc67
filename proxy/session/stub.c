/* SPDX-License-Identifier: PostgreSQL
 *
 * Stands in for statements.c, vars.c and truth.c for the hours until they are here.
 */
#include "base/mem.h"
#include "config.h"
#include "protocol/sqleffects.h"
#include "proxy/auth/credential.h"
#include "proxy/session/ownlogin.h"
#include "proxy/session/statements.h"
#include "proxy/session/truth.h"
#include "proxy/session/vars.h"
#include <stdlib.h>
struct statement_table *
statement_table_new(unsigned max)
{
	(void)max;
	return NULL;
}
void
statement_table_free(struct statement_table *t)
{
	(void)t;
}
struct server_statements *
server_statements_new(struct statement_table *t)
{
	(void)t;
	return NULL;
}
void
server_statements_free(struct server_statements *ss)
{
	(void)ss;
}
void
server_statements_clear(struct server_statements *ss)
{
	(void)ss;
}
struct statements *
statements_new(struct statement_table *t)
{
	(void)t;
	return NULL;
}
void
statements_free(struct statements *c)
{
	(void)c;
}
void
statements_attach(struct statements *c, struct server_statements *ss, const struct flow *flow)
{
	(void)c;
	(void)ss;
	(void)flow;
}
void
statements_detach(struct statements *c)
{
	(void)c;
}
enum statements_verdict
statements_client(struct statements *c, uint64_t meaning, const char *p, size_t n, struct buf *out)
{
	(void)c;
	(void)meaning;
	(void)p;
	(void)n;
	(void)out;
	return STATEMENTS_AS_IS;
}
const char *
statements_why(const struct statements *c)
{
	(void)c;
	return "";
}
bool
statements_holds(const struct statements *c)
{
	(void)c;
	return false;
}
bool
statements_waits(const struct statements *c)
{
	(void)c;
	return false;
}
bool
statements_goes_on(const struct statements *c)
{
	(void)c;
	return false;
}
bool
statements_expects(const struct statements *c)
{
	(void)c;
	return false;
}
size_t
statements_put_held(struct statements *c, char *to)
{
	(void)c;
	(void)to;
	return 0;
}
size_t
statements_server(struct statements *c, char *p, size_t n)
{
	(void)c;
	(void)p;
	return n;
}
void
statements_error(struct statements *c, const char sqlstate[5])
{
	(void)c;
	(void)sqlstate;
}
unsigned
statements_effects(struct statements *c, struct buf *names)
{
	(void)c;
	(void)names;
	return 0;
}
bool
statements_pins(const struct statements *c)
{
	(void)c;
	return false;
}

size_t
server_statements_count(const struct server_statements *ss)
{
	(void)ss;
	return 0;
}
