/* SPDX-License-Identifier: MIT */
/*
 * refused_memory.c - memory is refused while the allocator starts: calls fail as long as that lasts, and work as soon
 * as it can be had.  Without an argument the program runs itself with the numbers from 0 on: from that call for memory
 * on all are refused until main begins.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hakmem.h"
#include "tap.h"

#include "os/os.h"
#include "stats/verify.h"

enum { CALLS = 12, BLOCKS = 64, SIZE = 5000 }; /* the start makes fewer calls */

/* Before the constructor of the library, which is part of the program. */
static void refuse(int argc, char **argv, char **environment)
{
    (void)environment;
    if (argc > 1)
        atomic_store(&hak_os_fail_after, atol(argv[1]));
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit)(int, char **, char **) = refuse;

static int use(void)
{
    unsigned char *blocks[BLOCKS];
    errno = 0;
    void *refused = hakmem_malloc(SIZE);
    if (!refused && errno != ENOMEM)
        return 2;
    atomic_store(&hak_os_fail_after, -1);
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = hakmem_malloc(SIZE);
        if (!blocks[i])
            return 3;
        pattern_fill(blocks[i], SIZE, i);
    }
    hak_verify();
    for (size_t i = 0; i < BLOCKS; i++) {
        if (pattern_check(blocks[i], SIZE, i) != SIZE_MAX)
            return 4;
        hakmem_free(blocks[i]);
    }
    hakmem_free(refused);
    return 0;
}

static int run_with(const char *self, int calls)
{
    char text[12];
    int status = -1;
    snprintf(text, sizeof text, "%d", calls);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", self, text, (char *)NULL);
        _exit(99);
    }
    waitpid(child, &status, 0);
    return status;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return use();
    tap_watchdog(60);
    for (int calls = 0; calls < CALLS; calls++) {
        int status = run_with(argv[0], calls);
        tap_ok(status == 0, "refused from call %d on: status %#x", calls, (unsigned)status);
    }
    return tap_end();
}
