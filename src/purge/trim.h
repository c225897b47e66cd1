/* SPDX-License-Identifier: MIT */
/*
 * trim.h - free memory goes back to the kernel at once: at the program's request, by a knob, at a new peak, or when
 * memory is out.
 */
#ifndef HAK_TRIM_H
#define HAK_TRIM_H

#include "base/base.h"

#pragma GCC visibility push(hidden)
/* malloc_trim: gives back all that is free but `keep` bytes; returns the bytes. */
size_t hak_trim(size_t keep);
/* Gives back all that is free but pages in slabs that are in use, as no other block could have these. */
void hak_reclaim(void);
/* Gives back free units and cached mappings beyond so many bytes of each. */
void hak_trim_to(size_t units, size_t mappings);
/* Gives back free units beyond keep_free, where that cannot wait for a pass: hak_trigger.excess. */
void hak_purge_excess(void);

/* The tries of one allocation when memory is out.  Starts as {0}; each try is behind a hak_retry_begin(). */
struct hak_retry {
    uint32_t seen;  /* how often all that is free had gone back before the try */
    uint8_t others; /* after how many tries another thread had given it back since */
    bool last;      /* this thread has given it back: no try comes after the next */
};
void hak_retry_begin(struct hak_retry *retry);
/* After a try that failed: whether another is worthwhile, since all that is free has gone back to the kernel, by this
 * thread or another.  This thread does so only if that can make room for `size` bytes. */
bool hak_retry(struct hak_retry *retry, size_t size);

/* At a new peak of the memory held, from HAK_SHED_FROM bytes on (hak_limit_rise): gives as much cached memory back, the
 * oldest first, so that caches do not raise the peak. */
#define HAK_SHED_FROM ((size_t)1 << 20)
HAK_COLD void hak_shed(void);
#pragma GCC visibility pop

#endif
