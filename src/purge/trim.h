/* SPDX-License-Identifier: MIT */
/* trim.h - all that is free goes back to the kernel: at the program's request, or when memory is out. */
#ifndef HAK_TRIM_H
#define HAK_TRIM_H

#include "base/base.h"

#pragma GCC visibility push(hidden)
/* malloc_trim: everything that is free, everywhere, but for `keep` bytes; the bytes given back. */
size_t hak_trim(size_t keep);
/* Gives back all that is free but pages in slabs that are in use, which no other block could have. */
void hak_reclaim(void);

/* The tries of one allocation when memory is out.  Starts as {0} with hak_retry_begin() before each try. */
struct hak_retry {
    uint32_t seen; /* how often all that is free had gone back before the try */
    uint8_t others; /* how often another thread has seen to it since */
    bool last;     /* this thread saw to it: there is no more */
};
void hak_retry_begin(struct hak_retry *retry);
/* After a try that failed: whether another is worth while, as all that is free has gone back to the kernel since, by
 * this thread or another.  That is not done for what could not be had even then. */
bool hak_retry(struct hak_retry *retry, size_t size);

/* When more is held than ever before: as much of what is kept for reuse goes back, the oldest first, so that the most
 * that the program ever holds is not raised by what it does not use. */
#define HAK_SHED_FROM ((size_t)1 << 20) /* from so much on: hak_limit_rise */
HAK_COLD void hak_shed(void);
#pragma GCC visibility pop

#endif
