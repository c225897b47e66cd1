/* SPDX-License-Identifier: MIT */
/*
 * info.h - figures about the heap, and the functions of glibc that report them.  Layer 7, above pool.h.
 *
 * No figure is counted on a hot path: what a magazine holds is the distance of its pointers, and what is live is what
 * has left the slabs and is not in a magazine, depot or outbox.  Each heap is read under its lock, one after the
 * other, so with threads running the sum is of moments close to each other.
 */
#ifndef HAK_INFO_H
#define HAK_INFO_H

#include <malloc.h>
#include <stdio.h>

#include "cache.h"

struct hak_class_usage {
    size_t slabs;
    size_t live;   /* blocks that the program owns, or that lie in an outbox */
    size_t cached; /* free blocks in magazines and the depot */
    size_t free;   /* free blocks in slabs */
};

struct hak_heap_usage {
    struct hak_class_usage classes[HAK_CLASS_COUNT];
    size_t outbox_bytes; /* other heaps' blocks on their way back */
};

#pragma GCC visibility push(hidden)
void hak_heap_usage(struct hak_heap *heap, struct hak_heap_usage *usage);
struct mallinfo2 hak_mallinfo2(void);
int hak_malloc_info(int options, FILE *stream);
void hak_malloc_stats(void);
#pragma GCC visibility pop

#endif
