/* SPDX-License-Identifier: MIT */
/*
 * report.c - with on_misuse=report each misuse is one line on standard error, the call does nothing, and the program
 * goes on: what it allocates afterwards is intact, and no block is handed out twice.
 */
#include "misuse.h"

/* Blocks of this size, all live at once: distinct, and each keeps its contents. */
static int still_works(size_t size)
{
    static unsigned char *blocks[3000];
    size_t count = size > 100000 ? 20 : TEST_COUNT(blocks);
    for (size_t i = 0; i < count; i++) {
        if (!(blocks[i] = hakmem_malloc(size)))
            return 0;
        pattern_fill(blocks[i], size, i);
    }
    for (size_t i = 0; i < count; i++)
        if (pattern_check(blocks[i], size, i) != SIZE_MAX)
            return 0;
    for (size_t i = 0; i < count; i++)
        hakmem_free(blocks[i]);
    hakmem_malloc_trim(0);
    return 1;
}

/* Runs the act with standard error in a pipe; it must say this one line and nothing else. */
static void reported(const char *name, void (*act)(size_t), size_t size)
{
    int ends[2], saved = dup(STDERR_FILENO), works;
    char said[2048];
    ssize_t length = 0;
    if (!expected)
        expected = mmap(NULL, sizeof(*expected), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(expected, 0, sizeof(*expected));
    if (pipe(ends) || dup2(ends[1], STDERR_FILENO) < 0) {
        tap_ok(0, "%s: pipe", name);
        return;
    }
    act(size);
    works = still_works(size ? size : 1);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    length = read(ends[0], said, sizeof(said) - 1);
    said[length > 0 ? length : 0] = '\0';
    close(ends[0]);
    if (length > 0 && said[length - 1] == '\n')
        said[length - 1] = '\0';
    misuse_strip(said, getpid(), "HAKMEM_TUNE=on_misuse=abort ");
    int right = !strcmp(said, expected->lines[0]) || (expected->lines[1][0] && !strcmp(said, expected->lines[1]));
    if (!tap_ok(right && works, "%s, %zu bytes", name, size)) {
        tap_note("expected: %s", expected->lines[0]);
        tap_note("%s: %s", works ? "said" : "memory is damaged, and", said);
    }
}

static void double_free(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block);
    expect_double_free(block);
    hakmem_free(block);
    hakmem_free(again);
}

static void *free_it(void *block)
{
    hakmem_free(block);
    return NULL;
}

static void *free_it_twice(void *block)
{
    hakmem_free(block);
    hakmem_free(launder(block));
    return NULL;
}

/* Without a depot it is found when the second comes to the slab, before anybody else has got the block. */
static void double_free_by_thread(size_t size)
{
    void *block = hakmem_malloc(size);
    expect_double_free(block);
    or_expect("hakmem: double free of %p", block);
    hakmem_tune_set("depot_budget", 0);
    in_thread(free_it_twice, block);
    hakmem_malloc_trim(0);
    hakmem_tune_parse("preset=default,on_misuse=report", NULL, NULL);
}

static void inside(size_t size)
{
    char *block = hakmem_malloc(size);
    expect("hakmem: free of %p, which is not the start of a block (inside a block of %zu bytes at %p)",
           (void *)(block + 16), hakmem_malloc_usable_size(block), (void *)block);
    hakmem_free(launder(block + 16));
    hakmem_malloc_trim(0);
    hakmem_free(block);
}

static void inside_by_thread(size_t size)
{
    char *block = hakmem_malloc(size);
    expect("hakmem: free of %p, which is not the start of a block (inside a block of %zu bytes at %p)",
           (void *)(block + 16), hakmem_malloc_usable_size(block), (void *)block);
    in_thread(free_it, launder(block + 16));
    hakmem_malloc_trim(0);
    hakmem_free(block);
}

/* So many that magazines change places and are refilled with them in between. */
static void insides(size_t size)
{
    char *block = hakmem_malloc(size);
    hakmem_free(launder(block + 16));
    expect("hakmem: free of %p, which is not the start of a block (inside a block of %zu bytes at %p)",
           (void *)(block + 16), hakmem_malloc_usable_size(block), (void *)block);
    for (int i = 0; i < 1000; i++)
        hakmem_free(hakmem_malloc(size));
    still_works(size);
    hakmem_free(block);
}

static void foreign(size_t size)
{
    static char here[64];
    (void)size;
    expect("hakmem: free of %p, which libhakmem did not allocate", (void *)here);
    hakmem_free(launder(here));
}

static void realloc_of_inside(size_t size)
{
    char *block = hakmem_malloc(size);
    expect("hakmem: realloc of %p, which is not the start of a block (inside a block of %zu bytes at %p)",
           (void *)(block + 16), hakmem_malloc_usable_size(block), (void *)block);
    errno = 0;
    if (hakmem_realloc(launder(block + 16), 2 * size) || errno != EINVAL)
        expect("realloc of a bad pointer to fail with EINVAL");
    hakmem_free(block);
}

static void wrong_size(size_t size)
{
    void *block = hakmem_malloc(size);
    expect("hakmem: free_sized of %p with size %zu, but the block has %zu bytes", block, 3 * size,
           hakmem_malloc_usable_size(block));
    hakmem_free_sized(launder(block), 3 * size);
    hakmem_free(block);
}

static void usable_size_of_inside(size_t size)
{
    char *block = hakmem_malloc(size);
    expect("hakmem: malloc_usable_size of %p, which is not the start of a block (inside a block of %zu bytes at %p)",
           (void *)(block + 16), hakmem_malloc_usable_size(block), (void *)block);
    if (hakmem_malloc_usable_size(launder(block + 16)) != 0)
        expect("a bad pointer to have no usable bytes");
    hakmem_free(block);
}

#define reported_each(name, act, ...) run_each(reported, name, act, __VA_ARGS__)

int main(void)
{
    tap_watchdog(60);
    if (hakmem_tune_set("on_misuse", 1) != HAKMEM_TUNE_OK) {
        tap_skip("on_misuse=report", "the knobs of this build are constants");
        return tap_end();
    }
    reported_each("double free", double_free, MISUSE_SMALL);
    reported_each("double free", double_free, {5000000});
    reported_each("double free by another thread", double_free_by_thread, {48, 1000, 32768});
    reported_each("a pointer into a block", inside, {48, 1000, 32768, 300000, 5000000});
    reported_each("a pointer into a block, by another thread", inside_by_thread, {48, 1000, 32768, 300000, 5000000});
    reported_each("a pointer into a block in the magazine", insides, {48, 1000, 5000});
    reported_each("a foreign pointer", foreign, {48});
    reported_each("realloc of a pointer into a block", realloc_of_inside, {48, 1000, 32768, 300000, 5000000});
    reported_each("a wrong size", wrong_size, {48, 1000, 32768, 300000, 5000000});
    reported_each("the usable size of a pointer into a block", usable_size_of_inside, {48, 1000, 300000, 5000000});
    return tap_end();
}
