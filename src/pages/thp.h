/* SPDX-License-Identifier: MIT */
/*
 * thp.h - whether superslabs ask for huge pages.
 */
#ifndef HAK_THP_H
#define HAK_THP_H

#include "base/base.h"

#pragma GCC visibility push(hidden)
/* Whether superslabs of a heap of so many bytes are to ask for huge pages, by the knob thp; those that are mapped for a
 * long run are not, by themselves. */
bool hak_thp_wanted(size_t heap, bool long_run);
/* Whether one that asked does better without for now, as the last huge page took long to come. */
bool hak_thp_backed_off(void);
/* Writes a zero to a block in a superslab that asked for a huge page and holds no memory yet, so that it comes, and
 * notes how long that took, if the knob leaves it to us.  Without a lock, for it may be long. */
void hak_thp_touch(void *block);
/* Whether to do that for a large block: for few of them, as it makes memory resident that may never be written to. */
bool hak_thp_times_large(void);
#pragma GCC visibility pop

#endif
