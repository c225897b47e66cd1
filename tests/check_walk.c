/* SPDX-License-Identifier: MIT */
/*
 * check_walk.c - hakmem_walk() visits what is live, each block once: in one thread and in many, while threads rest, run
 * and after they have exited, and in a fork's child.
 */

#include "figures.h"
#include "shadow.h"

static struct visited {
    void *blocks[2 * SLOTS];
    size_t count, bytes;
} visited;

static int visit(void *arg, void *block, size_t size, int class)
{
    struct visited *v = arg;
    union any_stats of_class;
    NEED(v->count < COUNT(v->blocks), "more than there are");
    EQUAL(size, hakmem_malloc_usable_size(block));
    if (class < 0)
        NEED(size > 128 * TEST_KIB, "no class, and %zu bytes", size);
    else
        NEED(get_stats(CLASS, (size_t)class, &of_class) && of_class.class.block_bytes == size, "class %d", class);
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

static void look_at_walk(unsigned round)
{
    if (round < ROUNDS - 2)
        return;
    check_walk("threads rest");
    if (!TEST_TSAN)
        check_child(check_walk);
}

START_TEST(test_walk)
{
    check_walk("nothing");
    change_some(1, test_scale(20000));
    check_walk("one thread");
    run_threads(look_at_walk);
    check_walk("after thread exit");
    empty_all();
    check_walk("all freed");
}
END_TEST

/* Many huge blocks: more than are copied at once. */
START_TEST(test_walk_huge)
{
    fill(150, 65 * TEST_MIB);
    EQUAL(snapshot().huge_blocks, 150);
    check_walk("150 huge blocks");
    empty_all();
    check_walk("huge blocks freed");
}
END_TEST

static int count_visit(void *count, void *block, size_t size, int class)
{
    (void)block;
    (void)size;
    (void)class;
    ++*(size_t *)count;
    return 0;
}

static int stop_after_three(void *count, void *block, size_t size, int class)
{
    count_visit(count, block, size, class);
    return *(size_t *)count == 3 ? 42 : 0;
}

static int allocate_and_free(void *count, void *block, size_t size, int class)
{
    count_visit(count, block, size, class);
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
    check_walk("freed by the walk's own calls");
}
END_TEST

static size_t times_seen[HELD];

static int see(void *unused, void *block, size_t size, int class)
{
    (void)unused;
    (void)size;
    (void)class;
    void **found = bsearch(&block, held, HELD, sizeof block, compare);
    if (found)
        times_seen[found - held]++;
    return 0;
}

/* What stays live is visited once, whatever other threads do meanwhile. */
static void look_by_walk(unsigned long round)
{
    hakmem_walk(see, NULL);
    for (size_t i = 0; i < HELD; i++)
        EQUAL(times_seen[i], round);
}

START_TEST(test_walk_among_threads)
{
    look_among_threads(look_by_walk, 5);
}
END_TEST

int main(void)
{
    /* The walk is compared with the figures: nothing may go back to the kernel by itself in between. */
    hakmem_tune_set("purge_thread", 0);
    Suite *suite = suite_create("walk");
    TCase *tcase = suite_case(suite, "walk", 60);
    tcase_add_test(tcase, test_walk);
    tcase_add_test(tcase, test_walk_huge);
    tcase_add_test(tcase, test_walk_calls);
    tcase_add_test(tcase, test_walk_among_threads);
    return suite_run(suite);
}
