/* SPDX-License-Identifier: MIT */
/*
 * delay.c - the delays of delay.h.  Owns the seed, and in hak_tls each thread's own numbers.  Calls nothing but the
 * kernel.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/delay.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/tls.h"

#define YIELDS 64u        /* of so many points one lets others go first, */
#define SLEEPS 4096u      /* and one sleeps, */
#define SLEEP_NS 100000u  /* for less than this */

static _Atomic uint32_t seed; /* 0: no delays */

void hak_delay_start(void)
{
    const char *text = getenv("HAKMEM_DEBUG_DELAY");
    if (HAK_DEBUG && text)
        atomic_store_explicit(&seed, (uint32_t)strtoul(text, NULL, 10) | 1, memory_order_relaxed);
}

/* Marsaglia, Xorshift RNGs, 2003. */
static uint32_t next_number(void)
{
    static _Atomic uint32_t threads;
    uint32_t number = hak_tls.delays;
    if (number == 0) {
        uint32_t thread = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
        number = (atomic_load_explicit(&seed, memory_order_relaxed) + thread) * 2654435769u | 1;
    }
    number ^= number << 13;
    number ^= number >> 17;
    number ^= number << 5;
    return hak_tls.delays = number;
}

void hak_delay(void)
{
    if (HAK_LIKELY(atomic_load_explicit(&seed, memory_order_relaxed) == 0))
        return;
    uint32_t number = next_number();
    struct timespec time = {.tv_nsec = (long)((number >> 10) % SLEEP_NS)};
    if (number % SLEEPS == 0)
        syscall(SYS_nanosleep, &time, NULL);
    else if (number % YIELDS == 0)
        syscall(SYS_sched_yield);
}
