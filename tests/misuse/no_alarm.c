/* SPDX-License-Identifier: MIT */
/*
 * no_alarm.c - correct programs that look like misuse: the same address freed again and again after it was handed
 * out again, by the same thread and by others, as a block of one size and of another.  Nobody may be accused.
 */

#include "misuse.h"

#include <stdatomic.h>

/* Exit status 0 and no word on standard error: nothing is expected, so this is judged apart from misuse_run(). */
static void innocent_run(const char *name, void (*act)(size_t), size_t argument)
{
    int pipe_ends[2], status;
    char said[256] = "";
    if (pipe(pipe_ends))
        return;
    pid_t child = fork();
    if (child == 0) {
        dup2(pipe_ends[1], STDERR_FILENO);
        close(pipe_ends[0]);
        close(pipe_ends[1]);
        act(argument);
        hakmem_malloc_trim(0);
        _exit(0);
    }
    close(pipe_ends[1]);
    ssize_t got = read(pipe_ends[0], said, sizeof(said) - 1);
    close(pipe_ends[0]);
    waitpid(child, &status, 0);
    if (!tap_ok(status == 0 && got == 0, "%s, %zu bytes", name, argument))
        tap_note("status %#x: %s", (unsigned)status, said);
}

#define innocent_each(name, act, ...) \
    do { \
        static const size_t sizes_[] = __VA_ARGS__; \
        for (size_t i_ = 0; i_ < TEST_COUNT(sizes_); i_++) \
            innocent_run((name), (act), sizes_[i_]); \
    } while (0)

#define ROUNDS (int)test_scale(3000)

static void same_address_again(size_t size)
{
    for (int i = 0; i < ROUNDS; i++) {
        void *block = hakmem_malloc(size), *other = hakmem_malloc(size);
        hakmem_free(block);
        hakmem_free(other);
        void *again = hakmem_malloc(size);
        hakmem_free(again);
        if (i % 64 == 0)
            hakmem_malloc_trim(0);
    }
}

static void other_sizes_at_the_address(size_t size)
{
    for (int i = 0; i < ROUNDS / 10; i++) {
        void *blocks[8];
        for (size_t k = 0; k < 8; k++)
            blocks[k] = hakmem_malloc(size + k * size / 3);
        for (size_t k = 0; k < 8; k++)
            hakmem_free(blocks[(k * 5 + (size_t)i) % 8]);
        hakmem_malloc_trim(0);
    }
}

static void *free_it(void *block)
{
    hakmem_free(block);
    return NULL;
}

static void freed_elsewhere_and_handed_out_again(size_t size)
{
    for (int i = 0; i < ROUNDS / 20; i++) {
        void *block = hakmem_malloc(size);
        in_thread(free_it, block);
        block = hakmem_malloc(size);
        hakmem_free(block);
    }
}

static void resized_in_place(size_t size)
{
    for (int i = 0; i < ROUNDS; i++) {
        void *block = hakmem_malloc(size);
        block = hakmem_realloc(block, size + 1 + (size_t)i % 64);
        block = hakmem_realloc(block, size);
        hakmem_free_sized(block, size);
    }
}

static void aligned(size_t size)
{
    for (size_t alignment = 16; alignment <= 8 * TEST_MIB; alignment *= 2)
        for (int i = 0; i < 20; i++) {
            void *block = hakmem_aligned_alloc(alignment, size), *next = hakmem_aligned_alloc(alignment, size);
            hakmem_free_aligned_sized(block, alignment, size);
            hakmem_free(next);
        }
}

static _Atomic(void *) shared[16];

static void *swap_blocks(void *argument)
{
    size_t size = *(size_t *)argument;
    for (int i = 0; i < ROUNDS * 10; i++)
        hakmem_free(atomic_exchange(&shared[i % 16], hakmem_malloc(size)));
    return NULL;
}

static void swapped_between_threads(size_t size)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, swap_blocks, &size))
            _exit(1);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 16; i++)
        hakmem_free(shared[i]);
}

static void contents_like_a_freed_block(size_t size)
{
    /* A block full of what an allocator might write into free ones, and of pointers to itself, is no free block. */
    for (int pattern = 0; pattern < 256; pattern += 5) {
        void **block = hakmem_malloc(size);
        memset(block, pattern, size);
        hakmem_free(block);
        block = hakmem_malloc(size);
        for (size_t i = 0; i < size / sizeof(*block); i++)
            block[i] = block;
        hakmem_free(block);
    }
}

int main(void)
{
    tap_watchdog(120);
    innocent_each("the same address again", same_address_again, MISUSE_SMALL);
    innocent_each("the same address again", same_address_again, {131073, 300000, 1048576, 1048577, 5000000});
    innocent_each("other sizes at the address", other_sizes_at_the_address, {16, 48, 1000, 5000, 32768, 100000, 300000});
    innocent_each("freed elsewhere", freed_elsewhere_and_handed_out_again, {16, 48, 1000, 5000, 300000, 5000000});
    innocent_each("resized in place", resized_in_place, {16, 48, 1000, 5000, 300000, 1048576, 5000000});
    innocent_each("aligned", aligned, {0, 48, 1000, 5000, 300000, 5000000});
    innocent_each("swapped between threads", swapped_between_threads, {16, 48, 1000, 5000, 100000, 300000, 1048577});
    innocent_each("contents", contents_like_a_freed_block, {16, 48, 1000, 5000, 100000, 300000, 1048577});
    return tap_end();
}
