/* SPDX-License-Identifier: MIT */
/*
 * pool.c - makes heaps and caches and keeps those that no thread has.  Owns the table of heaps and the lists of all and
 * of the free caches, guarded by hak_registry_lock (HAK_RANK_REGISTRY); the table is read without it.
 * Calls heap.h, tcache.h,
 * meta.h, os.h.
 *
 * Each thread has a heap to itself until there are heaps_per_cpu for every processor; further threads share, each
 * taking the heap with the fewest.  More heaps would not make more threads run at once, but each holds free blocks of
 * every class that the others cannot use.  A heap whose threads have all exited keeps its blocks, and the next thread
 * takes it; until then heaps that run out of blocks of a class take its slabs one by one, so that nothing an exited
 * thread left behind is out of reach.
 */
#include "heap/registry.h"

#include "pages/meta.h"
#include "os/os.h"
#include "pages/misuse.h"
#include "knobs/knobs.h"

#define HEAPS_MAX 16384u
#define RECLAIM_LOOKS 8u

struct hak_lock hak_registry_lock = HAK_LOCK_INIT(HAK_RANK_REGISTRY);
struct hak_heap *hak_orphan_heap;

/* Magazines that are empty and full at once. */
static void *no_slot;
#define NONE_1 {&no_slot, &no_slot, 0, 0, 0, 0}
#define NONE_8 NONE_1, NONE_1, NONE_1, NONE_1, NONE_1, NONE_1, NONE_1, NONE_1
struct hak_tcache_hot hak_tcache_none HAK_ALIGNED(HAK_LINE) = {
    .mags = {NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8},
    .key = UINT32_MAX,
};
_Static_assert(HAK_CLASS_COUNT == 88, "hak_tcache_none has a magazine for every class");

_Static_assert(HAK_ENTRY_OWNER(HAK_ENTRY(HEAPS_MAX, 0)) == HEAPS_MAX, "a page map entry holds any heap's number");

static struct hak_heap *heaps[HEAPS_MAX + 1]; /* by number, from 1 */
static _Atomic uint32_t heap_count;
static uint32_t cpus;
static _Atomic uint32_t heaps_abandoned; /* how many have no thread, but for the commons */
static struct hak_tcache *free_caches;
static struct hak_tcache *first_made, *last_made; /* all caches there are, linked through next_made */
static unsigned caches_made;
static struct hak_tcache *reclaim_next; /* of these, the one that was looked at last */
static _Atomic unsigned thread_count;

uint32_t hak_heap_count(void)
{
    return hak_load_acquire(&heap_count);
}

struct hak_heap *hak_heap_numbered(uint32_t number)
{
    return heaps[number];
}

struct hak_heap *const *hak_heap_table(void)
{
    return heaps;
}

const _Atomic uint32_t *hak_heap_count_at(void)
{
    return &heap_count;
}

unsigned hak_registry_threads(void)
{
    return hak_load(&thread_count);
}

/* Under hak_registry_lock, as the functions that follow. */
static struct hak_heap *create_heap(void)
{
    uint32_t number = hak_load(&heap_count) + 1;
    struct hak_heap *heap = hak_meta_alloc(sizeof *heap);
    if (!heap)
        return NULL;
    heap->number = number;
    heap->settled = HAK_PURGE_SLACK;
    heap->lock.rank = HAK_RANK_HEAP;
    heaps[number] = heap;
    hak_fetch_add(&heaps_abandoned, number > 1);
    hak_store_release(&heap_count, number);
    return heap;
}

/* For the processors there are, and the commons. */
static uint32_t heaps_wanted(void)
{
    return (uint32_t)HAK_MIN(cpus * hak_knob_value(heaps_per_cpu), HEAPS_MAX - 1) + 1;
}

/* One without threads, a new one, or the one with the fewest. */
static struct hak_heap *choose_heap(void)
{
    struct hak_heap *best = NULL;
    for (uint32_t number = 2; number <= hak_load(&heap_count); number++)
        if (!best || hak_load(&heaps[number]->threads) < hak_load(&best->threads))
            best = heaps[number];
    if ((!best || hak_load(&best->threads)) && hak_load(&heap_count) < heaps_wanted()) {
        struct hak_heap *fresh = create_heap();
        best = fresh ? fresh : best;
    }
    return best;
}

