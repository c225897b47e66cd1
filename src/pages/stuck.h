/* SPDX-License-Identifier: MIT */
/*
 * stuck.h - freed mappings that the kernel would not unmap (it may have to divide one, and allows a process only so
 * many).
 *
 * Nothing bounds their number but the address space, so they are a tree ordered by address: a call costs the logarithm
 * of their number.  Each mapping begins with its node, and adjoins none of the others.  All calls for one tree are
 * under one lock of the caller's.
 */
#ifndef HAK_STUCK_H
#define HAK_STUCK_H

#include "base/base.h"

/*
 * A treap (Aragon and Seidel, Randomized search trees, 1989): what is left of a node has lower addresses, what is right
 * of it higher ones, and no node below it has a higher rank, which is a hash of the address.
 */
struct hak_stuck {
    struct hak_stuck *left, *right;
    size_t size; /* of the mapping */
    size_t most; /* the largest size in the subtree */
};

struct hak_stuck_range {
    char *at;
    size_t size; /* 0: there is none */
};

#pragma GCC visibility push(hidden)
/* Joins the mapping with those that adjoin it, or pieces would get ever smaller. */
void hak_stuck_put(struct hak_stuck **tree, struct hak_stuck_range range);
/* Takes `size` bytes at a multiple of `align` from the lowest mapping that surely has room for them; the rest stays. */
struct hak_stuck_range hak_stuck_take(struct hak_stuck **tree, size_t size, size_t align);
/* Takes the lowest mapping, whole. */
struct hak_stuck_range hak_stuck_pop(struct hak_stuck **tree);
#pragma GCC visibility pop

#endif
