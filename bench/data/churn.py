# SPDX-License-Identifier: MIT
"""Objects, strings and containers of a Python program; run with PYTHONMALLOC=malloc, so that malloc sees them all."""

import json
import re
import sys


def words(count):
    state = 12345
    for _ in range(count):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        yield f"w{state % 5000}x{state >> 12}"


def main():
    rounds = int(sys.argv[1])
    kept = {}
    total = 0
    for number in range(rounds):
        counts = {}
        for word in words(20000):
            counts.setdefault(word[:4], []).append(word)
        text = json.dumps(counts)
        back = json.loads(text)
        total += sum(len(value) for value in back.values())
        total += len(re.findall(r"w1\d+x", text))
        records = [{"id": i, "name": word, "tags": word.split("x"), "score": i * 1.5}
                   for i, word in enumerate(words(8000))]
        records.sort(key=lambda record: record["name"])
        kept[number % 4] = records[::3]
        text = "".join(sorted(record["name"] for record in records))
        total += len(text)
    print(total, sum(len(value) for value in kept.values()))


main()