static struct hak_tcache *create_cache(void)
{
    struct hak_tcache *thread = hak_meta_alloc(sizeof *thread);
    if (!thread)
        return NULL;
    thread->cache.window_base = hak_window_first.base;
    thread->cache.window_units = hak_window_first.units;
    thread->cache.window_map = hak_window_first.map;
    hak_tcache_reset(thread);
    if (last_made)
        last_made->next_made = thread;
    else
        first_made = thread;
    last_made = thread;
    caches_made++;
    return thread;
}

static void join_heap(struct hak_tcache *thread, struct hak_heap *heap)
{
    hak_lock(&heap->lock);
    thread->heap = heap;
    thread->cache.key = HAK_ENTRY(heap->number, 0);
    thread->next_of_heap = heap->threads_list;
    heap->threads_list = thread;
    hak_unlock(&heap->lock);
}

static void leave_heap(struct hak_tcache *thread)
{
    struct hak_heap *heap = thread->heap;
    hak_lock(&heap->lock);
    struct hak_tcache **link = &heap->threads_list;
    while (*link != thread)
        link = &(*link)->next_of_heap;
    *link = thread->next_of_heap;
    hak_unlock(&heap->lock);
}

static void add_thread(struct hak_heap *heap)
{
    if (hak_fetch_add(&heap->threads, 1) == 0)
        hak_fetch_sub(&heaps_abandoned, 1);
    hak_fetch_add(&thread_count, 1);
}

static void remove_thread(struct hak_heap *heap)
{
    if (hak_fetch_sub(&heap->threads, 1) == 1)
        hak_fetch_add(&heaps_abandoned, 1);
    hak_fetch_sub(&thread_count, 1);
}

bool hak_registry_start(void)
{
    hak_lock(&hak_registry_lock);
    cpus = hak_os_cpus();
    if (!hak_orphan_heap)
        hak_orphan_heap = create_heap();
    hak_unlock(&hak_registry_lock);
    return hak_orphan_heap != NULL;
}

void hak_registry_abandon(void)
{
    hak_orphan_heap = NULL;
    hak_store(&heap_count, 0);
}

/* The cache is nobody's any more. */
static void set_free(struct hak_tcache *thread, enum hak_tcache_state state)
{
    remove_thread(thread->heap);
    thread->tls = NULL;
    thread->state = state;
    thread->next_free = free_caches;
    free_caches = thread;
}

/* What a thread that is no more has left in its cache. */
static void salvage(struct hak_tcache *thread)
{
    hak_tcache_salvage(thread);
    leave_heap(thread);
}

/*
 * A thread that first allocates in its last round of destructors (PTHREAD_DESTRUCTOR_ITERATIONS) has a cache and nobody
 * who takes it back.  So before a new one is made, a few are looked at, in turn, whether their threads still exist.
 * Only those of threads that began in this process: what a raw clone(2) copied is not known by these numbers.
 */
static void reclaim(unsigned looks)
{
    uint32_t process = hak_os_pid();
    for (unsigned left = HAK_MIN(looks, caches_made); left; left--) {
        reclaim_next = reclaim_next && reclaim_next->next_made ? reclaim_next->next_made : first_made;
        if (reclaim_next->state == HAK_TCACHE_BOUND && reclaim_next->process == process &&
            hak_os_tid_is_gone(process, reclaim_next->thread)) {
            set_free(reclaim_next, HAK_TCACHE_FREE);
            salvage(reclaim_next);
        }
    }
}

void hak_registry_reclaim(void)
{
    hak_lock(&hak_registry_lock);
    reclaim(caches_made);
    hak_unlock(&hak_registry_lock);
    hak_misuse_report();
}

static void set_owner(struct hak_tcache *thread)
{
    thread->tls = &hak_tls;
    thread->process = hak_os_pid();
    thread->thread = hak_os_tid();
}

