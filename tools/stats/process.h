/* SPDX-License-Identifier: MIT */
/*
 * process.h - what the files of hakmem stats share: the view of another process's structures (process.c), the processes
 * of a name (find.c), and a snapshot in words (text.c).
 */
#ifndef HAKMEM_STATS_PROCESS_H
#define HAKMEM_STATS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "stats/usage.h"

/* Ends the command with one line on standard error. */
__attribute__((noreturn, format(printf, 2, 3))) void stats_die(int status, const char *format, ...);
/* Returns `memory`; ends the command if it is NULL. */
void *stats_need(void *memory);
/* Copies a text from outside, as much as there is room for, with ? in the place of what is not printable ASCII. */
void stats_printable(char *to, size_t room, const char *from);
/* The program's name as the kernel has it, printable; "" if it is not known. */
void stats_program_name(pid_t pid, char name[32]);

/* Begins to look at a process. */
struct process;
struct process *stats_process(pid_t pid);
/* Takes a snapshot; ends the command with one line if the process cannot be read, has ended or does not use this build
 * of libhakmem.  The view is valid until the next call. */
struct hak_view *stats_look(struct process *process);
/* Whether the process has ended since stats_process(). */
bool stats_ended(const struct process *process);
/* Whether this libhakmem is in the process and its memory may be read. */
bool stats_usable(pid_t pid);

/* Finds a process by PID or program name; ends the command with one line if there is none or more than one. */
pid_t stats_find(const char *which);

/* Prints a snapshot for people; `name` is the program's, or "". */
void stats_print_text(struct hak_view *view, const char *name);
/* Prints a line of the main figures, below a line of heads if `heads`. */
void stats_print_line(struct hak_view *view, bool heads);

#endif
