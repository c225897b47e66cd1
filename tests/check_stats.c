/* SPDX-License-Identifier: MIT */
/*
 * check_stats.c - the statistics agree, to the byte, with what the test itself counts, and with one another: in one
 * thread and many, while they wait, run and after they have exited, in a fork's child; and the walk visits what is
 * live.
 */
#define _GNU_SOURCE /* sched_setaffinity */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"
#include "knobs/knobs.h"
#include "suite.h"

#include "stats/verify.h"

static struct hakmem_stats snapshot(void)
{
    struct hakmem_stats stats;
    memset(&stats, 0xee, sizeof stats);
    NEED(hakmem_stats_get(&stats, sizeof stats) == 0, "hakmem_stats_get failed");
    NEED(stats.version == HAKMEM_STATS_VERSION && stats.size == sizeof stats, "version %u, size %u", stats.version,
         stats.size);
    return stats;
}

#define EQUAL(a, b) NEED((a) == (b), "%s is %zu, %s is %zu", #a, (size_t)(a), #b, (size_t)(b))

/* While nothing allocates: what hakmem.h says holds for all, and the classes and the heaps add up to it. */
static void check_sums(const struct hakmem_stats *all)
{
    struct hakmem_stats_class classes = {0};
    struct hakmem_stats_heap heaps = {0};
    size_t live_bytes = 0;
    EQUAL(all->live_blocks, all->small_blocks + all->large_blocks + all->huge_blocks);
    EQUAL(all->live_bytes, all->small_bytes + all->large_bytes + all->huge_bytes);
    EQUAL(all->mapped_bytes, all->superslab_bytes + all->huge_bytes + all->cached_bytes + all->own_bytes);
    EQUAL(all->committed_bytes, all->mapped_bytes - all->unit_bytes + all->dirty_bytes);
    EQUAL(all->superslab_bytes, all->superslabs * 2 * TEST_MIB);
    NEED(all->mapped_peak_bytes >= all->mapped_bytes, "the peak is lower than what there is");
    NEED(all->dirty_bytes <= all->unit_bytes, "more dirty than free");
    EQUAL(all->counted, (unsigned)HAK_STATS);
    if (!HAK_STATS)
        return;
    EQUAL(all->slab_bytes, all->small_bytes + all->magazine_bytes + all->depot_bytes + all->outbox_bytes +
                               all->free_bytes + all->waste_bytes);
    EQUAL(all->superslab_bytes, all->slab_bytes + all->large_bytes + all->unit_bytes);
    for (size_t i = 0; i < all->classes; i++) {
        struct hakmem_stats_class one;
        NEED(hakmem_stats_get_class(i, &one, sizeof one) == 0, "class %zu", i);
        size_t blocks =
            one.live_blocks + one.magazine_blocks + one.depot_blocks + one.outbox_blocks + one.free_blocks;
        EQUAL(one.slab_bytes, blocks * one.block_bytes + one.waste_bytes);
        live_bytes += one.live_blocks * one.block_bytes;
        classes.live_blocks += one.live_blocks;
        classes.magazine_blocks += one.magazine_blocks;
        classes.depot_blocks += one.depot_blocks;
        classes.outbox_blocks += one.outbox_blocks;
        classes.free_blocks += one.free_blocks;
        classes.slabs += one.slabs;
        classes.slab_bytes += one.slab_bytes;
        classes.waste_bytes += one.waste_bytes;
    }
    EQUAL(classes.live_blocks, all->small_blocks);
    EQUAL(live_bytes, all->small_bytes);
    EQUAL(classes.magazine_blocks, all->magazine_blocks);
    EQUAL(classes.depot_blocks, all->depot_blocks);
    EQUAL(classes.outbox_blocks, all->outbox_blocks);
    EQUAL(classes.free_blocks, all->free_blocks);
    EQUAL(classes.slabs, all->slabs);
    EQUAL(classes.slab_bytes, all->slab_bytes);
    EQUAL(classes.waste_bytes, all->waste_bytes);
    for (size_t i = 0; i < all->heaps; i++) {
        struct hakmem_stats_heap one;
        NEED(hakmem_stats_get_heap(i, &one, sizeof one) == 0, "heap %zu", i);
        EQUAL(one.slab_bytes, one.live_bytes + one.magazine_bytes + one.depot_bytes + one.outbox_bytes +
                                  one.free_bytes + one.waste_bytes);
        heaps.threads += one.threads;
        heaps.live_blocks += one.live_blocks;
        heaps.live_bytes += one.live_bytes;
        heaps.magazine_bytes += one.magazine_bytes;
        heaps.depot_bytes += one.depot_bytes;
        heaps.outbox_blocks += one.outbox_blocks;
        heaps.outbox_bytes += one.outbox_bytes;
        heaps.free_bytes += one.free_bytes;
        heaps.slabs += one.slabs;
        heaps.remote_frees += one.remote_frees;
    }
    EQUAL(heaps.threads, all->threads);
    EQUAL(heaps.live_blocks, all->small_blocks);
    EQUAL(heaps.live_bytes, all->small_bytes);
    EQUAL(heaps.magazine_bytes, all->magazine_bytes);
    EQUAL(heaps.depot_bytes, all->depot_bytes);
    EQUAL(heaps.outbox_blocks, all->outbox_blocks);
    EQUAL(heaps.outbox_bytes, all->outbox_bytes);
    EQUAL(heaps.free_bytes, all->free_bytes);
    EQUAL(heaps.slabs, all->slabs);
    EQUAL(heaps.remote_frees, all->remote_frees);
}

