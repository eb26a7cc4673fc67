/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/number.h"

#include <stdint.h>

#define NBLOCKS ((INT32_MAX - NUMBER_BLOCKS) / NUMBER_BLOCK)

int
number_block(const char *region)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *region != '\0'; region++)
		hash = (hash ^ (unsigned char)*region) * 16777619u;
	return NUMBER_BLOCKS + (int)(hash % NBLOCKS) * NUMBER_BLOCK;
}

int
number_next(int first, const int *used, size_t n)
{
	int end = first < NUMBER_BLOCKS ? NUMBER_BLOCKS : first + NUMBER_BLOCK, next = first;

	for (size_t i = 0; i < n; i++)
		if (used[i] >= next && used[i] < end)
			next = used[i] + 1;
	return next < end ? next : 0;
}
