/* SPDX-License-Identifier: MIT */
/* root.c - the one structure of root.h, filled in when the allocator starts with addresses that other modules give. */
#include "process/root.h"

#include "pages/meta.h"

/* Not all zero, so that it lies in the data that comes from the file, where other processes search. */
static struct hak_root root = {
    .magic = HAK_ROOT_MAGIC,
    .version = HAKMEM_VERSION_STRING,
    .layout = HAK_ROOT_LAYOUT,
};

void hak_root_start(void)
{
    root.heaps = hak_heap_table();
    root.heap_count = hak_heap_count_at();
    root.window = &hak_window_first;
    root.super = hak_super_counts_at();
    root.huge = hak_huge_counts_at();
    root.stocks = hak_stocks;
    root.os = &hak_os_counts;
    root.own_bytes = &hak_meta_held;
    hak_store_release(&root.self, &root);
}
