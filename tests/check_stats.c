/* SPDX-License-Identifier: MIT */
/*
 * check_stats.c - the statistics are right to the byte: in one thread and in many, while threads rest, run and after
 * they have exited, and in a fork's child.
 *
 * The figures of all classes, and of all heaps, add up to those of the process as stats.def says.  Other figures are
 * compared with where the test can read them (`sources`) and with a shadow of all blocks.
 */
#define _GNU_SOURCE /* sched_setaffinity */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>

#include "figures.h"
#include "heap/registry.h"
#include "knobs/knobs.h"
#include "os/os.h"
#include "pages/meta.h"
#include "shadow.h"
#include "stats/verify.h"

/* ---- what holds while nothing allocates -------------------------------------------------------------------------- */

/* What hakmem.h says of the figures. */
static void check_total(const struct hakmem_stats *all)
{
    EQUAL(all->live_blocks, all->small_blocks + all->large_blocks + all->huge_blocks);
    EQUAL(all->live_bytes, all->small_bytes + all->large_bytes + all->huge_bytes);
    EQUAL(all->mapped_bytes, all->superslab_bytes + all->huge_bytes + all->cached_bytes + all->own_bytes);
    EQUAL(all->committed_bytes, all->mapped_bytes - all->unit_bytes + all->dirty_bytes);
    EQUAL(all->superslab_bytes, all->superslabs * 2 * TEST_MIB);
    EQUAL(all->heaps, hak_heap_count());
    NEED(all->mapped_peak_bytes >= all->mapped_bytes, "the peak is lower than what there is");
    NEED(all->dirty_bytes <= all->unit_bytes, "more dirty than free");
    if (HAK_STATS) {
        EQUAL(all->slab_bytes, all->small_bytes + all->magazine_bytes + all->depot_bytes + all->outbox_bytes +
                                   all->free_bytes + all->waste_bytes);
        EQUAL(all->superslab_bytes, all->slab_bytes + all->large_bytes + all->unit_bytes);
    }
}

static void check_class(const struct hakmem_stats_class *one)
{
    size_t blocks =
        one->live_blocks + one->magazine_blocks + one->depot_blocks + one->outbox_blocks + one->free_blocks;
    EQUAL(one->slab_bytes, blocks * one->block_bytes + one->waste_bytes);
}

static void check_heap(const struct hakmem_stats_heap *one)
{
    EQUAL(one->slab_bytes, one->live_bytes + one->magazine_bytes + one->depot_bytes + one->outbox_bytes +
                               one->free_bytes + one->waste_bytes);
}

/* Figures that are counted where the test can read them. */
static const struct {
    const char *name;
    const _Atomic size_t *source;
} sources[] = {
    {"own_bytes", &hak_meta_held},
    {"mapped_bytes", &hak_os_counts.mapped},
    {"mapped_peak_bytes", &hak_os_counts.mapped_peak},
    {"hugepage_bytes", &hak_os_counts.want_huge},
    {"mmap_calls", &hak_os_counts.calls[HAK_OS_MMAP]},
    {"munmap_calls", &hak_os_counts.calls[HAK_OS_MUNMAP]},
    {"mremap_calls", &hak_os_counts.calls[HAK_OS_MREMAP]},
    {"madvise_calls", &hak_os_counts.calls[HAK_OS_MADVISE]},
    {"mprotect_calls", &hak_os_counts.calls[HAK_OS_MPROTECT]},
    {"futex_calls", &hak_os_counts.calls[HAK_OS_FUTEX]},
};

/* Blocks of all classes have the bytes that the process has under the name with "bytes" in the place of "blocks". */
static void check_bytes(const struct hakmem_stats *all, const char *blocks, size_t bytes)
{
    char name[40];
    const char *end = strstr(blocks, "blocks");
    if (!end)
        return;
    snprintf(name, sizeof name, "%.*sbytes", (int)(end - blocks), blocks);
    NEED(bytes == value_of(all, name), "all classes have %zu %s, the process has %zu", bytes, name,
         value_of(all, name));
}