/* ---- a shadow count of all that is live ---------------------------------------------------------------------- */

/* Any thread may empty any slot and fill an empty one. */
enum { SLOTS = 6000 };
static _Atomic(void *) slots[SLOTS];

static size_t some_size(uint64_t r)
{
    switch (r % 64) {
    case 0:
        return (r >> 8) % (3 * TEST_MIB);
    case 1:
    case 2:
        return (r >> 8) % TEST_MIB;
    case 3:
    case 4:
    case 5:
        return (r >> 8) % (100 * TEST_KIB);
    default:
        return (r >> 8) % 3000;
    }
}

static void change_some(uint64_t seed, unsigned long times)
{
    uint64_t random = test_state(seed);
    for (unsigned long i = 0; i < times; i++) {
        uint64_t r = test_random(&random);
        _Atomic(void *) *slot = &slots[(r >> 40) % SLOTS];
        void *block = atomic_exchange(slot, NULL);
        if (block && r >> 61 == 0) {
            void *resized = hakmem_realloc(block, some_size(r) + 1);
            NEED(resized, "realloc");
            block = resized;
        } else {
            hakmem_free(block);
            block = r >> 63 ? NULL : hakmem_malloc(some_size(r));
        }
        hakmem_free(atomic_exchange(slot, block));
    }
}

static void empty_all(void)
{
    for (size_t i = 0; i < SLOTS; i++)
        hakmem_free(atomic_exchange(&slots[i], NULL));
}

static void check_shadow(const char *when)
{
    size_t blocks = 0, bytes = 0, large = 0, huge = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        size_t usable = hakmem_malloc_usable_size(atomic_load(&slots[i]));
        blocks += usable > 0;
        bytes += usable;
        large += usable > 128 * TEST_KIB && usable <= TEST_MIB ? usable : 0;
        huge += usable > TEST_MIB ? usable : 0;
    }
    struct hakmem_stats stats = snapshot();
    EQUAL(stats.huge_bytes + stats.large_bytes, large + huge);
    if (HAK_STATS) {
        NEED(stats.live_blocks == blocks, "%s: %zu blocks are live, the statistics say %zu", when, blocks,
             stats.live_blocks);
        NEED(stats.live_bytes == bytes, "%s: %zu bytes are live, the statistics say %zu", when, bytes,
             stats.live_bytes);
    }
    check_sums(&stats);
}

