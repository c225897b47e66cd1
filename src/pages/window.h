/* SPDX-License-Identifier: MIT */
/*
 * window.h - from an address to what the allocator knows about it.  window.c holds the cold side.
 *
 * A window is a range of addresses with a page map.  It costs no address space: superslabs are mapped there one after
 * the other as they are needed, by requests that leave other mappings alone.  Where the kernel has no such requests,
 * the range is reserved, without access or commit charge.  The first window is several times as large as the machine's
 * memory.  If it fills, others are added, which hak_window_of() finds by a search.
 *
 * The page map grows in place with the superslabs.  The addresses behind it are left empty and unmapped, as mlockall()
 * and RLIMIT_AS count every mapped byte.  Its end only moves up; a thread that knows an older end takes the slow path,
 * which reads the newest.
 *
 * Page map entries change under hak_super_lock and, for a slab, under its heap's lock.  They are read without a lock
 * (R1 in src/ORDERING), and so are windows and chunks (R2).
 *
 * Windows grow under hak_window_lock.  Superslabs change under hak_super_lock.
 */
#ifndef HAK_WINDOW_H
#define HAK_WINDOW_H

#include "base/atomics.h"
#include "base/base.h"
#include "base/sizeclass.h"
#include "os/lock.h"
#include "os/os.h"

#pragma GCC visibility push(hidden)
extern struct hak_lock hak_super_lock;  /* superslab.c's, which guards units and superslabs */
extern struct hak_lock hak_window_lock; /* guards how far windows have grown */
#pragma GCC visibility pop

/* A maximal run of free units that all hold memory, or all hold none.  runs.c keeps this in the state of the run's
 * first unit; the last unit has the length as well, so that a run that is freed behind it finds the first. */
struct hak_run {
    struct hak_slab *next, *prev;             /* on the list of its length's bin */
    struct hak_slab *older_next, *older_prev; /* if it holds memory: on the list of its age */
    uint32_t length;                          /* in units; valid in the first and in the last unit */
    uint32_t oldest;                          /* epoch in which the first of its units was freed */
};

/* The state of a large block: hak_slab.state (R3). */
enum hak_large_state {
    HAK_LARGE_NONE,    /* no large block begins here */
    HAK_LARGE_LIVE,    /* the program has it */
    HAK_LARGE_STOCKED, /* it waits in a stock for the next block of its length */
};

/*
 * The state of one unit that begins a slab, a large block or a free run.
 *
 * For a slab, at every moment:
 *   capacity = bits set in `bits` + blocks in magazines, depots and outboxes + live blocks
 *   a block is in exactly one of these
 *   `free` = bits set in `bits`
 *   the slab is on one of its heap's lists of its class if and only if free > 0
 * Guarded by the owning heap's lock.
 *
 * `super` and `base` never change.  `run` belongs to free units, `length` to large blocks; both are guarded by
 * hak_super_lock, and `length` is constant while the block is live or stocked (R3).  `units` and `back` are constant
 * while the unit is a slab's.  `state` is atomic.
 *
 * The bitmap lies outside of the slab, so that a free block's memory is never touched.
 */
struct hak_slab {
    struct hak_slab *next, *prev; /* on the heap's list */
    char *base;                   /* the first block */
    struct hak_super *super;
    union {
        uint64_t *bits; /* one for each block, set if free; bits_here if capacity <= 512 */
        size_t length;  /* of a large block, in units */
    };
    _Atomic uint64_t *live; /* debug builds: one for each block, set while the program owns it */
    uint16_t free;          /* how many bits are set */
    uint16_t first_word;    /* no word of `bits` before this one has a bit set */
    uint16_t capacity;
    uint8_t class;  /* HAK_CLASS_LARGE for a large block */
    uint8_t list;   /* which list: enum hak_list in slab.h */
    uint32_t owner; /* number of the owning heap */
    uint8_t units;
    uint8_t back; /* units from here back to the first of the slab; 0 in the first */
    uint8_t idle_age; /* passes since a block was last taken or put back: HAK_IDLE_NONE in slab.h */
    _Atomic uint8_t state; /* enum hak_large_state */
    union {
        uint64_t bits_here[8];
        struct hak_run run;
    };
} HAK_ALIGNED(128);

