/* SPDX-License-Identifier: MIT */
/*
 * places.c - prints where the first window of libhakmem lies and where its own structures do, as /proc/self/maps has
 * them: the lowest mapping that holds a block, and the lowest one above 8 TiB.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char line[512];
    unsigned long begin, own = 0;
    void *block = malloc(100);
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!block || !maps)
        return 99;
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-", &begin) == 1 && begin >= 8ul << 40 && !own)
            own = begin;
    printf("%lu %lu\n", (unsigned long)(uintptr_t)block >> 21, own >> 21);
    return 0;
}
