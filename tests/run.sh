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
says 2 "none at all" "hakmem: run: no program given; see hakmem run --help" "$hakmem" run
says 2 "--tune of nothing" "hakmem: run: option --tune needs a value; see hakmem tune list" "$hakmem" run --tune
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
    says 3 "a script that env has it run, found by PATH" \
        "hakmem: run: by-env: $p, which runs it, is linked statically; $own" \
        env PATH="$PATH:$scratch" "$hakmem" run by-env
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

# ---- Completions ----------------------------------------------------------------------------------------------------
# A folder in which the command has its name.
mkdir "$scratch/bin" && ln -s "$hakmem" "$scratch/bin/hakmem" || exit 99
PATH=$scratch/bin:$PATH
completions=$top_srcdir/tools/completions

# offers SHELL LINE WORD...: in this shell the line is completed to each of these words, among others.
offers()
{
    shell=$1 text=$2
    shift 2
    case $shell in
    bash) limited 60 bash "$scratch/complete.bash" "$completions/hakmem" "$text" ;;
    zsh) limited 60 zsh -f "$scratch/complete.zsh" "$completions" "$text" "$scratch/widget" ;;
    fish) HOME=$scratch limited 60 fish -N -c "source '$completions/hakmem.fish'; complete -C '$text'" ;;
    esac >"$scratch/out" 2>"$scratch/err" </dev/null
    for word; do grep -q -e "^ *$word\\([[:space:]=]\|\$\)" "$scratch/out" || echo "$word"; done >"$scratch/missing"
    [ ! -s "$scratch/missing" ]
    good=$?
    ok $good "$shell completes '$text'"
    [ $good -eq 0 ] || {
        note "$scratch/out"
        note "$scratch/err"
    }
}

# What each shell has in common.
offers_in()
{
    offers "$1" "hakmem " run profile stats tune help
    ! grep -q '^ *hakmem' "$scratch/out"
    ok $? "$1: with subcommands alone"
    offers "$1" "hakmem help s" stats
    offers "$1" "hakmem run --t" --tune
    offers "$1" "hakmem run --tune prese" preset=latency preset=low-memory
    offers "$1" "hakmem run --tune keep_free=1m,huge_c" "${2}huge_cache="
    offers "$1" "hakmem run mkf" mkfifo
    offers "$1" "hakmem run --tune keep_free=1m -- mkf" mkfifo
    offers "$1" "hakmem profile --ag" --against
    offers "$1" "hakmem profile --simulate al" always
    offers "$1" "hakmem stats --w" --watch
    offers "$1" "hakmem stats -" --all --json --prometheus
    ! have ps || offers "$1" "hakmem stats $$" $$
    offers "$1" "hakmem tune ex" explain
    offers "$1" "hakmem tune explain keep_" keep_free
}
cat >"$scratch/complete.bash" <<'END'
. /usr/share/bash-completion/bash_completion
. "$1"
read -r -a COMP_WORDS <<<"$2"
[[ $2 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$2 COMP_POINT=${#2}
compopt() { :; }
_hakmem hakmem "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
END
# zsh completes on a terminal only.  What its completion adds for the line is printed there.
cat >"$scratch/complete.zsh" <<'END'
zmodload zsh/zpty || exit 1
zpty shell TERM=dumb zsh -f -i
zpty -w shell "PS1= RPS1= PROMPT_EOL_MARK=; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D"
cat >$3 <<'END_OF_WIDGET'
compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
    local -a found
    builtin compadd -O found "$@"
    (( $#found )) && print -rl -- OFFER:$^found
    builtin compadd "$@"
}
zle -C offers list-choices _main_complete
offer() { zle offers; print "DO""NE"; exit }
zle -N offer
bindkey '^I' offer
END_OF_WIDGET
zpty -w shell ". $3; print RE\"\"ADY"
while zpty -r shell line && [[ $line != *READY* ]]; do :; done
zpty -w -n shell "$2"$'\t'
while zpty -r shell line && [[ $line != *DONE* ]]; do
    [[ $line == *OFFER:* ]] && print -r -- ${${line##*OFFER:}%%[[:cntrl:]]##}
done
zpty -d shell
END
if [ -e /usr/share/bash-completion/bash_completion ]; then
    # What is up to the last = is another word to readline.
    offers_in bash 1m,
else
    skip "bash completion" "bash-completion is not there"
fi
if have zsh; then offers_in zsh ''; else skip "zsh completion" "no zsh"; fi
if have fish; then offers_in fish 'keep_free=1m,'; else skip "fish completion" "no fish"; fi
finish
