/* SPDX-License-Identifier: MIT */
/*
 * check_crossfree.c - every allocating call x every freeing or resizing call x every place to call it from x sizes.
 *
 * Three tables and one loop generate all cases: a call added to a table is tested against everything at once.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

#include "stats/verify.h"

/* Every kind of block: classes, spans, mappings, both sides of each border. */
static const size_t sizes[] = {0,     1,      16,     48,     129,     1000,    4096,    32768,
                               32769, 100000, 131072, 131073, 1048576, 2500000};

struct block {
    void *address;
    size_t size;
    size_t alignment;
};

/* ---- Allocating calls --------------------------------------------------------------------------------------- */

static void *by_malloc(size_t size) { return hakmem_malloc(size); }
static void *by_calloc(size_t size) { return hakmem_calloc(size, 1); }
static void *by_realloc(size_t size) { return hakmem_realloc(NULL, size); }
static void *by_reallocarray(size_t size) { return hakmem_reallocarray(NULL, 1, size); }
static void *by_growing(size_t size) { return hakmem_realloc(hakmem_malloc(size / 4 + 1), size + 1); }
static void *by_shrinking(size_t size) { return hakmem_realloc(hakmem_malloc(size * 3 + 1), size + 1); }
static void *by_aligned_alloc(size_t size) { return hakmem_aligned_alloc(64, size); }
static void *by_aligned_alloc_slab(size_t size) { return hakmem_aligned_alloc(64 * TEST_KIB, size); }
static void *by_memalign(size_t size) { return hakmem_memalign(1024, size); }
static void *by_valloc(size_t size) { return hakmem_valloc(size); }
static void *by_pvalloc(size_t size) { return hakmem_pvalloc(size); }

static void *by_posix_memalign(size_t size)
{
    void *block = NULL;
    return hakmem_posix_memalign(&block, 256, size) ? NULL : block;
}

static void *by_posix_memalign_superslab(size_t size)
{
    void *block = NULL;
    return hakmem_posix_memalign(&block, 2 * TEST_MIB, size) ? NULL : block;
}

enum { PLAIN = 16 };

static const struct allocating {
    const char *name;
    void *(*call)(size_t);
    size_t alignment;
    size_t extra; /* bytes beyond the size that the call asks for */
} allocating[] = {
    {"malloc", by_malloc, PLAIN, 0},
    {"calloc", by_calloc, PLAIN, 0},
    {"realloc of NULL", by_realloc, PLAIN, 0},
    {"reallocarray of NULL", by_reallocarray, PLAIN, 0},
    {"growing realloc", by_growing, PLAIN, 1},
    {"shrinking realloc", by_shrinking, PLAIN, 1},
    {"aligned_alloc", by_aligned_alloc, 64, 0},
    {"aligned_alloc by 64 KiB", by_aligned_alloc_slab, 64 * TEST_KIB, 0},
    {"memalign", by_memalign, 1024, 0},
    {"valloc", by_valloc, 4096, 0},
    {"pvalloc", by_pvalloc, 4096, 0},
    {"posix_memalign", by_posix_memalign, 256, 0},
    {"posix_memalign by 2 MiB", by_posix_memalign_superslab, 2 * TEST_MIB, 0},
};

/* ---- Freeing and resizing calls ----------------------------------------------------------------------------- */

static const char *failure; /* the first thing that went wrong, for the process that asserts */

static void must(int good, const char *what)
{
    if (!good && !failure)
        failure = what;
}

static void resize(const struct block *block, size_t size, int array)
{
    size_t least = size < block->size ? size : block->size;
    void *moved = array ? hakmem_reallocarray(block->address, size, 1) : hakmem_realloc(block->address, size);
    must(moved != NULL, "realloc returned NULL");
    if (!moved)
        return;
    must(pattern_check_part(moved, least, block->size, block->size) == SIZE_MAX, "realloc lost contents");
    must(hakmem_malloc_usable_size(moved) >= size, "realloc gave too small a block");
    pattern_fill(moved, size, 5);
    hakmem_free(moved);
}

static void do_free(const struct block *block) { hakmem_free(block->address); }
static void do_cfree(const struct block *block) { hakmem_cfree(block->address); }
static void do_grow(const struct block *block) { resize(block, block->size + block->size / 8 + 1, 0); }
static void do_double(const struct block *block) { resize(block, block->size * 2 + 100, 0); }
static void do_shrink(const struct block *block) { resize(block, block->size / 8 + 1, 0); }
static void do_same(const struct block *block) { resize(block, block->size ? block->size : 1, 0); }
static void do_reallocarray(const struct block *block) { resize(block, block->size + 5000, 1); }

static void do_realloc_zero(const struct block *block)
{
    must(hakmem_realloc(block->address, 0) == NULL, "realloc(p, 0) returned a block");
}

static void do_usable_size(const struct block *block)
{
    size_t usable = hakmem_malloc_usable_size(block->address);
    must(usable >= block->size, "usable size");
    memset(block->address, 0x77, usable);
    hakmem_free(block->address);
}

/* C23 defines each sized free for some blocks only; the others go to free. */
static void do_free_sized(const struct block *block)
{
    if (block->alignment == PLAIN)
        hakmem_free_sized(block->address, block->size);
    else
        hakmem_free_aligned_sized(block->address, block->alignment, block->size);
}

static const struct freeing {
    const char *name;
    void (*call)(const struct block *);
} freeing[] = {
    {"free", do_free},
    {"cfree", do_cfree},
    {"free_sized or free_aligned_sized", do_free_sized},
    {"realloc to 0", do_realloc_zero},
    {"realloc to an eighth more", do_grow},
    {"realloc to twice as much", do_double},
    {"realloc to an eighth", do_shrink},
    {"realloc to the same", do_same},
    {"reallocarray", do_reallocarray},
    {"malloc_usable_size", do_usable_size},
};

