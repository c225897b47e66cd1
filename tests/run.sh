#!/bin/sh
# SPDX-License-Identifier: MIT
# The command hakmem itself: what it runs, what it says of programs that it is nothing for, its help, and completions.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
need_interposition
need_shared
emulated && skip_all "what is run here are programs of the system's"
hakmem=$top_builddir/tools/hakmem-uninstalled
HAKMEM_LIBRARY=$library
export HAKMEM_LIBRARY
unset HAKMEM_TUNE LD_PRELOAD

# says STATUS WHAT LINE COMMAND...: it ends so, and LINE is all that it writes to standard error.
says()
{
    wanted=$1 what=$2 line=$3
    shift 3
    limited 60 "$@" >"$scratch/out" 2>"$scratch/err"
    status=$?
    [ $status -eq "$wanted" ] && [ "$(cat "$scratch/err")" = "$line" ]
    good=$?
    ok $good "$what"
    [ $good -eq 0 ] || {
        echo "exit status $status" >>"$scratch/err"
        note "$scratch/err"
    }
}

# ---- What it runs ----------------------------------------------------------------------------------------------------
says 3 "exit status" "" "$hakmem" run -- sh -c 'exit 3'
says 0 "the library is there" "" "$hakmem" run -- grep -c libhakmem /proc/self/maps
says 127 "no such program" "hakmem: nothing-of-this-name: not found" "$hakmem" run nothing-of-this-name
says 127 "no such file" "hakmem: ./nothing: not found" "$hakmem" run ./nothing
says 126 "a folder" "hakmem: /etc: is a directory" "$hakmem" run /etc
says 126 "no program" "hakmem: /etc/passwd: permission denied" "$hakmem" run /etc/passwd
says 2 "none at all" "hakmem: run: which program? See hakmem run --help" "$hakmem" run
says 2 "--tune of nothing" "hakmem: run: --tune: which settings?  See hakmem tune list" "$hakmem" run --tune
case " $HAK_CPPFLAGS " in
*" -DHAK_MINIMAL=1 "*) skip "--tune and its settings in two words" "the knobs are constant" ;;
*)
    says 0 "--tune and its settings in two words" "" "$hakmem" run --tune preset=latency -- env
    grep -qx HAKMEM_TUNE=preset=latency "$scratch/out"
    ok $? "they are exported"
    ;;
esac

# ---- Programs that it is nothing for ---------------------------------------------------------------------------------
# script NAME FIRST-LINE
script()
{
    printf '%s\n' "$2" >"$scratch/$1"
    chmod +x "$scratch/$1"
}
own="it keeps its own malloc"
echo 'int main(void) { return 3; }' >"$scratch/p.c"
# shellcheck disable=SC2086
if $CC $CFLAGS -static -o "$scratch/static" "$scratch/p.c" 2>/dev/null; then
    p=$scratch/static
    says 3 "a static program" "hakmem: run: $p is linked statically; $own" "$hakmem" run "$p"
    script by-static "#! $p -x"
    q=$scratch/by-static
    says 3 "a script that it runs" "hakmem: run: $q: $p, which runs it, is linked statically; $own" "$hakmem" run "$q"
    script by-env "#!/usr/bin/env static"
    (
        PATH=$PATH:$scratch
        says 3 "a script that env has it run, found by PATH" \
            "hakmem: run: by-env: $p, which runs it, is linked statically; $own" "$hakmem" run by-env
        exit $tap_failed
    )
    tap_failed=$? tap_count=$((tap_count + 1))
    # shellcheck disable=SC2086
    if $CC $CFLAGS -fPIE -static-pie -o "$scratch/pie" "$scratch/p.c" 2>/dev/null && "$scratch/pie"; [ $? -eq 3 ]; then
        says 3 "a static program that is loaded anywhere" "hakmem: run: $scratch/pie is linked statically; $own" \
            "$hakmem" run "$scratch/pie"
    fi
else
    skip "a static program" "cannot link statically"
