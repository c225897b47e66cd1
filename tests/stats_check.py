# SPDX-License-Identifier: MIT
"""What stats.sh wants to know of the statistics' text.

    stats_check.py json FILE           it is JSON, its figures are those of hakmem.h, and they add up
    stats_check.py prometheus FILE     it is the Prometheus text format, strictly read, with the same figures
    stats_check.py same FILE FILE      two snapshots in JSON of one process at rest are the same
    stats_check.py text FILE FILE NAME    the text for people has the figures of the JSON and the program's name
    stats_check.py lines FILE FILE     so have the lines of --watch, which ends well
"""
import json
import os
import re
import sys


def fail(message):
    sys.exit(f"stats_check: {message}")


def need(condition, message):
    if not condition:
        fail(message)


def members(struct):
    """The size_t members of a structure of hakmem.h."""
    header = os.path.join(os.environ["top_srcdir"], "include", "hakmem.h")
    with open(header, encoding="utf-8") as file:
        body = re.search(r"^struct %s \{\n(.*?)^\};" % struct, file.read(), re.S | re.M).group(1)
    return re.findall(r"^\s+size_t (\w+);", body, re.M)


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def numbers(thing, names, where):
    for name in names:
        value = thing.get(name)
        need(isinstance(value, int) and value >= 0, f"{where}: {name} is {value!r}")


def check_json(path):
    stats = read_json(path)
    others = ["libhakmem", "version", "process", "counted", "by_class", "by_heap"]
    need(sorted(stats) == sorted(members("hakmem_stats") + others), f"other members than hakmem.h: {sorted(stats)}")
    numbers(stats, members("hakmem_stats"), "total")
    for one in stats["by_class"]:
        need(sorted(one) == sorted(members("hakmem_stats_class")), f"a class's members: {sorted(one)}")
        numbers(one, one, "class")
    for one in stats["by_heap"]:
        need(sorted(one) == sorted(members("hakmem_stats_heap") + ["heap"]), f"a heap's members: {sorted(one)}")
        numbers(one, one, "heap")
    need(len(stats["by_heap"]) == stats["heaps"], "heaps are missing")
    need(stats["live_bytes"] == stats["small_bytes"] + stats["large_bytes"] + stats["huge_bytes"], "live bytes")
    need(stats["mapped_bytes"] == stats["superslab_bytes"] + stats["huge_bytes"] + stats["cached_bytes"]
         + stats["own_bytes"], "mapped bytes")
    if not stats["counted"]:
        return
    need(stats["superslab_bytes"] == stats["slab_bytes"] + stats["large_bytes"] + stats["unit_bytes"], "superslabs")
    need(stats["outbox_blocks"] > 0 and stats["magazine_blocks"] > 0, "nothing in outboxes or magazines")
    for name in ("live_blocks", "magazine_blocks", "depot_blocks", "outbox_blocks", "free_blocks"):
        total = stats["small_blocks" if name == "live_blocks" else name]
        need(sum(one[name] for one in stats["by_class"]) == total, f"{name} of all classes")
        need(sum(one[name] for one in stats["by_heap"]) == total, f"{name} of all heaps")
    for name in ("slabs", "slab_bytes", "waste_bytes"):
        need(sum(one[name] for one in stats["by_class"]) == stats[name], f"{name} of all classes")
        need(sum(one[name] for one in stats["by_heap"]) == stats[name], f"{name} of all heaps")


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\\n]*)"\})? ([0-9]+)')


