/* SPDX-License-Identifier: MIT */
/*
 * meta.c - memory for the allocator's own structures: cut from blocks of pages, kept on free lists by power of two.
 * Owns `meta`, guarded by hak_meta_lock (HAK_RANK_META).  Calls os.h and limit.h.
 */
#include "pages/meta.h"

#include <string.h>

#include "pages/limit.h"
#include "os/os.h"

#define SMALLEST_LOG2 6
#define LARGEST_LOG2 16 /* above 64 KiB: mappings of their own */
#define BLOCK_SIZE ((size_t)128 << 10)

struct meta_piece {
    struct meta_piece *next;
};

HAK_LOCK_ALONE struct hak_lock hak_meta_lock = HAK_LOCK_INIT(HAK_RANK_META);

_Atomic size_t hak_meta_held;

/* All else that this module knows. */
static struct {
    struct meta_piece *pieces[LARGEST_LOG2 + 1]; /* free pieces, by the power of two */
    char *block;                                 /* the rest of the newest block of pages */
    size_t block_left;                           /* its bytes */
} meta HAK_GUARDED_BY(hak_meta_lock);

static unsigned meta_log2(size_t size)
{
    if (size <= (size_t)1 << SMALLEST_LOG2)
        return SMALLEST_LOG2;
    return 64u - (unsigned)__builtin_clzl(size - 1);
}

/* A piece of a power of two of bytes, from the newest block of pages.  NULL if memory is out. */
HAK_REQUIRES(hak_meta_lock)
static void *meta_cut(size_t size)
{
    size_t skip = -(uintptr_t)meta.block & (HAK_MIN(size, HAK_LINE) - 1);
    if (!meta.block || skip + size > meta.block_left) {
        char *fresh = hak_os_map_own(BLOCK_SIZE);
        if (!fresh)
            return NULL;
        hak_fetch_add(&hak_meta_held, BLOCK_SIZE);
        hak_limit_add(BLOCK_SIZE);
        meta.block = fresh;
        meta.block_left = BLOCK_SIZE;
        skip = 0;
    }
    char *p = meta.block + skip;
    meta.block += skip + size;
    meta.block_left -= skip + size;
    return p;
}

void *hak_meta_alloc(size_t size)
{
    unsigned log2 = meta_log2(size);
    if (log2 > LARGEST_LOG2) {
        void *pages = hak_os_map_own(size);
        if (pages) {
            hak_fetch_add(&hak_meta_held, hak_round_up(size, hak_os_page));
            hak_limit_add(hak_round_up(size, hak_os_page));
        }
        return pages;
    }
    hak_lock(&hak_meta_lock);
    struct meta_piece *piece = meta.pieces[log2];
    void *p = piece;
    if (piece)
        meta.pieces[log2] = piece->next;
    else
        p = meta_cut((size_t)1 << log2);
    hak_unlock(&hak_meta_lock);
    if (piece)
        memset(p, 0, size);
    return p;
}

void hak_meta_free(void *p, size_t size)
{
    unsigned log2 = meta_log2(size);
    if (log2 > LARGEST_LOG2) {
        hak_fetch_sub(&hak_meta_held, hak_round_up(size, hak_os_page));
        hak_limit_release(hak_round_up(size, hak_os_page));
        hak_os_unmap(p, size);
        return;
    }
    hak_lock(&hak_meta_lock);
    struct meta_piece *piece = p;
    piece->next = meta.pieces[log2];
    meta.pieces[log2] = piece;
    hak_unlock(&hak_meta_lock);
}

/* Unchecked: the process has one thread, and whoever held the lock is gone. */
HAK_UNCHECKED
void hak_meta_abandon(void)
{
    memset(meta.pieces, 0, sizeof meta.pieces);
    meta.block = NULL;
    meta.block_left = 0;
}

void hak_meta_count(size_t size)
{
    hak_fetch_add(&hak_meta_held, size);
    hak_limit_add(size);
}
