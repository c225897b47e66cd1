/* SPDX-License-Identifier: MIT */
/*
 * helper.c - who makes the passes of purge.h: the helper thread, or those that allocate and free.  Owns the thread and
 * the state below, which orders everybody by itself.  Calls purge.h, pace.h, registry.h and os.h.
 *
 * A program with one thread keeps one: it may believe so, and drop privileges, enter a sandbox or another namespace
 * for itself.  A program with several gets the helper by the first free that finds HELP_FROM bytes free, so that one
 * that never frees much has the threads that it made and no others.  The helper blocks all signals and is scheduled as
 * the process was at its start, whoever made it.  It makes HAK_PURGE_PASSES passes in a purge_delay; when a few of them
 * found nothing it sleeps, until much more is free than was then, or leaves if only one thread is left that has a
 * cache.
 *
 * When the main thread leaves by itself, the helper leaves before that and for good.  Else it could be the process's
 * last thread, and the C library would run the program's exit handlers in it.
 *
 * pthread_create() takes locks of libc's, and libc frees memory while it holds them.  So only a free that was not
 * called by libc itself starts the thread.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>

#include "os/os.h"
#include "heap/registry.h"
#include "purge/pace.h"
#include "purge/purge.h"
#include "knobs/knobs.h"

#define HELP_FROM ((size_t)16 << 20)  /* bytes that are free: from here on a thread is worth its while */
#define NAP_MS 8000u                  /* with HAK_FEW bytes free it sleeps so long at first, then longer, */
#define NAP_MS_MAX 64000u             /* and never longer than that */
#define UNFIT_CALLS_MAX 1000u         /* calls that could not start it, one after the other */
#define STACK_SIZE ((size_t)256 << 10)
#define END_NAPS 1000u                /* milliseconds that the main thread waits for the end of one that has left */

enum {
    NONE,     /* there is none */
    STARTING, /* a thread is about to make it */
    AWAKE,    /* it makes passes */
    ASLEEP,   /* it waits for hak_trigger.due */
    LOOK,     /* it is to look whether it is still wanted */
    REFUSED,  /* there cannot be one, and those that allocate and free make the passes */
};
static _Atomic uint32_t state;
static _Atomic uint32_t pid;       /* of this process; the child of a vfork has another, and this memory */
static _Atomic uint32_t tid;       /* of the helper that there was last, UNKNOWN before it has told; 0 if none was */
static _Atomic uint32_t main_left; /* the main thread has ended, and the process goes on */
static _Atomic unsigned unfit_calls;

#define UNKNOWN UINT32_MAX

/* The C library does not notice when a program's other threads have ended. */
static bool one_thread(void)
{
    return HAK_SINGLE_THREADED || hak_registry_threads() <= 1;
}

/* ---- the thread ---- */

static bool unwanted(void)
{
    return hak_load(&main_left) || hak_registry_threads() == 0 || !hak_knob_value(purge_thread);
}

/* Returns when much has been freed, or the helper may not be wanted any more. */
static void sleep_until_due(void)
{
    unsigned nap = NAP_MS;
    bool round;
    for (;;) {
        uint32_t awake = AWAKE;
        if (!atomic_compare_exchange_strong(&state, &awake, ASLEEP))
            return;
        /* From here on a free wakes it up; what was freed before is in the level, or hak_trigger.due is set. */
        size_t level = hak_purge_rearm(HAK_PURGE_SLACK);
        bool due = hak_load(&hak_trigger.due);
        if (!due && !one_thread() && !unwanted())
            hak_os_wait_for(&state, ASLEEP, level < HAK_FEW ? 0 : nap);
        if (atomic_exchange(&state, AWAKE) != ASLEEP || due || one_thread() || unwanted() || hak_purge_pass(&round))
            return;
        nap = HAK_MIN(nap * 2, NAP_MS_MAX);
    }
}

static void *help(void *argument)
{
    struct hak_pace pace = hak_pace_start();
    bool round;
    (void)argument;
    atomic_store(&tid, hak_os_tid());
    hak_os_thread_as_at_start();
    hak_os_name_thread("hakmem-purge");
    hak_purge_rearm(SIZE_MAX);
    while (!unwanted()) {
        hak_os_wait_for(&state, AWAKE, hak_pace_period(&pace));
        if (atomic_exchange(&state, AWAKE) == LOOK)
            continue;
        size_t given = hak_purge_pass(&round);
        hak_pace_adapt(&pace, given, round);
        if (pace.fruitless < HAK_FRUITLESS_MAX)
            continue;
        if (one_thread())
            break;
        sleep_until_due();
        pace.fruitless = 0;
        hak_purge_rearm(SIZE_MAX);
    }
    atomic_store(&state, NONE);
    hak_store(&hak_trigger.due, HAK_PURGE_GROWN); /* the next call sees what is free, which may be more than ever again */
    return NULL;
}

