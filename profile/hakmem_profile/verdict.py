# SPDX-License-Identifier: MIT
"""The verdict: the case that bounds the program, the confidence in that, and the text.

budget.py says where the cycles go, cases.py which cases hold; here one of them is chosen.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from .budget import budget
from .cases import ALLOCATOR_TIME, WAITS, examine, title
from .figures import percent, ratio, seconds, significant

# A table of functions with this share of the time is complete: perf rounds, and many people leave the smallest out.
NEARLY_ALL = 0.95
BEST_CONFIDENCE = 0.95  # no measurement leaves no doubt
LEAST_CONFIDENCE = 0.30  # below it the verdict is "undecided", whatever the indicators say
MORE_THAN_ALL = 1.05  # of the cycles: causes that add up to more do not fit the processor


class Reason(NamedTuple):
    """A weakness of the evidence, and what the confidence was multiplied by for it."""

    factor: float
    text: str


@dataclass
class Verdict:
    case: str
    also: list
    confidence: float
    reasons: list
    cases: list
    budget: list
    text: str
    notes: list = field(default_factory=list)

    @property
    def level(self):
        return "high" if self.confidence >= 0.75 else "medium" if self.confidence >= 0.5 else "low"


def judge(evidence):
    parts = budget(evidence)
    cases = {case.id: case for case in examine(evidence, parts)}
    holding = [case for case in cases.values() if case.state == "holds"]
    bounds = _by_share([case for case in holding if case.id != "not-allocator"], evidence)
    notes = _notes(parts)
    if cases["not-allocator"] in holding:
        # What bounds the program itself comes second, whatever its share.
        chosen, also, rival = cases["not-allocator"], bounds, None
    elif bounds:
        chosen, also = bounds[0], bounds[1:]
        rival = also[0] if also else None
    else:
        nothing = [Reason(0.0, "no case has all of its indicators")]
        return Verdict("undecided", [], 0.0, nothing, list(cases.values()), parts, _undecided(cases, parts), notes)
    confidence, reasons = _confidence(evidence, chosen, rival, notes)
    name, also = chosen.id, [case.id for case in also]
    text = _text(chosen, also, evidence, cases)
    if confidence < LEAST_CONFIDENCE:
        text = f'The indicators point to "{chosen.title}", but the evidence is too weak to say so. ' + text
        name, also = "undecided", []
    return Verdict(name, also, confidence, reasons, list(cases.values()), parts, text, notes)


def _by_share(cases, evidence):
    """The cases, the largest share first."""
    # Waiting takes a share of the elapsed time, everything else one of the processor time.
    busy = 1.0
    if any(case.id == "locks" and case.indicator(WAITS).holds for case in cases):
        busy = min(1.0, ratio(evidence.cpu, evidence.wall) or 1.0)

    def size(case):
        return (case.share.middle if case.share else 0) * (1.0 if case.id == "locks" else busy)

    return sorted(cases, key=lambda case: -size(case))


def _notes(parts):
    if parts and sum(part.share.low for part in parts[:-1]) > MORE_THAN_ALL:
        return [
            "The causes add up to more than all cycles: the costs per event, the simulation or the assumed clock "
            "do not fit this processor, and shares are upper bounds."
        ]
    return []


# ---- confidence --------------------------------------------------------------------------------------------------


def _step(value, *steps, otherwise=1):
    """The factor of the first step (limit, factor) whose limit is above the value."""
    return next((factor for limit, factor in steps if value < limit), otherwise)


def _up_to(value, *steps, otherwise):
    """The factor of the first step (limit, factor) whose limit is not below the value."""
    return next((factor for limit, factor in steps if value <= limit), otherwise)


def _confidence(evidence, chosen, rival, notes):
    """(confidence, reasons): each weakness of the evidence multiplies the confidence by its factor."""
    weaknesses = (*_of_measurement(evidence, chosen), *_of_case(evidence, chosen, rival, notes))
    reasons = [reason for reason in weaknesses if reason.factor < 1]
    confidence = BEST_CONFIDENCE
    for reason in reasons:
        confidence *= reason.factor
    return round(confidence, 2), reasons


def _of_measurement(evidence, chosen):
    """Weaknesses of the runs and of the samples.  A factor of 1 is none."""
    by_samples = chosen.id in ("not-allocator", "locks") or evidence.hot_ratios
    if evidence.samples is not None and by_samples:
        factor = _step(evidence.samples, (100, 0.6), (400, 0.85), (1000, 0.95))
        yield Reason(factor, f"{evidence.samples} samples of the time")
    if evidence.listed is not None and evidence.listed < NEARLY_ALL:
        text = f"the table of functions accounts for {percent(evidence.listed)} of the time only"
        yield Reason(evidence.listed, text)
    running = evidence.lowest_running
    if running is not None:
        factor = _step(running, (20, 0.6), (40, 0.85), (80, 0.95))
        text = f"counters were counting {running:.1f} % of the time only (multiplexed), the rest is scaled"
        yield Reason(factor, text)
    if evidence.spread is None:
        yield Reason(0.85, "one run: stability unknown")
    else:
        factor = _up_to(evidence.spread, (0.02, 1), (0.05, 0.95), (0.10, 0.85), otherwise=0.65)
        yield Reason(factor, f"the processor time of the runs differs by ±{percent(evidence.spread)}")
    if evidence.cpu is not None:
        factor = _step(evidence.cpu, (0.02, 0.5), (0.1, 0.75))
        text = f"{seconds(evidence.cpu)} of processor time: too short to measure well, and mostly the program's start"
        yield Reason(factor, text)


def _of_case(evidence, chosen, rival, notes):
    """Weaknesses of the case that was chosen.  A factor of 1 is none."""
    if any(i.simulated for i in chosen.indicators):
        clock = ", cycles from the clock" if "cycles" in evidence.simulated else ""
        yield Reason(0.8, f"simulated caches and branch prediction{clock}")
    if chosen.id == "not-allocator" and not evidence.estimated_whole:
        yield Reason(0.6, "only the program's beginning was simulated")
    if rival and rival.share and chosen.share:
        lead = chosen.share.middle
        factor = 0.75 if lead < 1.2 * rival.share.middle else 0.9 if lead < 1.5 * rival.share.middle else 1
        yield Reason(factor, f"{rival.title} is close behind")
    against = [i.name for i in chosen.indicators if not i.required and i.holds is False]
    if against:
        yield Reason(0.85, f"speaks against it: {', '.join(against)}")
    unknown = [i.name for i in chosen.indicators if i.value is None]
    if unknown:
        yield Reason(0.9 ** len(unknown), f"not measured: {', '.join(unknown)}")
    if notes:
        yield Reason(0.7, "the causes add up to more than all cycles")


# ---- in words ----------------------------------------------------------------------------------------------------


def _range(share):
    if share is None:
        return "an unknown part of the cycles"
    return f"{percent(share.middle, 0)} of the cycles ({percent(share.low, 0)} to {percent(share.high, 0)})"


def _per_operation(evidence, value, what):
    each = evidence.per_operation(value)
    return what if each is None else f"{significant(each)} {what} per operation"


def _not_allocator(evidence, case):
    part = percent(case.indicator(ALLOCATOR_TIME).value)
    if evidence.estimated_from:
        part = f"By an estimate from {evidence.estimated_from}, {part}"
    elif evidence.allocator_share is None:
        part = f"By an estimate from the number of its calls, at most {part}"
    return f"{part} of the time is spent inside the allocator: a different one cannot change much."


def _instructions(evidence, case):
    needed = _per_operation(evidence, evidence.instructions, "instructions")
    return (
        f"The processor is kept busy: the {needed} need {_range(case.share)} at {significant(evidence.ipc)} "
        "instructions per cycle."
    )


def _mispredictions(evidence, case):
    lost = _per_operation(evidence, evidence.branch_misses, "mispredicted branches")
    return f"{lost.capitalize()} cost {_range(case.share)}."


def _store_dependency(evidence, case):
    return (
        f"{significant(evidence.ipc)} instructions per cycle, and neither instructions, mispredictions nor misses "
        f"explain {_range(case.share)}: it waits for stores or for results of earlier instructions."
    )


def _misses(evidence, case):
    return f"Data cache and TLB misses cost {_range(case.share)}."


def _instruction_cache(evidence, case):
    return f"Fetching instructions costs {_range(case.share)}."


def _page_work(evidence, case):
    return f"{percent(evidence.kernel_time)} of the processor time is the kernel's, mostly for pages."


def _locks(evidence, case):
    share = f": {percent(case.share.middle)} of the time" if case.share else ""
    return f"Threads wait for one another{share}."


SENTENCES = {
    "not-allocator": _not_allocator,
    "instructions": _instructions,
    "mispredictions": _mispredictions,
    "store-dependency": _store_dependency,
    "misses": _misses,
    "instruction-cache": _instruction_cache,
    "page-work": _page_work,
    "locks": _locks,
}


def _text(chosen, also, evidence, cases):
    """The verdict in two or three sentences."""
    text = SENTENCES[chosen.id](evidence, chosen)
    if chosen.id == "not-allocator":
        return text + (f" The program itself is {' and '.join(title(name) for name in also)}." if also else "")
    for name in also:
        of_cycles = cases[name].share and name not in ("page-work", "locks")
        text += f" Also {title(name)}" + (f": {_range(cases[name].share)}." if of_cycles else ".")
    return text


def _undecided(cases, parts):
    still_open = [case.title for case in cases.values() if case.state == "open" and case.id != "not-allocator"]
    if not parts:
        return "Neither cycles nor instructions were measured, so most cases cannot be decided."
    if still_open:
        return f"No case has all of its indicators; still open: {', '.join(still_open)}."
    return "No case has all of its indicators: the cycles divide among several causes, none of which leads."
