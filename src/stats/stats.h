/* SPDX-License-Identifier: MIT */
/*
 * stats.h - snapshots of this process: for the functions of hakmem.h, those of glibc (mallinfo.c), and the text that is
 * written at exit or on a signal (dump.c).
 */
#ifndef HAK_STATS_H
#define HAK_STATS_H

#include "stats/usage.h"

#pragma GCC visibility push(hidden)
/* Begins a snapshot of this process; `view` then reads its heaps.  False if a lock could not be had. */
bool hak_stats_view(struct hak_view *view, enum hak_patience patience);

/* Writes a snapshot as text, in pieces.  False, and nothing is written, if a heap's lock could not be had. */
bool hak_stats_print(struct hak_view *view, enum hakmem_stats_format format,
                     void (*write)(void *arg, const char *text, size_t length), void *arg);

/* Writes a piece of text to standard error; an argument for hak_stats_print(). */
void hak_stats_write_stderr(void *unused, const char *text, size_t length);

/* Installs the handler of the signal that the knob stats_signal names, if the program has not installed one. */
void hak_dump_start(void);
#pragma GCC visibility pop

#endif
