/* SPDX-License-Identifier: MIT */
/* root.c - the one structure of root.h, filled in when the allocator starts.  Asks those it tells of for addresses. */
#include "process/root.h"

#include "pages/meta.h"

/* In the data that comes from the file, where it is looked for. */
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
