/* SPDX-License-Identifier: MIT */
/*
 * refused_start.c - what libc does for a thread's first call is refused: the thread works all the same, leaves nothing
 * behind, and has all it needs as soon as it can be had.  Linked with the core library, whose calls of
 * pthread_setspecific and pthread_atfork end here.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "hakmem.h"
#include "tap.h"

#include "heap/registry.h"
#include "stats/verify.h"

#if TEST_SANITIZER
int main(void)
{
    /* Its run-time library calls these functions itself, early. */
    static const char text[] = "1..0 # SKIP a sanitizer needs them\n";
    tap_write(text, sizeof(text) - 1);
    return 0;
}
#else
static atomic_int refuse_specific, specifics, refuse_atfork, atforks, problems;

int pthread_setspecific(pthread_key_t key, const void *value)
{
    int (*real)(pthread_key_t, const void *) = dlsym(RTLD_NEXT, "pthread_setspecific");
    atomic_fetch_add(&specifics, 1);
    return atomic_load(&refuse_specific) ? ENOMEM : real(key, value);
}

/* Nothing forks here. */
int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    (void)prepare, (void)parent, (void)child;
    atomic_fetch_add(&atforks, 1);
    return atomic_load(&refuse_atfork) ? ENOMEM : 0;
}

static void use(void)
{
    for (size_t size = 1; size < 3000000; size += 1 + size / 4) {
        unsigned char *block = hakmem_malloc(size);
        if (!block) {
            atomic_fetch_add(&problems, 1);
            continue;
        }
        pattern_fill(block, size, size);
        if (pattern_check(block, size, size) != SIZE_MAX)
            atomic_fetch_add(&problems, 1);
        hakmem_free(block);
    }
}

static unsigned threads_while_refused, threads_after;

static void *poor_thread(void *unused)
{
    use();
    threads_while_refused = hak_registry_threads();
    atomic_store(&refuse_specific, 0);
    use();
    threads_after = hak_registry_threads();
    return unused;
}

static void *thread(void *unused)
{
    use();
    return unused;
}

static void in_thread(void *(*function)(void *))
{
    pthread_t id;
    if (pthread_create(&id, NULL, function, NULL) == 0)
        pthread_join(id, NULL);
    else
        atomic_fetch_add(&problems, 1);
}

static void without_cache(void)
{
    unsigned before = hak_registry_threads();
    atomic_store(&refuse_specific, 1);
    in_thread(poor_thread);
    tap_ok(threads_while_refused == before, "no cache that nobody would take back: %u threads have one, %u before",
           threads_while_refused, before);
    tap_ok(threads_after == before + 1, "one as soon as it can be had: %u threads have one", threads_after);
    tap_ok(hak_registry_threads() == before, "and none when it is gone: %u threads have one", hak_registry_threads());
    hak_verify();
}

/* The library's constructor has attached this thread, before main. */
static void refuse_first(int argc, char **argv, char **environment)
{
    (void)argc, (void)argv, (void)environment;
    atomic_store(&refuse_atfork, 1);
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit)(int, char **, char **) = refuse_first;

int main(void)
{
    tap_watchdog(30);
    use();
    tap_ok(atomic_load(&atforks) == 1, "the first thread was refused its handlers for fork: %d calls",
           atomic_load(&atforks));
    atomic_store(&refuse_atfork, 0);
    in_thread(thread);
    in_thread(thread);
    tap_ok(atomic_load(&atforks) == 2, "the second thread has installed them: %d calls", atomic_load(&atforks));
    without_cache();
    tap_ok(atomic_load(&problems) == 0, "%d problems with blocks", atomic_load(&problems));
    return tap_end();
}
#endif
