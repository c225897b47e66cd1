/* SPDX-License-Identifier: MIT */
/* stats.c - the command hakmem stats: the statistics of a running process, read from outside. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "process.h"

#define HEADS 20 /* lines of --watch between two lines of heads */

static const char usage_text[] =
    "Usage: hakmem stats [--all | --json | --prometheus] PROCESS\n"
    "       hakmem stats --watch[=SECONDS] PROCESS\n"
    "       hakmem stats --help | --version\n"
    "\n"
    "Tells what libhakmem holds in the running PROCESS, a process ID or the name of a program: how much is live, free\n"
    "and mapped, in all, by size class and by heap.  The process is neither stopped nor changed; its memory is read\n"
    "as a debugger would read it, which needs the same permission.\n"
    "\n"
    "  --all         every figure in bytes, as hakmem_stats_print(3) writes them\n"
    "  --json        as a JSON object\n"
    "  --prometheus  in the Prometheus text format\n"
    "  --watch       a line of the main figures, in MiB, every 2 seconds or so many, until the process ends\n"
    "\n"
    "Exit status: 0; 1 if the process cannot be read or does not use this libhakmem; 2 for wrong usage.\n"
    "Manual: hakmem(1), hakmem_stats(3).\n";

enum form { TEXT, ALL, JSON, PROMETHEUS, WATCH };

static const struct {
    const char *option;
    enum form form;
} forms[] = {{"--all", ALL}, {"--json", JSON}, {"--prometheus", PROMETHEUS}, {"--watch", WATCH}};

struct command {
    enum form form;
    double seconds; /* of --watch */
    const char *which;
};

static void print(void *unused, const char *text, size_t length)
{
    (void)unused;
    fwrite(text, 1, length, stdout);
}

static void flush(void)
{
    if (fflush(stdout) || ferror(stdout))
        stats_die(1, "cannot write: %s", strerror(errno));
}

/* ---- the command line -------------------------------------------------------------------------------------------- */

static double seconds_from(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end || !(seconds >= 0.1 && seconds <= 1e6))
        stats_die(2, "--watch=%s: a number of seconds from 0.1 on is wanted", text);
    return seconds;
}

/* An option that chooses a form; false if it is none. */
static bool choose_form(struct command *command, const char *option)
{
    const char *value = strncmp(option, "--watch=", 8) == 0 ? option + 8 : NULL;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (value ? forms[i].form == WATCH : strcmp(option, forms[i].option) == 0) {
            if (command->form != TEXT && command->form != forms[i].form)
                stats_die(2, "only one of --all, --json, --prometheus and --watch; see hakmem stats --help");
            command->form = forms[i].form;
            if (value)
                command->seconds = seconds_from(value);
            return true;
        }
    return false;
}

static struct command command_from(char **arguments)
{
    struct command command = {.seconds = 2};
    bool options = true;
    for (; *arguments; arguments++) {
        const char *argument = *arguments;
        if (options && strcmp(argument, "--help") == 0) {
            fputs(usage_text, stdout);
            flush();
            exit(0);
        } else if (options && strcmp(argument, "--version") == 0) {
            puts("hakmem stats (libhakmem) " HAKMEM_VERSION_STRING);
            flush();
            exit(0);
        } else if (options && strcmp(argument, "--") == 0) {
            options = false;
        } else if (options && argument[0] == '-') {
            if (!choose_form(&command, argument))
                stats_die(2, "unknown option '%s'; see hakmem stats --help", argument);
        } else if (command.which) {
            stats_die(2, "one process at a time; see hakmem stats --help");
        } else {
            command.which = argument;
        }
    }
    if (!command.which)
        stats_die(2, "which process? See hakmem stats --help");
    return command;
}

/* ---- what is printed --------------------------------------------------------------------------------------------- */

static void watch(struct process *process, double seconds)
{
    time_t whole = (time_t)seconds;
    struct timespec pause = {whole, (long)((seconds - (double)whole) * 1e9)};
    for (unsigned line = 0; !stats_ended(process); line++) {
        stats_print_line(stats_look(process), line % HEADS == 0);
        flush();
        nanosleep(&pause, NULL);
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    char name[32];
    struct command command = command_from(argv + 1);
    pid_t pid = stats_find(command.which);
    struct process *process = stats_process(pid);
    switch (command.form) {
    case TEXT:
        stats_program_name(pid, name);
        stats_print_text(stats_look(process), name);
        break;
    case ALL:
        hak_usage_print(stats_look(process), HAKMEM_STATS_TEXT, print, NULL);
        break;
    case JSON:
        hak_usage_print(stats_look(process), HAKMEM_STATS_JSON, print, NULL);
        break;
    case PROMETHEUS:
        hak_usage_print(stats_look(process), HAKMEM_STATS_PROMETHEUS, print, NULL);
        break;
    case WATCH:
        watch(process, command.seconds);
        break;
    }
    flush();
    return 0;
}
