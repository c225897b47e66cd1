/* SPDX-License-Identifier: MIT */
/* Makes a known number of allocations, of a kind that the argument names; test_count.py compares the counts. */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static __thread void *volatile sink;

static void pairs(int count, size_t size)
{
    for (int i = 0; i < count; i++) {
        sink = malloc(size);
        free(sink);
    }
}

static void *thread(void *unused)
{
    (void)unused;
    pairs(10000, 48);
    return NULL;
}

/* 1000 malloc(100), 100 calloc(2, 1000), 10 memalign(64, 5000), a realloc from 8 to 200000, one of NULL, a failure. */
static void family(void)
{
    pairs(1000, 100);
    for (int i = 0; i < 100; i++) {
        sink = calloc(2, 1000);
        free(sink);
    }
    for (int i = 0; i < 10; i++) {
        sink = memalign(64, 5000);
        free(sink);
    }
    sink = malloc(8);
    sink = realloc(sink, 200000);
    free(sink);
    sink = realloc(NULL, 300);
    free(sink);
    size_t volatile too_much = PTRDIFF_MAX;
    sink = malloc(too_much);
    free(NULL);
}

static void threads(void)
{
    pthread_t t[8];
    for (int i = 0; i < 8; i++) {
        pthread_create(&t[i], NULL, thread, NULL);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(t[i], NULL);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "family") == 0) {
        family();
    } else if (strcmp(what, "realloc 0") == 0) {
        sink = malloc(8);
        sink = realloc(sink, 0);
    } else if (strcmp(what, "threads") == 0) {
        threads();
    } else if (strcmp(what, "_exit") == 0) {
        pairs(77, 32);
        _exit(0);
    } else if (strcmp(what, "quick_exit") == 0) {
        pairs(77, 32);
        quick_exit(0);
    } else if (strcmp(what, "fork") == 0) {
        pairs(500, 32);
        if (fork() == 0) {
            pairs(300, 32);
            _exit(0);
        }
        wait(NULL);
        pairs(50, 32);
    } else if (strcmp(what, "vfork") == 0) {
        pairs(500, 32);
        if (vfork() == 0) {
            _exit(0);
        }
        pairs(50, 32);
    } else if (strcmp(what, "exec") == 0) {
        pairs(500, 32);
        execl("/nowhere/nothing", "nothing", (char *)NULL);
        pairs(60, 32);
        execlp(argv[0], argv[0], "nothing", (char *)NULL);
    } else if (strcmp(what, "chdir") == 0) {
        pairs(5, 32);
        return chdir("/") != 0;
    }
    return 0;
}
