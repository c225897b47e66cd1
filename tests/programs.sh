#!/bin/sh
# SPDX-License-Identifier: MIT
# Real programs with libhakmem preloaded: what they print, and how they end, is what they print without it.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
need_interposition
need_shared

export LC_ALL=C TZ=UTC

# How often each program runs with the library: places and the order of threads differ from run to run.
runs=1
[ "${HAKMEM_TEST_LONG-}" != 1 ] || runs=20

# one_run NAME FUNCTION SIDE: runs FUNCTION in a fresh folder, on the library if SIDE is `with`.  $preload is what
# FUNCTION has to preload, by `on` below, so that only the program runs on it and not the shell.
one_run()
{
    rm -rf "${scratch:?}/$1" "$scratch/hung" && mkdir "$scratch/$1"
    preload=
    [ "$3" != with ] || preload=$library
    (cd "$scratch/$1" && "$2") >"$scratch/$1.$3.out" 2>"$scratch/$1.$3.err"
    echo "exit status $?" >>"$scratch/$1.$3.out"
}

# both NAME WHAT FUNCTION: runs FUNCTION without the library, then with it $runs times or until something differs.
both()
{
    one_run "$1" "$3" without
    if ! tail -n 1 "$scratch/$1.without.out" | grep -qx 'exit status 0'; then
        skip "$2" "fails without the library as well"
        note "$scratch/$1.without.err" 5
        return
    fi
    status=0
    run=0
    while [ $run -lt $runs ] && [ $status = 0 ]; do
        run=$((run + 1))
        one_run "$1" "$3" with
        diff "$scratch/$1.without.out" "$scratch/$1.with.out" >"$scratch/$1.diff"
        status=$?
        [ "$(wc -l <"$scratch/$1.with.out")" -gt 1 ] || status=1
        # What hung is told apart from what wrote something else, in a pipe and in the background as well.
        [ ! -e "$scratch/hung" ] || status=hung
    done
    what=$2
    [ $runs -eq 1 ] || what="$2, run $run of $runs"
    case $status in
    hung)
        ok 1 "$what: hung"
        note "$scratch/hung"
        ;;
    0) ok 0 "$what" ;;
    *)
        ok 1 "$what"
        note "$scratch/$1.diff" 20
        note "$scratch/$1.with.err" 20
        ;;
    esac
    rm -rf "${scratch:?}/$1"
}

on() { limited 1800 env LD_PRELOAD="$preload" "$@"; }

# Does anything get loaded at all?  A program that is set-uid or static would run without the library and pass.
loads() { [ "$(LD_PRELOAD="$library" LD_TRACE_LOADED_OBJECTS=1 "$1" 2>/dev/null | grep -c libhakmem)" -ge 1 ]; }

# What takes longest, where HAKMEM_TEST_SHORT=1 says that the machine or the build is slow.
in_time() { [ "${HAKMEM_TEST_SHORT-}" != 1 ]; }

# ---- perl -----------------------------------------------------------------------------------------------------------
cat >"$scratch/program.pl" <<'END'
use strict;
my ($seed, %table, @list) = (1);
sub rnd { $seed = ($seed * 1103515245 + 12345) & 0x7fffffff; return $seed % $_[0]; }
for my $i (1 .. 100000) {
    my $key = "key" . rnd(20000);
    $table{$key} .= "x" x rnd(20);
    delete $table{"key" . rnd(20000)} if $i % 3 == 0;
    push @list, [$i, $key] if $i % 10 == 0;
    $table{$key} =~ s/xxx/y/g if $i % 7 == 0;
}
@list = sort { $a->[1] cmp $b->[1] || $a->[0] <=> $b->[0] } @list;
print join(",", map { "$_->[0]$_->[1]" } @list), "\n";
print "$_ $table{$_}\n" for sort keys %table;
my $text = join " ", 1 .. 100000;
print length($text), " ", scalar(() = $text =~ /9/g), "\n";
my $pid = fork();
if (!$pid) { my @more = map { "y" x $_ } 1 .. 1000; exit(@more == 1000 ? 0 : 1); }
waitpid($pid, 0);
print "child $?\n";
END
run_perl() { on perl "$scratch/program.pl"; }
if have perl && loads "$(command -v perl)"; then both perl "perl" run_perl; else skip "perl" "not here"; fi

# ---- python3 --------------------------------------------------------------------------------------------------------
# The interpreter itself, where python3 is a script that finds one; one that has its own test suite, if there is any.
python=
for candidate in python3 /usr/bin/python3; do
    have "$candidate" || continue
    found=$("$candidate" -c 'import sys; print(sys.executable)' 2>/dev/null) || continue
    [ -x "$found" ] && loads "$found" || continue
    : "${python:=$found}"
    if "$found" -c 'import test.test_dict, test.test_json' 2>/dev/null; then
        python=$found
        break
    fi
