/* SPDX-License-Identifier: MIT */
/*
 * check_heap.c - slabs' bitmaps, depots and batches of remote frees by themselves, on heaps that no thread has.  A
 * shadow model knows for each block whether it was handed out.  Blocks are never written, so hardly any memory is
 * resident.
 */

#include "heap/heap.h"
#include "knobs/knobs.h"
#include "os/os.h"
#include "process/init.h"
#include "suite.h"

#define FIRST_NUMBER 16000u /* of the heaps under test: no other heap has so high a number */
#define HEAPS 2u

static uint64_t seed, state;

static size_t draw(size_t below)
{
    return (size_t)(test_random(&state) % below);
}

/* How many misuses the last calls have noted. */
static unsigned misuses(void)
{
    unsigned noted = hak_tls.misuses;
    hak_tls.misuses = 0;
    return noted;
}

static void start(void)
{
    ck_assert(hak_start());
    state = test_state(seed);
}

/* ---- one slab ---- */

static struct hak_slab_lists lists;
static struct hak_slab *slab;
static bool given_out[UINT16_MAX];

static char *block_at(unsigned index)
{
    return slab->base + (size_t)index * hak_classes[slab->class].size;
}

static bool bit_of(const struct hak_slab *of, unsigned index)
{
    return of->bits[index / 64] >> index % 64 & 1;
}

static enum hak_list list_of(const struct hak_slab *of)
{
    if (of->free == 0)
        return HAK_LIST_NONE;
    if (of->free < of->capacity / 8.0)
        return HAK_LIST_FEW;
    return of->free <= of->capacity / 2.0 ? HAK_LIST_FEW_MORE : HAK_LIST_MANY;
}

static void check_slab(void)
{
    unsigned free = 0, first = slab->capacity;
    for (unsigned i = 0; i < slab->capacity; i++) {
        NEED(bit_of(slab, i) == !given_out[i], "class %u: block %u is %s", slab->class, i,
             given_out[i] ? "handed out and free" : "in no place");
        if (!given_out[i] && free++ == 0)
            first = i;
    }
    for (unsigned i = slab->capacity; i < (slab->capacity + 63u) / 64 * 64; i++)
        NEED(!bit_of(slab, i), "class %u: a bit beyond the last block", slab->class);
    NEED(slab->free == free, "class %u: %u free, not %u", slab->class, slab->free, free);
    NEED(free == 0 || slab->first_word * 64u <= first, "class %u: block %u lies before the first word", slab->class,
         first);
    NEED(slab->list == list_of(slab), "class %u: list %u with %u of %u free", slab->class, slab->list, free,
         slab->capacity);
    NEED(hak_slab_pick(&lists) == (free ? slab : NULL), "class %u: the slab is not found", slab->class);
}

/* The lowest free blocks, the lowest last. */
static void take_some(unsigned want)
{
    static void *blocks[UINT16_MAX];
    unsigned free = slab->free, expected = HAK_MIN(want, free), index = 0;
    unsigned taken = hak_slab_take(slab, &lists, blocks + want, want);
    NEED(taken == expected, "class %u: %u taken, not %u", slab->class, taken, expected);
    for (unsigned i = 0; i < taken; i++, index++) {
        while (given_out[index])
            index++;
        NEED(blocks[want - 1 - i] == block_at(index), "class %u: not the lowest free block", slab->class);
        given_out[index] = true;
    }
}

/* A block is put back if it is out; what is free already, or no block, is refused and noted. */
static void put_one(unsigned index)
{
    bool put = hak_slab_put(slab, &lists, block_at(index));
    NEED(put == given_out[index] && misuses() == !put, "class %u: block %u put twice", slab->class, index);
    given_out[index] = false;
}

