#!/bin/sh
# SPDX-License-Identifier: MIT
# <hakmem.h> compiles alone, without a warning, as every C and C++ that is in use, by every compiler that is found;
# and each function that it declares can be called as declared.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
header=$top_srcdir/include/hakmem.h
strict='-Wall -Wextra -pedantic -Werror -Wshadow -Wundef -Wconversion -Wold-style-cast'

{
    echo '#include <hakmem.h>'
    echo '#include <hakmem.h>'
    # A pointer to each function, so that nothing is declared that is not there.
    # In C, taking the address also shows that each is a complete prototype.
    sed -n '/^HAKMEM_API/s/.*[ *]\(hakmem_[a-z0-9_]*\)(.*/\1/p' "$header" | sort -u |
        sed 's/.*/void *use_&(void); void *use_&(void) { typedef void any(void); any *p = (any *)\&&; return (void *)(size_t)p; }/'
} >"$scratch/all.c"
{
    echo '#include <hakmem.h>'
    echo '#include <hakmem.h>'
    echo 'const char *version();'
    echo 'const char *version() { void *block = hakmem_malloc(10); hakmem_free(block); return hakmem_version(); }'
} >"$scratch/all.cc"
{
    echo '#include <hakmem.h>'
    cat <<'END'
const char *version(void);
const char *version(void)
{
    struct mallinfo2 info = hakmem_mallinfo2();
    void *block = hakmem_malloc(10);
    if (HAKMEM_VERSION_MAJOR < 0 || HAKMEM_VERSION_MINOR < 0 || HAKMEM_VERSION_PATCH < 0)
        return HAKMEM_VERSION_STRING;
    hakmem_free_sized(block, info.arena);
    return hakmem_version();
}
END
} >"$scratch/some.c"

c_flags=$(echo "$strict" | sed 's/-Wold-style-cast//')
for compiler in "$CC" gcc clang; do
    have "${compiler%% *}" || continue
    for standard in c11 c17 gnu11 c2x; do
        # shellcheck disable=SC2086
        echo 'int nothing;' | $compiler -std=$standard -x c -fsyntax-only - 2>/dev/null || continue
        # shellcheck disable=SC2086
        $compiler -std=$standard $c_flags -I"$top_srcdir/include" -c -o "$scratch/some.o" "$scratch/some.c" \
            >"$scratch/log" 2>&1
        ok $? "$compiler -std=$standard"
        note "$scratch/log"
    done
    # shellcheck disable=SC2086
    $compiler -std=c11 -Wall -Wextra -Werror -I"$top_srcdir/include" -c -o "$scratch/all.o" "$scratch/all.c" \
        >"$scratch/log" 2>&1
    ok $? "$compiler: every function is declared"
    note "$scratch/log"
done
for compiler in "$CXX" g++ clang++; do
    have "${compiler%% *}" || continue
    for standard in c++98 c++11 c++17 c++20; do
        # shellcheck disable=SC2086
        echo 'int nothing;' | $compiler -std=$standard -x c++ -fsyntax-only - 2>/dev/null || continue
        # shellcheck disable=SC2086
        $compiler -std=$standard $strict -I"$top_srcdir/include" -c -o "$scratch/all.o" "$scratch/all.cc" \
            >"$scratch/log" 2>&1
        ok $? "$compiler -std=$standard"
        note "$scratch/log"
    done
done
finish
