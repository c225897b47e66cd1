/* SPDX-License-Identifier: MIT */
/*
 * dlopen.c - libhakmem is loaded at run time, after libraries with static TLS and with threads already running; the
 * program keeps the malloc it had.  Arguments: the library, then those with static TLS.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>

#include "../tap.h"

static void *(*its_malloc)(size_t);
static void (*its_free)(void *);
static pthread_barrier_t barrier;
static int problems;

static void use(void)
{
    unsigned char *kept[100];
    for (size_t i = 0; i < 100; i++) {
        kept[i] = its_malloc(i * i * 30 + 1);
        if (kept[i])
            pattern_fill(kept[i], i * i * 30 + 1, i);
        else
            problems++;
        free(malloc(i * 10)); /* libc's, meanwhile */
    }
    for (size_t i = 0; i < 100; i++) {
        if (pattern_check(kept[i], i * i * 30 + 1, i) != SIZE_MAX)
            problems++;
        its_free(kept[i]);
    }
}

static void *earlier_thread(void *unused)
{
    pthread_barrier_wait(&barrier); /* main loads the library */
    pthread_barrier_wait(&barrier);
    if (its_malloc)
        use();
    return unused;
}

static void *later_thread(void *unused)
{
    use();
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    tap_watchdog(30);
    if (argc < 2)
        return 99;
    pthread_barrier_init(&barrier, NULL, 2);
    if (pthread_create(&thread, NULL, earlier_thread, NULL))
        return 99;
    for (int i = 2; i < argc; i++) {
        void *library = dlopen(argv[i], RTLD_NOW);
        int (*touch)(void) = NULL;
        if (library)
            *(void **)&touch = dlsym(library, "late_touch");
        tap_ok(touch && touch() == 1, "a library with static TLS");
    }
    pthread_barrier_wait(&barrier);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    if (library) {
        *(void **)&its_malloc = dlsym(library, "hakmem_malloc");
        *(void **)&its_free = dlsym(library, "hakmem_free");
    } else {
        tap_note("%s", dlerror());
    }
    pthread_barrier_wait(&barrier);
    if (!tap_ok(its_malloc && its_free, "dlopen and dlsym"))
        return tap_end();
    use();
    tap_ok(problems == 0, "in the thread that has loaded it");
    pthread_join(thread, NULL);
    tap_ok(problems == 0, "in a thread that was there before");
    if (pthread_create(&thread, NULL, later_thread, NULL))
        return 99;
    pthread_join(thread, NULL);
    tap_ok(problems == 0, "in a thread that came after");
    void *block = its_malloc(100);
    tap_ok(dlclose(library) == 0, "dlclose");
    its_free(block);
    block = its_malloc(1000);
    tap_ok(block != NULL, "it stays loaded, for its blocks and threads do");
    its_free(block);
    return tap_end();
}
