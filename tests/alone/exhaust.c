/* SPDX-License-Identifier: MIT */
/*
 * exhaust.c - to be run under a limit on memory, the number of bytes given as its argument: all of it can be had, in
 * blocks of any size, again and again; then ENOMEM; then everything can be freed and used for other sizes.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "../tap.h"
#include "names.h"

struct link {
    struct link *next;
    size_t size;
};

/* Allocates blocks of `size` bytes until there is no more memory; they form a list. */
static struct link *exhaust(size_t size, size_t *total)
{
    struct link *first = NULL, *block;
    *total = 0;
    errno = 0;
    while ((block = malloc(size))) {
        if (size > sizeof(*block))
            ((unsigned char *)block)[size - 1] = 0x42;
        *block = (struct link){first, size};
        first = block;
        *total += size;
    }
    return first;
}

static int release(struct link *block)
{
    int good = 1;
    while (block) {
        struct link *next = block->next;
        good = good && (block->size <= sizeof(*block) || ((unsigned char *)block)[block->size - 1] == 0x42);
        free(block);
        block = next;
    }
    return good;
}

static void *in_thread(void *argument)
{
    size_t total;
    struct link *list = exhaust((size_t)(uintptr_t)argument, &total);
    release(list);
    return (void *)(uintptr_t)(total >> 20);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {16, 3000000, 1000, 200000, 48, 20000, 33000000, 5000, 1048576, 131072};
    size_t limit = argc > 1 ? strtoull(argv[1], NULL, 0) : 0, first[TEST_COUNT(sizes)];
    tap_watchdog(120);
    if (!limit)
        return 99;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < TEST_COUNT(sizes); i++) {
            size_t total, usable = sizes[i] > 16 ? limit * 5 / 8 : limit / 3;
            struct link *list = exhaust(sizes[i], &total);
            int error = errno, works = 1;
            /* Some are freed, and that many can be had again. */
            for (int k = 0; k < 3 && list && list->next; k++) {
                struct link *block = list;
                list = list->next;
                free(block);
                block = malloc(sizes[i]);
                works = works && block;
                if (block) {
                    if (sizes[i] > sizeof(*block))
                        ((unsigned char *)block)[sizes[i] - 1] = 0x42;
                    *block = (struct link){list, sizes[i]};
                    list = block;
                }
            }
            int intact = release(list);
            if (round == 0)
                first[i] = total;
            tap_ok(error == ENOMEM && intact && works, "blocks of %zu bytes: errno %d%s%s", sizes[i], error,
                   intact ? "" : ", contents changed", works ? "" : ", a freed block cannot be had again");
            tap_ok(total >= usable && total >= first[i] / 10 * 9, "round %d: %zu MiB in blocks of %zu bytes, first %zu",
                   round, total >> 20, sizes[i], first[i] >> 20);
        }
    pthread_t thread;
    void *megabytes = NULL;
    if (pthread_create(&thread, NULL, in_thread, (void *)(uintptr_t)100)) {
        tap_ok(0, "pthread_create after all is freed");
    } else {
        pthread_join(thread, &megabytes);
        tap_ok((size_t)(uintptr_t)megabytes >= limit >> 22, "%zu MiB in a thread", (size_t)(uintptr_t)megabytes);
    }
    return tap_end();
}
