/* SPDX-License-Identifier: MIT */
/*
 * meta.h - memory for the allocator's own structures.
 *
 * Zeroed, aligned to 128 bytes from 128 bytes on (to 64 below), never handed to the program.  The caller remembers
 * the size.  NULL when memory is out.
 */
#ifndef HAK_META_H
#define HAK_META_H

#include "base/base.h"
#include "os/lock.h"

#pragma GCC visibility push(hidden)
extern struct hak_lock hak_meta_lock;
void *hak_meta_alloc(size_t size) HAK_EXCLUDES(hak_meta_lock);
void hak_meta_free(void *p, size_t size) HAK_EXCLUDES(hak_meta_lock);
/* Forgets all memory, whatever state the free lists are in: for a child that was forked during the start (init.h). */
void hak_meta_abandon(void);
/* Counts memory that the kernel gave for structures without this module. */
void hak_meta_count(size_t size);
/* Bytes held from the kernel for structures. */
extern _Atomic size_t hak_meta_held;
#pragma GCC visibility pop

#endif
