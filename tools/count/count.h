/* SPDX-License-Identifier: MIT */
/* What the two halves of libhakmem-count.so share: the counters (count.c) and the line they end in (report.c). */
#ifndef HAKMEM_COUNT_H
#define HAKMEM_COUNT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Size ranges: libhakmem's own size classes (16 to 128 by 16, then 8 per doubling up to 128 KiB), so that a count can
 * be read as "blocks of that class", and above them one range per power of two up to 2^63.
 */
enum {
    COUNT_LINEAR = 8,                      /* 16, 32, ... 128 */
    COUNT_CLASSES = COUNT_LINEAR + 10 * 8, /* 128 < size <= 2^17, 8 per doubling */
    COUNT_RANGES = COUNT_CLASSES + 46,     /* 2^17 < size <= 2^63 */
};

/* One set of counters.  All threads of a shard add to it with relaxed atomics; a total is the sum over all shards. */
struct count_shard {
    uint64_t allocations; /* calls that handed out a new block, whatever their name; callocs and aligned among them */
    uint64_t callocs;
    uint64_t aligned;
    uint64_t reallocs;              /* calls of realloc and reallocarray that resized an existing block */
    uint64_t frees;                 /* calls that gave a block back; free(NULL) is none */
    uint64_t failed;                /* allocating calls that returned NULL */
    uint64_t bytes;                 /* bytes asked for by allocations and reallocs */
    uint64_t by_size[COUNT_RANGES]; /* allocations and reallocs by the size asked for */
} __attribute__((aligned(64)));

enum { COUNT_SHARDS = 64 };

extern struct count_shard count_shards[COUNT_SHARDS];

/* The largest size that range `index` counts. */
uint64_t count_range_limit(unsigned index);

#endif