static void put_no_block(void)
{
    size_t size = hak_classes[slab->class].size;
    char *inside = block_at((unsigned)draw(slab->capacity)) + 1 + draw(size - 1);
    NEED(!hak_slab_put(slab, &lists, inside) && misuses() == 1, "class %u: an inner address put", slab->class);
    if (slab->capacity * size < slab->units * HAK_UNIT)
        NEED(!hak_slab_put(slab, &lists, block_at(slab->capacity)) && misuses() == 1, "class %u: the tail put",
             slab->class);
}

/* The pages on which no block is out, but for those behind the last block. */
static size_t purgeable(void)
{
    size_t size = hak_classes[slab->class].size, bytes = 0;
    for (size_t page = 0; page < slab->units * HAK_UNIT; page += hak_os_page) {
        bool free = page / size < slab->capacity;
        for (size_t i = page / size; i < slab->capacity && i * size < page + hak_os_page; i++)
            free = free && !given_out[i];
        bytes += free ? hak_os_page : 0;
    }
    return bytes;
}

START_TEST(test_slab)
{
    start();
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        bool untouched = false;
        memset(given_out, 0, sizeof given_out);
        slab = hak_slab_create(class, FIRST_NUMBER, &lists, &untouched);
        ck_assert(slab);
        ck_assert(slab->capacity == hak_classes[class].capacity && slab->class == class);
        check_slab();
        for (unsigned step = 0; step < 100; step++) {
            if (draw(4) == 0)
                take_some(1 + (unsigned)draw(slab->capacity));
            else
                for (unsigned i = 1 + (unsigned)draw(slab->capacity / 4 + 1); i > 0; i--)
                    put_one((unsigned)draw(slab->capacity));
            if (step % 10 == 0)
                put_no_block();
            check_slab();
        }
        size_t expected = purgeable(), given = hak_slab_purge(slab);
        NEED(given == expected, "class %u: %zu bytes purged, not %zu", class, given, expected);
        check_slab();
        for (unsigned i = 0; i < slab->capacity; i++)
            if (given_out[i])
                put_one(i);
        check_slab();
        char *base = slab->base;
        hak_slab_destroy(slab, &lists);
        NEED(HAK_ENTRY_OWNER(hak_entry_of(base)) != FIRST_NUMBER, "class %u: destroyed, but on the page map", class);
        NEED(!hak_slab_pick(&lists), "class %u: destroyed, but on a list", class);
    }
}
END_TEST

/* Slabs that are nearly full are used last. */
START_TEST(test_slab_order)
{
    struct hak_slab *few, *few_more, *many;
    void *blocks[1024];
    unsigned class = hak_class_of(64);
    bool untouched;
    start();
    many = hak_slab_create(class, FIRST_NUMBER, &lists, &untouched);
    few = hak_slab_create(class, FIRST_NUMBER, &lists, &untouched);
    few_more = hak_slab_create(class, FIRST_NUMBER, &lists, &untouched);
    ck_assert(many && few && few_more && few->capacity == 1024);
    ck_assert_uint_eq(hak_slab_take(few, &lists, blocks + 1024, 1024 - 127), 1024 - 127);
    ck_assert_uint_eq(hak_slab_take(few_more, &lists, blocks + 1024, 512), 512);
    ck_assert_uint_eq(hak_slab_take(many, &lists, blocks + 1024, 511), 511);
    ck_assert_ptr_eq(hak_slab_pick(&lists), few_more);
    hak_slab_unlist(few_more, &lists);
    ck_assert_ptr_eq(hak_slab_pick(&lists), many);
    hak_slab_unlist(many, &lists);
    ck_assert_ptr_eq(hak_slab_pick(&lists), few);
    hak_slab_unlist(few, &lists);
    ck_assert_ptr_eq(hak_slab_pick(&lists), NULL);
    hak_slab_enlist(few, &lists);
    hak_slab_enlist(few_more, &lists);
    ck_assert_ptr_eq(hak_slab_pick(&lists), few_more);
}
END_TEST

/* ---- heaps ---- */

static const size_t sizes[] = {16, 48, 112, 1024, 8192, 10240, 40960, 131072};
#define SIZES TEST_COUNT(sizes)

static struct hak_heap heaps[HEAPS];

