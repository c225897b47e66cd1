/* SPDX-License-Identifier: MIT */
/*
 * usage.h - adds up what heaps and threads hold.
 *
 * No figure is counted on a hot path: what a magazine holds is the distance of its pointers, and what is live is what
 * has left the slabs and is in no magazine, depot or outbox.  Each heap is read by itself, so with threads running the
 * sum is of moments close to each other.
 *
 * The structures are reached through a view: those of this process under their locks, or copies of another's.  Copies
 * are told apart from where they were, as pointers in them point to where they were.
 */
#ifndef HAK_USAGE_H
#define HAK_USAGE_H

#include "hakmem.h"
#include "pages/large.h"
#include "heap/registry.h"
#include "pages/stock.h"
#include "os/os.h"
#include "pages/superslab.h"

/* All that is known but not of a heap. */
struct hak_counts {
    struct hak_super_counts super;
    struct hak_huge_counts huge;
    struct hak_stock_counts stocks;
    size_t own_bytes, mapped, mapped_peak, want_huge, resident;
    size_t calls[HAK_OS_KINDS]; /* by enum hak_os_kind */
};

struct hak_view {
    uint32_t heaps;
    unsigned process; /* its ID */
    bool locked;      /* the open heap is, and `close` has to unlock it */
    struct hak_counts counts;
    /* Room for the figures of so many heaps, if there is some: with room for all, all are had in one pass. */
    struct hakmem_stats_heap *room;
    uint32_t room_heaps;
    /* The heap, to be read until `close`; NULL if it is busy, where the view does not wait. */
    const struct hak_heap *(*open)(struct hak_view *view, uint32_t number);
    void (*close)(struct hak_view *view, const struct hak_heap *heap);
    /* What is at the address, where the view's pointers point to: a thread of an open heap, or NULL. */
    const struct hak_tcache *(*thread)(struct hak_view *view, const struct hak_tcache *at);
    /* The page map entry of an address. */
    uint32_t (*entry)(struct hak_view *view, const void *block);
};

/* Numbers of blocks; live ones are out - magazine - depot - outbox. */
struct hak_class_usage {
    size_t slabs, out, magazine, depot, outbox;
};

struct hak_usage {
    struct hak_class_usage classes[HAK_CLASS_COUNT];
    size_t threads, remote_frees, purged;
};

#pragma GCC visibility push(hidden)
/* Adds up the heap of this number, or all heaps if it is 0.  False if a heap was busy. */
bool hak_usage_collect(struct hak_view *view, uint32_t number, struct hak_usage *usage);

/* The figures of `count` heaps from the one of this number on, in one pass over all heaps and threads.  False if a heap
 * was busy. */
bool hak_usage_heaps(struct hak_view *view, uint32_t first, uint32_t count, struct hakmem_stats_heap *heaps);

/* The same figures in public form.  The first sets what concerns no heap as well. */
void hak_usage_total(const struct hak_view *view, const struct hak_usage *usage, struct hakmem_stats *stats);
void hak_usage_class(const struct hak_usage *usage, unsigned class, struct hakmem_stats_class *stats);
void hak_usage_heap(const struct hak_usage *usage, struct hakmem_stats_heap *stats);

/* The whole of a snapshot as text, by pieces; false, and nothing is written, if a heap was busy. */
bool hak_usage_print(struct hak_view *view, enum hakmem_stats_format format,
                     void (*write)(void *arg, const char *text, size_t length), void *arg);
#pragma GCC visibility pop

#endif
