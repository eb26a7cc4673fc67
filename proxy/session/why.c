/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/why.h"

#include "base/hot.h"

static const struct why_row rows[] = {
#define W(id, level_, sqlstate_, counter_, text_) \
	[WHY_##id] = { LOG_LEVEL_##level_, sqlstate_, counter_, text_ },
	WHY_TABLE(W)
#undef W
};

HOT const struct why_row *
why_get(enum why w)
{
	return &rows[w];
}
