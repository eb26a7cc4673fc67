/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/reads/reasons.h"

#include <assert.h>

#include "proxy/process/readtally.h"

static_assert(READTALLY_REASONS == READS_REASON_COUNT, "a tally has a row for each reason");

static const struct {
	const char *name, *text;
} own[] = {
#define R(name, text) { #name, text },
	READS_REASONS(R)
#undef R
};

const char *
reads_reason_name(unsigned reason)
{
	if (reason < CLASSIFY_REASON_COUNT)
		return classify_reason_name((enum classify_reason)reason);
	return own[reason - CLASSIFY_REASON_COUNT].name;
}

const char *
reads_reason_text(unsigned reason)
{
	if (reason < CLASSIFY_REASON_COUNT)
		return classify_reason_text((enum classify_reason)reason);
	return own[reason - CLASSIFY_REASON_COUNT].text;
}
