/* SPDX-License-Identifier: MIT */
/*
 * check_random.c - three million random calls in one thread, three million in four that exchange their blocks, each
 * against a shadow model: what is live, where, how large, with which contents.
 *
 * The seed is printed; HAKMEM_TEST_SEED=SEED repeats a run (exactly, where one thread alone is at work).
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "suite.h"

#include "stats/verify.h"

#define OPERATIONS 3000000
#define SLOTS 12000 /* blocks of one thread at most */
#define VERIFY_EVERY 500000
#define THREADS 4
#define ROUNDS 10 /* of the threads; hak_verify() runs between rounds, when all stand still */
#define EXCHANGE 256

struct shadow {
    unsigned char *address;
    size_t asked;
    size_t size; /* with contents: all that is usable, if that is not much */
    size_t usable;
    size_t alignment;
    uint64_t seed;
};

struct player {
    struct shadow *slots;
    uint64_t random;
    size_t live;
    size_t target; /* the number of live blocks that the player drifts to */
    unsigned long operations;
    int number;
};

static uint64_t seed;

/* Mostly small, as programs are; now and then any size up to 4 MiB. */
static size_t random_size(struct player *player)
{
    uint64_t r = test_random(&player->random);
    unsigned kind = (unsigned)(r >> 56);
    r &= UINT64_C(0xffffffffffff);
    if (kind < 140)
        return r % 256;
    if (kind < 220)
        return r % 2048;
    if (kind < 248)
        return r % (34 * TEST_KIB);
    if (kind < 254)
        return r % (160 * TEST_KIB);
    if (r % 8)
        return r % (TEST_MIB + 5000);
    return r % (4 * TEST_MIB);
}

static void check_whole(const struct shadow *shadow)
{
    size_t bad = pattern_check(shadow->address, shadow->size, shadow->seed);
    NEED(bad == SIZE_MAX, "seed %" PRIu64 ": block %p of %zu bytes: byte %zu changed", seed, (void *)shadow->address,
         shadow->size, bad);
}

static void take_note(struct player *player, struct shadow *shadow, void *address, size_t size, size_t alignment)
{
    NEED(address, "seed %" PRIu64 ": no block of %zu bytes", seed, size);
    NEED((uintptr_t)address % alignment == 0, "seed %" PRIu64 ": %p is not aligned to %zu", seed, address, alignment);
    *shadow = (struct shadow){address, size, size, hakmem_malloc_usable_size(address), alignment,
                              test_random(&player->random)};
    NEED(shadow->usable >= size, "seed %" PRIu64 ": %zu usable bytes of %zu", seed, shadow->usable, size);
    /* Every byte that may be used is, so that blocks that overlap show. */
    if (shadow->usable <= PATTERN_FULL)
        shadow->size = shadow->usable;
    pattern_fill(shadow->address, shadow->size, shadow->seed);
}

static void allocate(struct player *player, struct shadow *shadow)
{
    size_t size = random_size(player), alignment = 16;
    void *address = NULL;
    switch (test_random(&player->random) >> 60) {
    case 0:
    case 1:
        address = hakmem_calloc(1, size);
        if (address)
            NEED(first_nonzero(address, size) == SIZE_MAX, "seed %" PRIu64 ": calloc of %zu bytes is not zero", seed,
                 size);
        break;
    case 2:
        alignment = (size_t)32 << test_random(&player->random) % 8;
        address = hakmem_aligned_alloc(alignment, size);
        break;
    case 3:
        alignment = (size_t)32 << test_random(&player->random) % (player->live % 64 ? 5 : 17);
        NEED(hakmem_posix_memalign(&address, alignment, size) == 0, "posix_memalign");
        break;
    case 4:
        address = hakmem_realloc(NULL, size);
        break;
    default:
        address = hakmem_malloc(size);
    }
    take_note(player, shadow, address, size, alignment);
    player->live++;
}

