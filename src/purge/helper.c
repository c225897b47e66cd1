/* SPDX-License-Identifier: MIT */
/*
 * helper.c - who makes the passes of purge.h: the helper, which is a thread, or calls that allocate and free.  Owns
 * the thread and its state, which is atomic: a thread that changes helper.state from one value to the next by
 * compare-and-exchange has the right to what follows.  Calls purge.h, trim.h, pace.h, trigger.h, registry.h and os.h.
 *
 * When there is a helper:
 *   - A program with one thread gets none.  It may rely on having one thread, and drop privileges, enter a sandbox or
 *     another namespace.
 *   - A program with several threads gets one by the first free that finds HELPER_FROM bytes free.  So a program that
 *     never frees much has no thread but its own.
 *   - The helper makes HAK_PURGE_PASSES passes in a purge_delay.  After a few that gave nothing back it sleeps until
 *     much more is free, or ends if only one thread with a cache is left.
 *   - When the main thread ends by pthread_exit(), the helper ends before it and never comes back.  Else the helper
 *     could be the process's last thread, and would run the program's exit handlers.
 *
 * The helper blocks all signals, and is scheduled as the process was at its start, whichever thread made it.
 *
 * pthread_create() takes locks of the C library, which also frees memory while it holds them.  So only a free that the
 * C library did not call starts the helper.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>

#include "heap/registry.h"
#include "knobs/knobs.h"
#include "os/os.h"
#include "pages/trigger.h"
#include "purge/pace.h"
#include "purge/purge.h"
#include "purge/trim.h"

#define HELPER_FROM ((size_t)16 << 20)       /* bytes free from which a helper is started */
#define HELPER_NAP_MS 8000u                  /* first nap with HAK_FEW bytes free; each is twice as long */
#define HELPER_NAP_MS_MAX 64000u             /* longest nap */
#define HELPER_UNFIT_MAX 1000u               /* calls in a row that may not start it, before calls make the passes */
#define HELPER_STACK ((size_t)256 << 10)     /* bytes */
#define HELPER_END_NAPS 1000u                /* milliseconds that the main thread waits for the helper's end */
#define HELPER_TID_UNKNOWN UINT32_MAX

enum helper_state {
    HELPER_NONE,     /* there is none */
    HELPER_STARTING, /* a thread is about to make it */
    HELPER_AWAKE,    /* it makes passes */
    HELPER_ASLEEP,   /* it waits for hak_trigger.due */
    HELPER_LOOK,     /* it is to look whether it is still wanted */
    HELPER_REFUSED,  /* there cannot be one: calls make the passes */
};

/* All members are atomic and need no lock. */
static struct {
    _Atomic uint32_t state;       /* enum helper_state; the helper waits on it */
    _Atomic uint32_t pid;         /* of this process; the child of a vfork has another pid and this memory */
    _Atomic uint32_t tid;         /* of the last helper, HELPER_TID_UNKNOWN until it has stored it, 0 if none was */
    _Atomic uint32_t main_left;   /* the main thread has ended, and the process goes on */
    _Atomic unsigned unfit_calls; /* in a row, that would have started it but for where they were called */
} helper;

static bool helper_change(uint32_t from, enum helper_state to)
{
    return atomic_compare_exchange_strong(&helper.state, &from, to);
}

/* The C library does not notice when a program's other threads have ended, the registry does. */
static bool helper_one_thread(void)
{
    return HAK_SINGLE_THREADED || hak_registry_threads() <= 1;
}

/* ---- the thread ---- */

static bool helper_unwanted(void)
{
    return hak_load(&helper.main_left) || hak_registry_threads() == 0 || !hak_knob_value(purge_thread);
}