START_TEST(test_one_thread)
{
    for (unsigned round = 0; round < 20; round++) {
        change_some(round, test_scale(20000));
        check_shadow("one thread");
        if (round % 7 == 6) {
            hakmem_malloc_trim(0);
            check_shadow("after malloc_trim");
        }
    }
    empty_all();
    check_shadow("all freed");
    EQUAL(snapshot().live_blocks, 0);
    hak_verify();
}
END_TEST

enum { THREADS = 12, ROUNDS = 6 };
static pthread_barrier_t barrier;

static void *work(void *number)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        change_some((uintptr_t)number * 1000 + round, test_scale(4000));
        pthread_barrier_wait(&barrier); /* all have stopped */
        pthread_barrier_wait(&barrier); /* somebody has looked */
    }
    return NULL;
}

static void start(pthread_t *threads, void *(*body)(void *))
{
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (uintptr_t i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, body, (void *)(i + 1)) == 0, "pthread_create");
}

static void join(const pthread_t *threads)
{
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

#if !TEST_TSAN
static void check_walk(const char *when);

static void check_child(void)
{
    pid_t child = fork();
    if (child == 0) {
        check_shadow("in the child of a fork");
        change_some(99, test_scale(4000));
        check_shadow("in the child of a fork, after some work");
        check_walk("in the child of a fork");
        empty_all();
        check_shadow("in the child of a fork, all freed");
        _exit(0);
    }
    int status;
    NEED(child > 0 && waitpid(child, &status, 0) == child, "fork");
    NEED(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %x", (unsigned)status);
}
#endif

/* On one processor all threads share a heap, and no block is another's. */
static bool one_heap(void) { return hak_os_cpus() * hak_knob_value(heaps_per_cpu) == 1; }

/* Blocks lie in the magazines and outboxes of threads that wait, and of threads that a fork has lost. */
START_TEST(test_many_threads)
{
    pthread_t threads[THREADS];
    size_t remote = 0;
    start(threads, work);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        check_shadow("threads wait");
        struct hakmem_stats stats = snapshot();
        NEED(stats.threads >= THREADS && stats.threads <= THREADS + 1, "%zu threads", stats.threads);
        NEED(stats.remote_frees >= remote, "remote frees fell");
        remote = stats.remote_frees;
#if !TEST_TSAN
        if (round % 3 == 1)
            check_child();
#endif
        pthread_barrier_wait(&barrier);
    }
    join(threads);
    check_shadow("after thread exit");
    /* Those that exited have delivered what they had. */
    NEED(snapshot().remote_frees > 0 || one_heap(), "no remote frees of %d threads that free one another's blocks",
         THREADS);
    empty_all();
    check_shadow("all freed");
    hak_verify();
}
END_TEST

/* A block in an outbox is free, and its owner's; one thread frees what another has. */
static void *free_every_other(void *unused)
{
    hakmem_free(hakmem_malloc(100)); /* a thread that only frees has no outbox at first */
    for (size_t i = 0; i < 100; i += 2)
        hakmem_free(atomic_exchange(&slots[i], NULL));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return unused;
}

START_TEST(test_outbox)
{
    pthread_t thread;
    for (size_t i = 0; i < 100; i++)
        atomic_store(&slots[i], hakmem_malloc(500));
    hakmem_free(hakmem_malloc(100));
    pthread_barrier_init(&barrier, NULL, 2);
    NEED(pthread_create(&thread, NULL, free_every_other, NULL) == 0, "pthread_create");
    pthread_barrier_wait(&barrier);
    check_shadow("half in an outbox");
    struct hakmem_stats stats = snapshot();
    if (HAK_STATS)
        NEED((stats.outbox_blocks > 0 || one_heap()) && stats.outbox_blocks <= 50, "%zu blocks in outboxes",
             stats.outbox_blocks);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    EQUAL(snapshot().outbox_blocks, 0);
    check_shadow("delivered");
    empty_all();
}
END_TEST

/* ---- while threads run ------------------------------------------------------------------------------------------- */

enum { HELD = 30000, HELD_SIZE = 256 };
static atomic_int stop;

static void *churn(void *number)
{
    uint64_t random = test_state((uintptr_t)number);
    void *some[32] = {0};
    while (!atomic_load(&stop)) {
        uint64_t r = test_random(&random);
        void *block = some[r % 32];
        some[r % 32] = atomic_exchange(&slots[(r >> 8) % 64], block); /* others free it */
        hakmem_free(some[r % 32]);
        some[r % 32] = hakmem_malloc(HELD_SIZE);
    }
    for (size_t i = 0; i < 32; i++)
        hakmem_free(some[i]);
    return NULL;
}

/* Blocks on the move when their heap or thread is read may count twice or not: no more than the threads can move. */
START_TEST(test_running_threads)
{
    static void *held[HELD];
    pthread_t threads[THREADS];
    const size_t least = HELD * HELD_SIZE, moving = THREADS * 2000 * (size_t)HELD_SIZE;
    for (size_t i = 0; i < HELD; i++)
        held[i] = hakmem_malloc(HELD_SIZE);
    start(threads, churn);
    for (unsigned long i = 0; i < test_scale(2000); i++) {
        struct hakmem_stats stats = snapshot();
        if (HAK_STATS)
            NEED(stats.live_bytes + moving >= least && stats.live_bytes <= least + moving,
                 "%zu bytes live, about %zu in truth", stats.live_bytes, least);
    }
    atomic_store(&stop, 1);
    join(threads);
    empty_all();
    for (size_t i = 0; i < HELD; i++)
        hakmem_free(held[i]);
    check_shadow("all freed");
}
END_TEST

/* ---- the kernel's side ----------------------------------------------------------------------------------------- */

START_TEST(test_memory)
{
    enum { COUNT = 100 };
    static void *blocks[COUNT];
    struct hakmem_stats before = snapshot();
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = hakmem_malloc(i % 2 ? TEST_MIB - 100 : 5 * TEST_MIB);
        memset(blocks[i], 1, i % 2 ? TEST_MIB - 100 : 5 * TEST_MIB);
    }
    struct hakmem_stats full = snapshot();
    check_sums(&full);
    NEED(full.mapped_bytes >= before.mapped_bytes + 300 * TEST_MIB, "mapped %zu", full.mapped_bytes);
    NEED(full.mmap_calls > before.mmap_calls, "no mmap");
    if (!TEST_SANITIZER)
        NEED(full.resident_bytes >= 300 * TEST_MIB, "resident %zu", full.resident_bytes);
    for (size_t i = 0; i < COUNT; i++)
        hakmem_free(blocks[i]);
    hakmem_malloc_trim(0);
    struct hakmem_stats after = snapshot();
    check_sums(&after);
    NEED(after.mapped_bytes <= before.mapped_bytes + 4 * TEST_MIB, "mapped %zu, %zu before", after.mapped_bytes,
         before.mapped_bytes);
    NEED(after.committed_bytes <= before.committed_bytes + 4 * TEST_MIB, "committed %zu", after.committed_bytes);
    NEED(after.mapped_peak_bytes >= full.mapped_bytes && after.mapped_peak_bytes <= full.mapped_bytes + 16 * TEST_MIB,
         "peak %zu, mapped %zu", after.mapped_peak_bytes, full.mapped_bytes);
    size_t purged = after.purged_bytes - before.purged_bytes;
    NEED(purged >= 290 * TEST_MIB && purged <= 310 * TEST_MIB, "purged %zu", purged);
    NEED(after.munmap_calls > full.munmap_calls, "no munmap");
    EQUAL(snapshot().mmap_calls, after.mmap_calls);
}
END_TEST