/* What each block that was ever seen is now, by a hash of its address. */
#define BLOCKS_MAX (1u << 17)
static struct known {
    char *block;
    uint8_t heap, size;
    bool out;
    unsigned seen; /* the check that found it in a depot */
} shadow[BLOCKS_MAX];
static unsigned shadow_used;

/* The blocks that are out, by heap and size. */
#define OUT_MAX 4000u
static struct {
    void *blocks[OUT_MAX];
    unsigned count;
} out[HEAPS][SIZES];

static struct known *known(void *block)
{
    uint32_t at = (uint32_t)((uintptr_t)block >> 4) * 0x9e3779b1u >> 15;
    while (shadow[at].block && shadow[at].block != block)
        at = (at + 1) % BLOCKS_MAX;
    if (!shadow[at].block)
        NEED(++shadow_used < BLOCKS_MAX / 2, "the shadow's table is too small");
    shadow[at].block = block;
    return &shadow[at];
}

static unsigned class_at(unsigned size)
{
    return hak_class_of(sizes[size]);
}

static void setup(void)
{
    start();
    for (unsigned i = 0; i < HEAPS; i++) {
        heaps[i].number = FIRST_NUMBER + i;
        heaps[i].lock.rank = HAK_RANK_HEAP;
        heaps[i].purge_threshold = SIZE_MAX;
    }
}

static void now_free(void *block)
{
    struct known *it = known(block);
    NEED(it->out, "the test frees a block twice");
    it->out = false;
}

static unsigned get(unsigned heap, unsigned size, unsigned want)
{
    void *blocks[256];
    unsigned got = hak_heap_get(&heaps[heap], class_at(size), blocks, want);
    NEED(got > 0 && got <= want, "%u of %u blocks", got, want);
    for (unsigned i = 0; i < got; i++) {
        struct known *it = known(blocks[i]);
        uint32_t entry = hak_entry_of(blocks[i]);
        NEED(HAK_ENTRY_FIRST(entry) == HAK_ENTRY(heaps[heap].number, class_at(size)), "%p is of another slab",
             blocks[i]);
        NEED(hak_block_begins(blocks[i], entry), "no block begins at %p", blocks[i]);
        NEED(!it->out, "%p is handed out twice", blocks[i]);
        it->out = true;
        it->heap = (uint8_t)heap;
        it->size = (uint8_t)size;
        out[heap][size].blocks[out[heap][size].count++] = blocks[i];
    }
    return got;
}

static void *choose(unsigned heap, unsigned size)
{
    unsigned at = (unsigned)draw(out[heap][size].count);
    void *block = out[heap][size].blocks[at];
    out[heap][size].blocks[at] = out[heap][size].blocks[--out[heap][size].count];
    return block;
}

static void give(unsigned heap, unsigned size, unsigned count)
{
    void *blocks[256];
    count = HAK_MIN(count, out[heap][size].count);
    for (unsigned i = 0; i < count; i++) {
        blocks[i] = choose(heap, size);
        now_free(blocks[i]);
    }
    if (count > 0)
        hak_heap_give(&heaps[heap], class_at(size), blocks, count);
}

/* A batch of any blocks that are out, with a pointer into a block here and there. */
static void receive(unsigned heap, unsigned want)
{
    void *blocks[HAK_RECEIVE_MAX], *others[HAK_RECEIVE_MAX];
    unsigned count = 0, other_count = 0, wrong = 0;
    size_t before = heaps[heap].remote_frees;
    for (unsigned tries = 0; tries < want && count < want; tries++) {
        unsigned owner = (unsigned)draw(HEAPS), size = (unsigned)draw(SIZES);
        if (!out[owner][size].count)
            continue;
        blocks[count] = choose(owner, size);
        if (owner != heap)
            others[other_count++] = blocks[count];
        else
            now_free(blocks[count]);
        if (owner == heap && count + 1 < want && draw(50) == 0) {
            blocks[count + 1] = (char *)blocks[count] + 8;
            count++;
            wrong++;
        }
        count++;
    }
    unsigned left = hak_heap_receive(&heaps[heap], blocks, count);
    NEED(left == other_count, "%u blocks of another heap, not %u", left, other_count);
    NEED(memcmp(blocks, others, left * sizeof *blocks) == 0, "these are not the blocks of another heap");
    NEED(misuses() == wrong, "pointers into blocks taken for blocks");
    NEED(heaps[heap].remote_frees - before == count - left - wrong, "%zu remote frees counted",
         heaps[heap].remote_frees - before);
    for (unsigned i = 0; i < left; i++) {
        struct known *it = known(blocks[i]);
        out[it->heap][it->size].blocks[out[it->heap][it->size].count++] = blocks[i];
    }
}

