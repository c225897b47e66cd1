/* SPDX-License-Identifier: MIT */
/*
 * stats.c - hakmem stats PID: the statistics of a running process, read from its memory as a debugger would.
 *
 * The process takes no part in it and does not stop.  Its structures are found by root.h, copied with
 * process_vm_readv(2) heap by heap, and added up by the library's own code.  What changes while it is copied is copied
 * again; a process that never rests gives figures of moments close to each other.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* process_vm_readv, memmem */
#endif
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "process/root.h"
#include "stats/usage.h"

#define TRIES 50

struct heap_copy {
    struct hak_heap heap;
    struct thread_copy *threads;
    size_t count, room;
};

struct thread_copy {
    const void *at;
    struct hak_tcache *thread;
};

/* Page map entries that were asked for. */
#define ENTRIES 4096u
struct entry_copy {
    uintptr_t unit;
    uint32_t entry;
};

struct process {
    struct hak_view view; /* first: a view is the process it is of */
    pid_t pid;
    struct hak_root root;
    struct heap_copy *heaps;
    struct heap_copy *open;
    size_t cursor; /* the thread of the open heap that was asked for last */
    struct hak_window window;
    struct entry_copy entries[ENTRIES];
};

__attribute__((noreturn, format(printf, 2, 3))) static void die(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("hakmem: stats: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(status);
}

static void *need(void *memory)
{
    if (!memory)
        die(1, "out of memory");
    return memory;
}

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* ---- the other's memory ------------------------------------------------------------------------------------------ */

__attribute__((noreturn)) static void die_of(pid_t pid, int error)
{
    switch (error) {
    case ESRCH:
    case ENOENT:
        die(1, "there is no process %d", (int)pid);
    case EPERM:
    case EACCES:
        die(1, "not permitted to read the memory of process %d; see hakmem(1)", (int)pid);
    default:
        die(1, "cannot read the memory of process %d: %s", (int)pid, strerror(error));
    }
}

/* False if the addresses are not there, or no longer. */
static bool copy(pid_t pid, void *to, const volatile void *at, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)at, size};
    ssize_t done = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (done < 0 && errno != EFAULT)
        die_of(pid, errno);
    return done == (ssize_t)size;
}

static FILE *open_proc(pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    if (!file)
        die_of(pid, errno);
    return file;
}

/* ---- the root ---------------------------------------------------------------------------------------------------- */

static bool layout_agrees(const struct hak_root *root)
{
    static const uint32_t layout[HAK_ROOT_NUMBERS] = HAK_ROOT_LAYOUT;
    return strcmp(root->version, HAKMEM_VERSION_STRING) == 0 && memcmp(root->layout, layout, sizeof layout) == 0;
}

/* Looks for a valid root in a range of addresses. */
static bool find_root_in(struct process *process, uintptr_t from, uintptr_t to)
{
    size_t size = to - from;
    char *data = need(malloc(size));
    bool found = false;
    if (copy(process->pid, data, (void *)from, size)) {
        char *at = data;
        while (!found && (at = memmem(at, (size_t)(data + size - at), HAK_ROOT_MAGIC, sizeof HAK_ROOT_MAGIC))) {
            const struct hak_root *there = (const struct hak_root *)(from + (uintptr_t)(at - data));
            struct hak_root *root = &process->root;
            if ((size_t)(data + size - at) < sizeof *root)
                break;
            memcpy(root, at, sizeof *root);
            root->version[sizeof root->version - 1] = '\0';
            /* Another build's may be elsewhere in the structure; its version is not. */
            if (!layout_agrees(root))
                die(1, "process %d runs libhakmem %s of another build; this command is of %s", (int)process->pid,
                    root->version, HAKMEM_VERSION_STRING);
            found = hak_load(&root->self) == there;
            at += sizeof HAK_ROOT_MAGIC;
        }
    }
    free(data);
    return found;
}

static bool is_libhakmem(const char *path)
{
    const char *name = strrchr(path, '/');
    return name && strncmp(name, "/libhakmem.so", 13) == 0;
}