/* ---- the calls themselves ---------------------------------------------------------------------------------------- */

static void discard(void *total, const char *text, size_t length)
{
    NEED(length > 0 && text[0], "an empty piece");
    *(size_t *)total += length;
}

static int count_visit(void *count, void *block, size_t size, int class)
{
    (void)block;
    (void)size;
    (void)class;
    ++*(size_t *)count;
    return 0;
}

/* A program that was bound to one processor when it started, and is not any more, has a heap for each. */
static pthread_barrier_t meet;

static void *take_a_heap(void *unused)
{
    hakmem_free(hakmem_malloc(100));
    pthread_barrier_wait(&meet);
    pthread_barrier_wait(&meet);
    return unused;
}

static size_t heaps_with_another_thread(pthread_t *thread)
{
    ck_assert_int_eq(pthread_create(thread, NULL, take_a_heap, NULL), 0);
    pthread_barrier_wait(&meet);
    return snapshot().heaps;
}

START_TEST(test_heaps_follow_affinity)
{
    cpu_set_t all, one;
    pthread_t threads[2];
    CPU_ZERO(&one);
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    if (CPU_COUNT(&all) < 2 || sched_setaffinity(0, sizeof one, &one))
        return;
    hakmem_free(hakmem_malloc(100));
    pthread_barrier_init(&meet, NULL, 2);
    EQUAL(heaps_with_another_thread(&threads[0]), 2);
    sched_setaffinity(0, sizeof all, &all);
    pthread_barrier_wait(&meet);
    pthread_join(threads[0], NULL);
    EQUAL(hak_os_cpus() < 2 || heaps_with_another_thread(&threads[1]) == 3, 1);
}
END_TEST