/* ---- what is true of a heap at each moment ---- */

static unsigned checks;

static void check_depot(struct hak_heap *heap, unsigned size)
{
    const struct hak_depot *depot = &heap->depots[class_at(size)];
    NEED(depot->count <= depot->room && depot->low <= depot->count, "%u blocks in a depot for %u, low is %u",
         depot->count, depot->room, depot->low);
    NEED(sizes[size] <= HAK_DEPOT_SHARING_MAX || depot->count <= 16, "%u large blocks in a depot", depot->count);
    for (unsigned i = 0; i < depot->count; i++) {
        struct known *it = known(depot->blocks[i]);
        NEED(it->seen != checks, "%p is twice in a depot", it->block);
        NEED(!it->out && sizes[it->size] == sizes[size] && &heaps[it->heap] == heap, "%p is in a wrong depot",
             it->block);
        it->seen = checks;
    }
}

static size_t check_lists(struct hak_heap *heap, unsigned size)
{
    size_t bytes = 0;
    for (unsigned list = 0; list < HAK_LIST_COUNT; list++)
        for (const struct hak_slab *at = heap->lists[class_at(size)].head[list]; at; at = at->next) {
            unsigned bits = 0;
            for (unsigned i = 0; i < at->capacity; i++)
                bits += bit_of(at, i);
            NEED(at->list == list && list_of(at) == list, "%u of %u free on list %u", at->free, at->capacity, list);
            NEED(at->free == bits && at->owner == heap->number, "%u free, %u bits", at->free, bits);
            bytes += at->free * sizes[size];
        }
    return bytes;
}

static void check_heap(unsigned number)
{
    struct hak_heap *heap = &heaps[number];
    size_t depots = 0, budgeted = 0, slabs = 0, units = 0;
    checks++;
    for (unsigned size = 0; size < SIZES; size++) {
        unsigned class = class_at(size);
        size_t bytes = heap->depots[class].count * sizes[size];
        check_depot(heap, size);
        slabs += check_lists(heap, size);
        depots += bytes;
        budgeted += sizes[size] <= HAK_DEPOT_SHARING_MAX ? bytes : 0;
        units += heap->slabs[class] * hak_classes[class].units;
        NEED(!HAK_STATS || heap->out[class] == out[number][size].count + heap->depots[class].count,
             "size %zu: %zu blocks out, %u are, and %u in the depot", sizes[size], heap->out[class],
             out[number][size].count, heap->depots[class].count);
    }
    NEED(heap->depot_bytes == depots && heap->budgeted == budgeted, "%zu bytes in depots, not %zu", heap->depot_bytes,
         depots);
    NEED(heap->budgeted <= hak_knob_value(depot_budget), "%zu bytes beyond the budget", heap->budgeted);
    NEED(heap->slab_bytes == slabs, "%zu bytes in slabs, not %zu", heap->slab_bytes, slabs);
    NEED(!HAK_STATS || heap->units == units, "%zu units, not %zu", heap->units, units);
    /* A block is in one place only. */
    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        const struct known *it = &shadow[i];
        unsigned index;
        if (!it->block || it->heap != number || HAK_ENTRY_OWNER(hak_entry_of(it->block)) != heap->number)
            continue;
        const struct hak_slab *of = hak_slab_of(it->block);
        if (of->class != class_at(it->size) || !hak_slab_index(of, it->block, &index))
            continue;
        NEED(bit_of(of, index) + it->out + (it->seen == checks) == 1, "%p: bit %u, out %u, in a depot %u", it->block,
             bit_of(of, index), it->out, it->seen == checks);
    }
}

