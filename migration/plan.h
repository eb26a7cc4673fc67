/* SPDX-License-Identifier: PostgreSQL
 *
 * What a kind says before anything runs: the plan (steps) and the checks, as lists that are filled
 * by plan_add() and checks_add() of migration/kind.h.
 */
#ifndef MIGRATION_PLAN_H
#define MIGRATION_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "migration/kind.h"

struct plan {
	struct migration_step *v;
	size_t n;
};

void plan_fini(struct plan *p);
/* Every step of the phase is done, or it has none. */
bool plan_is_done(const struct plan *p, enum migration_phase phase);
/* Whether two plans are the same: 16 hex digits over names, places and labels. */
void plan_hash(const struct plan *p, char out[17]);

struct check {
	enum check_severity severity;
	char *check, *object, *detail, *fix;
};

struct checks {
	struct check *v;
	size_t n;
};

void checks_fini(struct checks *c);
size_t checks_count(const struct checks *c, enum check_severity severity);
const char *check_severity_name(enum check_severity s); /* "INFO", "WARN", "ERROR" */
/* As meridian.migration.checks has it; the caller frees. */
char *checks_json(const struct checks *c);
/* The other way; false: not such a text. */
bool checks_parse(struct checks *out, const char *json);

#endif