/* Nothing is allocated: neither from libhakmem, nor from libc, nor for the library's own structures. */
START_TEST(test_no_allocation)
{
    size_t text = 0, visited = 0;
    change_some(5, test_scale(20000));
    snapshot();
    size_t libc_before = TEST_SANITIZER ? 0 : mallinfo2().uordblks;
    struct hakmem_stats before = snapshot();
    struct hakmem_stats_class class;
    struct hakmem_stats_heap heap;
    hakmem_stats_get_class(3, &class, sizeof class);
    hakmem_stats_get_heap(0, &heap, sizeof heap);
    for (int format = HAKMEM_STATS_TEXT; format <= HAKMEM_STATS_PROMETHEUS; format++)
        NEED(hakmem_stats_print((enum hakmem_stats_format)format, discard, &text) == 0, "format %d", format);
    hakmem_walk(count_visit, &visited);
    struct hakmem_stats after = snapshot();
    size_t libc_after = TEST_SANITIZER ? 0 : mallinfo2().uordblks;
    NEED(text > 1000, "%zu characters", text);
    before.resident_bytes = after.resident_bytes = 0;
    before.futex_calls = after.futex_calls = 0;
    NEED(memcmp(&before, &after, sizeof before) == 0, "a snapshot changes what it counts");
    EQUAL(libc_before, libc_after);
    empty_all();
}
END_TEST

START_TEST(test_sizes)
{
    struct hakmem_stats whole = snapshot();
    struct {
        struct hakmem_stats stats;
        char more[64];
    } larger;
    memset(&larger, 0xee, sizeof larger);
    NEED(hakmem_stats_get(&larger.stats, sizeof larger) == 0, "a later version's structure");
    EQUAL(larger.stats.size, sizeof(struct hakmem_stats));
    for (size_t i = 0; i < sizeof larger.more; i++)
        NEED(larger.more[i] == 0, "byte %zu of what this version does not know", i);
    size_t part = offsetof(struct hakmem_stats, small_blocks);
    memset(&larger, 0xee, sizeof larger);
    NEED(hakmem_stats_get(&larger.stats, part) == 0, "an earlier version's structure");
    EQUAL(larger.stats.size, part);
    EQUAL(larger.stats.live_bytes, whole.live_bytes);
    NEED((larger.stats.small_blocks & 0xff) == 0xee, "more than was asked for is written");

    struct hakmem_stats_class class;
    struct hakmem_stats_heap heap;
    errno = 0;
    NEED(hakmem_stats_get(&whole, 8) == -1 && errno == EINVAL, "size 8");
    errno = 0;
    NEED(hakmem_stats_get_class(whole.classes, &class, sizeof class) == -1 && errno == EINVAL, "a class too many");
    errno = 0;
    NEED(hakmem_stats_get_class(0, &class, 4) == -1 && errno == EINVAL, "class, size 4");
    errno = 0;
    NEED(hakmem_stats_get_heap(whole.heaps, &heap, sizeof heap) == -1 && errno == EINVAL, "a heap too many");
    errno = 0;
    NEED(hakmem_stats_get_heap(0, &heap, 4) == -1 && errno == EINVAL, "heap, size 4");
    errno = 0;
    NEED(hakmem_stats_print((enum hakmem_stats_format)17, discard, NULL) == -1 && errno == EINVAL, "format 17");
}
END_TEST