done
cat >"$scratch/program.py" <<'END'
import collections, json, os, random, re, threading, zlib
random.seed(1)
data = {str(i): [random.random() for _ in range(i % 50)] for i in range(20000)}
text = json.dumps(data)
print(zlib.crc32(text.encode()), json.loads(text) == data)
words = re.findall(r"\d+", text)
print(collections.Counter(words).most_common(20))
results = [None] * 16
def work(n):
    blocks = []
    for i in range(20000):
        blocks.append(bytearray(i % 700))
        if i % 3 == 0:
            blocks.pop(i * 7 % len(blocks))
    results[n] = sum(map(len, blocks))
threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
for t in threads: t.start()
for t in threads: t.join()
print(results)
big = [bytearray(1 << 20) for _ in range(50)]
for b in big: b.extend(b"x" * 1000000)
print(sum(map(len, big)))
pid = os.fork()
if pid == 0:
    os._exit(len({i: str(i) for i in range(100000)}) != 100000)
print(os.waitpid(pid, 0)[1])
END
run_python() { PYTHONHASHSEED=0 PYTHONMALLOC=malloc on "$python" "$scratch/program.py"; }
# All allocations by malloc, none by python's own pools.
run_python_tests()
{
    PYTHONHASHSEED=0 PYTHONMALLOC=malloc on "$python" -m unittest -q test.test_dict test.test_list test.test_json \
        test.test_bytes test.test_thread test.test_re test.test_set test.test_deque test.test_threadsignals \
        >log 2>&1
    result=$?
    sed 's/ in [0-9.]*s$//' log | grep '^Ran\|^OK\|^FAILED\|^ERROR\|^FAIL'
    [ $result -eq 0 ] || tail -n 30 log >&2
    return $result
}
if [ -n "$python" ]; then
    both python "python3" run_python
    if in_time && "$python" -c 'import test.test_dict, test.test_json' 2>/dev/null; then
        both python_tests "python3 running a part of its own test suite" run_python_tests
    else
        skip "python3 running a part of its own test suite" "it is not installed, or there is no time"
    fi
else
    skip "python3" "not here"
fi

# ---- sqlite3 --------------------------------------------------------------------------------------------------------
cat >"$scratch/program.sql" <<'END'
PRAGMA temp_store = MEMORY;
CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, value REAL, data BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
INSERT INTO t SELECT i, 'name ' || (i * 7919 % 30000), i * 1.5, zeroblob(i % 300) FROM n;
CREATE INDEX by_name ON t (name);
CREATE INDEX by_value ON t (value, name);
UPDATE t SET name = name || ' more', data = zeroblob(id % 2000) WHERE id % 3 = 0;
DELETE FROM t WHERE id % 7 = 0;
SELECT count(*), sum(value), sum(length(data)), min(name), max(name) FROM t;
SELECT a.name, b.value FROM t a JOIN t b ON a.id = b.id + 5 WHERE a.id % 1000 = 1 ORDER BY a.name;
SELECT group_concat(name, ';') FROM (SELECT name FROM t ORDER BY value LIMIT 5000);
SELECT substr(name, 1, 6) AS p, count(*), avg(value) FROM t GROUP BY p ORDER BY p;
VACUUM;
PRAGMA integrity_check;
END
run_sqlite() { on sqlite3 file.db <"$scratch/program.sql" && cksum <file.db; }
if have sqlite3 && loads "$(command -v sqlite3)"; then both sqlite "sqlite3" run_sqlite; else skip "sqlite3" "not here"; fi

# ---- git ------------------------------------------------------------------------------------------------------------
run_git()
{
    export HOME="$PWD" GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=A \
        GIT_COMMITTER_EMAIL=a@example.org GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000'
    on git init -q -b main repository && cd repository || return 1
    on git config pack.threads 4
    on git config gc.auto 0
    for round in 1 2 3 4 5 6; do
        awk -v round=$round 'BEGIN {
            srand(round)
            for (f = 0; f < 150; f++) {
                name = "file" f ".txt"
                for (l = 0; l < 100 + f; l++)
                    print "line " l * (l % 7 == round ? round : 1) " of file " f >name
                close(name)
            }
        }'
        on git add . && on git commit -q -m "round $round" || return 1
    done
    on git checkout -q -b other HEAD~3 && echo new >new.txt && on git add new.txt && on git commit -q -m other &&
        on git checkout -q main && on git merge -q -m merge other || return 1
    on git repack -a -d -f -q --depth=50 --window=50 && on git fsck --full --strict || return 1
    on git log --stat --graph --format='%H %s'
    on git log -p --all --format='%H %s' | cksum
    on git blame file77.txt | cut -c 1-9,60-
    on git grep -c 'line 1[0-9]* of' | tail -n 50
    on git clone -q . ../clone && on git -C ../clone rev-parse HEAD
}
if have git && loads "$(command -v git)"; then both git "git on a repository" run_git; else skip "git" "not here"; fi