struct hak_tcache *hak_registry_acquire(void)
{
    hak_lock(&hak_registry_lock);
    /* The main thread may have had a cache before its variables were set once more (see thread.h). */
    struct hak_tcache *thread = first_made;
    if (thread && thread->state == HAK_TCACHE_BOUND && thread->tls == &hak_tls) {
        hak_unlock(&hak_registry_lock);
        return thread;
    }
    struct hak_heap *heap = choose_heap();
    if (!free_caches)
        reclaim(RECLAIM_LOOKS);
    thread = free_caches;
    if (!heap || (!thread && !(thread = create_cache()))) {
        hak_unlock(&hak_registry_lock);
        return NULL;
    }
    if (thread == free_caches)
        free_caches = thread->next_free;
    if (thread->state == HAK_TCACHE_STALE)
        salvage(thread);
    set_owner(thread);
    thread->state = HAK_TCACHE_BOUND; /* before others see it on the heap's list */
    join_heap(thread, heap);
    add_thread(heap);
    hak_unlock(&hak_registry_lock);
    return thread;
}

void hak_registry_release(struct hak_tcache *thread)
{
    hak_tcache_empty(thread);
    hak_lock(&hak_registry_lock);
    leave_heap(thread);
    set_free(thread, HAK_TCACHE_FREE);
    hak_unlock(&hak_registry_lock);
}

void hak_registry_in_process(struct hak_tcache *mine)
{
    if (mine)
        set_owner(mine);
}

void hak_registry_orphan_all(struct hak_tcache *mine)
{
    hak_registry_in_process(mine);
    for (uint32_t number = 2; number <= hak_heap_count(); number++)
        for (struct hak_tcache *thread = heaps[number]->threads_list; thread; thread = thread->next_of_heap)
            if (thread != mine && thread->state == HAK_TCACHE_BOUND)
                set_free(thread, HAK_TCACHE_STALE);
}

/* Both heaps' locks are held. */
static void move_slab(struct hak_slab *slab, struct hak_heap *from, struct hak_heap *to)
{
    unsigned class = slab->class;
    size_t out = (size_t)slab->capacity - slab->free;
    uint32_t entry = HAK_ENTRY(to->number, class);
    _Atomic uint32_t *map = hak_entry_at(slab->super->window, slab->base);
    hak_slab_unlist(slab, &from->lists[class]);
    slab->owner = to->number;
    for (unsigned i = 0; i < slab->units; i++)
        hak_store(&map[i], hak_entry_of_unit(entry, i));
    hak_store_release(&from->moved, hak_load(&from->moved) + 1); /* after the entries: see hak_heap_receive() */
    hak_slab_enlist(slab, &to->lists[class]);
    from->units -= slab->units;
    to->units += slab->units;
    from->slab_bytes -= slab->free * (size_t)hak_classes[class].size;
    to->slab_bytes += slab->free * (size_t)hak_classes[class].size;
    if (HAK_STATS) {
        from->slabs[class]--;
        from->out[class] -= out;
        to->slabs[class]++;
        to->out[class] += out;
    }
}

bool hak_registry_adopt_slab(struct hak_heap *heap, unsigned class)
{
    bool found = false;
    /* Only tries of locks: this thread holds a heap's already. */
    if (HAK_LIKELY(!hak_load(&heaps_abandoned)) || heap == hak_orphan_heap || !hak_lock_try(&hak_registry_lock))
        return false;
    for (uint32_t number = 2; number <= hak_load(&heap_count) && !found; number++) {
        struct hak_heap *from = heaps[number];
        if (hak_load(&from->threads) || from == heap || !hak_lock_try(&from->lock))
            continue;
        /* A depot must hold blocks of its own heap's slabs only. */
        hak_heap_drain_locked(from);
        struct hak_slab *slab = hak_slab_pick(&from->lists[class]);
        if (slab) {
            move_slab(slab, from, heap);
            found = true;
        }
        hak_unlock(&from->lock);
    }
    hak_unlock(&hak_registry_lock);
    return found;
}
