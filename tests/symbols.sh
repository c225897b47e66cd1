#!/bin/sh
# SPDX-License-Identifier: MIT
# The shared library exports what src/libhakmem.sym lists and nothing else: hakmem_* with a version, and the others
# without one and in the place of libc's; it needs libc alone; nothing in it is both writable and executable or
# relocated in its text.  The archive defines no other names.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
need_shared
have readelf || skip_all "no readelf"
list=$top_srcdir/src/libhakmem.sym

readelf --dyn-syms --wide "$library" >"$scratch/symbols"
awk '$1 ~ /^[0-9]+:$/ && $7 != "UND" && ($5 == "GLOBAL" || $5 == "WEAK") { print $8 }' "$scratch/symbols" |
    grep -v '^HAKMEM_[0-9.]*$' | sort >"$scratch/versions"
sed 's/@.*//' "$scratch/versions" | sort >"$scratch/exported"
if [ -n "$SANITIZER_CFLAGS" ]; then
    grep '^hakmem_' "$list" | sort >"$scratch/expected"
else
    sort "$list" >"$scratch/expected"
fi
diff "$scratch/expected" "$scratch/exported" >"$scratch/diff"
ok $? "exports exactly what src/libhakmem.sym lists"
note "$scratch/diff"
! sort "$list" | uniq -d | grep .
ok $? "the list names nothing twice"

if [ -z "$SANITIZER_CFLAGS" ]; then
    # A malloc with a version of ours would not be bound to malloc@GLIBC_2.2.5.
    ! grep -v '^hakmem_' "$scratch/versions" | grep '@'
    ok $? "what replaces functions of others has no version"
    ! grep '^hakmem_' "$scratch/versions" | grep -v '@@HAKMEM_[0-9]'
    ok $? "each hakmem_ function has one"
    # shellcheck source-path=SCRIPTDIR source=interpose.subr
    . "$tests/interpose.subr"
fi

readelf --dynamic --wide "$library" >"$scratch/dynamic"
if [ -z "$SANITIZER_CFLAGS" ]; then
    needed=$(sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p' "$scratch/dynamic" | sort | tr '\n' ' ')
    case $needed in
    libc.so\  | libc.musl-*.so.1\  | libc.so.6\  | "ld-linux-"*" libc.so.6 " | "libc.so.6 ld-linux-"*) ok 0 "needs libc alone: $needed" ;;
    *) ok 1 "needs libc alone: $needed" ;;
    esac
fi
soname=$(sed -n 's/.*(SONAME).*\[\(.*\)\].*/\1/p' "$scratch/dynamic")
[ "$soname" = libhakmem.so.0 ]
ok $? "the SONAME is libhakmem.so.0: $soname"
! grep -q TEXTREL "$scratch/dynamic"
ok $? "no relocation of the text"
grep -q 'BIND_NOW\|FLAGS_1.*NOW' "$scratch/dynamic"
ok $? "bound when it is loaded"
grep -q 'NODELETE' "$scratch/dynamic"
ok $? "stays loaded"
readelf --program-headers --wide "$library" >"$scratch/headers"
! grep 'GNU_STACK' "$scratch/headers" | grep -q 'RWE'
ok $? "no executable stack"
! grep 'LOAD' "$scratch/headers" | grep -q 'RWE'
ok $? "nothing is writable and executable"
grep -q 'GNU_RELRO' "$scratch/headers"
ok $? "relocations become read-only"
# What every thread begins with; a stripped library does not tell.
section=$(readelf --symbols --wide "$library" | awk '$8 == "hak_tcache_none" { print $7; exit }')
if [ -n "$section" ]; then
    readelf --sections --wide "$library" | sed 's/\[ */[/' | grep "^ *\[$section\] .data.rel.ro"
    ok $? "the first cache of all threads is read-only"
fi
if [ -z "$SANITIZER_CFLAGS" ]; then
    # How much static TLS it takes from what dlopen has left: 16 words.
    tls=$(awk '$1 == "TLS" { print $6 }' "$scratch/headers")
    [ $((${tls:-0})) -le 128 ]
    ok $? "static TLS: $((${tls:-0})) bytes"
    # Calls of its own that another library could catch, and by them come back into the allocator.
    ! grep -w 'UND' "$scratch/symbols" | grep -wqE 'mmap|munmap|mremap|madvise|mprotect|getenv|fprintf_unlocked|malloc|calloc|realloc|free'
    ok $? "calls nothing that other libraries like to replace"
fi

if [ "$enable_static" = yes ] && [ -e "$archive" ] && [ -z "$SANITIZER_CFLAGS" ] && have nm; then
    nm -A --defined-only "$archive" 2>/dev/null | awk '$2 ~ /^[TDBRVW]$/' >"$scratch/archive"
    # Everything global that is not exported begins with hak_: a program's own names are not in the way.
    awk '{ print $3 }' "$scratch/archive" | sort -u | grep -v '^hak_' | grep -vxFf "$list" >"$scratch/others"
    [ ! -s "$scratch/others" ]
    ok $? "the archive defines no names but ours"
    note "$scratch/others"
    grep -v '^hakmem_\|^_Z' "$list" >"$scratch/libc_names"
    awk 'NR == FNR { wanted[$1]; next } $3 in wanted { sub(/:[^:]*$/, "", $1); print $1 }' "$scratch/libc_names" \
        "$scratch/archive" | sort -u >"$scratch/objects"
    [ "$(wc -l <"$scratch/objects")" -eq 1 ]
    good=$?
    ok $good "one object of the archive has all libc names"
    [ $good -eq 0 ] || note "$scratch/objects"
fi
finish