fi
# shellcheck disable=SC2086
$CC $CFLAGS -o "$scratch/shared" "$scratch/p.c" || exit 99
says 3 "nothing of another program" "" "$hakmem" run "$scratch/shared"
script by-shared "#!$scratch/shared"
says 3 "nor of its script" "" "$hakmem" run "$scratch/by-shared"
script plain "exit 4"
says 4 "nor of a script without a first line" "" "$hakmem" run "$scratch/plain"
script odd "#!"
limited 60 "$hakmem" run "$scratch/odd" >"$scratch/out" 2>&1
! grep -q 'hakmem: run' "$scratch/out"
ok $? "nor of an odd one"
loader=$(readelf -l "$scratch/shared" 2>/dev/null | sed -n 's/.*interpreter: \(.*\)]/\1/p')
if [ -x "$loader" ]; then
    says 3 "nor of the dynamic loader" "" "$hakmem" run "$loader" "$scratch/shared"
fi
# A program of 84 bytes for 32-bit x86: _exit(0).  Whether it can be run is the kernel's affair.
{
    printf '\177ELF\001\001\001\0\0\0\0\0\0\0\0\0\002\0\003\0\001\0\0\0\124\200\004\010\064\0\0\0\0\0\0\0\0\0\0\0'
    printf '\064\0\040\0\001\0\0\0\0\0\0\0\001\0\0\0\0\0\0\0\0\200\004\010\0\200\004\010\135\0\0\0\135\0\0\0'
    printf '\005\0\0\0\0\020\0\0\270\001\0\0\0\061\333\315\200'
} >"$scratch/32"
chmod +x "$scratch/32"
limited 60 "$hakmem" run "$scratch/32" >"$scratch/out" 2>"$scratch/err"
[ "$(head -n 1 "$scratch/err")" = \
    "hakmem: run: $scratch/32 is a 32-bit program, and libhakmem is for 64-bit ones; $own" ]
ok $? "a 32-bit program"
note "$scratch/err"
if [ "$(id -u)" -eq 0 ] && chmod 755 "$scratch" && cp "$scratch/shared" "$scratch/secure" &&
    chown 65534 "$scratch/secure" && chmod 4755 "$scratch/secure"; then
    says 3 "a set-user-ID program" "hakmem: run: $scratch/secure is set-user-ID or set-group-ID; $own" \
        "$hakmem" run "$scratch/secure"
    chown 0 "$scratch/secure" && chmod 4755 "$scratch/secure"
    says 3 "nothing of one of one's own" "" "$hakmem" run "$scratch/secure"
else
    skip "a set-user-ID program" "needs root"
fi

# ---- Help -----------------------------------------------------------------------------------------------------------
limited 60 "$hakmem" >"$scratch/out" 2>"$scratch/err"
[ $? -eq 2 ] && [ ! -s "$scratch/out" ] && grep -q '^Usage: hakmem run' "$scratch/err"
ok $? "alone it shows its usage"
says 0 "--help" "" "$hakmem" --help
for name in run profile stats tune help; do
    grep "^  $name  *[a-z]" "$scratch/out" | grep -vq "see hakmem help" || echo "$name"
done >"$scratch/missing"
[ ! -s "$scratch/missing" ] && grep -q '^  hakmem run -- ' "$scratch/out"
ok $? "says what each subcommand is for, and shows examples"
for name in run profile stats tune; do
    "$hakmem" help $name | grep -q "^[Uu]sage: hakmem $name" || echo "$name"
done >"$scratch/missing"
[ ! -s "$scratch/missing" ]
ok $? "explains each"
see="See hakmem --help"
says 2 "a letter wrong" "hakmem: unknown subcommand 'stat'; did you mean 'stats'?  $see" "$hakmem" stat 1
says 2 "two that changed places" "hakmem: unknown subcommand 'tnue'; did you mean 'tune'?  $see" "$hakmem" tnue
says 2 "a beginning" "hakmem: unknown subcommand 'prof'; did you mean 'profile'?  $see" "$hakmem" help prof
says 2 "nothing that is far" "hakmem: unknown subcommand 'foo'; see hakmem --help" "$hakmem" foo
says 2 "nothing for a letter" "hakmem: unknown subcommand 'x'; see hakmem --help" "$hakmem" x
says 2 "a program without run" "hakmem: unknown subcommand 'env'; to run the program: hakmem run -- env" "$hakmem" env
finish
