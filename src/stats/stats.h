/* SPDX-License-Identifier: MIT */
/*
 * stats.h - the statistics of this process, for hakmem.h's functions, for glibc's in mallinfo.c, at exit and on a
 * signal.
 */
#ifndef HAK_STATS_H
#define HAK_STATS_H

#include "stats/usage.h"

/* What to do about a lock that is taken: wait, as everybody does; try for a while and give up, where the thread that
 * holds it may be this one; or try for a while and read all the same.  The last is safe, since no heap and no thread's
 * structure is ever taken away, but some figure may be of the midst of a change. */
enum hak_patience { HAK_LOCK_WAIT, HAK_LOCK_TRY, HAK_LOCK_SKIP };

#pragma GCC visibility push(hidden)
/* This process's heaps and counts.  False if something was busy. */
bool hak_stats_view(struct hak_view *view, enum hak_patience patience);

/* The whole of a snapshot as text; false, and nothing is written, if a heap was busy. */
bool hak_stats_print(struct hak_view *view, enum hakmem_stats_format format,
                     void (*write)(void *arg, const char *text, size_t length), void *arg);

/* A writer to standard error, for hak_usage_print(). */
void hak_stats_write_stderr(void *unused, const char *text, size_t length);

/* Sees to the signal that the setting names, if the program has not yet. */
void hak_dump_start(void);
#pragma GCC visibility pop

#endif