_Static_assert(sizeof(struct hak_slab) == 128, "a slab's state is two cache lines");

#define HAK_PURGE_PASSES 3u /* memory that was idle for so many passes of purge.h goes back to the kernel in the next */

/*
 * 2 MiB in 32 units.  A unit is free, or part of one slab or large block, or on its way back to the kernel (whoever
 * takes hak_purge_lock finds none that is).  `dirty` units hold memory; the others read as zero and are free.  Guarded
 * by hak_super_lock.
 */
struct hak_super {
    struct hak_super *next, *right; /* of those that were mapped just now, or given up with their addresses */
    char *base;
    struct hak_slab *slabs; /* one for each unit */
    struct hak_window *window;
    uint32_t free;
    uint32_t dirty;
    bool mapped;
    bool huge;         /* asks for huge pages: the first touch makes all of it resident, so all is dirty or nothing */
    bool thp_deferred; /* huge pages are backed off (thp.h): it will ask for them when all of it is dirty */
    bool long_run;     /* was mapped for a long run, of which little may be touched: never asks (thp.h) */
    uint32_t epoch[HAK_SUPER_UNITS]; /* in which a dirty unit was freed, a clean one given back; 0: never used */
} HAK_ALIGNED(64);

/* The state of 64 MiB of a window. */
#define HAK_CHUNK_SUPERS 32u
#define HAK_CHUNK_UNITS (HAK_CHUNK_SUPERS * HAK_SUPER_UNITS)
struct hak_chunk {
    struct hak_slab slabs[HAK_CHUNK_UNITS];
    struct hak_super supers[HAK_CHUNK_SUPERS];
};

struct hak_window {
    uintptr_t base; /* aligned to HAK_SUPER */
    size_t units;
    _Atomic size_t map_units; /* as many have page map entries; grows under hak_window_lock */
    _Atomic uint32_t *map;
    _Atomic(struct hak_chunk *) *chunks;
    _Atomic(struct hak_window *) next;
    size_t supers;      /* how many superslabs it has room for */
    size_t next_super HAK_GUARDED_BY(hak_window_lock); /* the first superslab that was never tried */
    bool reserved;     /* a mapping without access holds the window's addresses */
    bool map_reserved; /* one holds the addresses that the page map grows into */
};

/*
 * Page map entries (src/README has a picture): the owner's number above, the class below.  The class is multiplied by
 * the size of a magazine, so that an entry leads to the magazine without a shift.  No heap has the number 0.
 *
 * In an uneven class, block starts differ from unit to unit.  There each unit but the slab's first also has
 * HAK_ENTRY_INNER, so that entry ^ key is no magazine's offset and hak_free() takes the slow path, which divides.  The
 * bits below the class then tell how many units back the first one is, so that a free need not read the slab's state,
 * which is seldom in a cache.
 */
enum hak_class_large { HAK_CLASS_LARGE = 0x7e }; /* in place of a class: a large block */
#define HAK_ENTRY_CLASS(entry) (((entry) & 0xfffu) / HAK_MAG_SIZE)
#define HAK_ENTRY_INNER 0x1000u
#define HAK_ENTRY_BACK(entry) ((entry) & (HAK_MAG_SIZE - 1))
#define HAK_ENTRY_FIRST(entry) ((entry) & ~(HAK_ENTRY_INNER | (HAK_MAG_SIZE - 1))) /* that of the slab's first unit */
#define HAK_ENTRY_OWNER(entry) ((entry) >> 13)
#define HAK_ENTRY(owner, class) ((uint32_t)(owner) << 13 | (class) * HAK_MAG_SIZE)
enum hak_entry {
    HAK_ENTRY_NONE = 0,
    HAK_ENTRY_LARGE = HAK_ENTRY(0, HAK_CLASS_LARGE), /* its first unit; the others have HAK_ENTRY_NONE */
};

/* The entry of a unit of a slab, counted from the first, whose entry is given. */
HAK_INLINE uint32_t hak_entry_of_unit(uint32_t first, unsigned unit)
{
    if (unit == 0)
        return first;
    return hak_classes[HAK_ENTRY_CLASS(first)].uneven ? first | HAK_ENTRY_INNER | unit : first;
}