/* Returns when much has been freed, or the helper may not be wanted any more. */
static void helper_sleep(void)
{
    unsigned nap = HELPER_NAP_MS;
    bool round;
    for (;;) {
        if (!helper_change(HELPER_AWAKE, HELPER_ASLEEP))
            return;
        /* From here on a free wakes the helper up.  What was freed before is counted here, or the trigger is due. */
        struct hak_idle idle = hak_purge_rearm(HAK_PURGE_SLACK);
        bool due = hak_load(&hak_trigger.due) != HAK_PURGE_NONE;
        if (!due && !helper_one_thread() && !helper_unwanted())
            hak_os_wait_for(&helper.state, HELPER_ASLEEP, hak_idle_total(&idle) < HAK_FEW ? 0 : nap);
        if (atomic_exchange(&helper.state, HELPER_AWAKE) != HELPER_ASLEEP || due || helper_one_thread() ||
            helper_unwanted() || hak_purge_pass(&round))
            return;
        nap = HAK_MIN(nap * 2, HELPER_NAP_MS_MAX);
    }
}

static void *helper_main(void *argument)
{
    struct hak_pace pace = hak_pace_start();
    bool round;
    (void)argument;
    atomic_store(&helper.tid, hak_os_tid());
    hak_os_thread_as_at_start();
    hak_os_name_thread("hakmem-purge");
    hak_purge_rearm(SIZE_MAX);
    while (!helper_unwanted()) {
        hak_os_wait_for(&helper.state, HELPER_AWAKE, hak_pace_period(&pace));
        if (atomic_exchange(&helper.state, HELPER_AWAKE) == HELPER_LOOK)
            continue;
        size_t given = hak_purge_pass(&round);
        hak_pace_adapt(&pace, given, round);
        if (pace.fruitless < HAK_FRUITLESS_MAX)
            continue;
        if (helper_one_thread())
            break;
        helper_sleep();
        pace.fruitless = 0;
        hak_purge_rearm(SIZE_MAX);
    }
    atomic_store(&helper.state, HELPER_NONE);
    /* What is free may never grow above a threshold again: the next call looks. */
    hak_store(&hak_trigger.due, HAK_PURGE_GROWN);
    return NULL;
}

