# SPDX-License-Identifier: MIT
"""Where the cycles go: each cause's share of all cycles.

A rate is no cost: 2.38 % of the branches mispredicted is "good" and may cost a quarter of all cycles; 49.57 % of the
iTLB loads missed is "high" and may cost nothing.  So events are turned into cycles first, by a cost per event.  Costs
differ between processors, so that each is a range, and so is each share.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Cost(NamedTuple):
    """Cycles of one event."""

    low: float
    high: float

    @property
    def middle(self):
        return (self.low + self.high) / 2


# An instruction costs the reciprocal of the width: current cores retire six a cycle at best, and four in good code.
# A misprediction costs the refill of the pipeline.  Of a miss that hits L2 out-of-order execution hides most, of one
# that goes to memory little.
COSTS = {
    "retiring": Cost(1 / 6, 1 / 4),
    "misprediction": Cost(13, 20),
    "L1 miss": Cost(2, 8),
    "memory": Cost(40, 200),
    "dTLB miss": Cost(10, 40),
    "L1i miss": Cost(5, 20),
    "iTLB miss": Cost(20, 60),
}

RETIRED_PER_CYCLE = 5  # the middle of what cores retire; the middle of the cost would be 4.8


class Share(NamedTuple):
    """A part of a whole, as a range: 0.1 is 10 %."""

    low: float
    middle: float
    high: float


@dataclass
class Part:
    """One cause in the budget."""

    cause: str
    share: Share


def budget(evidence):
    """A Part for each cause that was measured, and last one for what no cause explains.  [] if cycles are not known."""
    if not evidence.cycles or not evidence.instructions:
        return []
    parts = []
    for cause, events in _events(evidence).items():
        known = [(COSTS[cost], number) for cost, number in events.items() if number is not None]
        if known:
            parts.append(Part(cause, _share(evidence, cause, known)))
    parts.append(Part("unexplained", _rest([part.share for part in parts])))
    return parts


def _events(evidence):
    """{cause: {cost: number of events}}"""
    within_caches = None
    if evidence.l1d_misses is not None:
        within_caches = max(0, evidence.l1d_misses - (evidence.cache_misses or 0))
    return {
        "instructions": {"retiring": evidence.instructions},
        "mispredictions": {"misprediction": evidence.branch_misses},
        "data misses": {
            "L1 miss": within_caches,
            "memory": evidence.cache_misses,
            "dTLB miss": evidence.dtlb_misses,
        },
        "instruction fetch": {"L1i miss": evidence.l1i_misses, "iTLB miss": evidence.itlb_misses},
    }


def _share(evidence, cause, known):
    low = sum(cost.low * number for cost, number in known) / evidence.cycles
    high = sum(cost.high * number for cost, number in known) / evidence.cycles
    middle = (low + high) / 2
    if cause == "instructions":
        middle = evidence.instructions / RETIRED_PER_CYCLE / evidence.cycles
    return Share(low, middle, high)


def _rest(shares):
    low = max(0.0, 1 - sum(share.high for share in shares))
    high = max(0.0, 1 - sum(share.low for share in shares))
    middle = min(high, max(low, 1 - sum(share.middle for share in shares)))
    return Share(low, middle, high)
