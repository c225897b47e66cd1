/* SPDX-License-Identifier: MIT */
/*
 * helper.c - who makes the passes of purge.h, and when.  Owns the helper thread and the state below, which orders
 * everybody by itself.  Calls purge.h, registry.h and os.h.
 *
 * The helper is started by the first free that finds HELP_FROM bytes free, so that a program that never frees much has
 * the threads that it made and no others.  It blocks all signals.  It makes HAK_PURGE_PASSES passes in a purge_delay;
 * when a few of them found nothing it sleeps, until much more is free than was then.  With the last thread of the
 * program that has a cache it leaves, so that it never keeps a process alive.  Of a thread that ended unseen
 * (registry.c)
 * it is not told; but that matters only when the main thread has ended, as else the process ends with it, and from then
 * on the helper looks for such threads every now and then.
 *
 * Memory that is used again soon after it was given back costs page faults, for nothing.  When that happens, the passes
 * become rarer, and only slowly as frequent as before.
 *
 * pthread_create() takes locks of libc's, and libc frees memory while it holds them.  So only a free that was not
 * called by libc itself starts the thread.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>

#include "process/init.h"
#include "os/os.h"
#include "heap/registry.h"
#include "purge/purge.h"
#include "knobs/knobs.h"

#define HELP_FROM ((size_t)16 << 20)  /* bytes that are free: from here on a thread is worth its while */
#define FRUITLESS_MAX 8u              /* rounds that gave nothing back: it goes to sleep */
#define NAP_FROM ((size_t)4 << 20)    /* with as many bytes free it sleeps for a time only, */
#define NAP_MS 8000u                  /* first so long, then longer, */
#define NAP_MS_MAX 64000u             /* and never longer than that */
#define PATIENCE_MAX 2u              /* passes may become rarer by this factor */
#define CALM_PASSES 16u               /* passes without a loss, after which they become more frequent */
#define LOSS_MIN ((size_t)1 << 20)    /* bytes */
#define CALLS_PER_LOOK 64u            /* calls of threads that free, of which one looks whether it is time */
#define UNFIT_CALLS_MAX 1000u          /* calls that could not start it, one after the other */
#define STACK_SIZE ((size_t)256 << 10)
#define LOOK_MS 500u                  /* without a main thread: it looks so often whether others ended unseen */

enum {
    NONE,     /* there is none */
    STARTING, /* a thread is about to make it */
    AWAKE,    /* it makes passes */
    ASLEEP,   /* it waits for hak_purge_due */
    LOOK,     /* it is to look whether it is still wanted */
    REFUSED,  /* there cannot be one, and those that free make the passes */
};
static _Atomic uint32_t state;
static _Atomic uint32_t pid;        /* of this process; the child of a vfork has another, and this memory */
static _Atomic uint32_t main_left;  /* the main thread has ended, and the process goes on */
static _Atomic unsigned unfit_calls;
static _Atomic unsigned calls;      /* of threads that free: how many there were, */
static _Atomic uint64_t last_pass;  /* of threads that free: when, in milliseconds */
static _Atomic unsigned fruitless;  /* and how many in a row gave nothing back */

/* ---- the time between passes ---- */

/* In milliseconds. */
static unsigned period(void)
{
    return ((unsigned)hak_knob_value(purge_delay) + HAK_PURGE_PASSES - 1) / HAK_PURGE_PASSES;
}

struct pace {
    size_t recent; /* bytes given back, the last pass counting fully, the one before half, ... */
    size_t missed; /* hak_super_counts.missed at the last pass */
    unsigned patience, calm;
};

static void adapt(struct pace *pace, size_t given)
{
    size_t missed = hak_super_count().missed, loss = missed - pace->missed;
    pace->missed = missed;
    if (loss >= LOSS_MIN && loss >= pace->recent / 4) {
        pace->patience = HAK_MIN(pace->patience * 2, PATIENCE_MAX);
        pace->calm = 0;
    } else if (++pace->calm == CALM_PASSES) {
        pace->patience = HAK_MAX(pace->patience / 2, 1);
        pace->calm = 0;
    }
    pace->recent = pace->recent / 2 + given;
}

/* ---- the thread ---- */

static bool alone(void)
{
    return hak_registry_threads() == 0;
}

/* Of the helper: nobody is left for whom to work. */
static bool deserted(void)
{
    if (hak_load(&main_left))
        hak_registry_reclaim();
    return alone();
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
        /* From here on a free wakes it up; what was freed before is in the level, or hak_purge_due is set. */
        size_t level = hak_purge_settle(HAK_PURGE_SLACK);
        unsigned most = level < NAP_FROM ? 0 : nap;
        bool due = hak_load(&hak_purge_due);
        if (!due && !deserted())
            hak_os_wait_for(&state, ASLEEP, hak_load(&main_left) ? LOOK_MS : most);
        if (atomic_exchange(&state, AWAKE) != ASLEEP || due || deserted() || hak_purge_pass(&round))
            return;
        nap = HAK_MIN(nap * 2, NAP_MS_MAX);
    }
}