START_TEST(test_random_use)
{
    setup();
    if (!HAK_MINIMAL)
        hak_store(&hak_knobs[HAK_KNOB_depot_budget], 256 << 10);
    for (unsigned step = 0; step < 4000; step++) {
        unsigned what = (unsigned)draw(100), heap = (unsigned)draw(HEAPS), size = (unsigned)draw(SIZES);
        if (what < 45 && out[heap][size].count * sizes[size] < (4u << 20) && out[heap][size].count < OUT_MAX - 256)
            get(heap, size, 1 + (unsigned)draw(draw(2) ? 128 : 2));
        else if (what < 85)
            give(heap, size, 1 + (unsigned)draw(draw(2) ? 128 : 2));
        else if (what < 97)
            receive(heap, 1 + (unsigned)draw(HAK_RECEIVE_MAX));
        else if (what < 99)
            hak_heap_decay(&heaps[heap]);
        else
            hak_heap_drain(&heaps[heap]);
        if (step % 50 == 0)
            for (unsigned i = 0; i < HEAPS; i++)
                check_heap(i);
    }
    for (unsigned heap = 0; heap < HEAPS; heap++) {
        for (unsigned size = 0; size < SIZES; size++)
            while (out[heap][size].count)
                give(heap, size, 256);
        check_heap(heap);
        hak_heap_drain(&heaps[heap]);
        check_heap(heap);
        NEED(heaps[heap].units == 0 && heaps[heap].slab_bytes == 0, "%zu units left", heaps[heap].units);
    }
    ck_assert_uint_eq(misuses(), 0);
}
END_TEST

/* ---- single rules ---- */

/* A depot is a stack: what was given last comes first. */
START_TEST(test_depot_is_a_stack)
{
    void *blocks[64], *again[64];
    unsigned class = hak_class_of(64);
    setup();
    ck_assert_uint_eq(hak_heap_get(&heaps[0], class, blocks, 64), 64);
    hak_heap_give(&heaps[0], class, blocks, 64);
    ck_assert_uint_eq(hak_heap_get(&heaps[0], class, again, 1), 1);
    ck_assert_ptr_eq(again[0], blocks[63]);
    ck_assert_uint_eq(hak_heap_get(&heaps[0], class, again, 64), 63);
    ck_assert_int_eq(memcmp(again, blocks, 63 * sizeof *blocks), 0);
}
END_TEST

/* What no call has needed since the last pass goes into slabs, the oldest; what was used stays. */
START_TEST(test_depot_decay)
{
    void *blocks[1000]; /* more than are moved under one hold of the lock */
    unsigned class = hak_class_of(64);
    const struct hak_depot *depot = &heaps[0].depots[class];
    setup();
    ck_assert_uint_eq(hak_heap_get(&heaps[0], class, blocks, 1000), 1000);
    hak_heap_give(&heaps[0], class, blocks, 1000);
    hak_heap_decay(&heaps[0]);
    ck_assert_uint_eq(depot->count, 1000);
    ck_assert_uint_eq(hak_heap_get(&heaps[0], class, blocks, 30), 30);
    hak_heap_give(&heaps[0], class, blocks, 30);
    hak_heap_decay(&heaps[0]);
    ck_assert_uint_eq(depot->count, 30);
    ck_assert_int_eq(memcmp(depot->blocks, blocks, 30 * sizeof *blocks), 0);
    hak_heap_decay(&heaps[0]);
    ck_assert_uint_eq(depot->count, 0);
}
END_TEST

