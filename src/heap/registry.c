/* SPDX-License-Identifier: MIT */
/*
 * registry.c - makes heaps and caches, and keeps those that no thread has.  Owns the table of heaps, the rings of heaps
 * by how many threads they have, and the lists of all caches and of the free ones (HAK_RANK_REGISTRY).  No thread makes
 * a system call while it holds the lock, but for memory.  The start and the exit of a thread cost the same however many
 * threads and heaps there are.  Calls heap.h, adopt.h, tcache.h, meta.h and os.h.
 *
 * Each thread has a heap to itself until there are heaps_per_cpu for every processor.  Further threads share: each
 * takes the heap with the fewest threads.  More heaps would not make more threads run at once, but each holds free
 * blocks that other heaps cannot use.  A heap whose threads have all exited keeps its blocks, and the next new thread
 * takes it.  Until then other heaps that run out of blocks of a class take over its slabs (adopt.h), so that all of an
 * exited thread's free memory can be reused.
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

/* Magazines that are empty and full at once, as top and limit are the same slot.  All threads begin with them.  They
 * are constant, and so is the slot. */
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

/* What is read without the lock.  A heap is in the table before it is counted, and stays for ever. */
static struct {
    struct hak_heap *heaps[HEAPS_MAX + 1]; /* by number, from 1 */
    _Atomic uint32_t heap_count;
    _Atomic unsigned thread_count; /* how many threads have a cache */
} registry_table;

/*
 * Heaps but the orphan heap lie in rings by how many threads they have; the last ring is of all that have LAST_RING or
 * more.
 *   by_threads[n] is the heap of ring n that is taken next, or NULL
 *   bit n of rings is set if and only if by_threads[n] is not NULL
 * The list of all caches is linked through next_made and only grows; the list of free ones is linked through next_free.
 */
#define LAST_RING 63u
static struct {
    struct hak_heap *by_threads[LAST_RING + 1];
    uint64_t rings;
    uint32_t cpus; /* how many the process may use; asked again when a thread would have to share a heap */
    struct hak_tcache *free;
    struct hak_tcache *first_made, *last_made;
    unsigned made;                   /* the length of the list of all */
    struct hak_tcache *reclaim_next; /* the cache on it that registry_reclaim_some() looked at last */
} registry HAK_GUARDED_BY(hak_registry_lock) = {.cpus = 1};

uint32_t hak_heap_count(void)
{
    return hak_load_acquire(&registry_table.heap_count);
}

struct hak_heap *hak_heap_numbered(uint32_t number)
{
    return registry_table.heaps[number];
}

struct hak_heap *const *hak_heap_table(void)
{
    return registry_table.heaps;
}

const _Atomic uint32_t *hak_heap_count_at(void)
{
    return &registry_table.heap_count;
}

unsigned hak_registry_threads(void)
{
    return hak_load(&registry_table.thread_count);
}

/* Which ring the heap belongs to. */
static unsigned registry_ring_of(const struct hak_heap *heap) HAK_REQUIRES(hak_registry_lock)
{
    return HAK_MIN(hak_load(&heap->threads), LAST_RING);
}

/* Puts the heap into its ring: in front, as its memory was used last.  The heaps of the last ring have any number of
 * threads, so there the heap goes to the end and they take turns. */
static void registry_enlist(struct hak_heap *heap) HAK_REQUIRES(hak_registry_lock)
{
    unsigned ring = registry_ring_of(heap);
    struct hak_heap *first = registry.by_threads[ring];
    if (first) {
        heap->next_like = first;
        heap->prev_like = first->prev_like;
        first->prev_like->next_like = heap;
        first->prev_like = heap;
    } else {
        heap->next_like = heap->prev_like = heap;
    }
    if (!first || ring < LAST_RING)
        registry.by_threads[ring] = heap;
    registry.rings |= (uint64_t)1 << ring;
}

static void registry_unlist(struct hak_heap *heap) HAK_REQUIRES(hak_registry_lock)
{
    unsigned ring = registry_ring_of(heap);
    heap->prev_like->next_like = heap->next_like;
    heap->next_like->prev_like = heap->prev_like;
    if (registry.by_threads[ring] == heap)
        registry.by_threads[ring] = heap->next_like != heap ? heap->next_like : NULL;
    if (!registry.by_threads[ring])
        registry.rings &= ~((uint64_t)1 << ring);
}

