/* SPDX-License-Identifier: MIT */
/*
 * slab.h - blocks of one class in and out of slabs.  Under the owning heap's lock.
 */
#ifndef HAK_SLAB_H
#define HAK_SLAB_H

#include "pages/superslab.h"

/* A heap's slabs of one class that have free blocks, by how many; slabs without are on no list.  Refills take them in
 * the order FEW_MORE, MANY, FEW: what is nearly full comes last, as it yields little for the touch of its state. */
enum hak_list {
    HAK_LIST_FEW,      /* less than an eighth of the slab is free */
    HAK_LIST_FEW_MORE, /* up to a half */
    HAK_LIST_MANY,     /* more */
    HAK_LIST_COUNT,
    HAK_LIST_NONE = HAK_LIST_COUNT, /* no block is free */
};

struct hak_slab_lists {
    struct hak_slab *head[HAK_LIST_COUNT];
};

/* A slab's idle age: how many calls of hak_heap_age_slab() in a row have found that no block was taken or put back, up
 * to HAK_PURGE_PASSES.  Then its free pages go back to the kernel. */
enum {
    HAK_IDLE_NONE = 0,
    HAK_IDLE_PURGED = HAK_PURGE_PASSES + 1, /* and its free pages have been given back */
};

#pragma GCC visibility push(hidden)
/* A slab of a class with all blocks free, on its list; *untouched tells as hak_span_alloc() does.  NULL when memory is
 * out. */
struct hak_slab *hak_slab_create(unsigned class, uint32_t owner, struct hak_slab_lists *lists, bool *untouched);
/* Off its list and back to its superslab; all of its blocks are free. */
void hak_slab_destroy(struct hak_slab *slab, struct hak_slab_lists *lists);
/* The slab to take blocks from, or NULL. */
struct hak_slab *hak_slab_pick(const struct hak_slab_lists *lists);
/* Takes up to `want` of the lowest free blocks and stores them downwards from `end`; returns how many. */
unsigned hak_slab_take(struct hak_slab *slab, struct hak_slab_lists *lists, void **end, unsigned want);
/* Puts a block back.  False, with nothing done but to note it as misuse, if it is no block of the slab or is free
 * already. */
bool hak_slab_put(struct hak_slab *slab, struct hak_slab_lists *lists, void *block);
/* The lists of a slab that changes its heap. */
void hak_slab_unlist(struct hak_slab *slab, struct hak_slab_lists *lists);
void hak_slab_enlist(struct hak_slab *slab, struct hak_slab_lists *lists);
/* Gives the pages that hold nothing but free blocks back to the kernel; returns their bytes.  The blocks stay free. */
size_t hak_slab_purge(struct hak_slab *slab);
/* The start of the block that holds the address; *block_size its size. */
char *hak_slab_block_of(const struct hak_slab *slab, const void *p, size_t *block_size);
/* Notes that the address lies in a slab or a large block, but no block begins there (misuse.h). */
HAK_COLD void hak_misuse_inside(const char *call, const void *p);
#pragma GCC visibility pop

HAK_INLINE bool hak_slab_empty(const struct hak_slab *slab)
{
    return slab->free == slab->capacity;
}

/* The index of the block that is so far from its slab's first; false if none begins there. */
HAK_INLINE bool hak_index_at(const struct hak_class *class, size_t offset, unsigned *index)
{
    *index = (unsigned)(((uint64_t)offset * class->inverse) >> 32);
    return *index * (uint64_t)class->size == offset && *index < class->capacity;
}

/* The same for an address in the slab. */
HAK_INLINE bool hak_slab_index(const struct hak_slab *slab, const void *p, unsigned *index)
{
    return hak_index_at(&hak_classes[slab->class], (size_t)((const char *)p - slab->base), index);
}

/* Whether a block begins at the address, whose page map entry is that of a slab. */
HAK_INLINE bool hak_block_begins(const void *p, uint32_t entry)
{
    const struct hak_class *traits = &hak_classes[HAK_ENTRY_CLASS(entry)];
    size_t in_unit = (uintptr_t)p & (HAK_UNIT - 1);
    unsigned index;
    if (HAK_UNLIKELY(entry & HAK_ENTRY_INNER))
        return hak_index_at(traits, HAK_ENTRY_BACK(entry) * HAK_UNIT + in_unit, &index);
    return hak_is_block_start(p, traits->inverse, traits->last);
}

#endif
