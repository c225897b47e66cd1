/* SPDX-License-Identifier: MIT */
/*
 * thread.c - gives threads their caches and takes them back.  Owns each thread's state and the key whose destructor
 * runs when a thread exits.  Calls init.h, knobs.h, registry.h and purge.h.
 *
 * Destructors of other keys may run after ours and still allocate and free.  The thread then has no cache and must not
 * get one, as no destructor would take it back.  Its state is HAK_THREAD_EXITED, and the orphan heap serves it.
 */
#include "process/thread.h"

#include <pthread.h>

#include "process/init.h"
#include "heap/registry.h"
#include "pages/misuse.h"
#include "purge/purge.h"
#include "knobs/knobs.h"

#define FREES_WITHOUT_CACHE 64 /* how many blocks a thread frees before it gets a cache for that */

/* Written by the thread that starts the allocator; constant from HAK_READY on (init.h). */
static struct {
    pthread_key_t key; /* its value is the thread's cache; its destructor releases the cache */
    bool made;
} thread_exit;

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
    thread_exit.made = thread_exit.made || pthread_key_create(&thread_exit.key, thread_exits) == 0;
    return thread_exit.made;
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
    /* This call and hak_fork_start() may allocate, from the cache that the thread has by now. */
    if (pthread_setspecific(thread_exit.key, thread)) {
        /* No destructor would run at the thread's exit: it gets no cache until there is memory for that. */
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
        pthread_setspecific(thread_exit.key, NULL);
    }
    hak_fork_start(); /* the blocks allocated before are still freed with our locks */
}

struct hak_tcache *hak_thread_tcache_freeing(void)
{
    if (HAK_UNLIKELY(hak_tls.state == HAK_THREAD_NEW) && hak_tls.frees < FREES_WITHOUT_CACHE) {
        hak_tls.frees++;
        return NULL;
    }
    return hak_thread_tcache();
}
