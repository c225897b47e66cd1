/* SPDX-License-Identifier: MIT */
/*
 * root.h - where another process finds this one's structures, which it reads as a debugger does (hakmem stats PID).
 *
 * The reader finds the root by its first bytes in the writable data of the library or program.  The root is valid once
 * `self` is its own address.  The reader must have been built with structures of the same layout, which it checks by
 * `layout`.
 */
#ifndef HAK_ROOT_H
#define HAK_ROOT_H

#include "hakmem.h"
#include "pages/large.h"
#include "os/os.h"
#include "heap/registry.h"
#include "pages/stock.h"
#include "pages/superslab.h"

#define HAK_ROOT_MAGIC "hakmem: root of figures"

/* The layout of the structures: sizes and offsets that the reader relies on. */
#define HAK_ROOT_LAYOUT                                                                                                \
    {                                                                                                                  \
        HAK_STATS, HAK_CLASS_COUNT, HAK_MAG_SLOTS, sizeof(struct hak_root), sizeof(struct hak_heap),                   \
            offsetof(struct hak_heap, depots), offsetof(struct hak_heap, slabs), offsetof(struct hak_heap, out),       \
            offsetof(struct hak_heap, remote_frees), offsetof(struct hak_heap, threads_list),                          \
            offsetof(struct hak_heap, threads), sizeof(struct hak_depot), offsetof(struct hak_depot, count),           \
            sizeof(struct hak_tcache), sizeof(struct hak_mag), offsetof(struct hak_tcache, outbox),                    \
            offsetof(struct hak_tcache, slots), offsetof(struct hak_tcache, next_of_heap), sizeof(struct hak_window),  \
            offsetof(struct hak_window, map), offsetof(struct hak_window, next), sizeof(struct hak_super_counts),      \
            sizeof(struct hak_huge_counts), sizeof(struct hak_stock), sizeof(struct hak_os_counts),                    \
            HAKMEM_STATS_VERSION                                                                                       \
    }
#define HAK_ROOT_NUMBERS 26

struct hak_root {
    char magic[sizeof HAK_ROOT_MAGIC];
    char version[24];
    uint32_t layout[HAK_ROOT_NUMBERS];
    struct hak_heap *const *heaps;
    const _Atomic uint32_t *heap_count;
    const struct hak_window *window;
    const struct hak_super_counts *super;
    const struct hak_huge_counts *huge;
    const struct hak_stock *stocks;
    const struct hak_os_counts *os;
    const _Atomic size_t *own_bytes;
    _Atomic(const struct hak_root *) self;
};
_Static_assert(sizeof((uint32_t[])HAK_ROOT_LAYOUT) == HAK_ROOT_NUMBERS * sizeof(uint32_t), "each number is counted");

#pragma GCC visibility push(hidden)
/* Fills the root in, at the start. */
void hak_root_start(void);
#pragma GCC visibility pop

#endif
