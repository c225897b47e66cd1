#!/bin/sh
# SPDX-License-Identifier: MIT
# The standalone programs linked statically as a whole, libc and libhakmem.a included.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
need_interposition
[ "$enable_static" = yes ] && [ -e "$archive" ] || skip_all "no static library was built"
# shellcheck source-path=SCRIPTDIR source=alone.subr
. "$tests/alone.subr"

compile_c -static -o "$scratch/whose" "$scratch/whose.c" 2>/dev/null || skip_all "no static C library"

export HAKMEM_TEST_SHORT=1
with() { "$@"; }
link() { name=$1 && shift && "compile_$1" -static -o "$scratch/$name" "$tests/alone/$2" "$archive" || exit 99; }

compile_c -static -o "$scratch/whose" "$scratch/whose.c" "$archive" 2>"$scratch/whose.log"
ok $? "links: no name is defined twice"
note "$scratch/whose.log"
"$scratch/whose" | grep -q '<total type="fast" count="[0-9]*" size="[0-9]*"/>'
ok $? "the program runs on libhakmem"
if have nm; then
    # glibc's malloc.o brings this along, and must not be there beside ours.
    ! nm "$scratch/whose" | grep -q ' __malloc_hugepage_config\| _int_malloc\| mp_$'
    ok $? "the C library's own malloc is not in the program"
fi

compile_c -static -o "$scratch/lifetime" "$tests/alone/lifetime.c" "$tests/alone/lifetime_library.c" "$archive" || exit 99
run lifetime "from before constructors until after destructors" "$scratch/lifetime"
link tsd c tsd.c
link threads c threads.c
link fork c fork.c
link purge c purge.c
link helper c helper.c
run tsd "destructors of thread-specific data" "$scratch/tsd"
run threads "threads" "$scratch/threads"
run fork "fork" "$scratch/fork"
run purge "memory that comes back when some is freed" "$scratch/purge"
run helper "no helper in a program that cannot have one" "$scratch/helper"
if have "$CXX" && compile_cxx -static -o "$scratch/new_delete" "$tests/alone/new_delete.cc" \
    "$tests/alone/new_library.cc" "$archive" 2>"$scratch/new_delete.log"; then
    run new_delete "operator new and delete" "$scratch/new_delete"
elif have "$CXX"; then
    ok 1 "operator new and delete: does not link"
    note "$scratch/new_delete.log"
else
    skip "operator new and delete" "no C++ compiler"
fi

# libhakmem.a in a program that shares its libc.
compile_c -o "$scratch/partly" "$tests/alone/threads.c" "$archive" || exit 99
run partly "threads, linked with libhakmem.a and a shared libc" "$scratch/partly"
finish