static struct hak_heap *registry_create_heap(void) HAK_REQUIRES(hak_registry_lock)
{
    uint32_t number = hak_load(&registry_table.heap_count) + 1;
    struct hak_heap *heap = hak_meta_alloc(sizeof *heap);
    if (!heap)
        return NULL;
    heap->number = number;
    heap->purge_threshold = HAK_PURGE_SLACK;
    heap->lock.rank = HAK_RANK_HEAP;
    heap->abandoned = true; /* until a thread takes it; the orphan heap always is */
    registry_table.heaps[number] = heap;
    if (number != HAK_HEAP_ORPHAN)
        registry_enlist(heap);
    hak_store_release(&registry_table.heap_count, number);
    return heap;
}

/* How many heaps there may be: heaps_per_cpu for each processor, and the orphan heap. */
static uint32_t registry_heaps_wanted(void) HAK_REQUIRES(hak_registry_lock)
{
    return (uint32_t)HAK_MIN(registry.cpus * hak_knob_value(heaps_per_cpu), HEAPS_MAX - 1) + 1;
}

static bool registry_must_share(void) HAK_REQUIRES(hak_registry_lock)
{
    return !(registry.rings & 1) && hak_load(&registry_table.heap_count) >= registry_heaps_wanted();
}

/* The heap for a new thread: one without threads, else a new one, else the one with the fewest threads. */
static struct hak_heap *registry_choose(void) HAK_REQUIRES(hak_registry_lock)
{
    struct hak_heap *best = registry.rings ? registry.by_threads[__builtin_ctzll(registry.rings)] : NULL;
    if ((!best || hak_load(&best->threads)) && hak_load(&registry_table.heap_count) < registry_heaps_wanted()) {
        struct hak_heap *fresh = registry_create_heap();
        best = fresh ? fresh : best;
    }
    return best;
}

static struct hak_tcache *registry_create_tcache(void) HAK_REQUIRES(hak_registry_lock)
{
    struct hak_tcache *thread = hak_meta_alloc(sizeof *thread);
    if (!thread)
        return NULL;
    thread->hot.window_base = hak_window_first.base;
    thread->hot.window_units = hak_load_acquire(&hak_window_first.map_units);
    thread->hot.window_map = hak_window_first.map;
    hak_tcache_reset(thread);
    if (registry.last_made)
        registry.last_made->next_made = thread;
    else
        registry.first_made = thread;
    registry.last_made = thread;
    registry.made++;
    return thread;
}

static void registry_join(struct hak_tcache *thread, struct hak_heap *heap) HAK_REQUIRES(hak_registry_lock)
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

static void registry_leave(struct hak_tcache *thread) HAK_REQUIRES(hak_registry_lock)
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

/* Counts one thread of the heap more, or less. */
static void registry_count_thread(struct hak_heap *heap, int change) HAK_REQUIRES(hak_registry_lock)
{
    registry_unlist(heap);
    hak_store(&heap->threads, hak_load(&heap->threads) + (unsigned)change);
    registry_enlist(heap);
    hak_store(&registry_table.thread_count, hak_load(&registry_table.thread_count) + (unsigned)change);
}

static void registry_remove_thread(struct hak_heap *heap) HAK_REQUIRES(hak_registry_lock)
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

/* Unchecked: no other thread exists, and nobody holds the lock (init.h). */
void hak_registry_abandon(void) HAK_UNCHECKED
{
    hak_orphan_heap = NULL;
    hak_store(&registry_table.heap_count, 0);
    registry.rings = 0;
    for (unsigned ring = 0; ring <= LAST_RING; ring++)
        registry.by_threads[ring] = NULL;
}

/* Puts a cache on the list of free ones, as its thread is gone. */
static void registry_set_free(struct hak_tcache *thread, enum hak_tcache_state state) HAK_REQUIRES(hak_registry_lock)
{
    registry_remove_thread(thread->heap);
    thread->tls = NULL;
    thread->state = state;
    thread->next_free = registry.free;
    registry.free = thread;
}

/* Empties a cache whose thread is gone, and takes it off its heap's list. */
static void registry_salvage(struct hak_tcache *thread) HAK_REQUIRES(hak_registry_lock)
{
    hak_tcache_salvage(thread);
    registry_leave(thread);
}