def check_prometheus(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    need(text.endswith("\n"), "the last line does not end")
    helps, types, seen, current = {}, {}, set(), None
    for line in text.rstrip("\n").split("\n"):
        words = line.split(" ", 3)
        if line.startswith("# HELP "):
            need(len(words) == 4 and words[3], f"no help: {line}")
            need(words[2] not in helps, f"two helps of {words[2]}")
            helps[words[2]] = words[3]
            current = words[2]
        elif line.startswith("# TYPE "):
            need(len(words) == 4 and words[3] in ("counter", "gauge"), f"type: {line}")
            need(words[2] == current and words[2] not in types, f"type out of place: {line}")
            types[words[2]] = words[3]
        else:
            match = SAMPLE.fullmatch(line)
            need(match, f"no sample: {line!r}")
            name = match.group(1)
            need(name == current and name in types, f"a sample outside of its metric: {line}")
            need(match.group(1, 2, 3) not in seen, f"twice: {line}")
            need((types[name] == "counter") == name.endswith("_total"), f"{name} is a {types[name]}")
            seen.add(match.group(1, 2, 3))
    found = {re.sub("_total$", "", name) for name in types}
    wanted = {"hakmem_" + name for name in members("hakmem_stats")}
    wanted |= {"hakmem_class_" + name for name in members("hakmem_stats_class")} - {"hakmem_class_block_bytes"}
    wanted |= {"hakmem_heap_" + name for name in members("hakmem_stats_heap")}
    need(found == wanted, f"other metrics than hakmem.h: {sorted(found ^ wanted)}")


def check_same(one_path, other_path):
    one, other = read_json(one_path), read_json(other_path)
    for stats in (one, other):
        del stats["resident_bytes"]
    for name in one:
        need(one[name] == other[name], f"{name}: {one[name]}, and {other[name]}")
    need(one == other, "different members")


def mib(stats, name):
    return f"{stats[name] / (1 << 20):.1f}"


def check_text(json_path, text_path, name):
    stats = read_json(json_path)
    with open(text_path, encoding="ascii") as file:
        text = file.read()
    lines = text.splitlines()
    need(max(map(len, lines)) <= 100, f"a long line: {max(lines, key=len)}")
    need(lines[0].startswith(f"{name}: process {stats['process']}, libhakmem {stats['libhakmem']}, "), lines[0])
    need(f"{stats['threads']} threads" in lines[0] and f"{stats['heaps']} heaps" in lines[0], lines[0])
    for member, words in (("live_bytes", f"live: {stats['live_blocks']} blocks"), ("own_bytes", "libhakmem's own"),
                          ("committed_bytes", "held"), ("mapped_bytes", "mapped"), ("purged_bytes", "given back"),
                          ("huge_bytes", f"{stats['huge_blocks'] or ''} larger blocks".strip()),
                          ("magazine_bytes", f"{stats['magazine_blocks']} blocks in threads' magazines"),
                          ("outbox_bytes", f"{stats['outbox_blocks']} blocks on their way")):  # fmt: skip
        if stats["counted"] or member not in ("magazine_bytes", "outbox_bytes"):
            need(re.search(rf"^ *{mib(stats, member)} MiB  {words}", text, re.M), f"no {mib(stats, member)} of {member}")
    rows = {tuple(line.split()) for line in lines}
    for one in stats["by_class"]:
        row = [str(one["block_bytes"]), str(one["live_blocks"])]
        need(any(list(r[:2]) == row and r[-2:-1] == (str(one["slabs"]),) for r in rows), f"no class {row}")
    for one in stats["by_heap"]:
        need(any(r[:3] == (str(one["heap"]), str(one["threads"]), mib(one, "live_bytes")) for r in rows), f"no heap {one}")


def check_lines(json_path, lines_path):
    stats = read_json(json_path)
    with open(lines_path, encoding="ascii") as file:
        lines = file.read().splitlines()
    need(lines[-1] == "status 0" and len(lines) >= 4, f"{len(lines)} lines, and the last is {lines[-1]!r}")
    heads = lines[0].split()
    need(heads[:4] == ["live", "free", "own", "held"], f"heads: {heads}")
    for line in lines[1:4]:
        need(line.split()[0] == mib(stats, "live_bytes") and line.split()[-1] == str(stats["threads"]), line)


{"json": check_json, "text": check_text, "lines": check_lines, "prometheus": check_prometheus, "same": check_same}[sys.argv[1]](*sys.argv[2:])
