/* SPDX-License-Identifier: MIT */
/*
 * libc_malloc.c - calls the C library's own malloc.  Owns what it has looked up of it.  Calls nothing of ours.
 *
 * glibc exports its allocator under names that nobody replaces.  The references are weak: in a static program they
 * stay null, as libc's malloc must not be linked in beside ours, and so they do with another C library.  What has no
 * such name is looked up when it is first asked for, which may allocate; by then libc's malloc serves that.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* RTLD_NOLOAD */
#endif
#include "os/libc_malloc.h"

#include <dlfcn.h>

#include "base/atomics.h"

extern void *__libc_malloc(size_t size) __attribute__((weak));
extern void *__libc_calloc(size_t count, size_t size) __attribute__((weak));
extern void *__libc_realloc(void *block, size_t size) __attribute__((weak));
extern void *__libc_memalign(size_t align, size_t size) __attribute__((weak));
extern void __libc_free(void *block) __attribute__((weak));
extern __typeof__(dlsym) dlsym __attribute__((weak));

bool hak_libc_exists(void)
{
    return __libc_malloc && __libc_calloc && __libc_realloc && __libc_memalign && __libc_free && dlsym;
}

void *hak_libc_malloc(size_t align, size_t size)
{
    return align <= 16 ? __libc_malloc(size) : __libc_memalign(align, size);
}

void *hak_libc_calloc(size_t bytes)
{
    return __libc_calloc(1, bytes);
}

void *hak_libc_realloc(void *block, size_t size)
{
    return __libc_realloc(block, size);
}

void hak_libc_free(void *block)
{
    __libc_free(block);
}

/* libc's function of this name, whoever else defines one in the program.  A reference to dlopen would have the linker
 * warn of every static program. */
static void *libc_look_up(const char *name, _Atomic(void *) *known)
{
    void *found = hak_load(known);
    if (found)
        return found;
    void *(*open)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_DEFAULT, "dlopen");
    void *libc = open ? open("libc.so.6", RTLD_LAZY | RTLD_NOLOAD) : NULL;
    found = libc ? dlsym(libc, name) : NULL;
    hak_store(known, found);
    return found;
}

size_t hak_libc_usable_size(void *block)
{
    static _Atomic(void *) known;
    size_t (*function)(void *) = (size_t(*)(void *))libc_look_up("malloc_usable_size", &known);
    return function ? function(block) : 0;
}

struct mallinfo2 hak_libc_mallinfo2(void)
{
    static _Atomic(void *) known;
    struct mallinfo2 (*function)(void) = (struct mallinfo2(*)(void))libc_look_up("mallinfo2", &known);
    return function ? function() : (struct mallinfo2){0};
}

int hak_libc_malloc_info(int options, FILE *stream)
{
    static _Atomic(void *) known;
    int (*function)(int, FILE *) = (int (*)(int, FILE *))libc_look_up("malloc_info", &known);
    return function ? function(options, stream) : -1;
}

void hak_libc_malloc_stats(void)
{
    static _Atomic(void *) known;
    void (*function)(void) = (void (*)(void))libc_look_up("malloc_stats", &known);
    if (function)
        function();
}

int hak_libc_malloc_trim(size_t pad)
{
    static _Atomic(void *) known;
    int (*function)(size_t) = (int (*)(size_t))libc_look_up("malloc_trim", &known);
    return function ? function(pad) : 0;
}

int hak_libc_mallopt(int parameter, int value)
{
    static _Atomic(void *) known;
    int (*function)(int, int) = (int (*)(int, int))libc_look_up("mallopt", &known);
    return function ? function(parameter, value) : 0;
}