/* In the library's data, or the program's, which may be linked with libhakmem.a. */
static void find_root(struct process *process)
{
    char link[64], program[PATH_MAX], *line = NULL;
    size_t room = 0;
    bool found = false;
    snprintf(link, sizeof link, "/proc/%d/exe", (int)process->pid);
    ssize_t length = readlink(link, program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    FILE *maps = open_proc(process->pid, "maps");
    while (!found && getline(&line, &room, maps) > 0) {
        uintptr_t from, to;
        char rights[5];
        int path = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %n", &from, &to, rights, &path) == 3 && path &&
            rights[0] == 'r' && rights[2] != 'x' && (is_libhakmem(line + path) || strcmp(line + path, program) == 0))
            found = find_root_in(process, from, to);
    }
    fclose(maps);
    free(line);
    if (!found)
        die(1, "process %d does not use libhakmem", (int)process->pid);
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

/* The same bytes twice: nobody was writing them. */
static bool copy_stable(pid_t pid, void *to, const volatile void *at, size_t size)
{
    char again[1024];
    for (unsigned i = 0; i < TRIES && size <= sizeof again; i++) {
        if (!copy(pid, to, at, size) || !copy(pid, again, at, size))
            return false;
        if (memcmp(to, again, size) == 0)
            break;
    }
    return true;
}

static size_t number_at(const struct process *process, const volatile void *at)
{
    size_t number = 0;
    copy(process->pid, &number, at, sizeof number);
    return number;
}

static void copy_counts(struct process *process)
{
    struct hak_counts *counts = &process->view.counts;
    struct hak_os_counts os;
    unsigned long pages = 0;
    if (!copy_stable(process->pid, &counts->super, process->root.super, sizeof counts->super) ||
        !copy_stable(process->pid, &counts->huge, process->root.huge, sizeof counts->huge) ||
        !copy_stable(process->pid, &os, process->root.os, sizeof os))
        die(1, "process %d has ended", (int)process->pid);
    counts->own_bytes = number_at(process, process->root.own_bytes);
    counts->mapped = hak_load(&os.mapped);
    counts->mapped_peak = hak_load(&os.mapped_peak);
    counts->want_huge = hak_load(&os.want_huge);
    for (unsigned kind = 0; kind < HAK_OS_KINDS; kind++)
        counts->calls[kind] = hak_load(&os.calls[kind]);
    FILE *statm = open_proc(process->pid, "statm");
    counts->resident = fscanf(statm, "%*u %lu", &pages) == 1 ? pages * (size_t)sysconf(_SC_PAGESIZE) : 0;
    fclose(statm);
}

static bool add_thread(struct process *process, struct heap_copy *to, const struct hak_tcache *at)
{
    if (to->count == to->room) {
        to->room = to->room * 2 + 1;
        to->threads = need(realloc(to->threads, to->room * sizeof *to->threads));
    }
    struct hak_tcache *thread = need(malloc(sizeof *thread));
    to->threads[to->count++] = (struct thread_copy){at, thread};
    return copy(process->pid, thread, at, sizeof *thread);
}

static void forget_threads(struct heap_copy *heap)
{
    while (heap->count)
        free(heap->threads[--heap->count].thread);
}

/* A heap and its threads; false if it changed meanwhile. */
static bool copy_heap(struct process *process, const struct hak_heap *at, struct heap_copy *to)
{
    struct hak_heap again;
    forget_threads(to);
    if (!copy(process->pid, &to->heap, at, sizeof to->heap))
        return false;
    const struct hak_tcache *thread = to->heap.threads_list;
    for (unsigned left = 1u << 20; thread && left; left--) {
        if (!add_thread(process, to, thread))
            return false;
        thread = to->threads[to->count - 1].thread->next_of_heap;
    }
    return copy(process->pid, &again, at, sizeof again) && hak_load(&to->heap.lock.state) == 0 &&
           memcmp(&again, &to->heap, sizeof again) == 0;
}

static void copy_heaps(struct process *process)
{
    uint32_t count = 0;
    copy(process->pid, &count, process->root.heap_count, sizeof count);
    /* There are never fewer. */
    if (count > process->view.heaps) {
        process->heaps = need(realloc(process->heaps, count * sizeof *process->heaps));
        memset(process->heaps + process->view.heaps, 0, (count - process->view.heaps) * sizeof *process->heaps);
        process->view.heaps = count;
    }
    for (uint32_t i = 0; i < process->view.heaps; i++) {
        const struct hak_heap *at = NULL;
        if (!copy(process->pid, &at, process->root.heaps + i + 1, sizeof at))
            die(1, "process %d has ended", (int)process->pid);
        for (unsigned tries = 0; tries < TRIES && !copy_heap(process, at, &process->heaps[i]); tries++)
            if (tries > TRIES / 2)
                rest();
    }
    memset(process->entries, 0, sizeof process->entries);
    copy(process->pid, &process->window, process->root.window, sizeof process->window);
}

/* ---- the view of the copies -------------------------------------------------------------------------------------- */

static const struct hak_heap *open_heap(struct hak_view *view, uint32_t number)
{
    struct process *process = (struct process *)view;
    process->open = &process->heaps[number - 1];
    process->cursor = 0;
    return &process->open->heap;
}

static void close_heap(struct hak_view *view, const struct hak_heap *heap)
{
    (void)view;
    (void)heap;
}

/* Threads are asked for in the order in which they were copied. */
static const struct hak_tcache *find_thread(struct hak_view *view, const struct hak_tcache *at)
{
    struct process *process = (struct process *)view;
    for (; process->cursor < process->open->count; process->cursor++)
        if (process->open->threads[process->cursor].at == at)
            return process->open->threads[process->cursor++].thread;
    return NULL;
}

static uint32_t read_entry(const struct process *process, const void *block)
{
    uint32_t entry = HAK_ENTRY_NONE;
    struct hak_window window = process->window;
    while (!hak_window_has(&window, block)) {
        struct hak_window *next = hak_load(&window.next);
        if (!next || !copy(process->pid, &window, next, sizeof window))
            return HAK_ENTRY_NONE;
    }
    copy(process->pid, &entry, hak_entry_at(&window, block), sizeof entry);
    return entry;
}

static uint32_t find_entry(struct hak_view *view, const void *block)
{
    struct process *process = (struct process *)view;
    uintptr_t unit = (uintptr_t)block >> HAK_UNIT_SHIFT;
    struct entry_copy *known = &process->entries[unit % ENTRIES];
    if (known->unit != unit)
        *known = (struct entry_copy){unit, read_entry(process, block)};
    return known->entry;
}

/* Copies all of it until it adds up, if it ever does. */
static void take_snapshot(struct process *process)
{
    struct hak_usage usage;
    struct hakmem_stats stats;
    for (unsigned i = 0; i < TRIES; i++) {
        copy_heaps(process);
        copy_counts(process);
        hak_usage_collect(&process->view, 0, &usage);
        hak_usage_total(&process->view, &usage, &stats);
        if (!HAK_STATS || stats.superslab_bytes == stats.slab_bytes + stats.large_bytes + stats.unit_bytes)
            return;
        rest();
    }
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static const char usage_text[] =
    "Usage: hakmem stats [--json | --prometheus] PID\n"
    "       hakmem stats --help | --version\n"
    "\n"
    "Tells what libhakmem holds in the running process PID: how much is live, free and mapped, in all, by size class\n"
    "and by heap.  The process is neither stopped nor changed; its memory is read as a debugger would read it, and\n"
    "needs the same permission.\n"
    "\n"
    "  --json        as a JSON object\n"
    "  --prometheus  in the Prometheus text format\n"
    "\n"
    "Exit status: 0; 1 if the process cannot be read or does not use this libhakmem; 2 for wrong usage.\n"
    "Manual: hakmem(1), hakmem_stats(3).\n";

static void print(void *unused, const char *text, size_t length)
{
    (void)unused;
    fwrite(text, 1, length, stdout);
}

static pid_t pid_from(const char *text)
{
    char *end;
    errno = 0;
    long pid = strtol(text, &end, 10);
    if (errno || end == text || *end || pid <= 0 || pid > INT_MAX)
        die(2, "'%s' is not a process ID", text);
    return (pid_t)pid;
}

int main(int argc, char **argv)
{
    static struct process process = {
        .view = {.open = open_heap, .close = close_heap, .thread = find_thread, .entry = find_entry},
    };
    enum hakmem_stats_format format = HAKMEM_STATS_TEXT;
    const char *which = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage_text, stdout);
            return 0;
        } else if (strcmp(argv[i], "--version") == 0) {
            puts("hakmem stats (libhakmem) " HAKMEM_VERSION_STRING);
            return 0;
        } else if (strcmp(argv[i], "--json") == 0) {
            format = HAKMEM_STATS_JSON;
        } else if (strcmp(argv[i], "--prometheus") == 0) {
            format = HAKMEM_STATS_PROMETHEUS;
        } else if (argv[i][0] == '-') {
            die(2, "unknown option '%s'; see hakmem stats --help", argv[i]);
        } else if (which) {
            die(2, "one process at a time; see hakmem stats --help");
        } else {
            which = argv[i];
        }
    }
    if (!which)
        die(2, "which process? See hakmem stats --help");
    process.pid = pid_from(which);
    process.view.process = (unsigned)process.pid;
    find_root(&process);
    take_snapshot(&process);
    process.view.room_heaps = process.view.heaps;
    process.view.room = need(calloc(process.view.heaps + 1, sizeof *process.view.room));
    hak_usage_print(&process.view, format, print, NULL);
    if (fflush(stdout) || ferror(stdout))
        die(1, "cannot write: %s", strerror(errno));
    return 0;
}