START_TEST(test_errno_is_kept)
{
    errno = 4321;
    snapshot();
    size_t text = 0;
    hakmem_stats_print(HAKMEM_STATS_JSON, discard, &text);
    NEED(errno == 4321, "errno %d", errno);
}
END_TEST

/* ---- the walk -------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

struct visited {
    void *blocks[2 * SLOTS];
    size_t count, bytes;
};
static struct visited visited;

static int visit(void *arg, void *block, size_t size, int class)
{
    struct visited *v = arg;
    struct hakmem_stats_class stats;
    NEED(v->count < 2 * SLOTS, "more than there are");
    NEED(size == hakmem_malloc_usable_size(block), "size %zu of a block of %zu", size,
         hakmem_malloc_usable_size(block));
    if (class >= 0) {
        hakmem_stats_get_class((size_t)class, &stats, sizeof stats);
        EQUAL(stats.block_bytes, size);
    } else {
        NEED(size > 128 * TEST_KIB, "no class, and %zu bytes", size);
    }
    v->blocks[v->count++] = block;
    v->bytes += size;
    return 0;
}

static void check_walk(const char *when)
{
    static void *shadow[SLOTS];
    size_t live = 0;
    for (size_t i = 0; i < SLOTS; i++)
        if (atomic_load(&slots[i]))
            shadow[live++] = atomic_load(&slots[i]);
    memset(&visited, 0, sizeof visited);
    NEED(hakmem_walk(visit, &visited) == 0, "the walk ended early");
    qsort(shadow, live, sizeof *shadow, compare);
    qsort(visited.blocks, visited.count, sizeof *visited.blocks, compare);
    NEED(visited.count == live, "%s: %zu visited of %zu", when, visited.count, live);
    NEED(memcmp(shadow, visited.blocks, live * sizeof *shadow) == 0, "%s: other blocks than there are", when);
    if (HAK_STATS)
        EQUAL(visited.bytes, snapshot().live_bytes);
}

START_TEST(test_walk)
{
    pthread_t threads[THREADS];
    check_walk("nothing");
    change_some(1, test_scale(20000));
    check_walk("one thread");
    start(threads, work);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        if (round >= ROUNDS - 2)
            check_walk("threads wait");
        pthread_barrier_wait(&barrier);
    }
    join(threads);
    check_walk("after thread exit");
    empty_all();
    check_walk("all freed");
}
END_TEST

/* Many huge blocks: more than are copied at once. */
START_TEST(test_walk_huge)
{
    for (size_t i = 0; i < 500; i++)
        atomic_store(&slots[i], hakmem_malloc(2 * TEST_MIB));
    check_walk("500 huge blocks");
    empty_all();
}
END_TEST

static int stop_after_three(void *count, void *block, size_t size, int class)
{
    (void)block;
    (void)size;
    (void)class;
    return ++*(size_t *)count == 3 ? 42 : 0;
}

static int allocate_and_free(void *count, void *block, size_t size, int class)
{
    (void)class;
    ++*(size_t *)count;
    hakmem_free(hakmem_malloc(size));
    hakmem_free(block);
    return 0;
}

