/* SPDX-License-Identifier: MIT */
/*
 * atomics.h - short names for the C11 atomic operations in use.
 *
 * hak_load and hak_store are relaxed: for figures and hints, from which no reader derives that other memory is ready.
 * Acquire and release publish what was written before.  src/ORDERING lists what is read without a lock.
 */
#ifndef HAK_ATOMICS_H
#define HAK_ATOMICS_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/delay.h"

#define hak_load(p) atomic_load_explicit((p), memory_order_relaxed)
#define hak_store(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define hak_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define hak_store_release(p, v) \
    ({                                                              \
        HAK_DELAY();                                                \
        atomic_store_explicit((p), (v), memory_order_release);      \
        HAK_DELAY();                                                \
    })
/* Relaxed; the value before the change.  In a process with one thread no operation need be atomic. */
#define hak_fetch_add(p, v) hak_change(p, v, +, atomic_fetch_add_explicit)
#define hak_fetch_sub(p, v) hak_change(p, v, -, atomic_fetch_sub_explicit)
#define hak_change(p, v, sign, change)                                                                          \
    ({                                                                                                          \
        __typeof__(hak_load(p)) before_;                                                                        \
        if (HAK_SINGLE_THREADED) {                                                                              \
            before_ = hak_load(p);                                                                              \
            hak_store(p, (__typeof__(before_))(before_ sign(v)));                                               \
        } else {                                                                                                \
            before_ = change((p), (v), memory_order_relaxed);                                                   \
        }                                                                                                       \
        before_;                                                                                                \
    })

#endif
