/* SPDX-License-Identifier: MIT */
/*
 * registry.c - makes heaps and caches and keeps those that no thread has.  Owns the table of heaps and the lists of all
 * and of the free caches, guarded by hak_registry_lock (HAK_RANK_REGISTRY); the table is read without it.  No thread
 * asks the kernel anything while it holds the lock, and the start and the exit of a thread cost the same however many
 * threads and heaps there are.  Calls heap.h, adopt.h, tcache.h, meta.h and os.h.
 *
 * Each thread has a heap to itself until there are heaps_per_cpu for every processor; further threads share, each
 * taking the heap with the fewest.  More heaps would not make more threads run at once, but each holds free blocks of
 * every class that the others cannot use.  A heap whose threads have all exited keeps its blocks, and the next thread
 * takes it; until then heaps that run out of blocks of a class take its slabs one by one, so that nothing an exited
 * thread left behind is out of reach.
 */
#include "heap/registry.h"

#include "heap/adopt.h"
#include "pages/meta.h"
#include "os/os.h"
#include "pages/misuse.h"
#include "pages/trigger.h"
#include "knobs/knobs.h"

#define HEAPS_MAX 16384u
#define RECLAIM_LOOKS 8u

HAK_LOCK_ALONE struct hak_lock hak_registry_lock = HAK_LOCK_INIT(HAK_RANK_REGISTRY);
struct hak_heap *hak_orphan_heap;

/* Magazines that are empty and full at once.  Nobody writes there, and nobody can: all threads begin with it. */
static void *const no_slot;
#define NO_SLOT ((void **)(uintptr_t)&no_slot)
#define NONE_1 {NO_SLOT, NO_SLOT, 0, 0, 0, 0}
#define NONE_8 NONE_1, NONE_1, NONE_1, NONE_1, NONE_1, NONE_1, NONE_1, NONE_1
const struct hak_tcache_hot hak_tcache_none HAK_ALIGNED(HAK_LINE) = {
    .mags = {NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8},
    .key = UINT32_MAX,
};
_Static_assert(HAK_CLASS_COUNT == 88, "hak_tcache_none has a magazine for every class");

_Static_assert(HAK_ENTRY_OWNER(HAK_ENTRY(HEAPS_MAX, 0)) == HEAPS_MAX, "a page map entry holds any heap's number");

static struct hak_heap *heaps[HEAPS_MAX + 1]; /* by number, from 1 */
static _Atomic uint32_t heap_count;
static uint32_t cpus = 1; /* read when a thread would have to share a heap */
/* Heaps but the orphan heap, by how many threads they have; the last list is of all that have LAST_LIST or more.
 * Each is a ring, of which this is the one to be taken next. */
#define LAST_LIST 63u
static struct hak_heap *by_threads[LAST_LIST + 1];
static uint64_t threads_present; /* bit n: by_threads[n] is not empty */
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
static unsigned registry_list_of(struct hak_heap *heap)
{
    return HAK_MIN(hak_load(&heap->threads), LAST_LIST);
}

/* In front, as the heap's memory is the warmest; but where heaps are not told apart any more, they take turns. */
static void registry_enlist(struct hak_heap *heap)
{
    unsigned list = registry_list_of(heap);
    struct hak_heap *first = by_threads[list];
    if (first) {
        heap->next_like = first;
        heap->prev_like = first->prev_like;
        first->prev_like->next_like = heap;
        first->prev_like = heap;
    } else {
        heap->next_like = heap->prev_like = heap;
    }
    if (!first || list < LAST_LIST)
        by_threads[list] = heap;
    threads_present |= (uint64_t)1 << list;
}

static void registry_unlist(struct hak_heap *heap)
{
    unsigned list = registry_list_of(heap);
    heap->prev_like->next_like = heap->next_like;
    heap->next_like->prev_like = heap->prev_like;
    if (by_threads[list] == heap)
        by_threads[list] = heap->next_like != heap ? heap->next_like : NULL;
    if (!by_threads[list])
        threads_present &= ~((uint64_t)1 << list);
}

static struct hak_heap *registry_create_heap(void)
{
    uint32_t number = hak_load(&heap_count) + 1;
    struct hak_heap *heap = hak_meta_alloc(sizeof *heap);
    if (!heap)
        return NULL;
    heap->number = number;
    heap->purge_threshold = HAK_PURGE_SLACK;
    heap->lock.rank = HAK_RANK_HEAP;
    heap->abandoned = true; /* until a thread has it; the orphan heap for ever */
    heaps[number] = heap;
    if (number != HAK_HEAP_ORPHAN)
        registry_enlist(heap);
    hak_store_release(&heap_count, number);
    return heap;
}