START_TEST(test_walk_calls)
{
    size_t count = 0;
    for (size_t i = 0; i < 10; i++)
        atomic_store(&slots[i], hakmem_malloc(i < 5 ? 100 : i < 7 ? 300000 : 3000000));
    EQUAL(hakmem_walk(stop_after_three, &count), 42);
    EQUAL(count, 3);
    count = 0;
    EQUAL(hakmem_walk(allocate_and_free, &count), 0);
    NEED(count >= 10, "%zu blocks visited of 10", count);
    for (size_t i = 0; i < 10; i++)
        atomic_store(&slots[i], NULL);
    check_shadow("freed by the walk's own calls");
}
END_TEST

/* What stays live is visited once, whatever other threads do meanwhile. */
static size_t times_seen[HELD];
static void *held_blocks[HELD];

static int see(void *unused, void *block, size_t size, int class)
{
    (void)unused;
    (void)size;
    (void)class;
    void **found = bsearch(&block, held_blocks, HELD, sizeof block, compare);
    if (found)
        times_seen[found - held_blocks]++;
    return 0;
}

START_TEST(test_walk_among_threads)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < HELD; i++)
        held_blocks[i] = hakmem_malloc(HELD_SIZE);
    qsort(held_blocks, HELD, sizeof *held_blocks, compare);
    start(threads, churn);
    for (size_t round = 1; round <= 5; round++) {
        hakmem_walk(see, NULL);
        for (size_t i = 0; i < HELD; i++)
            EQUAL(times_seen[i], round);
    }
    atomic_store(&stop, 1);
    join(threads);
}
END_TEST

static size_t system_calls(void)
{
    struct hakmem_stats stats = snapshot();
    return stats.mmap_calls + stats.munmap_calls + stats.mremap_calls + stats.madvise_calls + stats.mprotect_calls +
           stats.futex_calls;
}

/* Blocks of all kinds come and go, and once all that is needed is there the kernel is not asked for anything. */
START_TEST(test_steady_state)
{
    enum { BLOCKS = 400, CALLS = 300000 };
    static void *blocks[BLOCKS];
    uint64_t random = test_state(11);
    size_t before = 0;
    for (unsigned round = 0; round < 4; round++) {
        before = round == 3 ? system_calls() : 0;
        for (unsigned i = 0; i < CALLS; i++) {
            void **slot = &blocks[test_random(&random) % BLOCKS];
            hakmem_free(*slot);
            *slot = hakmem_malloc(1 + test_random(&random) % 1000);
            if (i % 100 == 0) {
                hakmem_free(hakmem_malloc(100000));
                hakmem_free(hakmem_malloc(300000));
                hakmem_free(hakmem_malloc(3000000));
                *slot = hakmem_realloc(*slot, 2000);
            }
        }
    }
    size_t after = system_calls();
    NEED(after == before, "%zu system calls in %u calls", after - before, CALLS);
    for (unsigned i = 0; i < BLOCKS; i++)
        hakmem_free(blocks[i]);
}
END_TEST

int main(void)
{
    /* What several calls tell is compared: nothing may go back to the kernel by itself in between. */
    hakmem_tune_set("purge_thread", 0);
    Suite *suite = suite_create("stats");
    TCase *tcase = suite_case(suite, "stats", 60);
    tcase_add_test(tcase, test_one_thread);
    tcase_add_test(tcase, test_many_threads);
    tcase_add_test(tcase, test_outbox);
    tcase_add_test(tcase, test_running_threads);
    tcase_add_test(tcase, test_memory);
    tcase_add_test(tcase, test_heaps_follow_affinity);
    tcase_add_test(tcase, test_no_allocation);
    tcase_add_test(tcase, test_sizes);
    tcase_add_test(tcase, test_errno_is_kept);
    tcase_add_test(tcase, test_steady_state);
    tcase_add_test(tcase, test_walk);
    tcase_add_test(tcase, test_walk_huge);
    tcase_add_test(tcase, test_walk_calls);
    tcase_add_test(tcase, test_walk_among_threads);
    return suite_run(suite);
}
