/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

int
main(void)
{
	return 0;
}