/* With a stack of the size, or of the usual size if that is 0.  An error number. */
static int create_with(size_t stack_size)
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
        error = pthread_create(&thread, &attributes, help, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

static int create(void)
{
    sigset_t all, before;
    int saved = errno;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    /* Too small a stack where libraries have much thread-local storage: then the usual size. */
    int error = create_with(STACK_SIZE);
    if (error == EINVAL)
        error = create_with(0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return error;
}

static void start(void)
{
    uint32_t none = NONE;
    if (!atomic_compare_exchange_strong(&state, &none, STARTING))
        return;
    /* A main thread that leaves waits for the state to change, and sees what is stored before. */
    bool started = !atomic_load(&main_left);
    if (started) {
        atomic_store(&tid, UNKNOWN);
        atomic_store(&state, AWAKE); /* as the helper will find it */
        started = create() == 0;
    }
    if (started) {
        hak_store(&unfit_calls, 0);
        return;
    }
    atomic_store(&tid, 0);
    atomic_store(&state, REFUSED);
}

/* ---- those that allocate and free ---- */

static void refuse(void)
{
    uint32_t none = NONE;
    if (atomic_compare_exchange_strong(&state, &none, REFUSED))
        hak_store(&hak_trigger.due, HAK_PURGE_GROWN);
}

static void consider_start(const void *caller)
{
    if (hak_purge_rearm(HAK_PURGE_SLACK) < HELP_FROM)
        return;
    if (!hak_knob_value(purge_thread) || hak_load(&main_left) || hak_os_address_limit() != SIZE_MAX ||
        hak_os_libc_known() == HAK_OS_NEVER) {
        refuse();
        return;
    }
    bool may = hak_tls.state == HAK_THREAD_ATTACHED && hak_tls.fork == HAK_FORK_NONE && !hak_os_in_libc(caller) &&
               hak_os_pid() == hak_load(&pid);
    if (may)
        start();
    else if (hak_fetch_add(&unfit_calls, 1) < UNFIT_CALLS_MAX)
        hak_purge_rearm(0); /* the next call may do */
    else
        refuse();
}

void hak_purge_tick(const void *caller)
{
    uint32_t asleep = ASLEEP;
    if (HAK_UNLIKELY(hak_load(&hak_trigger.excess)))
        hak_purge_excess();
    switch (hak_load(&state)) {
    case NONE:
        if (one_thread())
            hak_caller_tick(true);
        else
            consider_start(caller);
        break;
    case REFUSED:
        hak_caller_tick(true);
        break;
    default:
        /* Either it is about to look at what is free, or it sleeps by now: then what was just cleared was meant for
         * it. */
        hak_store(&hak_trigger.due, HAK_PURGE_NONE);
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_compare_exchange_strong(&state, &asleep, AWAKE))
            hak_os_wake(&state, 1);
        break;
    }
}

void hak_purge_tick_alloc(void)
{
    uint32_t now = hak_load(&state);
    if (now == REFUSED || (now == NONE && one_thread()))
        hak_caller_tick(false);
}

void hak_helper_look(void)
{
    uint32_t awake = AWAKE, asleep = ASLEEP, refused = REFUSED;
    if (atomic_compare_exchange_strong(&state, &asleep, LOOK) || atomic_compare_exchange_strong(&state, &awake, LOOK))
        hak_os_wake(&state, 1);
    else if (atomic_compare_exchange_strong(&state, &refused, NONE))
        hak_store(&hak_trigger.due, HAK_PURGE_GROWN);
}

/* Of the main thread: returns when there is no helper any more, and never will be. */
static void dismiss_for_good(void)
{
    atomic_store(&main_left, 1);
    for (uint32_t now; (now = atomic_load(&state)) != NONE && now != REFUSED; hak_os_nap())
        hak_helper_look();
    /* The C library counts it as a thread until it has ended, which is a moment later.  The number may be another
     * thread's since: so no longer than it takes. */
    for (unsigned naps = END_NAPS; naps > 0; naps--) {
        uint32_t number = atomic_load(&tid);
        if (number == 0 || (number != UNKNOWN && hak_os_tid_is_gone(hak_load(&pid), number)))
            break;
        hak_os_nap();
    }
    hak_store(&hak_trigger.due, HAK_PURGE_GROWN);
}

void hak_helper_thread_left(bool is_main)
{
    uint32_t asleep = ASLEEP;
    if (is_main)
        dismiss_for_good();
    else if (hak_registry_threads() == 0)
        hak_helper_look();
    else if (hak_registry_threads() == 1 && atomic_compare_exchange_strong(&state, &asleep, LOOK))
        hak_os_wake(&state, 1);
}

void hak_helper_in_process(void)
{
    hak_store(&pid, hak_os_pid());
    hak_os_note_thread();
}

void hak_helper_forked(void)
{
    hak_helper_in_process();
    hak_store(&main_left, 0);
    hak_store(&tid, 0);
    if (hak_load(&state) != REFUSED)
        hak_store(&state, NONE);
    hak_caller_forked();
    hak_purge_rearm(0);
}