/* ---- Where from --------------------------------------------------------------------------------------------- */

/* Several blocks of each size: a magazine or a batch of one block hides much. */
enum { EACH = 3, BLOCKS = EACH * TEST_COUNT(sizes) };

/* The size of the block number `i`.  One of each large size is enough; touching them is what takes time. */
static size_t size_of(size_t i)
{
    size_t size = sizes[i / EACH];
    return size > 128 * TEST_KIB && i % EACH ? 1000 * (i % EACH) : size;
}

struct work {
    const struct allocating *allocating;
    const struct freeing *freeing;
    struct block blocks[BLOCKS];
};

static struct work work;

static void allocate_all(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        struct block *block = &work.blocks[i];
        size_t size = size_of(i);
        errno = 0;
        block->address = work.allocating->call(size);
        block->size = size + work.allocating->extra;
        block->alignment = work.allocating->alignment;
        must(block->address != NULL, "the allocating call returned NULL");
        must((uintptr_t)block->address % block->alignment == 0, "the block is not aligned");
        if (block->address)
            pattern_fill(block->address, block->size, block->size);
    }
}

static void free_all(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        struct block *block = &work.blocks[i];
        if (!block->address)
            continue;
        must(pattern_check(block->address, block->size, block->size) == SIZE_MAX, "a block has lost its contents");
        errno = 0;
        work.freeing->call(block);
        must(errno == 0, "the freeing call set errno");
    }
}

static void *allocating_thread(void *unused)
{
    allocate_all();
    return unused;
}

static void *freeing_thread(void *unused)
{
    free_all();
    return unused;
}

/* A thread with a heap of its own, which it goes on using after it has freed the others' blocks. */
static void *busy_thread(void *unused)
{
    void *own[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        own[i] = hakmem_malloc(size_of(i));
        pattern_fill(own[i], size_of(i), i);
    }
    free_all();
    for (size_t i = 0; i < BLOCKS; i++) {
        must(pattern_check(own[i], size_of(i), i) == SIZE_MAX, "a block of the freeing thread changed");
        hakmem_free(own[i]);
    }
    return unused;
}

static void in_thread(void *(*function)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, NULL))
        must(0, "pthread_create failed");
    else
        pthread_join(thread, NULL);
}

static void from_same_thread(void)
{
    allocate_all();
    free_all();
}

static void from_another_thread(void)
{
    allocate_all();
    in_thread(busy_thread);
}

static void from_a_new_thread(void)
{
    allocate_all();
    in_thread(freeing_thread);
}

static void from_after_the_owner(void)
{
    in_thread(allocating_thread);
    free_all();
}

static void from_thread_after_the_owner(void)
{
    in_thread(allocating_thread);
    in_thread(freeing_thread);
}

/* What the child of a fork or an atexit function found out reaches the parent as an exit status. */
static void reap(pid_t child)
{
    int status;
    must(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0,
         "the child process failed");
}

static void from_fork_child(void)
{
    allocate_all();
    pid_t child = fork();
    if (child == 0) {
        free_all();
        allocate_all();
        free_all();
        hak_verify();
        if (failure)
            fprintf(stderr, "in the child: %s\n", failure);
        _exit(failure != NULL);
    }
    reap(child);
    free_all();
}

/* The owner's thread is not in the child at all. */
static void from_fork_child_without_owner(void)
{
    in_thread(allocating_thread);
    pid_t child = fork();
    if (child == 0) {
        free_all();
        hak_verify();
        _exit(failure != NULL);
    }
    reap(child);
    in_thread(freeing_thread);
}

static void at_exit(void)
{
    free_all();
    hak_verify();
    _exit(failure != NULL);
}

static void from_atexit(void)
{
    pid_t child = fork();
    if (child == 0) {
        if (atexit(at_exit))
            _exit(1);
        allocate_all();
        exit(1);
    }
    reap(child);
}

static const struct place {
    const char *name;
    void (*run)(void);
} places[] = {
    {"the same thread", from_same_thread},
    {"another thread", from_another_thread},
    {"a thread that never allocated", from_a_new_thread},
    {"main after the owner exited", from_after_the_owner},
    {"a new thread after the owner exited", from_thread_after_the_owner},
    {"the child of a fork", from_fork_child},
    {"the child of a fork, the owner having exited", from_fork_child_without_owner},
    {"atexit", from_atexit},
};

/* One test per place and allocating call; what fails is named in full. */
START_TEST(test_crossing)
{
    const struct place *place = &places[(size_t)_i / TEST_COUNT(allocating)];
    work.allocating = &allocating[(size_t)_i % TEST_COUNT(allocating)];
    for (size_t f = 0; f < TEST_COUNT(freeing); f++) {
        work.freeing = &freeing[f];
        place->run();
        NEED(!failure, "%s, then %s in %s: %s", work.allocating->name, work.freeing->name, place->name, failure);
        hak_verify();
    }
    /* All of it once more: now the caches are warm with what the first round has left. */
    for (size_t f = 0; f < TEST_COUNT(freeing) && !TEST_SANITIZER; f++) {
        work.freeing = &freeing[TEST_COUNT(freeing) - 1 - f];
        place->run();
        NEED(!failure, "%s, then %s in %s, again: %s", work.allocating->name, work.freeing->name, place->name, failure);
    }
    hakmem_malloc_trim(0);
    hak_verify();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crossfree");
    TCase *tcase = suite_case(suite, "crossing", 30);
    tcase_add_loop_test(tcase, test_crossing, 0, (int)(TEST_COUNT(places) * TEST_COUNT(allocating)));
    return suite_run(suite);
}
