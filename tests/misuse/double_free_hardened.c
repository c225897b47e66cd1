/* SPDX-License-Identifier: MIT */
/*
 * double_free_hardened.c - free(a), free(b), free(a) under preset=hardened: found before a block is handed out twice,
 * whether the frees come from the thread that allocated or from another.
 */
#include "misuse.h"

static void frees_between(void *a, void *b)
{
    void *again = launder(a);
    expect_double_free(a);
    hakmem_free(a);
    hakmem_free(b);
    hakmem_free(again);
}

static void twice(size_t size)
{
    void *a = hakmem_malloc(size), *kept = hakmem_malloc(size), *b = hakmem_malloc(size);
    frees_between(a, b);
    void *first = hakmem_malloc(size), *second = hakmem_malloc(size), *third = hakmem_malloc(size);
    tap_note("%p %p %p, and %p lives", first, second, third, kept);
}

struct two {
    void *a, *b;
};

static void *frees(void *argument)
{
    const struct two *two = argument;
    frees_between(two->a, two->b);
    return NULL;
}

static void by_another_thread(size_t size)
{
    void *kept = hakmem_malloc(size);
    struct two two = {hakmem_malloc(size), hakmem_malloc(size)};
    in_thread(frees, &two);
    tap_note("%p lives", kept);
}

static void by_realloc(size_t size)
{
    void *a = hakmem_malloc(size), *kept = hakmem_malloc(size), *b = hakmem_malloc(size), *again = launder(a);
    expect_double_free(a);
    hakmem_free(a);
    (void)!hakmem_realloc(b, 0);
    hakmem_free(again);
    tap_note("%p lives", kept);
}

int main(void)
{
    tap_watchdog(60);
    if (hakmem_tune_parse("preset=hardened", NULL, NULL) != HAKMEM_TUNE_OK) {
        tap_skip("preset=hardened", "this build has no presets");
        return tap_end();
    }
    misuse_each("with one between", twice, MISUSE_SMALL);
    misuse_each("with one between, by another thread", by_another_thread, MISUSE_SMALL);
    misuse_each("with one between, by realloc", by_realloc, MISUSE_SMALL);
    return tap_end();
}
