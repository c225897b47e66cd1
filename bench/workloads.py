# SPDX-License-Identifier: MIT
"""The workloads: which program, with which arguments, and which of its figures counts."""

import os
from typing import Callable, Optional


class Workload:
    """One row of the tables.

    run(context, allocator) returns {metric: value}; lower is better for all metrics that are compared.
    clock is the metric that counts as the workload's time: "cpu" where one thread does the work, since what other
    processes take from the machine does not count then, and "wall" where threads wait for one another.
    others maps further metrics to what the tables call them.
    """

    def __init__(self, name: str, about: str, run: Callable, clock: str, others: Optional[dict] = None,
                 missing: Optional[str] = None, prepare: Optional[Callable] = None):
        self.name = name
        self.about = about
        self.run = run
        self.clock = clock
        self.others = others or {}
        self.missing = missing
        self.prepare = prepare


# Name, what it is, program with arguments, the same for --quick, clock, other metrics.  {cpus} is the number of
# processors.  A second at most under the faster allocators, a quarter of that with --quick.
SYNTHETIC = [
    ("random_mixed", "random sizes, 400 slots", "random_mixed 60m 400 1", "random_mixed 15m 400 1", "cpu", {}),
    ("larson", "server, threads come and go", "larson {cpus} 100", "larson {cpus} 25", "wall", {}),
    ("larson-64", "the same with 64 threads", "larson 64 20 50k 1000", "larson 64 5 50k 1000", "wall", {}),
    ("xmalloc", "producers and consumers", "xmalloc_test {cpus} 60m", "xmalloc_test {cpus} 12m", "wall", {}),
    ("cache-thrash", "active false sharing", "false_sharing thrash {cpus} 100k", "false_sharing thrash {cpus} 30k",
     "wall", {}),
    ("cache-scratch", "passive false sharing", "false_sharing scratch {cpus} 100k",
     "false_sharing scratch {cpus} 30k", "wall", {}),
    ("cfrac", "tiny short-lived blocks", "cfrac 2m", "cfrac 500k", "cpu", {}),
    ("bursts", "bursts of one size", "bursts 1m", "bursts 250k", "cpu", {}),
    ("bursts-thread", "the same in a thread", "bursts 1m 1", "bursts 250k 1", "cpu", {}),
    ("pareto", "Pareto mix", "pareto 20m", "pareto 5m", "cpu", {}),
    ("pareto-mt", "the same, many threads", "pareto 10m 200k {cpus}", "pareto 3m 200k {cpus}", "wall", {}),
    ("lifo", "stacks", "batches lifo 50m", "batches lifo 10m", "cpu", {}),
    ("fifo", "queues", "batches fifo 50m", "batches fifo 10m", "cpu", {}),
    ("replace-1e4", "10 thousand live", "replace 10k 50m", "replace 10k 15m", "cpu", {}),
    ("replace-1e5", "100 thousand live", "replace 100k 20m", "replace 100k 8m", "cpu", {}),
    ("replace-1e6", "1 million live", "replace 1m 10m", "replace 1m 3m", "cpu", {}),
    ("replace-1e7", "10 million live", "replace 10m 5m", "replace 10m 2m", "cpu", {}),
    ("perclass-small", "each size to 32 KiB", "perclass small 1m", "perclass small 250k", "cpu",
     {"flatness": "dearest / cheapest size to 2 KiB"}),
    ("perclass-large", "64 KiB to 8 MiB", "perclass large 200k", "perclass large 50k", "cpu", {}),
    ("realloc", "buffers that grow", "realloc_grow 8", "realloc_grow 2", "cpu", {}),
    ("calloc", "sparse zeroed arrays", "calloc_sparse 500", "calloc_sparse 100", "cpu", {}),
    ("thread-churn", "short threads", "thread_churn 10k", "thread_churn 2k", "wall", {"growth": "RSS growth"}),
    ("exchange-64", "64 threads exchange blocks", "exchange 64 150k", "exchange 64 40k", "wall", {}),
    ("latency", "single calls, server mix", "latency 10m", "latency 3m", "cpu",
     {"p50": "p50 of a call", "p99": "p99", "p99.9": "p99.9", "quiet_p99.9": "p99.9 without the kernel's part",
      "quiet_max": "slowest without the kernel's part", "noise_max": "slowest empty measurement",
      "quiet_above_1ms": "calls above 1 ms, not the kernel's", "above_1ms": "all calls above 1 ms"}),
    ("holes", "90 % freed at random", "holes 256", "holes 64", "cpu",
     {"rss_over_live": "RSS / live bytes after 3 s", "refilled_over_live": "RSS / live bytes, refilled",
      "ns_at_once": "a block into a hole, at once", "ns_rested": "the same after 3 s"}),
    ("idle-return", "freed while owners sleep", "idle_return 1024", "idle_return 256", "cpu",
     {"rss_kept": "share of RSS kept after 3 s"}),
    ("waves", "filled and emptied, 100 ms between", "waves 256 20 100", "waves 64 10 100", "cpu",
     {"faults_per_wave": "page faults of a wave", "rss_kept": "share of RSS kept between"}),
    ("waves-apart", "the same, 700 ms between", "waves 256 12 700", "waves 64 6 700", "cpu",
     {"faults_per_wave": "page faults of a wave", "rss_kept": "share of RSS kept between"}),
    ("images", "arrays of image augmentation", "images 200 4", "images 60 4", "wall",
     {"rate": "images a second", "faults_per_image": "page faults of an image"}),
    ("payloads", "bursts of large requests", "payloads 4 50 1200", "payloads 2 50 1200", "cpu",
     {"rss_at_rest": "RSS after 2 s of rest", "faults_per_request": "page faults of a request"}),
    ("replace-large", "20 live of 5 to 25 MiB", "replace_large 120 20", "replace_large 40 20", "cpu",
     {"faults_per_block": "page faults of a block"}),
    ("doubling", "8 large buffers that double", "doubling 40", "doubling 15", "cpu",
     {"faults_per_buffer": "page faults of a buffer"}),
    ("mappings", "12 thousand of 1.1 to 3 MiB", "mappings 12k", "mappings 4k", "cpu",
     {"faults_per_block": "page faults of a block", "mappings": "mappings of the process"}),
    ("fleet", "many call sites", "fleet 4m 256 1 1", "fleet 1m 128 1 1", "cpu",
     {"rss_over_live": "RSS / live bytes", "faults_per_1000": "page faults of 1000 operations"}),
    ("fleet-2", "the same, other sites", "fleet 4m 256 1 2", "fleet 1m 128 1 2", "cpu",
     {"rss_over_live": "RSS / live bytes", "faults_per_1000": "page faults of 1000 operations"}),
    ("fleet-mt", "the same, many threads", "fleet 4m 256 {cpus} 1", "fleet 1m 128 {cpus} 1", "wall",
     {"rss_over_live": "RSS / live bytes", "faults_per_1000": "page faults of 1000 operations"}),
]


def synthetic(build, quick):
    cpus = len(os.sched_getaffinity(0))
    for name, about, full, short, clock, others in SYNTHETIC:
        words = (short if quick else full).format(cpus=cpus).split()
        program = os.path.join(build, "bench", words[0])
        missing = None if os.access(program, os.X_OK) else f"bench/{words[0]} is not built (make bench)"

        def run(context, allocator, command=(program, *words[1:])):
            return context.run_program(command, allocator)
        yield Workload(name, about, run, clock, others, missing)

