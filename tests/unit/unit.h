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

#endif
