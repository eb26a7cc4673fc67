/* SPDX-License-Identifier: PostgreSQL
 *
 * The settings of PostgreSQL that the console claims to have, because drivers ask for them: those
 * reported at login (ParameterStatus) and those answered by SHOW.
 */
#ifndef PROXY_ADMIN_GREETING_H
#define PROXY_ADMIN_GREETING_H

#include <stdbool.h>

#include "base/slice.h"

struct greeting_row {
	const char *name, *value;
	bool reported;
};

/* All settings; the last row has no name. */
const struct greeting_row *greeting_rows(void);
/* Finds a setting by its name, ignoring case; NULL where the console has no such setting. */
const struct greeting_row *greeting_find(struct slice name);

#endif
