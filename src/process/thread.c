/* SPDX-License-Identifier: MIT */
/*
 * thread.c - gives threads their caches and takes them back.  Owns the threads' variables (each its own) and the key
 * whose destructor tells of a thread's exit.  Calls init.h, knobs.h, registry.h and purge.h.
 *
 * Destructors of other keys may run after ours and still allocate and free.  By then the thread has no cache and
 * must not get one, which nobody would take back: it is EXITED, and the orphan heap serves it.
 */
#include "process/thread.h"

#include <pthread.h>

#include "process/init.h"
#include "heap/registry.h"
#include "pages/misuse.h"
#include "purge/purge.h"
#include "knobs/knobs.h"

#define FREES_WITHOUT_CACHE 64

static pthread_key_t thread_key;

static void thread_exits(void *cache)
{
    struct hak_tcache *thread = cache;
    bool is_main = thread->tid == thread->pid;
    hak_tls.state = HAK_THREAD_EXITED;
    hak_tls.delta = 0;
    hak_registry_release(thread);
    hak_helper_thread_left(is_main);
    hak_misuse_report();
}

bool hak_thread_start(void)
{
    static bool made;
    made = made || pthread_key_create(&thread_key, thread_exits) == 0;
    return made;
}

static struct hak_tcache *thread_attach(void)
{
    if (!hak_start() || hak_knob_value(force_libc))
        return NULL;
    struct hak_tcache *thread = hak_registry_acquire();
    if (!thread)
        return NULL;
    hak_tls.delta = (const char *)&thread->hot - (const char *)&hak_tcache_none;
    hak_tls.state = HAK_THREAD_ATTACHED;
    /* These two may allocate, from the cache that there is now. */
    if (pthread_setspecific(thread_key, thread)) {
        /* Nobody would tell of the thread's end: it stays without until there is memory for this, too. */
        hak_tls.state = HAK_THREAD_NEW;
        hak_tls.delta = 0;
        hak_registry_release(thread);
        return NULL;
    }
    hak_fork_start();
    return thread;
}

struct hak_tcache *hak_thread_tcache(void)
{
    if (HAK_LIKELY(hak_tls.state == HAK_THREAD_ATTACHED))
        return (struct hak_tcache *)hak_tcache_hot_self();
    return hak_tls.state == HAK_THREAD_EXITED ? NULL : thread_attach();
}

void hak_thread_leave(void)
{
    if (hak_tls.state == HAK_THREAD_ATTACHED) {
        void *thread = hak_tcache_hot_self();
        thread_exits(thread);
        pthread_setspecific(thread_key, NULL);
    }
    hak_fork_start(); /* what was allocated before is still freed under locks of ours */
}

struct hak_tcache *hak_thread_tcache_freeing(void)
{
    if (HAK_UNLIKELY(hak_tls.state == HAK_THREAD_NEW) && hak_tls.frees < FREES_WITHOUT_CACHE) {
        hak_tls.frees++;
        return NULL;
    }
    return hak_thread_tcache();
}
