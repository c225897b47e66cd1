/* SPDX-License-Identifier: MIT */
/*
 * realloc.c - resizing, and the size of a block.  Owns nothing; takes no lock itself.  Calls fast.h and large.h.
 */
#include <string.h>

#include "fast.h"
#include "large.h"

enum kind { SMALL, LARGE, HUGE };

/* What the pointer is, by its page map entry; reports what is no start of a block. */
static enum kind kind_of(const char *call, void *p, size_t *usable)
{
    uint32_t entry = hak_entry_of(p);
    unsigned class = HAK_ENTRY_CLASS(entry);
    if (HAK_LIKELY(class < HAK_CLASS_COUNT && entry != HAK_ENTRY_NONE)) {
        hak_debug_used(call, p);
        if (HAK_UNLIKELY(!hak_block_begins(p, class)))
            hak_report_inside(call, p);
        *usable = hak_classes[class].size;
        return SMALL;
    }
    if (entry == HAK_ENTRY_NONE) {
        *usable = hak_huge_usable(call, p);
        return HUGE;
    }
    *usable = hak_large_usable(call, p);
    return LARGE;
}

size_t hak_usable_size(const char *call, void *p)
{
    size_t usable;
    if (!p)
        return 0;
    kind_of(call, p, &usable);
    return usable;
}

static void *move(void *p, size_t usable, size_t size)
{
    void *block = hak_malloc(size);
    if (HAK_UNLIKELY(!block))
        return NULL;
    memcpy(block, p, HAK_MIN(usable, size));
    hak_free(p);
    return block;
}

void *hak_realloc(void *p, size_t size)
{
    size_t usable;
    if (!p)
        return hak_malloc(size);
    if (size == 0) {
        hak_free_slow("realloc", p);
        return NULL;
    }
    switch (kind_of("realloc", p, &usable)) {
    case SMALL:
        if (HAK_LIKELY(hak_keeps_in_place(usable, size)))
            return p;
        break;
    case LARGE:
        if (size > HAK_MEDIUM_MAX && hak_large_resize("realloc", p, size))
            return p;
        break;
    case HUGE: {
        void *resized = hak_huge_resize("realloc", p, size);
        if (resized)
            return resized;
        break;
    }
    }
    return move(p, usable, size);
}
