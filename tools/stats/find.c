/* SPDX-License-Identifier: MIT */
/* find.c - from what the user calls a process, its ID or its program's name, to the process.  Reads /proc. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

#define COMM 15u /* characters of a program's name that the kernel keeps */
#define NAMED 9u /* processes of a name that are told apart; the last only says that there are more */

/* The first line of a file below /proc/PID; "" if there is none. */
static void read_proc(pid_t pid, const char *name, char *line, size_t room)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    if (!file || !fgets(line, (int)room, file))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (file)
        fclose(file);
}

void stats_program_name(pid_t pid, char name[32])
{
    char comm[32];
    read_proc(pid, "comm", comm, sizeof comm);
    stats_printable(name, 32, comm);
}

/* Whether the process's program has this name: as the kernel tells it, cut off, or as its file is called. */
static bool is_called(pid_t pid, const char *name)
{
    char comm[32], link[64], file[PATH_MAX];
    read_proc(pid, "comm", comm, sizeof comm);
    if (strlen(name) <= COMM && strcmp(comm, name) == 0)
        return true;
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    ssize_t length = readlink(link, file, sizeof file - 1);
    if (length <= 0)
        return strncmp(comm, name, COMM) == 0 && strlen(name) > COMM;
    file[length] = '\0';
    const char *slash = strrchr(file, '/');
    return slash && strcmp(slash + 1, name) == 0;
}

static bool is_number(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0';
}

/* Up to `room` processes of the name, this one left out. */
static size_t list_named(const char *name, pid_t *named, size_t room)
{
    DIR *proc = opendir("/proc");
    size_t count = 0;
    struct dirent *entry;
    if (!proc)
        stats_die(1, "cannot read /proc: %s", strerror(errno));
    while (count < room && (entry = readdir(proc))) {
        pid_t pid = is_number(entry->d_name) ? (pid_t)atol(entry->d_name) : 0;
        if (pid > 0 && pid != getpid() && is_called(pid, name))
            named[count++] = pid;
    }
    closedir(proc);
    return count;
}

static pid_t find_named(const char *name)
{
    static pid_t named[4096];
    pid_t usable[NAMED];
    char quoted[64], list[NAMED * 16] = "";
    size_t count = list_named(name, named, sizeof named / sizeof *named), used = 0;
    stats_printable(quoted, sizeof quoted, name);
    if (count == 0)
        stats_die(1, "no process is called '%s'", quoted);
    for (size_t i = 0; i < count && used < NAMED; i++)
        if (stats_usable(named[i]))
            usable[used++] = named[i];
    if (used == 1)
        return usable[0];
    if (used == 0 && count == 1)
        return named[0]; /* whoever looks at it says what is wrong with it */
    if (used == 0)
        stats_die(1, "of %zu processes called '%s' none uses libhakmem and may be read", count, quoted);
    for (size_t i = 0; i < used; i++) {
        size_t length = strlen(list);
        if (i == NAMED - 1)
            snprintf(list + length, sizeof list - length, ", ...");
        else
            snprintf(list + length, sizeof list - length, "%s%d", i ? ", " : "", (int)usable[i]);
    }
    stats_die(1, "several processes called '%s' use libhakmem; give the ID of one: %s", quoted, list);
}

pid_t stats_find(const char *which)
{
    if (!is_number(which))
        return find_named(which);
    errno = 0;
    long pid = strtol(which, NULL, 10);
    if (errno || pid <= 0 || pid > INT_MAX)
        stats_die(2, "'%s' is not a process ID", which);
    return (pid_t)pid;
}
