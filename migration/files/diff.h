/* SPDX-License-Identifier: PostgreSQL
 *
 * How one text became another, for people: the lines that went (-) and came (+), with their
 * statement's checksums in front where a file's statements differ. Pure, bounded.
 */
#ifndef MIGRATION_FILES_DIFF_H
#define MIGRATION_FILES_DIFF_H

#include "base/buf.h"
#include "base/slice.h"

/* At most `lines` lines; what is left out is counted. */
void diff_lines(struct buf *out, struct slice was, struct slice is, unsigned lines);
/* Which statements have another checksum; `was`, `is`: checksums by blanks. One line each. */
void diff_sums(struct buf *out, struct slice was, struct slice is, unsigned lines);

#endif