/* For the processors that may be used, and the orphan heap. */
static uint32_t registry_heaps_wanted(void)
{
    return (uint32_t)HAK_MIN(cpus * hak_knob_value(heaps_per_cpu), HEAPS_MAX - 1) + 1;
}

static bool registry_must_share(void)
{
    return !(threads_present & 1) && hak_load(&heap_count) >= registry_heaps_wanted();
}

/* One without threads, a new one, or the one with the fewest. */
static struct hak_heap *registry_choose(void)
{
    struct hak_heap *best = threads_present ? by_threads[__builtin_ctzll(threads_present)] : NULL;
    if ((!best || hak_load(&best->threads)) && hak_load(&heap_count) < registry_heaps_wanted()) {
        struct hak_heap *fresh = registry_create_heap();
        best = fresh ? fresh : best;
    }
    return best;
}

static struct hak_tcache *registry_create_tcache(void)
{
    struct hak_tcache *thread = hak_meta_alloc(sizeof *thread);
    if (!thread)
        return NULL;
    thread->hot.window_base = hak_window_first.base;
    thread->hot.window_units = hak_window_first.units;
    thread->hot.window_map = hak_window_first.map;
    hak_tcache_reset(thread);
    if (last_made)
        last_made->next_made = thread;
    else
        first_made = thread;
    last_made = thread;
    caches_made++;
    return thread;
}

static void registry_join(struct hak_tcache *thread, struct hak_heap *heap)
{
    hak_lock(&heap->lock);
    if (heap->abandoned)
        hak_adopt_withdraw(heap);
    heap->abandoned = false;
    thread->heap = heap;
    thread->hot.key = HAK_ENTRY(heap->number, 0);
    thread->prev_of_heap = NULL;
    thread->next_of_heap = heap->threads_list;
    if (thread->next_of_heap)
        thread->next_of_heap->prev_of_heap = thread;
    heap->threads_list = thread;
    hak_unlock(&heap->lock);
}

static void registry_leave(struct hak_tcache *thread)
{
    struct hak_heap *heap = thread->heap;
    hak_lock(&heap->lock);
    if (thread->next_of_heap)
        thread->next_of_heap->prev_of_heap = thread->prev_of_heap;
    if (thread->prev_of_heap)
        thread->prev_of_heap->next_of_heap = thread->next_of_heap;
    else
        heap->threads_list = thread->next_of_heap;
    hak_unlock(&heap->lock);
}

/* One thread more, or less. */
static void registry_count_thread(struct hak_heap *heap, int change)
{
    registry_unlist(heap);
    hak_store(&heap->threads, hak_load(&heap->threads) + (unsigned)change);
    registry_enlist(heap);
    hak_store(&thread_count, hak_load(&thread_count) + (unsigned)change);
}

static void registry_remove_thread(struct hak_heap *heap)
{
    registry_count_thread(heap, -1);
    if (hak_load(&heap->threads))
        return;
    hak_lock(&heap->lock);
    hak_heap_abandon(heap);
    hak_unlock(&heap->lock);
}

bool hak_registry_start(void)
{
    hak_lock(&hak_registry_lock);
    if (!hak_orphan_heap)
        hak_orphan_heap = registry_create_heap();
    hak_unlock(&hak_registry_lock);
    return hak_orphan_heap != NULL;
}

void hak_registry_abandon(void)
{
    hak_orphan_heap = NULL;
    hak_store(&heap_count, 0);
    threads_present = 0;
    for (unsigned list = 0; list <= LAST_LIST; list++)
        by_threads[list] = NULL;
}

/* The cache is nobody's any more. */
static void registry_set_free(struct hak_tcache *thread, enum hak_tcache_state state)
{
    registry_remove_thread(thread->heap);
    thread->tls = NULL;
    thread->state = state;
    thread->next_free = free_caches;
    free_caches = thread;
}

/* What a thread that is no more has left in its cache. */
static void registry_salvage(struct hak_tcache *thread)
{
    hak_tcache_salvage(thread);
    registry_leave(thread);
}

/*
 * A thread that first allocates in its last round of destructors (PTHREAD_DESTRUCTOR_ITERATIONS) has a cache and nobody
 * who takes it back.  So before a new one is made, a few are looked at, in turn, whether their threads still exist.
 * Only those of threads that began in this process: what a raw clone(2) copied is not known by these numbers.
 */
struct suspect {
    struct hak_tcache *thread;
    uint32_t tid, owners; /* what they were when it was looked at */
};

