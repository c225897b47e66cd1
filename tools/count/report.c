/* SPDX-License-Identifier: MIT */
/*
 * When libhakmem-count.so writes its line, and how: at the end of the process by whatever door it leaves, from static
 * buffers, with open(2) and one write(2).  stdio is not used: it may allocate, and at this point of a process's life
 * its streams may be closed.
 */
#include "count.h"

#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static char out_path[4096];   /* absolute, since the program may change its directory; empty: nothing is written */
static pid_t counted_process; /* whose calls the counters hold */

/* ---- the line ---- */

/* Large enough for every range at its longest: the text never needs to be cut. */
static char line[COUNT_RANGES * 64 + 1024];
static size_t line_length;

static void put(const char *text)
{
    size_t length = strlen(text);
    if (length < sizeof(line) - line_length) {
        memcpy(line + line_length, text, length);
        line_length += length;
    }
}

static void put_number(uint64_t n)
{
    char digits[24];
    char *p = digits + sizeof(digits) - 1;
    *p = '\0';
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    put(p);
}

static void put_field(const char *name, uint64_t n)
{
    put(",\"");
    put(name);
    put("\":");
    put_number(n);
}

/* The program's name as a JSON string.  What is not printable ASCII shows as '?': names are for people to recognise. */
static void put_name(const char *name)
{
    put("\"");
    for (size_t i = 0; name[i] && i < 255; i++) {
        char c[3] = {name[i], '\0', '\0'};
        if (c[0] == '"' || c[0] == '\\') {
            c[1] = c[0];
            c[0] = '\\';
        } else if (c[0] < ' ' || c[0] > '~') {
            c[0] = '?';
        }
        put(c);
    }
    put("\"");
}

/* The total over all shards of the counter at `offset`. */
static uint64_t total(size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < COUNT_SHARDS; i++) {
        sum += __atomic_load_n((uint64_t *)(void *)((char *)&count_shards[i] + offset), __ATOMIC_RELAXED);
    }
    return sum;
}

static void compose(void)
{
    line_length = 0;
    put("{\"pid\":");
    put_number((uint64_t)getpid());
    put(",\"program\":");
    put_name(program_invocation_short_name);
    put_field("allocations", total(offsetof(struct count_shard, allocations)));
    put_field("frees", total(offsetof(struct count_shard, frees)));
    put_field("reallocs", total(offsetof(struct count_shard, reallocs)));
    put_field("callocs", total(offsetof(struct count_shard, callocs)));
    put_field("aligned", total(offsetof(struct count_shard, aligned)));
    put_field("failed", total(offsetof(struct count_shard, failed)));
    put_field("bytes", total(offsetof(struct count_shard, bytes)));
    put(",\"by_size\":[");
    const char *comma = "";
    for (unsigned i = 0; i < COUNT_RANGES; i++) {
        uint64_t count = total(offsetof(struct count_shard, by_size) + i * sizeof(uint64_t));
        if (count) {
            put(comma);
            put("{\"upto\":");
            put_number(count_range_limit(i));
            put_field("count", count);
            put("}");
            comma = ",";
        }
    }
    put("]}\n");
}

static _Atomic bool writing;
static _Atomic bool written;

/*
 * Appends the line.  All callers make sure that this is the process whose calls were counted: a child of vfork runs in
 * its parent's memory, and must neither write its parent's counts nor leave a mark here.
 */
static void write_line(void)
{
    if (!out_path[0] || atomic_exchange(&writing, true)) {
        return;
    }
    int saved = errno;
    compose();
    int fd = open(out_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd >= 0) {
        ssize_t ignored = write(fd, line, line_length);
        (void)ignored;
        (void)close(fd);
    }
    errno = saved;
    atomic_store(&writing, false);
}

static void write_last_line(void)
{
    if (getpid() == counted_process && !atomic_exchange(&written, true)) {
        write_line();
    }
}

/*
 * Before exec: if it fails after all (a shell tries one directory after the other), the process goes on, and its next
 * line holds only what comes from here on.
 */
static void write_line_before_exec(void)
{
    bool counted_any = total(offsetof(struct count_shard, allocations)) || total(offsetof(struct count_shard, frees));
    if (counted_any && getpid() == counted_process) {
        write_line();
        memset(count_shards, 0, sizeof(count_shards));
    }
}

/* ---- beginnings and ends of a process ---- */

