/* SPDX-License-Identifier: MIT */
/*
 * process.c - the view of another process's structures, which are copied as a debugger would copy them.
 *
 * The process is not stopped and need not help.  Its structures are found by root.h, copied with process_vm_readv(2)
 * heap by heap, and added up by the library's own code.  A structure that changes while it is copied is copied again,
 * for SECONDS at most; a process that never rests gives figures of moments close to each other.
 *
 * The reader is often root, and the process may be anybody's.  So nothing that is read there is trusted: each number
 * and each list has a bound here, and text from there is printed only after it was compared or made printable.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* process_vm_readv, memmem */
#endif
#include "process.h"

#include <errno.h>
#include <fcntl.h>
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

#define TRIES 50
#define SECONDS 3

/* Bounds of what is read, beyond those of the structures. */
#define HEAPS_MAX 16384u                /* as in registry.c */
#define WINDOWS_MAX 1024u               /* each is at least as large as all before it together */
#define THREADS_MAX 65536u              /* of all heaps; their copies are of 40 KB each, most of it untouched */
#define SCANNED_MAX ((uint64_t)4 << 30) /* bytes in which the root is looked for */
#define SCAN ((size_t)1 << 20)          /* of these at a time */

struct heap_copy {
    struct hak_heap heap;
    struct thread_copy *threads;
    size_t count, room;
};

/* Without what the magazines hold, unless that is looked at. */
struct thread_copy {
    const void *at;
    struct hak_tcache *thread;
};
#define SLOTS_AT offsetof(struct hak_tcache, slots)
#define SLOTS_END (SLOTS_AT + sizeof(((struct hak_tcache *)0)->slots))
_Static_assert(offsetof(struct hak_tcache, state) >= SLOTS_END, "what is copied of a thread first tells its state");

/* Page map entries that were asked for. */
#define ENTRIES 4096u
struct entry_copy {
    uintptr_t unit;
    uint32_t entry;
};

struct process {
    struct hak_view view; /* first: a view is the process it is of */
    pid_t pid;
    int folder; /* /proc/PID, which stays that of this process when its number goes to another */
    struct hak_root root;
    struct heap_copy *heaps;
    struct heap_copy *open;
    size_t cursor;  /* the thread of the open heap that was asked for last */
    size_t threads; /* copies there are, of all heaps */
    bool seen;      /* there has been a snapshot of it */
    struct timespec began;
    struct hak_window windows[WINDOWS_MAX];
    size_t window_count;
    struct entry_copy entries[ENTRIES];
};

void stats_die(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("hakmem: stats: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(status);
}

void *stats_need(void *memory)
{
    if (!memory)
        stats_die(1, "out of memory");
    return memory;
}

void stats_printable(char *to, size_t room, const char *from)
{
    for (; room > 1 && *from; room--, from++)
        *to++ = *from >= ' ' && *from <= '~' ? *from : '?';
    *to = '\0';
}

/* ---- the other's memory ------------------------------------------------------------------------------------------ */

__attribute__((noreturn)) static void die_of(pid_t pid, int error)
{
    switch (error) {
    case ESRCH:
    case ENOENT:
        stats_die(1, "there is no process %d", (int)pid);
    case EPERM:
    case EACCES:
        stats_die(1, "not permitted to read the memory of process %d; see hakmem(1)", (int)pid);
    default:
        stats_die(1, "cannot read the memory of process %d: %s", (int)pid, strerror(error));
    }
}

/* Ends the command as the process has ended, which is no error after a first snapshot: see --watch. */
__attribute__((noreturn)) static void end(const struct process *process)
{
    if (process->seen)
        exit(0);
    stats_die(1, "process %d has ended", (int)process->pid);
}

__attribute__((noreturn)) static void fail(const struct process *process, int error)
{
    if (error == ESRCH || error == ENOENT)
        end(process);
    die_of(process->pid, error);
}

__attribute__((noreturn)) static void die_of_damage(const struct process *process, const char *what)
{
    stats_die(1, "process %d lists more %s than this command looks at: its memory is damaged, or it is very large",
              (int)process->pid, what);
}

/* Copies memory of the process.  False if the addresses are not mapped there, or no longer. */
static bool copy(const struct process *process, void *to, const volatile void *at, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)at, size};
    ssize_t done = process_vm_readv(process->pid, &local, 1, &remote, 1, 0);
    if (done < 0 && errno != EFAULT)
        fail(process, errno);
    return done == (ssize_t)size;
}

