/* SPDX-License-Identifier: MIT */
/*
 * thread.c - gives threads their heaps and takes them back.  Owns the threads' variables (each its own) and the key
 * whose destructor tells of a thread's exit.  Calls init.h and pool.h.
 *
 * Destructors of other keys may run after ours and still allocate and free.  By then the thread has no heap and must
 * not get one, which nobody would take back: it is EXITED, and the commons serves it.
 */
#include "thread.h"

#include <pthread.h>

#include "init.h"
#include "pool.h"

__thread struct hak_tls hak_tls __attribute__((tls_model("initial-exec")));

static pthread_key_t key;

static void thread_exits(void *heap)
{
    hak_tls.state = HAK_THREAD_EXITED;
    hak_tls.delta = 0;
    hak_heap_release(heap);
}

bool hak_thread_start(void)
{
    return pthread_key_create(&key, thread_exits) == 0;
}

static struct hak_heap *attach(void)
{
    if (!hak_start())
        return NULL;
    struct hak_heap *heap = hak_heap_acquire();
    if (!heap)
        return NULL;
    hak_tls.delta = (char *)&heap->cache - (char *)&hak_cache_none;
    hak_tls.state = HAK_THREAD_ATTACHED;
    /* These two may allocate, from the heap that there is now. */
    pthread_setspecific(key, heap);
    hak_fork_start();
    return heap;
}

struct hak_heap *hak_thread_heap(void)
{
    if (HAK_LIKELY(hak_tls.state == HAK_THREAD_ATTACHED))
        return (struct hak_heap *)hak_cache_self();
    return hak_tls.state == HAK_THREAD_EXITED ? NULL : attach();
}
