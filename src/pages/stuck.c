/* SPDX-License-Identifier: MIT */
/* stuck.c - the tree of stuck.h.  Owns nothing; takes no lock.  Calls os.h only, for the size of a page. */
#include "pages/stuck.h"

#include "os/os.h"

/* A product alone rises steadily over addresses at certain equal distances, and the tree would be a list.  Steele, Lea,
 * Flood: Fast splittable pseudorandom number generators, 2014 (SplitMix). */
static uint64_t stuck_rank(const struct hak_stuck *node)
{
    uint64_t bits = (uint64_t)((uintptr_t)node >> 12) * 0x9e3779b97f4a7c15;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111eb;
    return bits ^ bits >> 31;
}

static size_t stuck_most(const struct hak_stuck *tree)
{
    return tree ? tree->most : 0;
}

static void stuck_update(struct hak_stuck *node)
{
    node->most = HAK_MAX(node->size, HAK_MAX(stuck_most(node->left), stuck_most(node->right)));
}

/* All of `low` lies below all of `high`. */
static struct hak_stuck *stuck_merge(struct hak_stuck *low, struct hak_stuck *high)
{
    if (!low || !high)
        return low ? low : high;
    struct hak_stuck *top = stuck_rank(low) > stuck_rank(high) ? low : high;
    if (top == low)
        low->right = stuck_merge(low->right, high);
    else
        high->left = stuck_merge(low, high->left);
    stuck_update(top);
    return top;
}

/* What lies below the address, and the others. */
static void stuck_split(struct hak_stuck *tree, const char *at, struct hak_stuck **low, struct hak_stuck **high)
{
    if (!tree) {
        *low = *high = NULL;
        return;
    }
    if ((char *)tree < at) {
        *low = tree;
        stuck_split(tree->right, at, &tree->right, high);
    } else {
        *high = tree;
        stuck_split(tree->left, at, low, &tree->left);
    }
    stuck_update(tree);
}

/* Takes out the lowest node; NULL if there is none. */
static struct hak_stuck *stuck_lowest(struct hak_stuck **tree)
{
    struct hak_stuck *node = *tree;
    if (!node)
        return NULL;
    if (node->left) {
        struct hak_stuck *lowest = stuck_lowest(&node->left);
        stuck_update(node);
        return lowest;
    }
    *tree = node->right;
    return node;
}

/* Takes out the highest node if it ends at the address. */
static struct hak_stuck *stuck_ends_at(struct hak_stuck **tree, const char *end)
{
    struct hak_stuck *node = *tree;
    if (!node)
        return NULL;
    if (node->right) {
        struct hak_stuck *found = stuck_ends_at(&node->right, end);
        stuck_update(node);
        return found;
    }
    if ((char *)node + node->size != end)
        return NULL;
    *tree = node->left;
    return node;
}

void hak_stuck_put(struct hak_stuck **tree, struct hak_stuck_range range)
{
    struct hak_stuck *low, *high, *after = NULL;
    const char *end = range.at + range.size;
    stuck_split(*tree, range.at, &low, &high);
    struct hak_stuck *before = stuck_ends_at(&low, range.at);
    stuck_split(high, end + 1, &after, &high); /* nothing lies between, so that this is one that begins at the end */
    if (after)
        range.size += after->size;
    if (before) {
        range.at = (char *)before;
        range.size += before->size;
    }
    struct hak_stuck *node = (struct hak_stuck *)range.at;
    *node = (struct hak_stuck){NULL, NULL, range.size, range.size};
    *tree = stuck_merge(stuck_merge(low, node), high);
}

static const struct hak_stuck *stuck_find(const struct hak_stuck *tree, size_t size)
{
    if (stuck_most(tree) < size)
        return NULL;
    for (;;) {
        if (stuck_most(tree->left) >= size)
            tree = tree->left;
        else if (tree->size >= size)
            return tree;
        else
            tree = tree->right;
    }
}

/* Takes out the mapping that begins at the address. */
static struct hak_stuck_range stuck_remove(struct hak_stuck **tree, char *at)
{
    struct hak_stuck *low, *high;
    stuck_split(*tree, at, &low, &high);
    struct hak_stuck *node = stuck_lowest(&high);
    *tree = stuck_merge(low, high);
    return (struct hak_stuck_range){at, node->size};
}

struct hak_stuck_range hak_stuck_take(struct hak_stuck **tree, size_t size, size_t align)
{
    const struct hak_stuck *found = stuck_find(*tree, size + (align > hak_os_page ? align - hak_os_page : 0));
    if (!found)
        return (struct hak_stuck_range){NULL, 0};
    struct hak_stuck_range whole = stuck_remove(tree, (char *)found);
    char *at = (char *)hak_round_up((uintptr_t)whole.at, align);
    size_t before = (size_t)(at - whole.at), after = whole.size - before - size;
    if (before)
        hak_stuck_put(tree, (struct hak_stuck_range){whole.at, before});
    if (after)
        hak_stuck_put(tree, (struct hak_stuck_range){at + size, after});
    return (struct hak_stuck_range){at, size};
}

struct hak_stuck_range hak_stuck_pop(struct hak_stuck **tree)
{
    struct hak_stuck *node = stuck_lowest(tree);
    return node ? (struct hak_stuck_range){(char *)node, node->size} : (struct hak_stuck_range){NULL, 0};
}