/* The classes, or the heaps, add up to the process as stats.def says. */
static void check_sums(enum family_name family, size_t count, const struct hakmem_stats *all)
{
    size_t sums[COUNT(total_figures)] = {0}, bytes[COUNT(total_figures)] = {0}, *sum = sums;
    for (size_t index = 0; index < count; index++) {
        union any_stats one;
        NEED(get_stats(family, index, &one), "%s%zu", families[family].prefix, index);
        if (family == CLASS)
            check_class(&one.class);
        else
            check_heap(&one.heap);
        for (EACH_FIGURE(figure, family)) {
            sums[figure - families[family].figures] += value_at(&one, figure);
            if (family == CLASS)
                bytes[figure - families[family].figures] += value_at(&one, figure) * one.class.block_bytes;
        }
    }
    for (EACH_FIGURE(figure, family)) {
        if (strcmp(figure->total, "NONE") != 0) {
            NEED(*sum == value_of(all, figure->total), "all %s%s: %zu, %s: %zu", families[family].prefix, figure->name,
                 *sum, figure->total, value_of(all, figure->total));
            if (family == CLASS)
                check_bytes(all, figure->total, bytes[sum - sums]);
        }
        sum++;
    }
}

static void check_all(const struct hakmem_stats *all)
{
    check_total(all);
    for (size_t i = 0; i < COUNT(sources); i++)
        NEED(value_of(all, sources[i].name) == atomic_load(sources[i].source), "%s is %zu, not %zu", sources[i].name,
             value_of(all, sources[i].name), atomic_load(sources[i].source));
    if (HAK_STATS) {
        check_sums(CLASS, all->classes, all);
        check_sums(HEAP, all->heaps, all);
    }
}

/* ---- a shadow of all that is live -------------------------------------------------------------------------------- */

static void check_shadow(const char *when)
{
    size_t blocks = 0, bytes = 0, beyond_classes = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        size_t usable = hakmem_malloc_usable_size(atomic_load(&slots[i]));
        blocks += usable > 0;
        bytes += usable;
        beyond_classes += usable > 128 * TEST_KIB ? usable : 0;
    }
    struct hakmem_stats stats = snapshot();
    NEED(stats.huge_bytes + stats.large_bytes == beyond_classes, "%s: %zu bytes in large blocks, and %zu by the figures",
         when, beyond_classes, stats.huge_bytes + stats.large_bytes);
    if (HAK_STATS)
        NEED(stats.live_blocks == blocks && stats.live_bytes == bytes,
             "%s: %zu blocks with %zu bytes are live, by the figures %zu with %zu", when, blocks, bytes,
             stats.live_blocks, stats.live_bytes);
    check_all(&stats);
}

/* ---- threads that work and rest ---------------------------------------------------------------------------------- */

