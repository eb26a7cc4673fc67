/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/types.h"

#include <stddef.h>
#include <string.h>

#define WORD(constant, word) word,

static const char *const kinds[] = { MIGRATION_KINDS(WORD) NULL };
static const char *const states[] = { MIGRATION_STATES(WORD) NULL };
static const char *const phases[] = { MIGRATION_PHASES(WORD) NULL };
static const char *const classes[] = { MIGRATION_CLASSES(WORD) NULL };
static const char *const step_states[] = { MIGRATION_STEP_STATES(WORD) NULL };

static int
find(const char *const *words, const char *word)
{
	for (int i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], word) == 0)
			return i;
	}
	return -1;
}

const char *
migration_kind_name(enum migration_kind k)
{
	return kinds[k];
}

const char *
migration_state_name(enum migration_state s)
{
	return states[s];
}

const char *
migration_phase_name(enum migration_phase p)
{
	return phases[p];
}

const char *
step_class_name(enum step_class c)
{
	return classes[c];
}

const char *
step_state_name(enum step_state s)
{
	return step_states[s];
}

int
migration_kind_of(const char *word)
{
	return find(kinds, word);
}

int
migration_state_of(const char *word)
{
	return find(states, word);
}

int
migration_phase_of(const char *word)
{
	return find(phases, word);
}

int
step_state_of(const char *word)
{
	return find(step_states, word);
}