/*
 * A thread that first allocates in its last round of destructors (PTHREAD_DESTRUCTOR_ITERATIONS) has a cache that no
 * destructor takes back.  So before a new cache is made, a few are checked in turn: whether their threads still exist.
 * Only threads that began in this process are checked: in the child of a raw clone(2) the thread numbers are others.
 */
struct suspect {
    struct hak_tcache *thread;
    uint32_t tid, owners; /* of the cache when it was found */
};

static unsigned registry_find_suspects(struct suspect *suspects, uint32_t pid) HAK_REQUIRES(hak_registry_lock)
{
    unsigned count = 0;
    for (unsigned left = HAK_MIN(RECLAIM_LOOKS, registry.made); left; left--) {
        struct hak_tcache *last = registry.reclaim_next, *next = last ? last->next_made : NULL;
        next = next ? next : registry.first_made;
        registry.reclaim_next = next;
        if (next->state == HAK_TCACHE_BOUND && next->pid == pid)
            suspects[count++] = (struct suspect){next, next->tid, next->owners};
    }
    return count;
}

/* Takes a suspect's cache back, unless another call has done so meanwhile. */
static void registry_take_back(const struct suspect *suspect) HAK_REQUIRES(hak_registry_lock)
{
    struct hak_tcache *thread = suspect->thread;
    if (thread->state != HAK_TCACHE_BOUND || thread->owners != suspect->owners)
        return;
    registry_set_free(thread, HAK_TCACHE_FREE);
    registry_salvage(thread);
}

/* Takes back caches of threads that are gone, looking at RECLAIM_LOOKS of all caches.  The kernel is asked without the
 * lock, so that other threads can start and end meanwhile. */
static void registry_reclaim_some(void) HAK_EXCLUDES(hak_registry_lock)
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
    unsigned all = registry.made;
    hak_unlock(&hak_registry_lock);
    for (unsigned seen = 0; seen < all; seen += RECLAIM_LOOKS)
        registry_reclaim_some();
    hak_misuse_report();
}

static void registry_set_owner(struct hak_tcache *thread, uint32_t pid, uint32_t tid) HAK_REQUIRES(hak_registry_lock)
{
    thread->tls = &hak_tls;
    thread->pid = pid;
    thread->tid = tid;
    thread->owners++;
}

/* A cache that no thread has.  NULL if memory is out. */
static struct hak_tcache *registry_take_free(void) HAK_REQUIRES(hak_registry_lock)
{
    struct hak_tcache *thread = registry.free;
    if (!thread)
        return registry_create_tcache();
    registry.free = thread->next_free;
    if (thread->state == HAK_TCACHE_STALE)
        registry_salvage(thread);
    return thread;
}

struct hak_tcache *hak_registry_acquire(void)
{
    uint32_t pid = hak_os_pid(), tid = hak_os_tid();
    hak_lock(&hak_registry_lock);
    /* The main thread may have had a cache already, before its variables were set anew (base/tls.h). */
    struct hak_tcache *thread = registry.first_made;
    if (thread && thread->state == HAK_TCACHE_BOUND && thread->tls == &hak_tls) {
        hak_unlock(&hak_registry_lock);
        return thread;
    }
    if (!registry.free && registry.first_made) {
        hak_unlock(&hak_registry_lock);
        registry_reclaim_some();
        hak_lock(&hak_registry_lock);
    }
    if (registry_must_share()) {
        hak_unlock(&hak_registry_lock);
        unsigned now = hak_os_cpus();
        hak_lock(&hak_registry_lock);
        registry.cpus = now;
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

/* Unchecked: called in the child of a fork, which has one thread. */
void hak_registry_in_process(struct hak_tcache *mine) HAK_UNCHECKED
{
    if (mine)
        registry_set_owner(mine, hak_os_pid(), hak_os_tid());
}

/* Unchecked: called in the child of a fork, which has one thread. */
void hak_registry_orphan_all(struct hak_tcache *mine) HAK_UNCHECKED
{
    hak_registry_in_process(mine);
    for (uint32_t number = 2; number <= hak_heap_count(); number++)
        for (struct hak_tcache *thread = hak_heap_numbered(number)->threads_list; thread; thread = thread->next_of_heap)
            if (thread != mine && thread->state == HAK_TCACHE_BOUND)
                registry_set_free(thread, HAK_TCACHE_STALE);
}
