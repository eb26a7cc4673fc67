/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/commands.h"

static const struct command_table *const tables[] = {
	&commands_help,      &commands_topology,
	&commands_discovery, &commands_sessions,
	&commands_pools,     &commands_users,
	&commands_stats,     &commands_fingerprints,
	&commands_explain,   &commands_migration,
	&commands_driver,    &commands_control,
	&commands_config,    NULL,
};

const struct command_table *const *
command_tables(void)
{
	return tables;
}

const struct command *
command_listed(size_t n)
{
	for (size_t t = 0; tables[t] != NULL; t++)
		for (size_t i = 0; i < tables[t]->n; i++)
			if (tables[t]->commands[i].help != NULL && n-- == 0)
				return &tables[t]->commands[i];
	return NULL;
}

void
command_syntax(const struct command *c, struct buf *out)
{
	buf_printf(out, "%s%s%s", c->words, c->args != NULL ? " " : "",
		   c->args != NULL ? c->args : "");
}

void
command_put_tag(const struct command *c, struct buf *out)
{
	if (c->tag != NULL)
		buf_str(out, c->tag);
	else
		buf_put(out, c->words, strcspn(c->words, " "));
}

bool
command_is_short(const struct command *c)
{
	const struct heading h = { c->columns, c->ncolumns, true };

	return heading_count(&h) > 0;
}

/* ---- the manual ---- */

/* Escapes text for roff, which may set a hyphen as a dash and takes a leading dot for a request. */
static void
put_roff(struct buf *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		buf_str(out, "\\&");
	for (; *text != '\0'; text++) {
		if (*text == '-' || *text == '\\')
			buf_u8(out, '\\');
		buf_u8(out, (uint8_t)*text);
	}
}

static void
put_names(struct buf *out, const char *title, const struct heading *h)
{
	const char *between = "";

	buf_printf(out, "%s: ", title);
	for (uint16_t i = 0; i < h->n; i++) {
		if (!heading_has(h, i))
			continue;
		buf_printf(out, "%s\\fI", between);
		put_roff(out, h->columns[i].name);
		buf_str(out, "\\fR");
		between = ", ";
	}
	buf_str(out, ".\n");
}

void
commands_man(struct buf *out)
{
	const struct command *c;
	struct heading h;

	for (size_t n = 0; (c = command_listed(n)) != NULL; n++) {
		buf_str(out, ".TP\n\\fB");
		put_roff(out, c->words);
		buf_str(out, "\\fR");
		if (c->args != NULL) {
			buf_u8(out, ' ');
			put_roff(out, c->args);
		}
		buf_printf(out, "\n(%s) ", privilege_name(c->privilege));
		put_roff(out, c->help);
		buf_str(out, ".\n");
		h = (struct heading){ c->columns, c->ncolumns, true };
		if (command_is_short(c))
			put_names(out, "Columns", &h);
		h.everyday = false;
		if (c->ncolumns > 0)
			put_names(out, command_is_short(c) ? "With FULL" : "Columns", &h);
	}
}
