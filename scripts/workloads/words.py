# SPDX-License-Identifier: MIT
# Objects of all sizes that live and die: text, dictionaries, JSON, sorting.
import json
import random
import re
from collections import Counter, defaultdict

rng = random.Random(42)
syllables = [a + b for a in "bdfgklmnprstv" for b in ("a", "e", "i", "o", "u", "an", "or")]
words = ["".join(rng.choices(syllables, k=rng.randint(1, 5))) for _ in range(60000)]

count = Counter(words)
index = defaultdict(list)
for position, word in enumerate(words):
    index[word[:3]].append(position)

text = " ".join(words)
longest = sorted(set(re.findall(r"\b\w{9,}\b", text)), key=lambda w: (-len(w), w))[:5]

checksum = 0
for round_number in range(4):
    records = [{"word": w, "n": n, "at": index[w[:3]][:8]} for w, n in count.items()]
    copy = json.loads(json.dumps(records))
    checksum += sum(len(r["at"]) * r["n"] for r in copy)
    rng.shuffle(words)

print(len(count), len(index), longest, checksum)