static void release(struct player *player, struct shadow *shadow)
{
    check_whole(shadow);
    NEED(hakmem_malloc_usable_size(shadow->address) == shadow->usable, "seed %" PRIu64 ": the usable size changed",
         seed);
    if (shadow->alignment == 16 && test_random(&player->random) % 4 == 0)
        hakmem_free_sized(shadow->address, shadow->asked);
    else
        hakmem_free(shadow->address);
    shadow->address = NULL;
    player->live--;
}

static void resize(struct player *player, struct shadow *shadow)
{
    size_t size = test_random(&player->random) % 4 ? shadow->size / 2 + random_size(player) % (shadow->size + 16)
                                                   : random_size(player);
    size += size == 0;
    check_whole(shadow);
    unsigned char *address = hakmem_realloc(shadow->address, size);
    NEED(address, "seed %" PRIu64 ": realloc to %zu bytes", seed, size);
    size_t least = size < shadow->size ? size : shadow->size;
    size_t bad = pattern_check_part(address, least, shadow->size, shadow->seed);
    NEED(bad == SIZE_MAX, "seed %" PRIu64 ": realloc from %zu to %zu lost byte %zu", seed, shadow->size, size, bad);
    take_note(player, shadow, address, size, 16);
}

static int by_address(const void *left, const void *right)
{
    const struct shadow *a = left, *b = right;
    return (a->address > b->address) - (a->address < b->address);
}

/* No two live blocks share a byte, of all players together. */
static void check_overlap(const struct player *players, size_t count)
{
    size_t live = 0;
    for (size_t i = 0; i < count; i++)
        live += players[i].live;
    struct shadow *all = malloc((live + 1) * sizeof(*all));
    size_t filled = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < SLOTS; k++)
            if (players[i].slots[k].address)
                all[filled++] = players[i].slots[k];
    NEED(filled == live, "the test lost count: %zu, %zu", filled, live);
    qsort(all, live, sizeof(*all), by_address);
    for (size_t i = 1; i < live; i++)
        NEED(all[i - 1].address + all[i - 1].usable <= all[i].address,
             "seed %" PRIu64 ": %p of %zu bytes overlaps %p of %zu", seed, (void *)all[i - 1].address,
             all[i - 1].usable, (void *)all[i].address, all[i].usable);
    free(all);
}

/* What was freed must not be counted and what is live must be: a counter that underflows shows here. */
static void check_counts(const struct player *players, size_t count)
{
#if HAK_STATS
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < SLOTS; k++)
            if (players[i].slots[k].address)
                bytes += players[i].slots[k].usable;
    struct mallinfo2 info = hakmem_mallinfo2();
    size_t reported = info.uordblks + info.hblkhd;
    NEED(reported + reported / 20 + TEST_MIB >= bytes && bytes + bytes / 20 + TEST_MIB >= reported,
         "seed %" PRIu64 ": %zu bytes are live, mallinfo2 says %zu", seed, bytes, reported);
#else
    (void)players;
    (void)count;
#endif
}

static void step(struct player *player)
{
    uint64_t r = test_random(&player->random);
    struct shadow *shadow = &player->slots[r % SLOTS];
    /* Waves: heaps fill up and empty again and again, so that slabs and spans come and go. */
    if (player->operations % 65536 == 0)
        player->target = (size_t)(test_random(&player->random) % SLOTS);
    player->operations++;
    if (!shadow->address) {
        if (player->live <= player->target || r >> 61 == 0)
            allocate(player, shadow);
    } else if (r >> 60 == 0) {
        resize(player, shadow);
    } else if (player->live > player->target || r >> 61 == 1) {
        release(player, shadow);
    } else {
        release(player, shadow);
        allocate(player, shadow);
    }
    if ((r >> 32) % 200000 == 0)
        hakmem_malloc_trim((r >> 50) % 3 * TEST_MIB);
}

static void start(struct player *player, int number)
{
    *player = (struct player){.random = test_state(seed + (uint64_t)number), .number = number};
    player->slots = calloc(SLOTS, sizeof(*player->slots));
    NEED(player->slots, "the test's own memory");
}

static void finish(struct player *player)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (player->slots[i].address)
            release(player, &player->slots[i]);
    NEED(player->live == 0, "the test lost count: %zu", player->live);
}