/* On one processor all threads share a heap, and no block is another's. */
static bool one_heap(void)
{
    return hak_os_cpus() * hak_knob_value(heaps_per_cpu) == 1;
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

/* Blocks lie in the magazines and outboxes of threads that rest, and of threads that a fork has lost. */
static void look_at_figures(unsigned round)
{
    static size_t remote;
    check_shadow("threads rest");
    struct hakmem_stats stats = snapshot();
    NEED(stats.threads >= THREADS && stats.threads <= THREADS + 1, "%zu threads", stats.threads);
    NEED(stats.remote_frees >= remote, "remote frees fell");
    remote = stats.remote_frees;
    if (!TEST_TSAN && round % 3 == 1)
        check_child(check_shadow);
}

START_TEST(test_many_threads)
{
    run_threads(look_at_figures);
    check_shadow("after thread exit");
    /* Threads that exited have delivered what they had. */
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
    fill(100, 500);
    hakmem_free(hakmem_malloc(100));
    start(&thread, 1, free_every_other);
    pthread_barrier_wait(&barrier);
    check_shadow("half in an outbox");
    size_t waiting = snapshot().outbox_blocks;
    NEED(!HAK_STATS || ((waiting > 0 || one_heap()) && waiting <= 50), "%zu blocks in outboxes", waiting);
    pthread_barrier_wait(&barrier);
    join(&thread, 1);
    EQUAL(snapshot().outbox_blocks, 0);
    check_shadow("delivered");
    empty_all();
}
END_TEST

/* ---- threads that run -------------------------------------------------------------------------------------------- */

/* Blocks on the move when their heap or thread is read may count twice or not: no more than the threads can move. */
static void look_at_live_bytes(unsigned long unused)
{
    const size_t least = HELD * HELD_SIZE, moving = THREADS * 2000 * (size_t)HELD_SIZE;
    size_t live = snapshot().live_bytes;
    (void)unused;
    NEED(!HAK_STATS || (live + moving >= least && live <= least + moving), "%zu bytes live, about %zu in truth", live,
         least);
}

START_TEST(test_running_threads)
{
    look_among_threads(look_at_live_bytes, test_scale(2000));
    check_shadow("all freed");
}
END_TEST

/* ---- the kernel's side ------------------------------------------------------------------------------------------- */

enum moment { NEVER, BEFORE, FULL, AFTER, LATER, MOMENTS };

/* By how much a figure rises from one moment to another. */
static const struct {
    const char *name;
    enum moment from, to;
    long long least, most;
} rises[] = {
    {"mapped_bytes", BEFORE, FULL, 300 * TEST_MIB, LLONG_MAX},
    {"mmap_calls", BEFORE, FULL, 1, LLONG_MAX},
    {"resident_bytes", NEVER, FULL, TEST_SANITIZER ? 0 : 300 * TEST_MIB, LLONG_MAX},
    {"mapped_bytes", BEFORE, AFTER, LLONG_MIN, 4 * TEST_MIB},
    {"committed_bytes", BEFORE, AFTER, LLONG_MIN, 4 * TEST_MIB},
    {"mapped_peak_bytes", NEVER, AFTER, 300 * TEST_MIB, LLONG_MAX},
    {"mapped_peak_bytes", FULL, AFTER, 0, 16 * TEST_MIB},
    {"purged_bytes", BEFORE, AFTER, 290 * TEST_MIB, 310 * TEST_MIB},
    {"munmap_calls", FULL, AFTER, 1, LLONG_MAX},
    {"mmap_calls", AFTER, LATER, 0, 0},
};

START_TEST(test_memory)
{
    enum { BLOCKS = 100 };
    static void *blocks[BLOCKS];
    static struct hakmem_stats at[MOMENTS];
    at[BEFORE] = snapshot();
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = i % 2 ? TEST_MIB - 100 : 5 * TEST_MIB;
        blocks[i] = memset(hakmem_malloc(size), 1, size);
    }
    at[FULL] = snapshot();
    check_all(&at[FULL]);
    for (size_t i = 0; i < BLOCKS; i++)
        hakmem_free(blocks[i]);
    hakmem_malloc_trim(0);
    at[AFTER] = snapshot();
    check_all(&at[AFTER]);
    at[LATER] = snapshot();
    for (size_t i = 0; i < COUNT(rises); i++) {
        size_t from = value_of(&at[rises[i].from], rises[i].name);
        size_t to = value_of(&at[rises[i].to], rises[i].name);
        long long rise = (long long)(to - from);
        NEED(rise >= rises[i].least && rise <= rises[i].most, "row %zu: %s went from %zu to %zu", i, rises[i].name,
             from, to);
    }
    NEED(at[AFTER].mapped_peak_bytes <= at[FULL].mapped_bytes + 16 * TEST_MIB, "peak %zu, mapped %zu",
         at[AFTER].mapped_peak_bytes, at[FULL].mapped_bytes);
}
END_TEST

/* A program that was bound to one processor when it started, and is not any more, has a heap for each. */
static void *take_a_heap(void *unused)
{
    hakmem_free(hakmem_malloc(100));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return unused;
}

