# SPDX-License-Identifier: MIT
"""Real programs as workloads; each is skipped, with a word, where it is not installed."""

import os
import random
import shutil
import subprocess
import sys
import time

import runner
from workloads import Workload

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")


def data(name):
    return os.path.join(DATA, name)


def absent(*commands):
    """None if all commands are there, else the words for which is not."""
    gone = [command for command in commands if shutil.which(command) is None]
    return f"{' and '.join(gone)} not installed" if gone else None


def write(path, text):
    if not os.path.exists(path):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    return path


# ---- redis: a server that is asked by redis-benchmark, which itself runs without a preloaded allocator ---------------

def process_cpu(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def process_memory(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    raise runner.Failed(f"no {field} of redis-server")


def wait_for(path, server, seconds=10):
    end = time.monotonic() + seconds
    while not os.path.exists(path):
        if server.poll() is not None:
            raise runner.Failed(f"redis-server ended with status {server.returncode}")
        if time.monotonic() > end:
            raise runner.Failed("redis-server does not answer")
        time.sleep(0.01)


def run_redis(context, allocator, requests):
    socket = context.path("redis.sock")
    command = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no",
               "--daemonize", "no", "--dir", context.scratch, "--logfile", context.path("redis.log")]
    environment = context.environment({"LD_PRELOAD": allocator.path})
    server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        wait_for(socket, server)
        before, start = process_cpu(server.pid), time.monotonic()
        context.call(["redis-benchmark", "-s", socket, "-t", "set,get,lpush,lpop,sadd,hset,zadd,mset", "-q",
                      "-n", str(requests), "-r", "200000", "-P", "32", "-d", "200"], context.environment())
        metrics = {"wall": time.monotonic() - start, "cpu": process_cpu(server.pid) - before}
        if context.idle:
            context.call(["redis-cli", "-s", socket, "flushall", "sync"], context.environment())
            time.sleep(context.idle)
            metrics["idle_rss"] = process_memory(server.pid, "VmRSS:")
        metrics["peak_rss"] = process_memory(server.pid, "VmHWM:")
        return metrics
    except (OSError, IndexError) as error:
        raise runner.Failed("redis-server died") from error
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        if os.path.exists(socket):
            os.unlink(socket)


def redis(quick):
    def run(context, allocator):
        return run_redis(context, allocator, 60000 if quick else 200000)
    return Workload("redis", "redis-server", run, "cpu", missing=absent("redis-server", "redis-benchmark", "redis-cli"))


# ---- Programs that run to their end under the launcher ---------------------------------------------------------------

def sqlite3(quick):
    def run(context, allocator):
        statements = f".read {data('queries.sql')}"
        times = [statements] if quick else [statements, "DROP TABLE person; DROP TABLE visit;"] * 2
        return context.run_program(["sqlite3", "-batch", ":memory:", *times], allocator)
    return Workload("sqlite3", "a database in memory", run, "cpu", missing=absent("sqlite3"))


def python3(quick):
    def run(context, allocator):
        command = [sys.executable, "-s", data("churn.py"), "5" if quick else "20"]
        # Without this Python keeps small objects in arenas of its own; -I and -E would have it ignore this.
        return context.run_program(command, allocator, {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"})
    return Workload("python3", "without its own arenas", run, "cpu")


def ruby(quick):
    def run(context, allocator):
        return context.run_program(["ruby", "--disable-gems", data("churn.rb"), "5" if quick else "20"], allocator)
    return Workload("ruby", "strings and hashes", run, "cpu", missing=absent("ruby"))


def c_source(functions):
    """A C file with enough types, branches and calls to keep a compiler busy; the same each time."""
    lines = ["#include <stdio.h>", "#include <string.h>", "#include <stdlib.h>"]
    numbers = random.Random(7)
    for i in range(functions):
        a, b, c = (numbers.randrange(2, 1000) for _ in range(3))
        lines.append(f"""
struct s{i} {{ int a, b[{a % 13 + 1}]; double d; struct s{max(i - 1, 0)} *next; const char *name; }};
static int f{i}(struct s{i} *p, int n, const char *text)
{{
    int sum = {a}, table[{b % 29 + 3}] = {{0}};
    for (int i = 0; i < n; i++) {{
        switch ((i * {c}) % 7) {{
        case 0: sum += p->b[i % {a % 13 + 1}] * {b}; break;
        case 1: sum ^= table[i % {b % 29 + 3}] << ({c} & 15); break;
        case 2: if (text[i & 3] == '{chr(97 + a % 26)}') {{ sum -= (int)strlen(text) * i; }} break;
        case 3: p->d = p->d * {a}.5 + sum / (double)(i + 1); break;
        case 4: table[(unsigned)sum % {b % 29 + 3}u] += sum - {a}; break;
        default: sum = (sum << 3) - sum + (int)p->d; break;
        }}
    }}
    return {'f%d((struct s%d *)(void *)p, n / 2, text) + ' % (i - 1, i - 1) if i else ''}sum + table[n % {b % 29 + 3}];
}}""")
    lines.append(f"int entry(void *p, int n, const char *t) {{ return f{functions - 1}(p, n, t); }}")
    return "\n".join(lines) + "\n"


def gcc(quick):
    functions = 80 if quick else 200

    def run(context, allocator):
        source = write(context.path("source.c"), c_source(functions))
        return context.run_program(["gcc", "-O2", "-w", "-c", source, "-o", context.path("source.o")], allocator)
    return Workload("gcc", "compiling a large file", run, "cpu", missing=absent("gcc"))


def smt_problem(quick):
    """Two problems for an SMT solver: a prime that is not a product of two smaller numbers, and the queens' puzzle."""
    bits, queens, repeats = (13, 20, 1) if quick else (15, 24, 4)
    prime = (1 << (2 * bits - 1)) + 1
    while any(prime % divisor == 0 for divisor in range(2, 1 << bits)):
        prime += 1
    width = 2 * bits
    lines = [f"(declare-const {name} (_ BitVec {width}))(assert (bvult {name} (_ bv{1 << bits} {width})))"
             f"(assert (bvugt {name} (_ bv1 {width})))" for name in "xy"]
    lines += [f"(assert (= (bvmul x y) (_ bv{prime} {width})))", "(check-sat)"]
    puzzle = ["(reset)"]
    puzzle += [f"(declare-const q{i} Int)(assert (and (<= 0 q{i}) (< q{i} {queens})))" for i in range(queens)]
    puzzle += [f"(assert (and (not (= q{i} q{j})) (not (= (- q{i} q{j}) {i - j})) (not (= (- q{j} q{i}) {i - j}))))"
               for i in range(queens) for j in range(i)]
    lines += (puzzle + ["(check-sat)"]) * repeats
    return "\n".join(lines) + "\n"


def z3(quick):
    def run(context, allocator):
        return context.run_program(["z3", write(context.path("problem.smt2"), smt_problem(quick))], allocator)
    return Workload("z3", "an SMT solver", run, "cpu", missing=absent("z3"))


def rocksdb(quick):
    def run(context, allocator):
        folder = context.path("rocksdb")
        command = ["db_bench", "--benchmarks=fillrandom,overwrite,readrandom", f"--db={folder}", "--seed=1",
                   f"--num={50000 if quick else 200000}", "--value_size=200", "--compression_type=none",
                   "--disable_wal=1", "--threads=1", "--cache_size=33554432"]
        try:
            return context.run_program(command, allocator)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return Workload("rocksdb", "db_bench", run, "cpu", missing=absent("db_bench"))


def every(quick):
    return [make(quick) for make in (redis, sqlite3, python3, ruby, gcc, z3, rocksdb)]