static FILE *open_proc(const struct process *process, const char *name)
{
    int file = openat(process->folder, name, O_RDONLY | O_CLOEXEC);
    FILE *stream = file < 0 ? NULL : fdopen(file, "r");
    if (!stream)
        fail(process, errno);
    return stream;
}

static bool late(const struct process *process)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec - process->began.tv_sec >= SECONDS;
}

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* ---- the root ---------------------------------------------------------------------------------------------------- */

enum found { NOWHERE, OF_ANOTHER_BUILD, FOUND };

static bool layout_agrees(const struct hak_root *root)
{
    static const uint32_t layout[HAK_ROOT_NUMBERS] = HAK_ROOT_LAYOUT;
    return strcmp(root->version, HAKMEM_VERSION_STRING) == 0 && memcmp(root->layout, layout, sizeof layout) == 0;
}

/* Whether a root is at this address of the process, of which `data` is a copy. */
static enum found try_root(struct process *process, const char *data, uintptr_t at)
{
    struct hak_root *root = &process->root;
    memcpy(root, data, sizeof *root);
    root->version[sizeof root->version - 1] = '\0';
    /* Another build's `self` may be elsewhere in the structure; its version is not. */
    if (!layout_agrees(root))
        return OF_ANOTHER_BUILD;
    return (uintptr_t)hak_load(&root->self) == at ? FOUND : NOWHERE;
}