static size_t heaps_with_another_thread(pthread_t *thread)
{
    start(thread, 1, take_a_heap);
    pthread_barrier_wait(&barrier);
    size_t heaps = snapshot().heaps;
    pthread_barrier_wait(&barrier);
    return heaps;
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
    EQUAL(heaps_with_another_thread(&threads[0]), 2);
    sched_setaffinity(0, sizeof all, &all);
    join(&threads[0], 1);
    if (hak_os_cpus() < 2)
        return;
    EQUAL(heaps_with_another_thread(&threads[1]), 3);
    join(&threads[1], 1);
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
    /* Free memory must not get old enough to go back to the kernel, however slow the machine is. */
    hakmem_tune_set("purge_delay", 3600000);
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

/* Nothing is allocated: neither from libhakmem, nor from libc, nor for the library's own structures. */
START_TEST(test_no_allocation)
{
    size_t count = 0;
    union any_stats one;
    change_some(5, test_scale(20000));
    snapshot();
    size_t libc_before = TEST_SANITIZER ? 0 : mallinfo2().uordblks;
    struct hakmem_stats before = snapshot();
    get_stats(CLASS, 3, &one);
    get_stats(HEAP, 0, &one);
    for (int format = HAKMEM_STATS_TEXT; format <= HAKMEM_STATS_PROMETHEUS; format++) {
        size_t text = 0;
        NEED(hakmem_stats_print((enum hakmem_stats_format)format, discard, &text) == 0, "format %d", format);
        NEED(text > 1000, "%zu characters", text);
    }
    hakmem_walk(count_visit, &count);
    struct hakmem_stats after = snapshot();
    size_t libc_after = TEST_SANITIZER ? 0 : mallinfo2().uordblks;
    before.resident_bytes = after.resident_bytes = 0;
    before.futex_calls = after.futex_calls = 0;
    NEED(memcmp(&before, &after, sizeof before) == 0, "a snapshot changes what it counts");
    EQUAL(libc_before, libc_after);
    empty_all();
}
END_TEST

#define REFUSED(call) (errno = 0, NEED((call) == -1 && errno == EINVAL, "%s", #call))

START_TEST(test_refused)
{
    union any_stats room;
    hakmem_free(hakmem_malloc(1));
    struct hakmem_stats all = snapshot();
    REFUSED(hakmem_stats_get(&room.total, 8));
    REFUSED(hakmem_stats_get(&room.total, 15));
    REFUSED(hakmem_stats_get_class(all.classes, &room.class, sizeof room.class));
    REFUSED(hakmem_stats_get_class(SIZE_MAX, &room.class, sizeof room.class));
    REFUSED(hakmem_stats_get_class(0, &room.class, 4));
    REFUSED(hakmem_stats_get_heap(all.heaps, &room.heap, sizeof room.heap));
    REFUSED(hakmem_stats_get_heap(SIZE_MAX, &room.heap, sizeof room.heap));
    REFUSED(hakmem_stats_get_heap(0, &room.heap, 4));
    REFUSED(hakmem_stats_print((enum hakmem_stats_format)3, discard, NULL));
    REFUSED(hakmem_stats_print((enum hakmem_stats_format)17, discard, NULL));
}
END_TEST

/* A structure of an earlier version is filled as far as the caller knows it, one of a later version ends in zeros. */
static const struct {
    const char *what;
    size_t size, filled;
} versions[] = {
    {"the least", offsetof(struct hakmem_stats, live_blocks), offsetof(struct hakmem_stats, live_blocks)},
    {"an earlier one", offsetof(struct hakmem_stats, small_blocks), offsetof(struct hakmem_stats, small_blocks)},
    {"this one", sizeof(struct hakmem_stats), sizeof(struct hakmem_stats)},
    {"a later one", sizeof(struct hakmem_stats) + 64, sizeof(struct hakmem_stats)},
};

START_TEST(test_versions)
{
    struct hakmem_stats whole = snapshot();
    for (size_t i = 0; i < COUNT(versions); i++) {
        union {
            struct hakmem_stats stats;
            unsigned char bytes[sizeof(struct hakmem_stats) + 128];
        } room;
        memset(&room, 0xee, sizeof room);
        NEED(hakmem_stats_get(&room.stats, versions[i].size) == 0, "%s", versions[i].what);
        EQUAL(room.stats.size, versions[i].filled);
        whole.size = (uint32_t)versions[i].filled;
        whole.resident_bytes = versions[i].filled > offsetof(struct hakmem_stats, resident_bytes)
                                   ? room.stats.resident_bytes
                                   : whole.resident_bytes;
        NEED(memcmp(&room, &whole, versions[i].filled) == 0, "%s: other figures", versions[i].what);
        for (size_t at = versions[i].filled; at < sizeof room; at++)
            NEED(room.bytes[at] == (at < versions[i].size ? 0 : 0xee), "%s: byte %zu", versions[i].what, at);
    }
}
END_TEST

START_TEST(test_errno_is_kept)
{
    size_t text = 0;
    errno = 4321;
    snapshot();
    hakmem_stats_print(HAKMEM_STATS_JSON, discard, &text);
    NEED(errno == 4321, "errno %d", errno);
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
    tcase_add_test(tcase, test_steady_state);
    tcase_add_test(tcase, test_no_allocation);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_versions);
    tcase_add_test(tcase, test_errno_is_kept);
    return suite_run(suite);
}