/* What the budget has no room for goes into slabs. */
START_TEST(test_depot_budget)
{
    void *blocks[400];
    unsigned class = hak_class_of(1024);
    size_t budget = 100 << 10;
    setup();
    if (HAK_MINIMAL)
        return;
    hak_store(&hak_knobs[HAK_KNOB_depot_budget], budget);
    for (unsigned i = 0; i < 400; i++)
        ck_assert_uint_eq(hak_heap_get(&heaps[0], class, &blocks[i], 1), 1);
    for (unsigned i = 0; i < 400; i += 20) {
        hak_heap_give(&heaps[0], class, blocks + i, 20);
        NEED(heaps[0].budgeted == HAK_MIN((i + 20) * (size_t)1024, budget), "%zu bytes in depots",
             heaps[0].budgeted);
    }
}
END_TEST

/* A block that comes twice is noted where a depot can tell, and is not taken twice. */
START_TEST(test_depot_double_free)
{
    void *blocks[3];
    setup();
    for (unsigned size = 0; size < SIZES; size++) {
        unsigned class = class_at(size), count = sizes[size] > HAK_DEPOT_SHARING_MAX ? 3 : 1;
        const struct hak_depot *depot = &heaps[0].depots[class];
        for (unsigned i = 0; i < count; i++) /* one by one, as the heap may hand out fewer than it was asked for */
            ck_assert_uint_eq(hak_heap_get(&heaps[0], class, &blocks[i], 1), 1);
        hak_heap_give(&heaps[0], class, blocks, count);
        NEED(misuses() == 0 && depot->count == count, "size %zu: %u in the depot", sizes[size], depot->count);
        hak_heap_give(&heaps[0], class, blocks, 1);
        NEED(misuses() == 1 && depot->count == count, "size %zu: taken twice", sizes[size]);
        hak_heap_drain(&heaps[0]);
        hak_heap_give(&heaps[0], class, blocks, 1); /* into a depot that knows nothing; the slab is gone */
        hak_heap_drain(&heaps[0]);
        NEED(misuses() == 1, "size %zu: taken though the slab is gone", sizes[size]);
    }
}
END_TEST

/* A remote batch reaches each class's depot in the order in which it came. */
START_TEST(test_batch_keeps_order)
{
    void *blocks[HAK_RECEIVE_MAX], *expected[SIZES][HAK_RECEIVE_MAX];
    unsigned counts[SIZES] = {0}, count = 0;
    setup();
    for (; count < HAK_RECEIVE_MAX; count++) {
        unsigned size = (unsigned)draw(4);
        ck_assert_uint_eq(hak_heap_get(&heaps[0], class_at(size), &blocks[count], 1), 1);
        expected[size][counts[size]++] = blocks[count];
    }
    ck_assert_uint_eq(hak_heap_receive(&heaps[0], blocks, count), 0);
    for (unsigned size = 0; size < SIZES; size++) {
        const struct hak_depot *depot = &heaps[0].depots[class_at(size)];
        NEED(depot->count == counts[size], "size %zu: %u in the depot, not %u", sizes[size], depot->count,
             counts[size]);
        NEED(!depot->count || memcmp(depot->blocks, expected[size], depot->count * sizeof *blocks) == 0,
             "size %zu: in another order", sizes[size]);
    }
    ck_assert_uint_eq(heaps[0].remote_frees, HAK_RECEIVE_MAX);
}
END_TEST

int main(void)
{
    seed = suite_seed();
    Suite *suite = suite_create("heap");
    TCase *slabs = suite_case(suite, "slabs", 120);
    tcase_add_test(slabs, test_slab);
    tcase_add_test(slabs, test_slab_order);
    TCase *depots = suite_case(suite, "depots and batches", 120);
    tcase_add_test(depots, test_random_use);
    tcase_add_test(depots, test_depot_is_a_stack);
    tcase_add_test(depots, test_depot_decay);
    tcase_add_test(depots, test_depot_budget);
    tcase_add_test(depots, test_depot_double_free);
    tcase_add_test(depots, test_batch_keeps_order);
    return suite_run(suite);
}