#pragma GCC visibility push(hidden)
extern struct hak_window hak_window_first;
/* For the tests: no window larger than this many bytes, if not 0; to be set before the first allocation. */
extern size_t hak_window_limit;

/* Finds a place for the first window.  False if memory is out. */
bool hak_window_start(void);
/* New superslabs, all units clean and none of them free yet, linked through `next`: consecutive ones, as many as the
 * heap's size makes worthwhile, or up to `want` if that is more; for a long run up to `want` only.  NULL if the kernel
 * gives none. */
struct hak_super *hak_window_grow(size_t want, bool long_run) HAK_EXCLUDES(hak_window_lock);
/* Whether superslabs ask for huge pages by now. */
bool hak_window_wants_huge(void);
/* Gives up a superslab of which no unit is free or in use, with its addresses.  The caller keeps it for
 * hak_window_remap().  False if the kernel would not. */
bool hak_window_unmap(struct hak_super *super);
/* Maps a superslab that was given up, all units clean and none free. */
enum hak_os_claim hak_window_remap(struct hak_super *super, bool long_run);
/* Makes a superslab that was mapped known to its neighbours, before its units are free. */
void hak_window_added(struct hak_super *super) HAK_REQUIRES(hak_super_lock);
#pragma GCC visibility pop

HAK_INLINE bool hak_window_has(const struct hak_window *window, const void *p)
{
    return ((uintptr_t)p - window->base) >> HAK_UNIT_SHIFT < hak_load(&window->map_units);
}

/* The window that holds the address, or NULL. */
HAK_INLINE struct hak_window *hak_window_of(const void *p)
{
    struct hak_window *window = &hak_window_first;
    while (window && HAK_UNLIKELY(!hak_window_has(window, p)))
        window = hak_load_acquire(&window->next);
    return window;
}

HAK_INLINE _Atomic uint32_t *hak_entry_at(const struct hak_window *window, const void *p)
{
    return &window->map[((uintptr_t)p - window->base) >> HAK_UNIT_SHIFT];
}

HAK_INLINE uint32_t hak_entry_of(const void *p)
{
    struct hak_window *window = hak_window_of(p);
    return window ? hak_load(hak_entry_at(window, p)) : HAK_ENTRY_NONE;
}

/* The unit that holds the address, if a superslab is or was mapped there; NULL otherwise. */
HAK_INLINE struct hak_slab *hak_unit_used(const void *p)
{
    struct hak_window *window = hak_window_of(p);
    if (!window)
        return NULL;
    size_t unit = ((uintptr_t)p - window->base) >> HAK_UNIT_SHIFT;
    struct hak_chunk *chunk = hak_load_acquire(&window->chunks[unit / HAK_CHUNK_UNITS]);
    struct hak_slab *slab = chunk ? &chunk->slabs[unit % HAK_CHUNK_UNITS] : NULL;
    return slab && slab->super ? slab : NULL;
}

/* The unit at the index, or NULL where no superslab was ever mapped. */
HAK_INLINE struct hak_slab *hak_unit_at(const struct hak_window *window, size_t index)
{
    if (HAK_UNLIKELY(index >= window->units))
        return NULL;
    struct hak_chunk *chunk = hak_load_acquire(&window->chunks[index / HAK_CHUNK_UNITS]);
    return HAK_LIKELY(chunk) ? &chunk->slabs[index % HAK_CHUNK_UNITS] : NULL;
}

/* The index in its window of a unit. */
HAK_INLINE size_t hak_unit_index(const struct hak_slab *unit)
{
    return ((uintptr_t)unit->base - unit->super->window->base) >> HAK_UNIT_SHIFT;
}

/* The unit in which the slab or large block around the address begins; only where the page map has an entry. */
HAK_INLINE struct hak_slab *hak_slab_of(const void *p)
{
    struct hak_window *window = hak_window_of(p);
    size_t unit = ((uintptr_t)p - window->base) >> HAK_UNIT_SHIFT;
    struct hak_slab *slab = &hak_load_acquire(&window->chunks[unit / HAK_CHUNK_UNITS])->slabs[unit % HAK_CHUNK_UNITS];
    return slab - slab->back;
}

#endif
