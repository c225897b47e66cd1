/* SPDX-License-Identifier: MIT */
/*
 * check_stuck.c - the tree of mappings that could not be unmapped, by itself: what was put in comes out once, whole,
 * joined with what adjoins it, and is found wherever there is room.  A map of the pages is the model.
 * HAKMEM_TEST_SEED repeats a run.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>

#include "os/os.h"
#include "pages/stuck.h"
#include "suite.h"

enum { PAGES = 4096 };
static char *base;
static bool stuck[PAGES]; /* the model */
static struct hak_stuck *tree;
static uint64_t seed, state;

static size_t random_below(size_t below)
{
    return (size_t)(test_random(&state) % below);
}

static size_t page_of(const char *at)
{
    return (size_t)(at - base) / hak_os_page;
}

static void set(size_t page, size_t count, bool to)
{
    for (size_t i = page; i < page + count; i++) {
        NEED(stuck[i] != to, "page %zu is%s stuck already", i, to ? "" : " not");
        stuck[i] = to;
    }
}

/* The mappings are the model's runs: the count of nodes, each of which has its run's length, is that of the runs. */
static size_t check_tree(const struct hak_stuck *node, size_t *nodes)
{
    if (!node)
        return 0;
    size_t page = page_of((const char *)node), pages = node->size / hak_os_page;
    NEED((page == 0 || !stuck[page - 1]) && (page + pages == PAGES || !stuck[page + pages]),
         "%zu pages at %zu are not joined", pages, page);
    for (size_t i = page; i < page + pages; i++)
        NEED(stuck[i], "page %zu is not stuck", i);
    NEED(!node->left || node->left < node, "order");
    NEED(!node->right || node->right > node, "order");
    size_t left = check_tree(node->left, nodes), right = check_tree(node->right, nodes);
    NEED(node->most == HAK_MAX(node->size, HAK_MAX(left, right)), "the largest size of a subtree is wrong");
    ++*nodes;
    return node->most;
}

static void check_all(void)
{
    size_t nodes = 0, runs = 0;
    check_tree(tree, &nodes);
    for (size_t i = 0; i < PAGES; i++)
        runs += stuck[i] && (i == 0 || !stuck[i - 1]);
    NEED(nodes == runs, "%zu mappings for %zu runs", nodes, runs);
}

/* Whether the model has a run of so many pages. */
static bool has_room(size_t pages)
{
    for (size_t i = 0, length = 0; i < PAGES; i++) {
        length = stuck[i] ? length + 1 : 0;
        if (length >= pages)
            return true;
    }
    return false;
}

static void put(void)
{
    size_t page = random_below(PAGES), pages = 1 + random_below(random_below(8) ? 4 : 64), count = 0;
    while (count < pages && page + count < PAGES && !stuck[page + count])
        count++;
    if (count == 0)
        return;
    set(page, count, true);
    hak_stuck_put(&tree, (struct hak_stuck_range){base + page * hak_os_page, count * hak_os_page});
}

static void take(void)
{
    size_t pages = 1 + random_below(random_below(8) ? 4 : 64), align = hak_os_page << random_below(4);
    size_t wanted = pages + align / hak_os_page - 1;
    bool room = has_room(wanted);
    struct hak_stuck_range got = hak_stuck_take(&tree, pages * hak_os_page, align);
    NEED(room == (got.size != 0), "%zu pages: %s", wanted, room ? "not found" : "found without room");
    if (!got.size)
        return;
    NEED(got.size == pages * hak_os_page && (uintptr_t)got.at % align == 0, "%zu bytes of %zu", got.size, wanted);
    set(page_of(got.at), pages, false);
}

START_TEST(test_random_calls)
{
    state = test_state(seed);
    hak_os_start();
    base = mmap(NULL, PAGES * hak_os_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(base != MAP_FAILED);
    for (unsigned long i = 0, times = test_scale(40000); i < times; i++) {
        if (random_below(100) < (i / 2000 % 2 ? 35u : 65u)) /* fuller and emptier in turn */
            put();
        else
            take();
        if (i % 64 == 0)
            check_all();
    }
    struct hak_stuck_range range, before = {0};
    check_all();
    while ((range = hak_stuck_pop(&tree)).size) {
        NEED(range.at > before.at, "not in the order of addresses");
        set(page_of(range.at), range.size / hak_os_page, false);
        before = range;
    }
    NEED(!has_room(1), "something is left");
}
END_TEST

static unsigned depth_of(const struct hak_stuck *node)
{
    if (!node)
        return 0;
    unsigned left = depth_of(node->left), right = depth_of(node->right);
    return 1 + HAK_MAX(left, right);
}

/* Mappings at equal distances, of which some make a list of a tree by hashes that are products. */
START_TEST(test_equal_distances)
{
    enum { MAPPINGS = 1000, DEPTH_MAX = 64 };
    size_t distance = (size_t)(_i == 0 ? 6765 : _i == 1 ? 4181 : 2048) * 4096; /* two Fibonacci numbers of pages */
    hak_os_start();
    char *at = mmap(NULL, MAPPINGS * distance, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                    0);
    if (at == MAP_FAILED)
        return; /* addresses are scarce */
    for (size_t i = 0; i < MAPPINGS; i++)
        hak_stuck_put(&tree, (struct hak_stuck_range){at + i * distance, hak_os_page});
    NEED(depth_of(tree) <= DEPTH_MAX, "%u levels for %d mappings", depth_of(tree), MAPPINGS);
}
END_TEST

int main(void)
{
    seed = suite_seed();
    Suite *suite = suite_create("mappings that could not be unmapped");
    tcase_add_test(suite_case(suite, "random", 20), test_random_calls);
    tcase_add_loop_test(suite_case(suite, "equal distances", 20), test_equal_distances, 0, 3);
    return suite_run(suite);
}
