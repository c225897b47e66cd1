/* SPDX-License-Identifier: MIT */
/*
 * fatal.h - checks of the allocator's own structures.
 *
 * HAK_INVARIANT is checked in debug builds only.  HAK_REQUIRE is checked in every build: for cold paths, where going on
 * would corrupt the program's memory.
 */
#ifndef HAK_INVARIANT_H
#define HAK_INVARIANT_H

#include "base/base.h"

#pragma GCC visibility push(hidden)
__attribute__((noreturn)) void hak_fatal(const char *condition, const char *file, int line);
#pragma GCC visibility pop

#define HAK_REQUIRE(condition) (HAK_LIKELY(condition) ? (void)0 : hak_fatal(#condition, __FILE__, __LINE__))
#define HAK_INVARIANT(condition) ((void)(HAK_DEBUG && (HAK_REQUIRE(condition), 0)))

#endif