# ---- gcc ------------------------------------------------------------------------------------------------------------
awk 'BEGIN {
    print "struct s { int a, b; struct s *next; }; int table[1000];"
    for (i = 0; i < 500; i++) {
        printf "int f%d(struct s *p, int n)\n{\n    int r = %d;\n    switch (n %% 7) {\n", i, i
        for (k = 0; k < 7; k++)
            printf "    case %d: for (int i = 0; i < n; i++) r += table[(i * %d) %% 1000] ^ p->a; break;\n", k, i + k + 3
        printf "    }\n    return p->next ? r + f%d(p->next, n - 1) : r * %d;\n}\n", i ? i - 1 : 0, i + 3
    }
}' >"$scratch/large.c"
run_gcc() { on gcc -O2 -g -S -o - "$scratch/large.c" | cksum; }
if have gcc && in_time && loads "$(command -v gcc)"; then both gcc "gcc compiling a large file" run_gcc; else skip "gcc" "not here"; fi

# ---- redis ----------------------------------------------------------------------------------------------------------
run_redis()
{
    on redis-server --port 0 --unixsocket "$PWD/socket" --save '' --daemonize no --io-threads 2 >server.log 2>&1 &
    server=$!
    until [ -S socket ] || ! kill -0 $server 2>/dev/null; do
        sleep 0.2
    done
    limited 1800 redis-benchmark -s socket -n 10000 -c 20 -P 8 -r 5000 -d 200 -q \
        -t set,get,incr,lpush,rpop,sadd,hset,spop,zadd,lrange_100,mset >bench.log 2>&1
    echo "redis-benchmark: $?"
    awk 'BEGIN {
        print "FLUSHALL"
        for (i = 0; i < 10000; i++) {
            print "SET key:" i % 5000 " value" i
            print "APPEND key:" i % 5000 " and more of it"
            print "HSET hash:" i % 100 " field" i " " i * 3
            print "ZADD sorted " i * 7 % 1000 " member" i % 3000
            print "LPUSH list" i % 10 " " i
            if (i % 3 == 0) print "DEL key:" i % 777
        }
        print "DBSIZE"; print "ZRANGE sorted 0 50"; print "LRANGE list3 0 20"; print "HGET hash:5 field505"
        print "DEBUG RELOAD"; print "DEBUG DIGEST"; print "MEMORY PURGE"; print "DBSIZE"
    }' | redis-cli -s socket | cksum
    redis-cli -s socket shutdown nosave 2>/dev/null
    wait $server
    status=$?
    [ $status -eq 0 ] || tail -n 30 server.log >&2
    return $status
}
if in_time && have redis-server && have redis-benchmark && have redis-cli && loads "$(command -v redis-server)"; then
    both redis "redis-server under redis-benchmark" run_redis
else
    skip "redis-server" "not here"
fi

# ---- z3 -------------------------------------------------------------------------------------------------------------
awk 'BEGIN {
    print "(set-option :smt.random_seed 1)\n(set-option :produce-models true)"
    n = 8
    for (i = 0; i < n; i++) print "(declare-const q" i " Int)\n(assert (and (>= q" i " 0) (< q" i " " n ")))"
    for (i = 0; i < n; i++)
        for (j = i + 1; j < n; j++)
            print "(assert (and (not (= q" i " q" j ")) (not (= (- q" i " q" j ") " j - i ")) (not (= (- q" j " q" i ") " j - i "))))"
    print "(check-sat)\n(get-model)"
    print "(push)\n(declare-const a (_ BitVec 24))\n(declare-const b (_ BitVec 24))"
    print "(assert (= (bvmul a b) #x0f4243))\n(assert (bvugt a #x000001))\n(assert (bvugt b #x000001))\n(assert (bvult a b))"
    print "(check-sat)\n(pop)"
    print "(assert (forall ((x Int)) (=> (> x 3) (> (* x x) 9))))\n(check-sat)"
}' >"$scratch/problem.smt2"
run_z3() { on z3 "$scratch/problem.smt2"; }
if have z3 && in_time && loads "$(command -v z3)"; then both z3 "z3" run_z3; else skip "z3" "not here"; fi

finish