START_TEST(test_one_thread)
{
    struct player player;
    start(&player, 0);
    for (unsigned long operations = test_scale(OPERATIONS), i = 1; i <= operations; i++) {
        step(&player);
        if (i % VERIFY_EVERY == 0) {
            hak_verify();
            check_overlap(&player, 1);
            check_counts(&player, 1);
        }
    }
    finish(&player);
    hak_verify();
    check_counts(&player, 1);
    hakmem_malloc_trim(0);
    hak_verify();
    free(player.slots);
}
END_TEST

/* ---- Four threads ------------------------------------------------------------------------------------------- */

static struct player players[THREADS];
static pthread_barrier_t barrier;
/* A block in transit belongs to whoever takes its record out of here. */
static _Atomic(struct shadow *) exchange[EXCHANGE];

static void give_or_take(struct player *player)
{
    uint64_t r = test_random(&player->random);
    struct shadow *mine = &player->slots[(r >> 16) % SLOTS];
    struct shadow *record = NULL;
    if (mine->address) {
        record = malloc(sizeof(*record));
        NEED(record, "the test's own memory");
        *record = *mine;
        mine->address = NULL;
        player->live--;
    }
    struct shadow *got = atomic_exchange(&exchange[r % EXCHANGE], record);
    if (!got)
        return;
    if (mine->address == NULL) {
        *mine = *got;
        player->live++;
        free(got);
        if (r >> 62)
            release(player, mine);
    }
}

static void *play(void *argument)
{
    struct player *player = argument;
    unsigned long operations = test_scale(OPERATIONS) / THREADS / ROUNDS;
    for (int round = 0; round < ROUNDS; round++) {
        for (unsigned long i = 0; i < operations; i++) {
            if (i % 3 == 0)
                give_or_take(player);
            step(player);
        }
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

START_TEST(test_threads_that_exchange)
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        start(&players[i], i + 1);
        NEED(pthread_create(&threads[i], NULL, play, &players[i]) == 0, "pthread_create");
    }
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        hak_verify();
        check_overlap(players, THREADS);
        pthread_barrier_wait(&barrier);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    hak_verify();
    /* The threads are gone; their blocks are freed by one that has allocated none of them. */
    for (size_t i = 0; i < EXCHANGE; i++) {
        struct shadow *record = atomic_load(&exchange[i]);
        if (record) {
            check_whole(record);
            hakmem_free(record->address);
            free(record);
        }
    }
    check_counts(players, THREADS);
    for (int i = 0; i < THREADS; i++) {
        finish(&players[i]);
        free(players[i].slots);
    }
    hakmem_malloc_trim(0);
    hak_verify();
}
END_TEST

/* As before while a fifth thread trims all the time: what a purge takes must be free indeed. */
static atomic_int trimming;

static void *trim(void *unused)
{
    while (atomic_load(&trimming))
        hakmem_malloc_trim(0);
    return unused;
}

static void *play_short(void *argument)
{
    struct player *player = argument;
    for (unsigned long i = test_scale(OPERATIONS / 10) / THREADS; i; i--) {
        if (i % 3 == 0)
            give_or_take(player);
        step(player);
    }
    finish(player);
    return NULL;
}

START_TEST(test_threads_and_trim)
{
    pthread_t threads[THREADS], trimmer;
    atomic_store(&trimming, 1);
    NEED(pthread_create(&trimmer, NULL, trim, NULL) == 0, "pthread_create");
    for (int i = 0; i < THREADS; i++) {
        start(&players[i], i + 10);
        NEED(pthread_create(&threads[i], NULL, play_short, &players[i]) == 0, "pthread_create");
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&trimming, 0);
    pthread_join(trimmer, NULL);
    hak_verify();
}
END_TEST

int main(void)
{
    seed = suite_seed();
    Suite *suite = suite_create("random");
    TCase *tcase = suite_case(suite, "random", 300);
    tcase_add_test(tcase, test_one_thread);
    tcase_add_test(tcase, test_threads_that_exchange);
    tcase_add_test(tcase, test_threads_and_trim);
    return suite_run(suite);
}
