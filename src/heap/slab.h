/* SPDX-License-Identifier: MIT */
/*
 * slab.h - takes blocks of one class out of slabs and puts them back.  The caller of each function holds the lock of
 * the heap that owns the slab and the lists.
 */
#ifndef HAK_SLAB_H
#define HAK_SLAB_H

#include "pages/superslab.h"

/* A heap's lists of slabs of one class, by how many blocks are free; a slab without a free block is on no list.
 * Refills take from FEW_MORE, then MANY, then FEW: a slab that is nearly full comes last, as reading its state yields
 * few blocks. */
enum hak_list {
    HAK_LIST_FEW,      /* less than an eighth of the slab's blocks are free */
    HAK_LIST_FEW_MORE, /* up to a half are free */
    HAK_LIST_MANY,     /* more than a half are free */
    HAK_LIST_COUNT,
    HAK_LIST_NONE = HAK_LIST_COUNT, /* no block is free */
};

struct hak_slab_lists {
    struct hak_slab *head[HAK_LIST_COUNT];
};

/* A slab's idle age: how many calls of hak_heap_age_slab() in a row have found that no block was taken or put back.  At
 * HAK_PURGE_PASSES its free pages go back to the kernel. */
enum {
    HAK_IDLE_NONE = 0,
    HAK_IDLE_PURGED = HAK_PURGE_PASSES + 1, /* its free pages have gone back since a block was taken or put back */
};

#pragma GCC visibility push(hidden)
/* A new slab of the class, with all blocks free and on its list.  *untouched is set as by hak_span_alloc().  NULL when
 * memory is out. */
struct hak_slab *hak_slab_create(unsigned class, uint32_t owner, struct hak_slab_lists *lists, bool *untouched);
/* Takes an empty slab off its list and gives its units back to the page heap. */
void hak_slab_destroy(struct hak_slab *slab, struct hak_slab_lists *lists);
/* The slab to take blocks from next; NULL if no slab has a free block. */
struct hak_slab *hak_slab_pick(const struct hak_slab_lists *lists);
/* Takes up to `want` free blocks, the lowest addresses first, and stores them downwards from `end`.  Returns how many
 * it took. */
unsigned hak_slab_take(struct hak_slab *slab, struct hak_slab_lists *lists, void **end, unsigned want);
/* Puts a block back.  False if no block begins there or the block is free already: then it is noted as misuse, and
 * nothing else is done. */
bool hak_slab_put(struct hak_slab *slab, struct hak_slab_lists *lists, void *block);
/* Takes a slab off its list, or puts it on the one that it belongs to: for a slab that changes its heap. */
void hak_slab_unlist(struct hak_slab *slab, struct hak_slab_lists *lists);
void hak_slab_enlist(struct hak_slab *slab, struct hak_slab_lists *lists);
/* Gives the pages that hold nothing but free blocks back to the kernel; returns their bytes.  The blocks stay free. */
size_t hak_slab_purge(struct hak_slab *slab);
/* The start of the block that holds the address; *block_size is its size.  Needs no lock. */
char *hak_slab_block_of(const struct hak_slab *slab, const void *p, size_t *block_size);
/* Notes the misuse of an address in a slab or a large block where no block begins (misuse.h).  Needs no lock. */
HAK_COLD void hak_misuse_inside(const char *call, const void *p);
#pragma GCC visibility pop

HAK_INLINE bool hak_slab_empty(const struct hak_slab *slab)
{
    return slab->free == slab->capacity;
}

/* The index of the block that begins `offset` bytes into a slab; false if none begins there. */
HAK_INLINE bool hak_index_at(const struct hak_class *class, size_t offset, unsigned *index)
{
    *index = (unsigned)(((uint64_t)offset * class->inverse) >> 32);
    return *index * (uint64_t)class->size == offset && *index < class->capacity;
}

/* The index of the block that begins at an address in the slab; false if none begins there. */
HAK_INLINE bool hak_slab_index(const struct hak_slab *slab, const void *p, unsigned *index)
{
    return hak_index_at(&hak_classes[slab->class], (size_t)((const char *)p - slab->base), index);
}

/* Whether a block begins at the address; `entry` is its page map entry, which is a slab's. */
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
