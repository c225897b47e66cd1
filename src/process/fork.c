/* SPDX-License-Identifier: MIT */
/*
 * fork.c - makes the allocator usable in the child of a process with several threads.  Owns the order in which all
 * locks are taken, by rank.  Calls lock.h and registry.h, and corrects the counts of limit.h and os.h.
 *
 * The child has one thread.  The parent's other threads hold no lock at the fork, but each may be in the middle of a
 * hot path.  Their magazines and outboxes are written such that at every instant each block in them is free and nowhere
 * else (tcache.h).  So the first thread of the child that takes such a cache over can empty it.
 *
 * A process with one thread takes no lock: fork() may be called by a signal handler that has interrupted the holder of
 * one.  Parent and child both go on with what was interrupted when the handler returns.  In a process with several
 * threads, signals are blocked while the locks are held.
 */
#include <pthread.h>
#include <signal.h>

#include "process/init.h"
#include "process/thread.h"
#include "pages/large.h"
#include "pages/limit.h"
#include "pages/meta.h"
#include "os/os.h"
#include "heap/registry.h"
#include "purge/pressure.h"
#include "purge/purge.h"
#include "pages/stock.h"
#include "pages/superslab.h"

/* Unchecked by clang, as are the handlers below: the analysis can follow neither a loop over locks nor a call through a
 * pointer.  The locks are taken before the fork and released after it, in other functions. */
static void fork_for_each_lock(void (*act)(struct hak_lock *))
{
    act(&hak_pressure_lock);
    act(&hak_purge_lock);
    act(&hak_registry_lock);
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        act(&hak_heap_numbered(number)->lock);
    for (unsigned i = 0; i < HAK_STOCKS; i++)
        act(&hak_stocks[i].lock);
    act(&hak_super_lock);
    act(&hak_huge_lock);
    act(&hak_window_lock);
    act(&hak_meta_lock);
}

static void fork_take(struct hak_lock *lock) HAK_ACQUIRES(*lock)
{
    hak_lock(lock);
}

static void fork_release(struct hak_lock *lock) HAK_RELEASES(*lock)
{
    hak_unlock(lock);
}

/* glibc's fork takes the lock of the list of open streams after the handlers have run.  A thread that holds that lock
 * may wait for one of ours, so the list's lock has to be taken first.  glibc does so with its own malloc. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void _IO_list_resetlock(void) __attribute__((weak));

static struct {
    /* The forking thread's signal mask before the fork.  Written with all locks held; the child reads its copy. */
    sigset_t mask;
    _Atomic uint32_t registered; /* the handlers are, or are being, registered; any thread may set it */
} fork_state;

static void fork_before(void)
{
    sigset_t all, mask;
    if (HAK_SINGLE_THREADED || hak_tls.fork != HAK_FORK_NONE)
        return;
    hak_thread_tcache(); /* so that no cache is made while all locks are held */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    if (_IO_list_lock)
        _IO_list_lock();
    hak_tls.fork = HAK_FORK_TAKES;
    fork_for_each_lock(fork_take);
    hak_tls.fork = HAK_FORK_HOLDS;
    fork_state.mask = mask;
}

static void fork_in_parent(void)
{
    if (hak_tls.fork != HAK_FORK_HOLDS)
        return;
    sigset_t mask = fork_state.mask;
    hak_tls.fork = HAK_FORK_NONE;
    fork_for_each_lock(fork_release);
    if (_IO_list_unlock)
        _IO_list_unlock();
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

/* Counts anew what the child holds.  Memory that other threads had taken out of the tables and not yet unmapped stays
 * mapped, but nobody will use it, so it is not counted. */
static void fork_recount(void)
{
    struct hak_super_counts supers = hak_super_count();
    struct hak_huge_counts huge = hak_huge_count();
    size_t mapped = supers.mapped + huge.bytes + huge.cached + hak_load(&hak_meta_held);
    hak_store(&hak_os_counts.mapped, mapped + huge.stuck);
    hak_store(&hak_limit_held, mapped - supers.free + supers.free_dirty);
}

static void fork_in_child(void)
{
    struct hak_tcache *mine = hak_tcache_mine();
    if (hak_tls.fork != HAK_FORK_HOLDS) { /* no lock was taken: only the process and thread numbers have changed */
        hak_helper_in_process();
        hak_registry_in_process(mine);
        return;
    }
    hak_tls.fork = HAK_FORK_NONE;
    fork_for_each_lock(hak_lock_reset);
    if (_IO_list_resetlock)
        _IO_list_resetlock();
    hak_registry_orphan_all(mine);
    hak_helper_forked();
    hak_pressure_forked();
    fork_recount();
    pthread_sigmask(SIG_SETMASK, &fork_state.mask, NULL);
}

void hak_fork_start(void)
{
    if (HAK_LIKELY(hak_load(&fork_state.registered)) || atomic_exchange(&fork_state.registered, 1))
        return;
    /* Without memory for the handlers, the next thread that calls tries again. */
    if (pthread_atfork(fork_before, fork_in_parent, fork_in_child))
        hak_store(&fork_state.registered, 0);
}

static void fork_forget_lock(struct hak_lock *lock)
{
    atomic_store(&lock->state, 0);
}

void hak_fork_forget(void)
{
    fork_for_each_lock(fork_forget_lock);
}
