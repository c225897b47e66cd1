/* SPDX-License-Identifier: MIT */
/*
 * thp.h - whether superslabs ask for huge pages.
 */
#ifndef HAK_THP_H
#define HAK_THP_H

#include "base/base.h"

#pragma GCC visibility push(hidden)
/* Whether superslabs are to ask for huge pages, where `heap` bytes of them are mapped, by the knob thp.  With thp=auto
 * those that are mapped for a long run are not, unless the kernel gives huge pages to every program. */
bool hak_thp_wanted(size_t heap, bool long_run);
/* True while huge pages are backed off, because the last one was slow to fault in. */
bool hak_thp_backed_off(void);
/* Writes a zero to a block in a superslab that asked for a huge page and holds no memory yet, and times the fault; does
 * nothing unless the knob thp is auto.  The caller holds no lock, as the fault may take long. */
void hak_thp_touch(void *block);
/* Whether to time a large block's fault: for a few blocks only, as a program may never write to its block. */
bool hak_thp_times_large(void);
#pragma GCC visibility pop

#endif
