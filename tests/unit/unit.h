/* SPDX-License-Identifier: PostgreSQL
 *
 * What every unit test includes, last: cmocka wants these before it (trap: <cmocka.h> comes last).
 * One group per program; TAP output is asked for by the build (CMOCKA_MESSAGE_OUTPUT=TAP).
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* cmocka 2 takes the name stop(), and has assert_in_range() in two, for numbers with and without
 * sign; the old name warns. */
#undef stop
#ifdef assert_uint_in_range
#undef assert_in_range
#define assert_in_range assert_uint_in_range
#endif

#endif