static void start_again_in_child(void)
{
    memset(count_shards, 0, sizeof(count_shards));
    counted_process = getpid();
    atomic_store(&writing, false);
    atomic_store(&written, false);
}

/*
 * The next definitions of what is interposed below: looked up early, because exec and _exit must be safe in a child of
 * vfork and in a signal handler, where dlsym is not.
 */
static struct {
    int (*execve)(const char *, char *const[], char *const[]);
    int (*execv)(const char *, char *const[]);
    int (*execvp)(const char *, char *const[]);
    int (*execvpe)(const char *, char *const[], char *const[]);
    int (*fexecve)(int, char *const[], char *const[]);
    int (*execveat)(int, const char *, char *const[], char *const[], int);
    void (*_exit)(int);
} next;

#define FIND_NEXT(name) (__extension__(__typeof__(next.name)) dlsym(RTLD_NEXT, #name))
#define LOOK_UP(name) (next.name = FIND_NEXT(name))

__attribute__((constructor)) static void begin(void)
{
    const char *path = secure_getenv("HAKMEM_COUNT_OUT");
    counted_process = getpid();
    if (path && path[0] && strlen(path) < sizeof(out_path) / 2) {
        if (path[0] != '/' && getcwd(out_path, sizeof(out_path) / 2 - 1)) {
            strcat(out_path, "/");
        }
        strcat(out_path, path);
    }
    LOOK_UP(execve);
    LOOK_UP(execv);
    LOOK_UP(execvp);
    LOOK_UP(execvpe);
    LOOK_UP(fexecve);
    LOOK_UP(execveat);
    LOOK_UP(_exit);
    (void)pthread_atfork(NULL, NULL, start_again_in_child);
    (void)at_quick_exit(write_last_line);
}

__attribute__((destructor)) static void end(void)
{
    write_last_line();
}

/* A program's own _exit: the C library's exit does not come this way. */
EXPORT void _exit(int status)
{
    write_last_line();
    if (next._exit) {
        next._exit(status);
    }
    for (;;) {
        (void)syscall(SYS_exit_group, status);
    }
}

EXPORT void _Exit(int status)
{
    _exit(status);
}

/* ---- exec, in all its spellings ---- */

/* Another library's constructor may have called exec before begin() ran. */
#define NEXT(name) (next.name ? next.name : FIND_NEXT(name))

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    write_line_before_exec();
    return NEXT(execve)(path, argv, envp);
}

EXPORT int execv(const char *path, char *const argv[])
{
    write_line_before_exec();
    return NEXT(execv)(path, argv);
}

EXPORT int execvp(const char *file, char *const argv[])
{
    write_line_before_exec();
    return NEXT(execvp)(file, argv);
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    write_line_before_exec();
    return NEXT(execvpe)(file, argv, envp);
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    write_line_before_exec();
    return NEXT(fexecve)(fd, argv, envp);
}

/* Not in every C library's headers. */
int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags);

EXPORT int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
    write_line_before_exec();
    return NEXT(execveat)(dir, path, argv, envp, flags);
}

/* The list forms: their arguments are gathered on the stack, as the C library does it. */
#define GATHER(argv, first, list)                                                                                      \
    do {                                                                                                               \
        va_list counting;                                                                                              \
        size_t count = 1;                                                                                              \
        va_copy(counting, list);                                                                                       \
        while (va_arg(counting, char *)) {                                                                             \
            count++;                                                                                                   \
        }                                                                                                              \
        va_end(counting);                                                                                              \
        argv = alloca((count + 1) * sizeof(char *));                                                                   \
        argv[0] = (char *)(uintptr_t)(first);                                                                          \
        for (size_t i = 1; i <= count; i++) {                                                                          \
            argv[i] = va_arg(list, char *);                                                                            \
        }                                                                                                              \
    } while (0)

EXPORT int execl(const char *path, const char *first, ...)
{
    char **argv;
    va_list list;
    va_start(list, first);
    GATHER(argv, first, list);
    va_end(list);
    return execv(path, argv);
}

EXPORT int execlp(const char *file, const char *first, ...)
{
    char **argv;
    va_list list;
    va_start(list, first);
    GATHER(argv, first, list);
    va_end(list);
    return execvp(file, argv);
}

EXPORT int execle(const char *path, const char *first, ...)
{
    char **argv;
    va_list list;
    va_start(list, first);
    GATHER(argv, first, list);
    char *const *envp = va_arg(list, char *const *);
    va_end(list);
    return execve(path, argv, envp);
}
