# SPDX-License-Identifier: MIT
"""The machine, as the report describes it, and the tools that are installed."""

import datetime
import os
import platform
import re
import shutil
import subprocess

# The packages that have the tools.
PACKAGES = {
    "perf": "linux-perf (Debian), linux-tools-generic (Ubuntu), perf (Fedora, Arch)",
    "valgrind": "valgrind",
    "strace": "strace",
}


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _cpuinfo():
    fields = {}
    for line in _read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields


def measured_clock(measure):
    """The clock in Hz as the helper measure finds it; None without that helper."""
    if not measure:
        return None
    try:
        done = subprocess.run([measure, "clock"], capture_output=True, text=True, timeout=20, check=True)
        return float(done.stdout) or None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def nominal_clock():
    """The nominal clock in Hz, or None: what the kernel or the processor's name says."""
    candidates = []
    for path in ("base_frequency", "cpuinfo_max_freq"):
        text = _read(f"/sys/devices/system/cpu/cpu0/cpufreq/{path}").strip()
        if text.isdigit():
            candidates.append(int(text) * 1000)
            break
    info = _cpuinfo()
    match = re.search(r"@\s*([0-9.]+)GHz", info.get("model name", ""))
    if not candidates and match:
        candidates.append(float(match.group(1)) * 1e9)
    if not candidates and info.get("cpu MHz"):
        candidates.append(float(info["cpu MHz"]) * 1e6)
    return max(candidates, default=None)


def describe(measure=None):
    """What the report says of the machine."""
    measured = measured_clock(measure)
    info = _cpuinfo()
    system = dict(re.findall(r'^(\w+)="?(.*?)"?$', _read("/etc/os-release"), re.M))
    memory = re.search(r"MemTotal:\s+(\d+) kB", _read("/proc/meminfo"))
    thp = re.search(r"\[(\w+)\]", _read("/sys/kernel/mm/transparent_hugepage/enabled"))
    paranoid = _read("/proc/sys/kernel/perf_event_paranoid").strip()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": info.get("model name") or info.get("cpu") or platform.machine(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "clock": measured or nominal_clock(),
        "clock_measured": measured is not None,
        "virtual": "hypervisor" in info.get("flags", "").split(),
        "memory": int(memory.group(1)) * 1024 if memory else None,
        "system": system.get("PRETTY_NAME", platform.system()),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "huge_pages": thp.group(1) if thp else "unknown",
        "perf_event_paranoid": int(paranoid) if re.fullmatch(r"-?\d+", paranoid) else None,
        "load": round(os.getloadavg()[0], 2),
    }


def _version(command):
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\d+(?:\.\d+)+\S*", done.stdout + done.stderr)
    return match.group() if match and done.returncode == 0 else None


def tools():
    """{tool: version}; the version is None if the tool is not installed or does not run."""
    found = {}
    for tool, command in (
        ("perf", ["perf", "--version"]),
        ("valgrind", ["valgrind", "--version"]),
        ("strace", ["strace", "--version"]),
    ):
        found[tool] = _version(command) if shutil.which(tool) else None
    return found
