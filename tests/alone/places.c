/* SPDX-License-Identifier: MIT */
/*
 * places.c - prints where a first block lies and where libhakmem's own structures begin, which is the lowest mapping
 * above 8 TiB of /proc/self/maps; both in steps of 2 MiB.
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
