/* SPDX-License-Identifier: MIT */
/*
 * hooks_library.c - what tracing tools preload: mmap, munmap and pthread_create of its own, which look up the real
 * ones by dlsym and allocate while they are at it; and a look-up that fails, for which dlerror allocates.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int hooks_called;

static void *find(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (!dlsym(RTLD_NEXT, "no_library_defines_this"))
        (void)dlerror();
    char *text = malloc(200);
    if (text)
        memset(text, 1, 200);
    free(text);
    hooks_called++;
    return function;
}

void *mmap(void *at, size_t length, int protection, int flags, int file, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (!real)
        *(void **)&real = find("mmap");
    return real(at, length, protection, flags, file, offset);
}

int munmap(void *at, size_t length)
{
    static int (*real)(void *, size_t);
    if (!real)
        *(void **)&real = find("munmap");
    free(malloc(100));
    return real(at, length);
}

int madvise(void *at, size_t length, int advice)
{
    static int (*real)(void *, size_t, int);
    if (!real)
        *(void **)&real = find("madvise");
    free(malloc(100));
    return real(at, length, advice);
}

char *getenv(const char *name)
{
    static char *(*real)(const char *);
    if (!real)
        *(void **)&real = find("getenv");
    free(malloc(300));
    return real(name);
}

int pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*function)(void *), void *argument)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real)
        *(void **)&real = find("pthread_create");
    return real(id, attributes, function, argument);
}
