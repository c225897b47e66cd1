/* SPDX-License-Identifier: MIT */
/*
 * check_runs.c - the free runs of the page heap by themselves, on a window that has no memory: no two users get the same
 * unit, neighbours always join, what is found is free and aligned, and ages are exact.  A shadow model knows the state
 * and the age of each unit.
 */

#include "pages/runs.h"
#include "suite.h"

#define CHUNKS 3u
#define UNITS ((size_t)CHUNKS * HAK_CHUNK_UNITS)
#define HOLE 1500u /* a superslab around this unit is somebody else's */

static struct hak_window window;
static struct hak_chunk *chunks;
static struct hak_runs runs;

static struct {
    enum { ABSENT, USED, CLEAN, DIRTY } state;
    uint32_t epoch;
} shadow[UNITS];

static struct {
    size_t unit, units;
} used[UNITS];
static size_t used_count;

static uint64_t seed, state;

static size_t draw(size_t below)
{
    return (size_t)(test_random(&state) % below);
}

static struct hak_place place_at(size_t unit)
{
    return (struct hak_place){&window, unit};
}

static void add(size_t unit, size_t units, enum hak_run_kind kind, bool was_used)
{
    hak_runs_add(&runs, place_at(unit), units, kind, was_used);
    for (size_t i = unit; i < unit + units; i++) {
        shadow[i].state = kind == HAK_RUN_DIRTY ? DIRTY : CLEAN;
        shadow[i].epoch = was_used ? runs.epoch : 0;
    }
}

static void setup(void)
{
    chunks = aligned_alloc(128, CHUNKS * sizeof *chunks);
    window.map = calloc(UNITS, sizeof *window.map);
    window.chunks = calloc(CHUNKS, sizeof *window.chunks);
    ck_assert(chunks && window.map && window.chunks);
    memset(chunks, 0, CHUNKS * sizeof *chunks);
    window.base = (uintptr_t)1 << 40;
    window.units = UNITS;
    window.supers = UNITS / HAK_SUPER_UNITS;
    runs.epoch = HAK_EPOCH_FIRST;
    for (size_t i = 0; i < UNITS; i++) {
        struct hak_chunk *chunk = &chunks[i / HAK_CHUNK_UNITS];
        struct hak_slab *slab = &chunk->slabs[i % HAK_CHUNK_UNITS];
        struct hak_super *super = &chunk->supers[i % HAK_CHUNK_UNITS / HAK_SUPER_UNITS];
        window.chunks[i / HAK_CHUNK_UNITS] = chunk;
        slab->super = super;
        slab->base = (char *)window.base + i * HAK_UNIT;
        if (i % HAK_SUPER_UNITS == 0)
            *super = (struct hak_super){
                .base = slab->base, .slabs = slab, .window = &window, .mapped = i / HAK_SUPER_UNITS != HOLE / HAK_SUPER_UNITS};
    }
    for (size_t i = 0; i < UNITS; i += HAK_SUPER_UNITS)
        if (chunks[i / HAK_CHUNK_UNITS].supers[i % HAK_CHUNK_UNITS / HAK_SUPER_UNITS].mapped)
            add(i, HAK_SUPER_UNITS, HAK_RUN_CLEAN, false);
}

/* The runs' own account, and each superslab's masks, against the shadow. */
static void check(void)
{
    size_t free, dirty, shadow_free = 0, shadow_dirty = 0;
    hak_runs_verify(&runs, &free, &dirty);
    for (size_t i = 0; i < UNITS; i++) {
        const struct hak_super *super = hak_super_at(place_at(i));
        unsigned bit = i % HAK_SUPER_UNITS;
        bool is_free = shadow[i].state == CLEAN || shadow[i].state == DIRTY;
        NEED((super->free >> bit & 1) == is_free, "unit %zu", i);
        NEED(!is_free || (super->dirty >> bit & 1) == (shadow[i].state == DIRTY), "unit %zu", i);
        NEED(!is_free || super->epoch[bit] == shadow[i].epoch, "unit %zu", i);
        shadow_free += is_free;
        shadow_dirty += shadow[i].state == DIRTY;
    }
    NEED(free == shadow_free && dirty == shadow_dirty, "%zu free, %zu dirty; not %zu, %zu", free, dirty, shadow_free,
         shadow_dirty);
}

