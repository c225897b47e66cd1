/* SPDX-License-Identifier: MIT */
/*
 * stats.c - a program for stats.sh: has threads with blocks in every kind of place, prints its statistics on standard
 * output in the form that its argument says, and waits until its standard input ends.
 */
#include <hakmem.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { THREADS = 6, BLOCKS = 3000 };

static _Atomic(void *) blocks[THREADS * BLOCKS];
static pthread_barrier_t barrier;

static void *work(void *argument)
{
    size_t number = (size_t)argument;
    for (size_t i = number; i < THREADS * BLOCKS; i += THREADS)
        atomic_store(&blocks[i], malloc(i % 400 == 7 ? i * 100 : i % 700));
    pthread_barrier_wait(&barrier);
    /* Others' blocks, half of them: some stay in the outbox. */
    for (size_t i = number * BLOCKS; i < number * BLOCKS + BLOCKS; i += 2)
        free(atomic_exchange(&blocks[i], NULL));
    pthread_barrier_wait(&barrier);
    for (;;)
        pause();
    return NULL;
}

static void print(void *unused, const char *text, size_t length)
{
    (void)unused;
    while (length) {
        ssize_t done = write(STDOUT_FILENO, text, length);
        if (done <= 0)
            _exit(1);
        text += done;
        length -= (size_t)done;
    }
}

int main(int argc, char **argv)
{
    enum hakmem_stats_format format = HAKMEM_STATS_TEXT;
    char c;
    if (argc > 1 && strcmp(argv[1], "json") == 0)
        format = HAKMEM_STATS_JSON;
    if (argc > 1 && strcmp(argv[1], "prometheus") == 0)
        format = HAKMEM_STATS_PROMETHEUS;
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, (void *)i))
            return 99;
    }
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
#ifdef PR_SET_PTRACER
    /* Who reads this process's memory need not be its parent. */
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
#endif
    usleep(100000); /* the threads are on their way from the barrier to their rest */
    if (hakmem_stats_print(format, print, NULL) != 0)
        return 1;
    print(NULL, "\n", 1);
    while (read(STDIN_FILENO, &c, 1) > 0)
        ;
    return 0;
}
