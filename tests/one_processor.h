/* SPDX-License-Identifier: MIT */
/* one_processor.h - one processor for a whole program, so that it has the same number of heaps on every machine. */
#ifndef HAKMEM_TESTS_ONE_PROCESSOR_H
#define HAKMEM_TESTS_ONE_PROCESSOR_H

#include <sched.h>

static inline void use_one_processor(void)
{
    cpu_set_t all, one;
    CPU_ZERO(&one);
    for (int cpu = 0; sched_getaffinity(0, sizeof all, &all) == 0 && cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
}

#endif