static void *help(void *argument)
{
    struct pace pace = {.missed = hak_super_count().missed, .patience = 1};
    bool round;
    (void)argument;
    hak_os_name_thread("hakmem-purge");
    hak_purge_settle(SIZE_MAX);
    for (unsigned nothing = 0; !deserted() && hak_knob_value(purge_thread);) {
        hak_os_wait_for(&state, AWAKE, period() * pace.patience);
        if (atomic_exchange(&state, AWAKE) == LOOK)
            continue;
        size_t given = hak_purge_pass(&round);
        adapt(&pace, given);
        nothing = given ? 0 : nothing + round;
        if (nothing < FRUITLESS_MAX)
            continue;
        sleep_until_due();
        nothing = 0;
        hak_purge_settle(SIZE_MAX);
    }
    hak_store(&hak_purge_in_background, 0);
    hak_store_release(&state, NONE);
    hak_store(&hak_purge_due, 1); /* the next call sees what is free, which may be more than ever again */
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
    hak_store(&hak_purge_in_background, 1);
    hak_store(&state, AWAKE); /* as the helper will find it */
    if (create() == 0) {
        hak_store(&unfit_calls, 0);
        return;
    }
    hak_store(&hak_purge_in_background, 0);
    hak_store(&state, REFUSED);
}

/* ---- those that free ---- */

static void make_pass(void)
{
    /* Asking for the time is a system call.  A count that is lost between two threads does not matter. */
    unsigned call = hak_load(&calls);
    hak_store(&calls, call + 1);
    if (call % CALLS_PER_LOOK)
        return;
    uint64_t last = hak_load(&last_pass), now = hak_os_milliseconds();
    bool round;
    if (now - last < period() || !atomic_compare_exchange_strong(&last_pass, &last, now))
        return;
    hak_store(&fruitless, hak_purge_pass(&round) ? 0 : hak_load(&fruitless) + round);
    /* Until then hak_purge_due stays set: what is free may never be more than it is now. */
    if (hak_load(&fruitless) >= FRUITLESS_MAX) {
        hak_store(&fruitless, 0);
        hak_purge_settle(HAK_PURGE_SLACK);
    }
}

static void refuse(void)
{
    uint32_t none = NONE;
    atomic_compare_exchange_strong(&state, &none, REFUSED);
}

static void consider_start(const void *caller)
{
    if (hak_purge_settle(HAK_PURGE_SLACK) < HELP_FROM)
        return;
    if (!hak_knob_value(purge_thread) || hak_os_address_limit() != SIZE_MAX || hak_os_libc_known() == HAK_OS_NEVER) {
        refuse();
        return;
    }
    bool may = hak_tls.state == HAK_THREAD_ATTACHED && hak_tls.fork == HAK_FORK_NONE && !hak_os_in_libc(caller) &&
               hak_os_pid() == hak_load(&pid);
    if (may)
        start();
    else if (hak_fetch_add(&unfit_calls, 1) < UNFIT_CALLS_MAX)
        hak_purge_settle(0); /* the next call may do */
    else
        refuse();
}

void hak_purge_tick(const void *caller)
{
    uint32_t asleep = ASLEEP;
    if (HAK_UNLIKELY(hak_load(&hak_super_excess)))
        hak_purge_excess();
    switch (hak_load(&state)) {
    case NONE:
        consider_start(caller);
        break;
    case REFUSED:
        make_pass();
        break;
    default:
        /* Either it is about to look at what is free, or it sleeps by now: then what was just cleared was meant for
         * it. */
        hak_store(&hak_purge_due, 0);
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_compare_exchange_strong(&state, &asleep, AWAKE))
            hak_os_wake(&state, 1);
        break;
    }
}

void hak_helper_look(void)
{
    uint32_t awake = AWAKE, asleep = ASLEEP, refused = REFUSED;
    if (atomic_compare_exchange_strong(&state, &asleep, LOOK) || atomic_compare_exchange_strong(&state, &awake, LOOK))
        hak_os_wake(&state, 1);
    else if (atomic_compare_exchange_strong(&state, &refused, NONE))
        hak_store(&hak_purge_due, 1);
}

void hak_helper_thread_left(bool main)
{
    if (main)
        hak_store(&main_left, 1);
    if (main || alone())
        hak_helper_look();
}

void hak_helper_in_process(void)
{
    hak_store(&pid, hak_os_pid());
}

void hak_helper_forked(void)
{
    hak_helper_in_process();
    hak_store(&main_left, 0);
    if (hak_load(&state) != REFUSED)
        hak_store(&state, NONE);
    hak_store(&hak_purge_in_background, 0);
    hak_purge_settle(0);
}