/* Looks for a root in a range of addresses, `scanned` bytes after those before. */
static enum found find_root_in(struct process *process, uintptr_t from, uintptr_t to, uint64_t *scanned)
{
    char *data = stats_need(malloc(SCAN));
    enum found found = NOWHERE;
    /* Pieces overlap by what a root is long. */
    for (uintptr_t next; found == NOWHERE && from < to && *scanned < SCANNED_MAX; from = next) {
        size_t size = HAK_MIN(SCAN, to - from);
        next = size < SCAN ? to : from + size - sizeof(struct hak_root);
        *scanned += size;
        if (!copy(process, data, (void *)from, size))
            continue;
        for (char *at = data; found == NOWHERE; at += sizeof HAK_ROOT_MAGIC) {
            at = memmem(at, (size_t)(data + size - at), HAK_ROOT_MAGIC, sizeof HAK_ROOT_MAGIC);
            if (!at || (size_t)(data + size - at) < sizeof(struct hak_root))
                break;
            found = try_root(process, at, from + (uintptr_t)(at - data));
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

/* Looks for the root in the data of the library and of the program, which may be linked with libhakmem.a. */
static enum found find_root(struct process *process)
{
    char program[PATH_MAX], *line = NULL;
    size_t room = 0;
    uint64_t scanned = 0;
    enum found found = NOWHERE;
    ssize_t length = readlinkat(process->folder, "exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    FILE *maps = open_proc(process, "maps");
    while (found == NOWHERE && getline(&line, &room, maps) > 0) {
        uintptr_t from, to;
        char rights[5];
        int path = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %n", &from, &to, rights, &path) == 3 && path &&
            rights[0] == 'r' && rights[2] != 'x' && (is_libhakmem(line + path) || strcmp(line + path, program) == 0))
            found = find_root_in(process, from, to, &scanned);
    }
    fclose(maps);
    free(line);
    return found;
}

/* The process may claim any text as its version, so the text is made printable. */
__attribute__((noreturn)) static void die_of_another_build(const struct process *process)
{
    char version[sizeof process->root.version];
    if (strcmp(process->root.version, HAKMEM_VERSION_STRING) == 0)
        stats_die(1, "process %d runs another build of libhakmem %s than this command is of", (int)process->pid,
                  HAKMEM_VERSION_STRING);
    stats_printable(version, sizeof version, process->root.version);
    stats_die(1, "process %d runs libhakmem '%s'; this command is of %s", (int)process->pid, version,
              HAKMEM_VERSION_STRING);
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

/* Copies until two copies are equal: nobody was writing. */
static bool copy_stable(const struct process *process, void *to, const volatile void *at, size_t size)
{
    char again[1024];
    for (unsigned i = 0; i < TRIES && size <= sizeof again; i++) {
        if (!copy(process, to, at, size) || !copy(process, again, at, size))
            return false;
        if (memcmp(to, again, size) == 0)
            break;
    }
    return true;
}

static size_t number_at(const struct process *process, const volatile void *at)
{
    size_t number = 0;
    copy(process, &number, at, sizeof number);
    return number;
}

static void copy_counts(struct process *process)
{
    struct hak_counts *counts = &process->view.counts;
    struct hak_os_counts os;
    struct hak_stock stocks[HAK_STOCKS];
    unsigned long pages = 0;
    if (!copy_stable(process, &counts->super, process->root.super, sizeof counts->super) ||
        !copy_stable(process, &counts->huge, process->root.huge, sizeof counts->huge) ||
        !copy_stable(process, &os, process->root.os, sizeof os) ||
        !copy(process, stocks, process->root.stocks, sizeof stocks))
        end(process);
    counts->stocks = hak_stock_count(stocks);
    counts->own_bytes = number_at(process, process->root.own_bytes);
    counts->mapped = hak_load(&os.mapped);
    counts->mapped_peak = hak_load(&os.mapped_peak);
    counts->want_huge = hak_load(&os.want_huge);
    for (unsigned kind = 0; kind < HAK_OS_KINDS; kind++)
        counts->calls[kind] = hak_load(&os.calls[kind]);
    FILE *statm = open_proc(process, "statm");
    counts->resident = fscanf(statm, "%*u %lu", &pages) == 1 ? pages * (size_t)sysconf(_SC_PAGESIZE) : 0;
    fclose(statm);
}

/* Copies a thread without the blocks of its magazines, which matter only if a fork has lost the thread. */
static bool copy_thread(const struct process *process, struct hak_tcache *to, const struct hak_tcache *at)
{
    char *tail = (char *)to + SLOTS_END;
    const char *there = (const char *)at;
    if (!copy(process, to, there, SLOTS_AT) || !copy(process, tail, there + SLOTS_END, sizeof *to - SLOTS_END))
        return false;
    return to->state != HAK_TCACHE_STALE || copy(process, to->slots, there + SLOTS_AT, sizeof to->slots);
}

static bool add_thread(struct process *process, struct heap_copy *to, const struct hak_tcache *at)
{
    if (to->count == to->room) {
        to->room = to->room * 2 + 1;
        to->threads = stats_need(realloc(to->threads, to->room * sizeof *to->threads));
    }
    struct hak_tcache *thread = stats_need(malloc(sizeof *thread));
    to->threads[to->count++] = (struct thread_copy){at, thread};
    if (++process->threads > THREADS_MAX)
        die_of_damage(process, "threads");
    return copy_thread(process, thread, at);
}

static void forget_threads(struct process *process, struct heap_copy *heap)
{
    process->threads -= heap->count;
    while (heap->count)
        free(heap->threads[--heap->count].thread);
}

enum copied { COPIED, CHANGED, ENDLESS };

/* Copies a heap and its threads.  A list that changes meanwhile, or that is damaged, may be a ring. */
static enum copied copy_heap(struct process *process, const struct hak_heap *at, struct heap_copy *to)
{
    struct hak_heap again;
    forget_threads(process, to);
    if (!copy(process, &to->heap, at, sizeof to->heap))
        return CHANGED;
    const struct hak_tcache *thread = to->heap.threads_list, *earlier = NULL;
    while (thread) {
        /* Brent's algorithm finds a ring: the thread to compare with is replaced at each power of two. */
        if (thread == earlier)
            return ENDLESS;
        if ((to->count & (to->count - 1)) == 0)
            earlier = thread;
        if (!add_thread(process, to, thread))
            return CHANGED;
        thread = to->threads[to->count - 1].thread->next_of_heap;
    }
    return copy(process, &again, at, sizeof again) && hak_load(&to->heap.lock.state) == 0 &&
                   memcmp(&again, &to->heap, sizeof again) == 0
               ? COPIED
               : CHANGED;
}

/* Copies a heap until nothing changes meanwhile, as long as there are tries and time. */
static void copy_heap_at_rest(struct process *process, const struct hak_heap *at, struct heap_copy *to)
{
    enum copied copied = copy_heap(process, at, to);
    for (unsigned tries = 1; copied != COPIED && tries < TRIES && !late(process); tries++) {
        if (tries > TRIES / 2)
            rest();
        copied = copy_heap(process, at, to);
    }
    if (copied == ENDLESS)
        die_of_damage(process, "threads");
}

static void copy_windows(struct process *process)
{
    const struct hak_window *next = process->root.window;
    process->window_count = 0;
    while (next && copy(process, &process->windows[process->window_count], next, sizeof *next)) {
        next = hak_load(&process->windows[process->window_count].next);
        if (++process->window_count == WINDOWS_MAX)
            die_of_damage(process, "windows");
    }
}

static void copy_heaps(struct process *process)
{
    uint32_t count = 0;
    copy(process, &count, process->root.heap_count, sizeof count);
    if (count > HEAPS_MAX)
        die_of_damage(process, "heaps");
    /* There are never fewer heaps, except after execve(2). */
    if (count > process->view.heaps) {
        process->heaps = stats_need(realloc(process->heaps, count * sizeof *process->heaps));
        memset(process->heaps + process->view.heaps, 0, (count - process->view.heaps) * sizeof *process->heaps);
        process->view.heaps = count;
        process->view.room_heaps = count;
        process->view.room = stats_need(realloc(process->view.room, count * sizeof *process->view.room));
    }
    for (uint32_t i = 0; i < process->view.heaps; i++) {
        const struct hak_heap *at = NULL;
        if (!copy(process, &at, process->root.heaps + i + 1, sizeof at))
            end(process);
        copy_heap_at_rest(process, at, &process->heaps[i]);
    }
    memset(process->entries, 0, sizeof process->entries);
    copy_windows(process);
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
    for (size_t i = 0; i < process->window_count; i++)
        if (hak_window_has(&process->windows[i], block)) {
            copy(process, &entry, hak_entry_at(&process->windows[i], block), sizeof entry);
            break;
        }
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

/* ---- a look ------------------------------------------------------------------------------------------------------ */

/* -1 if there is no such process. */
static int open_folder(pid_t pid)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

struct process *stats_process(pid_t pid)
{
    static struct process only; /* the command looks at one, and may end anywhere on the way */
    struct process *process = &only;
    process->view.open = open_heap;
    process->view.close = close_heap;
    process->view.thread = find_thread;
    process->view.entry = find_entry;
    process->view.process = (unsigned)pid;
    process->pid = pid;
    process->folder = open_folder(pid);
    if (process->folder < 0)
        die_of(pid, errno);
    return process;
}

bool stats_ended(const struct process *process)
{
    char link[1];
    /* A zombie still has its folder, but no program any more. */
    return readlinkat(process->folder, "exe", link, sizeof link) < 0 && (errno == ESRCH || errno == ENOENT);
}

bool stats_usable(pid_t pid)
{
    struct process *process = stats_need(calloc(1, sizeof *process));
    char none;
    bool usable = false;
    process->pid = pid;
    process->folder = open_folder(pid);
    /* Permission is asked for first, as elsewhere the command ends if it is refused. */
    struct iovec local = {&none, 1}, remote = {NULL, 1};
    if (process->folder >= 0 && faccessat(process->folder, "maps", R_OK, 0) == 0 &&
        process_vm_readv(pid, &local, 1, &remote, 1, 0) < 0 && errno == EFAULT)
        usable = find_root(process) == FOUND;
    if (process->folder >= 0)
        close(process->folder);
    free(process);
    return usable;
}

/* Finds the root.  Each look does so again, as after execve(2) it would be another program's. */
static void begin(struct process *process)
{
    struct hak_root before = process->root;
    enum found found = find_root(process);
    if (found == OF_ANOTHER_BUILD)
        die_of_another_build(process);
    if (found == NOWHERE && stats_ended(process))
        end(process);
    if (found == NOWHERE)
        stats_die(1, "process %d does not use libhakmem", (int)process->pid);
    if (hak_load(&before.self) && memcmp(&before, &process->root, sizeof before) != 0)
        stats_die(1, "process %d runs another program now", (int)process->pid);
    clock_gettime(CLOCK_MONOTONIC, &process->began);
}

/* Copies everything until the figures add up, as long as there are tries and time. */
struct hak_view *stats_look(struct process *process)
{
    struct hak_usage usage;
    struct hakmem_stats stats;
    begin(process);
    for (unsigned i = 0; i < TRIES && (i == 0 || !late(process)); i++) {
        copy_heaps(process);
        copy_counts(process);
        hak_usage_collect(&process->view, 0, &usage);
        hak_usage_total(&process->view, &usage, &stats);
        if (!HAK_STATS || stats.superslab_bytes == stats.slab_bytes + stats.large_bytes + stats.unit_bytes)
            break;
        rest();
    }
    process->seen = true;
    return &process->view;
}
