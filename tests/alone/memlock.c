/* SPDX-License-Identifier: MIT */
/*
 * memlock.c - with locked memory, of which RLIMIT_MEMLOCK allows 8 MiB to who has no right to more: every byte that is
 * mapped counts.  Exit status 77 if the limit or the rights cannot be set.
 *
 *   memlock fits    a process with 1 MiB of blocks fits into the limit, as it does with the C library's malloc
 *   memlock out     what malloc does at the limit
 *   memlock trim    what is free goes back to the kernel; without a limit, which needs root
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "../tap.h"

enum { SMALL = 4000, LARGE = 100000, MOST = 2000 };
#define LIMIT ((rlim_t)8 << 20)

static char *blocks[MOST];

/* Root is above the limit. */
static int become_nobody(void)
{
    struct rlimit limit = {LIMIT, LIMIT};
    if (setrlimit(RLIMIT_MEMLOCK, &limit))
        return 0;
    return geteuid() != 0 || (setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
}

static int take(int i, size_t size)
{
    errno = 0;
    blocks[i] = malloc(size);
    if (blocks[i])
        memset(blocks[i], i, size);
    return blocks[i] != NULL;
}

static void free_all(int count)
{
    for (int i = 0; i < count; i++)
        free(blocks[i]);
}

/* KiB of locked memory. */
static long locked(void)
{
    char line[256];
    long kib = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmLck: %ld", &kib) == 1)
            break;
    if (status)
        fclose(status);
    return kib;
}

static void lock_all(void)
{
    int failed = mlockall(MCL_CURRENT | MCL_FUTURE);
    tap_ok(!failed, "mlockall: %s", failed ? strerror(errno) : "done");
}

static void fits(void)
{
    int count = 0;
    while (count < 256 && take(count, SMALL))
        count++;
    tap_ok(count == 256, "%d blocks of %d bytes after it", count, SMALL);
    free_all(count);
}

/* The kernel says EAGAIN then, which is no word on what lies at the address. */
static void out(void)
{
    int count = 0, failed = 0;
    while (count < MOST / 2 && take(count, LARGE))
        count++;
    tap_ok(count && count < MOST / 2 && errno == ENOMEM, "%d blocks of %d bytes, then ENOMEM", count, LARGE);
    for (int i = 0; i < 100; i++)
        failed += !take(count, LARGE);
    tap_ok(failed == 100, "100 calls more fail");
    munlockall();
    int before = count;
    while (count < before + 100 && take(count, LARGE))
        count++;
    char *low = blocks[0], *high = blocks[0];
    for (int i = 0; i < count; i++) {
        low = blocks[i] < low ? blocks[i] : low;
        high = blocks[i] > high ? blocks[i] : high;
    }
    tap_ok(count == before + 100, "100 blocks more when memory need not be locked");
    tap_ok(high - low < 50000000, "they lie where those before would: all within %ld MiB", (long)(high - low) >> 20);
    free_all(count);
}

/* MADV_DONTNEED fails for locked memory; what is free can only be unmapped. */
static void trim(void)
{
    int count = 0;
    long before = locked();
    while (count < 300 && take(count, LARGE))
        count++;
    long with_blocks = locked();
    tap_ok(count == 300 && with_blocks - before > 20000, "%d blocks: %ld KiB are locked, %ld before", count, with_blocks,
           before);
    free_all(count);
    malloc_trim(0);
    long after = locked();
    tap_ok(after - before < 8000, "when they are free: %ld KiB", after);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int is_trim = strcmp(what, "trim") == 0;
    tap_watchdog(120);
    free(malloc(100));
    if (is_trim ? geteuid() != 0 : !become_nobody())
        return 77;
    lock_all();
    if (is_trim)
        trim();
    else if (strcmp(what, "out") == 0)
        out();
    else
        fits();
    return tap_end();
}