static unsigned registry_find_suspects(struct suspect *suspects, uint32_t pid)
{
    unsigned count = 0;
    for (unsigned left = HAK_MIN(RECLAIM_LOOKS, caches_made); left; left--) {
        reclaim_next = reclaim_next && reclaim_next->next_made ? reclaim_next->next_made : first_made;
        if (reclaim_next->state == HAK_TCACHE_BOUND && reclaim_next->pid == pid)
            suspects[count++] = (struct suspect){reclaim_next, reclaim_next->tid, reclaim_next->owners};
    }
    return count;
}

static void registry_take_back(const struct suspect *suspect)
{
    struct hak_tcache *thread = suspect->thread;
    if (thread->state != HAK_TCACHE_BOUND || thread->owners != suspect->owners)
        return;
    registry_set_free(thread, HAK_TCACHE_FREE);
    registry_salvage(thread);
}

/* Without a lock: the kernel is asked, and others may start and end threads meanwhile. */
static void registry_reclaim_some(void)
{
    struct suspect suspects[RECLAIM_LOOKS];
    uint32_t pid = hak_os_pid();
    unsigned gone = 0;
    hak_lock(&hak_registry_lock);
    unsigned count = registry_find_suspects(suspects, pid);
    hak_unlock(&hak_registry_lock);
    for (unsigned i = 0; i < count; i++)
        if (hak_os_tid_is_gone(pid, suspects[i].tid))
            suspects[gone++] = suspects[i];
    if (gone == 0)
        return;
    hak_lock(&hak_registry_lock);
    for (unsigned i = 0; i < gone; i++)
        registry_take_back(&suspects[i]);
    hak_unlock(&hak_registry_lock);
}

void hak_registry_reclaim(void)
{
    hak_lock(&hak_registry_lock);
    unsigned all = caches_made;
    hak_unlock(&hak_registry_lock);
    for (unsigned seen = 0; seen < all; seen += RECLAIM_LOOKS)
        registry_reclaim_some();
    hak_misuse_report();
}

static void registry_set_owner(struct hak_tcache *thread, uint32_t pid, uint32_t tid)
{
    thread->tls = &hak_tls;
    thread->pid = pid;
    thread->tid = tid;
    thread->owners++;
}

/* A cache that nobody has.  NULL if memory is out. */
static struct hak_tcache *registry_take_free(void)
{
    struct hak_tcache *thread = free_caches;
    if (!thread)
        return registry_create_tcache();
    free_caches = thread->next_free;
    if (thread->state == HAK_TCACHE_STALE)
        registry_salvage(thread);
    return thread;
}

struct hak_tcache *hak_registry_acquire(void)
{
    uint32_t pid = hak_os_pid(), tid = hak_os_tid();
    hak_lock(&hak_registry_lock);
    /* The main thread may have had a cache before its variables were set once more (see thread.h). */
    struct hak_tcache *thread = first_made;
    if (thread && thread->state == HAK_TCACHE_BOUND && thread->tls == &hak_tls) {
        hak_unlock(&hak_registry_lock);
        return thread;
    }
    if (!free_caches && first_made) {
        hak_unlock(&hak_registry_lock);
        registry_reclaim_some();
        hak_lock(&hak_registry_lock);
    }
    if (registry_must_share()) {
        hak_unlock(&hak_registry_lock);
        unsigned now = hak_os_cpus();
        hak_lock(&hak_registry_lock);
        cpus = now;
    }
    struct hak_heap *heap = registry_choose();
    thread = heap ? registry_take_free() : NULL;
    if (thread) {
        registry_set_owner(thread, pid, tid);
        thread->state = HAK_TCACHE_BOUND; /* before others see it on the heap's list */
        registry_join(thread, heap);
        registry_count_thread(heap, 1);
    }
    hak_unlock(&hak_registry_lock);
    return thread;
}

void hak_registry_release(struct hak_tcache *thread)
{
    hak_tcache_empty(thread);
    hak_lock(&hak_registry_lock);
    registry_leave(thread);
    registry_set_free(thread, HAK_TCACHE_FREE);
    hak_unlock(&hak_registry_lock);
}

void hak_registry_in_process(struct hak_tcache *mine)
{
    if (mine)
        registry_set_owner(mine, hak_os_pid(), hak_os_tid());
}

void hak_registry_orphan_all(struct hak_tcache *mine)
{
    hak_registry_in_process(mine);
    for (uint32_t number = 2; number <= hak_heap_count(); number++)
        for (struct hak_tcache *thread = heaps[number]->threads_list; thread; thread = thread->next_of_heap)
            if (thread != mine && thread->state == HAK_TCACHE_BOUND)
                registry_set_free(thread, HAK_TCACHE_STALE);
}
