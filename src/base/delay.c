/* SPDX-License-Identifier: MIT */
/*
 * delay.c - the delays of delay.h.  Owns the seed, and in hak_tls the state of each thread's generator.  Calls nothing
 * but libc.
 */
#include "base/delay.h"

#if HAK_DEBUG
#include <sched.h>
#include <string.h>

#include "base/atomics.h"
#include "base/tls.h"

#define YIELDS 64u   /* one in so many points yields the processor once, */
#define LONGER 4096u /* one in so many yields it several times, */
#define TIMES 64u    /* which are fewer than this */

static _Atomic uint32_t delay_seed; /* 0: no delays */

void hak_delay_start(char **environment)
{
    static const char variable[] = "HAKMEM_DEBUG_DELAY=";
    for (; environment && *environment; environment++) {
        uint32_t number = 0;
        if (strncmp(*environment, variable, sizeof variable - 1) != 0)
            continue;
        for (const char *at = *environment + sizeof variable - 1; *at >= '0' && *at <= '9'; at++)
            number = number * 10 + (uint32_t)(*at - '0');
        hak_store(&delay_seed, number | 1);
    }
}

/* Marsaglia, Xorshift RNGs, 2003. */
static uint32_t delay_random(void)
{
    static _Atomic uint32_t threads;
    uint32_t number = hak_tls.delays;
    if (number == 0) {
        uint32_t thread = hak_fetch_add(&threads, 1);
        number = (hak_load(&delay_seed) + thread) * 2654435769u | 1;
    }
    number ^= number << 13;
    number ^= number >> 17;
    number ^= number << 5;
    return hak_tls.delays = number;
}

void hak_delay(void)
{
    if (HAK_LIKELY(hak_load(&delay_seed) == 0))
        return;
    uint32_t number = delay_random(), yields = number % YIELDS == 0;
    if (number % LONGER == 0)
        yields += (number >> 12) % TIMES;
    while (yields--)
        sched_yield();
}
#endif
