/* SPDX-License-Identifier: PostgreSQL
 *
 * For what runs with each read of the relay, and what each new session runs through, up to its
 * first query and at its end. Between two of them the kernel, or a PostgreSQL that forks beside us,
 * has used the caches for its own: what counts is over how many lines and pages such code is
 * spread. HOT functions are laid side by side by the linker, whatever files they are in; what is
 * UNLIKELY is laid out of the way. tests/t/422 counts the relay's instructions, 424 a login's lines
 * and pages.
 */
#ifndef BASE_HOT_H
#define BASE_HOT_H

#define HOT         __attribute__((hot))
#define HOT_INLINE  inline __attribute__((always_inline))
#define APART       __attribute__((noinline)) /* not to be laid into its one caller */
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
