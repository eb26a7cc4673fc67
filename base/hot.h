/* SPDX-License-Identifier: PostgreSQL
 *
 * For what runs with each read of the relay. Between two of them the kernel has used the caches for
 * its own: what counts is how many lines and pages such code is spread over. HOT functions are laid
 * side by side by the linker, whatever files they are in; what is UNLIKELY is laid out of the way.
 *
 * WARM is the same for what each new session runs through, up to its first query and at its end:
 * with a PostgreSQL forking beside us none of it is in any cache, nor are the tables of its pages.
 */
#ifndef BASE_HOT_H
#define BASE_HOT_H

#define HOT         __attribute__((hot))
#define WARM        __attribute__((hot))
#define HOT_INLINE  inline __attribute__((always_inline))
#define APART       __attribute__((noinline)) /* not to be laid into its one caller */
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