/* Takes what a search finds.  False if it finds nothing. */
static bool take(size_t units, size_t align)
{
    struct hak_place place;
    struct hak_slab *run;
    if (!hak_runs_find(&runs, units, align, &place, &run))
        return false;
    NEED((window.base / HAK_UNIT + place.unit) % align == 0, "unit %zu is not aligned to %zu", place.unit, align);
    hak_runs_take(&runs, run, place, units);
    for (size_t i = place.unit; i < place.unit + units; i++) {
        NEED(shadow[i].state == CLEAN || shadow[i].state == DIRTY, "unit %zu is given out twice", i);
        shadow[i].state = USED;
    }
    used[used_count].unit = place.unit;
    used[used_count++].units = units;
    return true;
}

static void give(size_t index)
{
    add(used[index].unit, used[index].units, draw(8) ? HAK_RUN_DIRTY : HAK_RUN_CLEAN, true);
    used[index] = used[--used_count];
}

static size_t random_units(void)
{
    static const size_t most[] = {1, 3, 8, 40, 200, 700};
    return 1 + draw(most[draw(TEST_COUNT(most))]);
}

/* What a pass finds is as old as it asks for, and it finds all of it. */
static void pass(unsigned age)
{
    struct hak_slab *run;
    hak_runs_pass(&runs);
    while ((run = hak_runs_oldest(&runs, age))) {
        size_t begin = hak_unit_index(run), end = begin + run->run.length, stays = begin;
        hak_runs_take(&runs, run, place_at(begin), end - begin);
        for (size_t i = begin; i < end; i++) {
            NEED(shadow[i].state == DIRTY, "unit %zu is in a dirty run", i);
            if (runs.epoch - shadow[i].epoch < age)
                continue;
            hak_runs_put_back(&runs, place_at(stays), i - stays);
            shadow[i].state = USED;
            stays = i + 1;
        }
        hak_runs_put_back(&runs, place_at(stays), end - stays);
    }
    for (size_t i = 0; i < UNITS; i++) {
        NEED(shadow[i].state != DIRTY || runs.epoch - shadow[i].epoch < age, "unit %zu is old and was not found", i);
        if (shadow[i].state != USED)
            continue;
        bool held = false;
        for (size_t j = 0; j < used_count && !held; j++)
            held = i - used[j].unit < used[j].units;
        if (!held)
            add(i, 1, HAK_RUN_CLEAN, true);
    }
}

START_TEST(test_random_use)
{
    state = test_state(seed);
    setup();
    for (unsigned step = 0; step < 20000; step++) {
        unsigned what = (unsigned)draw(100);
        if (what < 50 && used_count < 400)
            take(random_units(), (size_t)1 << (draw(4) ? 0 : draw(8)));
        else if (used_count)
            give(draw(used_count));
        if (step % 500 == 0)
            pass(1 + (unsigned)draw(HAK_AGE_DUE));
        if (step % 100 == 0)
            check();
    }
    while (used_count)
        give(used_count - 1);
    check();
}
END_TEST

/* Freed neighbours serve what none of them could alone, and the whole space is one run in the end. */
START_TEST(test_neighbours_join)
{
    setup();
    while (take(3, 1))
        ;
    while (used_count)
        add(used[--used_count].unit, 3, HAK_RUN_DIRTY, true);
    check();
    ck_assert(take(UNITS / 2, 1));
    check();
}
END_TEST

/* Memory that is there goes before clean units, however well these fit. */
START_TEST(test_dirty_first)
{
    struct hak_place place;
    struct hak_slab *run;
    setup();
    ck_assert(take(500, 1));
    size_t unit = used[0].unit;
    add(unit, 500, HAK_RUN_DIRTY, true);
    ck_assert(hak_runs_find(&runs, 20, 1, &place, &run));
    NEED(place.unit == unit, "unit %zu instead of %zu", place.unit, unit);
    /* Across the border to clean ones as well. */
    ck_assert(hak_runs_find(&runs, 600, 1, &place, &run));
    NEED(place.unit <= unit && unit < place.unit + 600, "unit %zu", place.unit);
}
END_TEST

int main(void)
{
    seed = suite_seed();
    Suite *suite = suite_create("runs");
    TCase *tcase = suite_case(suite, "free runs", 120);
    tcase_add_test(tcase, test_random_use);
    tcase_add_test(tcase, test_neighbours_join);
    tcase_add_test(tcase, test_dirty_first);
    return suite_run(suite);
}
