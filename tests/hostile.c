/* SPDX-License-Identifier: MIT */
/*
 * hostile.c - a program for stats.sh: claims to run on libhakmem, by a root of its own (root.h) with structures that do
 * what the argument says to whoever reads them.  Prints its process ID and waits until its standard input ends.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "process/root.h"

static struct hak_heap heap = {.number = 1};
static struct hak_heap *heaps[] = {NULL, &heap};
static _Atomic uint32_t heap_count = 1;
static struct hak_tcache threads[3];
static struct hak_window window;
static struct hak_super_counts super;
static struct hak_huge_counts huge;
static struct hak_stock stocks[HAK_STOCKS];
static struct hak_os_counts os;
static _Atomic size_t own_bytes;

/* With other data than zeros, or it would not be in the file, where it is looked for. */
static struct hak_root root = {
    .magic = HAK_ROOT_MAGIC,
    .version = HAKMEM_VERSION_STRING,
    .layout = HAK_ROOT_LAYOUT,
    .heaps = heaps,
    .heap_count = &heap_count,
    .window = &window,
    .super = &super,
    .huge = &huge,
    .stocks = stocks,
    .os = &os,
    .own_bytes = &own_bytes,
    .self = &root,
};

/* Says in place of the process ID why there is none. */
static void fail(const char *what)
{
    perror(what);
    exit(99);
}

/* The second thread leads back to itself. */
static void be_a_ring(void)
{
    heap.threads_list = &threads[0];
    threads[0].next_of_heap = &threads[1];
    threads[1].next_of_heap = &threads[2];
    threads[2].next_of_heap = &threads[1];
}

/* Threads without end, none of them twice: each begins a few bytes behind the one before. */
static void be_a_chain(void)
{
    enum { STEP = sizeof(void *), THREADS = 1 << 20 };
    size_t size = (size_t)THREADS * STEP + sizeof(struct hak_tcache);
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        fail("memory for the threads");
    heap.threads_list = (struct hak_tcache *)at;
    for (size_t i = 0; i < THREADS; i++, at += STEP)
        *(char **)(at + offsetof(struct hak_tcache, next_of_heap)) = at + STEP;
}

/* A block whose page map entry is asked for, and windows that do not end. */
static void be_windows(void)
{
    heap.threads_list = &threads[0];
    threads[0].outbox.count = 1;
    threads[0].outbox.blocks[0] = &window;
    window.next = &window;
}

/* Numbers that no structure has room for. */
static void be_large(void)
{
    heap.threads_list = &threads[0];
    memset(&threads[0].outbox, 0xff, sizeof threads[0].outbox);
    memset(threads[0].hot.mags, 0xff, sizeof threads[0].hot.mags);
    memset(&threads[1].hot, 0xff, sizeof threads[1].hot);
    threads[0].next_of_heap = &threads[1];
    threads[1].state = HAK_TCACHE_STALE;
    memset(heap.slabs, 0xff, sizeof heap.slabs);
    memset(heap.out, 0xff, sizeof heap.out);
    memset(&super, 0xff, sizeof super);
    memset(&huge, 0xff, sizeof huge);
    memset(stocks, 0xff, sizeof stocks);
    memset(&os, 0xff, sizeof os);
}

/*
 * A file of the library's name, a terabyte long, in which there is nothing.  It is shorter where the address space has
 * no room for it, as ThreadSanitizer's shadow memory sometimes leaves none.
 */
static void be_long(void)
{
    char name[] = "/tmp/hakmem-hostile.XXXXXX", library[64];
    off_t size = (off_t)1 << 40;
    void *at = MAP_FAILED;
    root.self = NULL;
    snprintf(library, sizeof library, "%s/libhakmem.so", mkdtemp(name) ? name : "");
    int file = open(library, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, size) != 0)
        fail("a file of a terabyte");
    for (; at == MAP_FAILED && size >= (off_t)1 << 34; size /= 2)
        at = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, file, 0);
    unlink(library);
    rmdir(name);
    if (at == MAP_FAILED)
        fail("room for a file of 16 GiB");
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    char c;
    if (strcmp(what, "threads") == 0)
        be_a_ring();
    else if (strcmp(what, "chain") == 0)
        be_a_chain();
    else if (strcmp(what, "heaps") == 0)
        heap_count = 0xffffffff;
    else if (strcmp(what, "windows") == 0)
        be_windows();
    else if (strcmp(what, "counts") == 0)
        be_large();
    else if (strcmp(what, "scan") == 0)
        be_long();
    else if (strcmp(what, "layout") == 0)
        root.layout[1]++;
    else if (strcmp(what, "version") == 0)
        memcpy(root.version, "0\033[31m\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n", sizeof root.version);
    else if (strcmp(what, "name") == 0)
        prctl(PR_SET_NAME, "\033[31mx", 0, 0, 0);
#ifdef PR_SET_PTRACER
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
#endif
    printf("%d\n", (int)getpid());
    fflush(stdout);
    while (read(STDIN_FILENO, &c, 1) > 0)
        ;
    return 0;
}