/* With a stack of `stack_size` bytes, or of the usual size if that is 0.  Returns 0 or an error number. */
static int helper_create_with(size_t stack_size)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int error = pthread_attr_init(&attributes);
    if (error)
        return error;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (stack_size)
        error = pthread_attr_setstacksize(&attributes, stack_size);
    if (!error)
        error = pthread_create(&thread, &attributes, helper_main, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

static int helper_create(void)
{
    sigset_t all, before;
    int saved = errno;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    /* EINVAL: the stack is too small for the thread-local storage of the program's libraries. */
    int error = helper_create_with(HELPER_STACK);
    if (error == EINVAL)
        error = helper_create_with(0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return error;
}

static void helper_start(void)
{
    if (!helper_change(HELPER_NONE, HELPER_STARTING))
        return;
    /* The main thread stores main_left and then waits for the state to change: if it is not seen here, the main thread
     * sees what is stored here. */
    bool started = !atomic_load(&helper.main_left);
    if (started) {
        atomic_store(&helper.tid, HELPER_TID_UNKNOWN);
        atomic_store(&helper.state, HELPER_AWAKE); /* before the helper can look at it */
        started = helper_create() == 0;
    }
    if (started) {
        hak_store(&helper.unfit_calls, 0);
        return;
    }
    atomic_store(&helper.tid, 0);
    atomic_store(&helper.state, HELPER_REFUSED);
}

/* ---- calls that allocate and free ---- */

static void helper_refuse(void)
{
    if (helper_change(HELPER_NONE, HELPER_REFUSED))
        hak_store(&hak_trigger.due, HAK_PURGE_GROWN);
}

static bool helper_possible(void)
{
    return hak_knob_value(purge_thread) && !hak_load(&helper.main_left) && hak_os_address_limit() == SIZE_MAX &&
           hak_os_libc_known() != HAK_OS_NEVER;
}

/* Whether this call may make a thread; `caller` is where it returns to. */
static bool helper_call_fits(const void *caller)
{
    return hak_tls.state == HAK_THREAD_ATTACHED && hak_tls.fork == HAK_FORK_NONE && !hak_os_in_libc(caller) &&
           hak_os_pid() == hak_load(&helper.pid);
}

static void helper_start_if_due(const void *caller)
{
    struct hak_idle idle = hak_purge_rearm(HAK_PURGE_SLACK);
    if (hak_idle_total(&idle) < HELPER_FROM)
        return;
    if (!helper_possible())
        helper_refuse();
    else if (helper_call_fits(caller))
        helper_start();
    else if (hak_fetch_add(&helper.unfit_calls, 1) < HELPER_UNFIT_MAX)
        hak_purge_rearm(0); /* the next call may fit */
    else
        helper_refuse();
}

void hak_purge_tick(const void *caller)
{
    if (HAK_UNLIKELY(hak_load(&hak_trigger.excess)))
        hak_purge_excess();
    switch (hak_load(&helper.state)) {
    case HELPER_NONE:
        if (helper_one_thread())
            hak_caller_tick(true);
        else
            helper_start_if_due(caller);
        break;
    case HELPER_REFUSED:
        hak_caller_tick(true);
        break;
    default:
        /* The helper is about to count what is free, or sleeps by now.  If it sleeps, `due` was set to wake it up. */
        hak_store(&hak_trigger.due, HAK_PURGE_NONE);
        atomic_thread_fence(memory_order_seq_cst);
        if (helper_change(HELPER_ASLEEP, HELPER_AWAKE))
            hak_os_wake(&helper.state, 1);
        break;
    }
}

void hak_purge_tick_alloc(void)
{
    uint32_t state = hak_load(&helper.state);
    if (state == HELPER_REFUSED || (state == HELPER_NONE && helper_one_thread()))
        hak_caller_tick(false);
}

void hak_helper_look(void)
{
    if (helper_change(HELPER_ASLEEP, HELPER_LOOK) || helper_change(HELPER_AWAKE, HELPER_LOOK))
        hak_os_wake(&helper.state, 1);
    else if (helper_change(HELPER_REFUSED, HELPER_NONE))
        hak_store(&hak_trigger.due, HAK_PURGE_GROWN);
}

/* Called by the main thread, which ends: returns when there is no helper, and there will be none. */
static void helper_dismiss(void)
{
    atomic_store(&helper.main_left, 1);
    for (uint32_t state; (state = atomic_load(&helper.state)) != HELPER_NONE && state != HELPER_REFUSED; hak_os_nap())
        hak_helper_look();
    /* The C library counts the helper as a thread for a moment longer.  Another thread may have its number by then, so
     * the wait is bounded. */
    for (unsigned naps = HELPER_END_NAPS; naps > 0; naps--) {
        uint32_t tid = atomic_load(&helper.tid);
        if (tid == 0 || (tid != HELPER_TID_UNKNOWN && hak_os_tid_is_gone(hak_load(&helper.pid), tid)))
            break;
        hak_os_nap();
    }
    hak_store(&hak_trigger.due, HAK_PURGE_GROWN);
}

void hak_helper_thread_left(bool is_main)
{
    if (is_main)
        helper_dismiss();
    else if (hak_registry_threads() == 0)
        hak_helper_look();
    else if (hak_registry_threads() == 1 && helper_change(HELPER_ASLEEP, HELPER_LOOK))
        hak_os_wake(&helper.state, 1);
}

void hak_helper_in_process(void)
{
    hak_store(&helper.pid, hak_os_pid());
    hak_os_note_thread();
}

void hak_helper_forked(void)
{
    hak_helper_in_process();
    hak_store(&helper.main_left, 0);
    hak_store(&helper.tid, 0);
    if (hak_load(&helper.state) != HELPER_REFUSED)
        hak_store(&helper.state, HELPER_NONE);
    hak_caller_forked();
    hak_purge_rearm(0);
}
