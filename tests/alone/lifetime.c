/* SPDX-License-Identifier: MIT */
/*
 * lifetime.c - the whole life of a process: free(NULL) as its very first call, use before and in constructors, in
 * main, in atexit functions and in destructors, each freeing what an earlier stage has allocated.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#include "../tap.h"
#include "lifetime.h"
#include "names.h"

#define STAGES 12
#define EACH 64

static unsigned char *kept[STAGES][EACH];
static int stage;

static size_t size_of(int i)
{
    return i < 48 ? (size_t)i * i * 7 + 1 : (size_t)1 << (i - 48 + 7);
}

/* Leaves EACH blocks behind and frees every second block of all stages before. */
void lifetime_stage(const char *name)
{
    int good = stage < STAGES;
    errno = 0;
    for (int i = 0; good && i < EACH; i++) {
        unsigned char *block = i % 3 ? malloc(size_of(i)) : calloc(1, size_of(i));
        if (i % 5 == 0)
            block = realloc(block, size_of(i));
        good = block && (uintptr_t)block % 16 == 0;
        if (good)
            pattern_fill(block, size_of(i), (uint64_t)i);
        kept[stage][i] = block;
    }
    for (int s = 0; good && s < stage; s++)
        for (int i = (s + stage) % 2; i < EACH; i += 2)
            if (kept[s][i]) {
                good = good && pattern_check(kept[s][i], size_of(i), (uint64_t)i) == SIZE_MAX;
                free(kept[s][i]);
                kept[s][i] = NULL;
            }
    stage++;
    tap_ok(good && errno == 0, "%s", name);
}

static void very_first(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    (void)environment;
    free(NULL);
    tap_ok(1, "free(NULL) as the very first call");
    lifetime_stage("before all constructors");
}

/* Run by the dynamic loader, or by a static program's start, before anything else of this program or its libraries. */
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(int, char **, char **) = very_first;

__attribute__((constructor(101))) static void first_constructor(void)
{
    lifetime_stage("the program's first constructor");
}

__attribute__((constructor)) static void constructor(void)
{
    lifetime_stage("the program's constructor");
}

__attribute__((destructor)) static void destructor(void)
{
    lifetime_stage("the program's destructor");
}

/* Destructors of the program run before those of its libraries; lifetime_library.c has the last. */
int lifetime_end(void)
{
    int good = 1;
    for (int s = 0; s < stage && s < STAGES; s++)
        for (int i = 0; i < EACH; i++)
            if (kept[s][i]) {
                good = good && pattern_check(kept[s][i], size_of(i), (uint64_t)i) == SIZE_MAX;
                free(kept[s][i]);
            }
    tap_ok(good, "what was left over");
    return tap_end();
}

static void at_exit(void) { lifetime_stage("atexit"); }

static void *thread(void *unused)
{
    lifetime_stage("a thread");
    return unused;
}

int main(void)
{
    pthread_t id;
    tap_watchdog(30);
    lifetime_register(lifetime_stage, lifetime_end);
    lifetime_stage("main");
    atexit(at_exit);
    if (pthread_create(&id, NULL, thread, NULL) == 0)
        pthread_join(id, NULL);
    setenv("HAKMEM_TEST_VARIABLE", "some value that is copied", 1);
    return 0;
}
