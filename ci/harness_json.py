#!/usr/bin/env python3
"""Checks what `whitebeam-bench run .. --json` printed: one object a line and figure, in the documented form.

    ci/harness_json.py FILE

Exits with 1 and a line per fault. Figures may be null only where the harness documents it.
"""

import json
import sys

KEYS = [
    "workload", "params", "figure", "unit", "median", "min", "max",
    "reps", "line_transfer_ns", "rmw_ns", "noisy", "env",
]
ENV = ["cores", "rustc", "commit", "allocator"]

# The figures that each workload must print; others may stand beside them.
FIGURES = {
    "W1": ["ns_per_hop"],
    "W1b": ["m_hops_per_s"],
    "W2": ["m_msg_per_s"],
    "W2s": ["m_msg_per_s"],
    "W3": ["ns_per_hop"],
    "W4": ["ns_per_spawn", "bytes_per_actor"],
    "W5": ["us_per_lifecycle"],
    "W6": ["ns_per_call"],
    "W6x": ["us_per_call"],
    "W7": ["us_per_child"],
    "W8": ["shutdown_ms", "max_queue_len"],
    "W8t": ["shutdown_ms", "max_queue_len"],
    "W8b": ["shutdown_ms", "max_queue_len"],
    "W9": ["m_msg_per_s"],
    "W10": ["round_trip_p50_us", "round_trip_p99_us", "lateness_p50_ms", "lateness_p99_ms"],
    "W11": ["lateness_p50_ms", "lateness_p99_ms", "cpu_s"],
    "W12": ["restarts_per_s"],
    "W13": ["kill_ms"],
    "W14": ["m_lookups_per_s", "k_registrations_per_s"],
    "W15": ["m_deliveries_per_s"],
    "shutdown": ["start_s", "shutdown_ms", "max_queue_len"],
    "idle": ["cpu_ms"],
    "overload": ["others_p99_us", "refused", "lost", "max_queue_len"],
    "walk": ["ms_per_walk", "ns_per_actor", "slow_down_percent", "age_apart_p50_ms", "age_off_p50_ms"],
    "burst": ["rss_before_mib", "rss_peak_mib", "rss_after_mib", "back_after_s"],
}

# Figures that may be negative.
DIFFERENCES = {"slow_down_percent", "rss_growth_mib"}


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def faults_of(line):
    """The faults of one figure."""
    if list(line) != KEYS:
        yield f"has the keys {list(line)}, not {KEYS}"
        return
    for key in ("workload", "figure", "unit"):
        if not isinstance(line[key], str) or not line[key]:
            yield f"{key} is {line[key]!r}, not a text"
    values = [line[key] for key in ("min", "median", "max")]
    if values != [None] * 3:
        may_be_less = line["figure"] in DIFFERENCES
        if not all(is_number(value) and (may_be_less or value >= 0) for value in values):
            yield f"min, median, max are {values}"
        elif values != sorted(values):
            yield f"min, median, max are out of order: {values}"
    if not is_number(line["reps"]) or line["reps"] < 1:
        yield f"reps is {line['reps']!r}"
    if not isinstance(line["params"], dict) or "workers" not in line["params"]:
        yield f"params is {line['params']!r}"
    if not isinstance(line["noisy"], bool):
        yield f"noisy is {line['noisy']!r}"
    if line["line_transfer_ns"] is not None and not is_number(line["line_transfer_ns"]):
        yield f"line_transfer_ns is {line['line_transfer_ns']!r}"
    if not is_number(line["rmw_ns"]):
        yield f"rmw_ns is {line['rmw_ns']!r}"
    if not isinstance(line["env"], dict) or list(line["env"]) != ENV:
        yield f"env is {line['env']!r}"


def main():
    faults, seen = [], {}
    with open(sys.argv[1], encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            try:
                line = json.loads(text)
            except ValueError as error:
                faults.append(f"line {number} is not JSON: {error}: {text[:80]!r}")
                continue
            faults += [f"line {number} {fault}: {text[:160].strip()}" for fault in faults_of(line)]
            seen.setdefault(line.get("workload"), set()).add(line.get("figure"))
    for workload, figures in seen.items():
        missing = set(FIGURES.get(workload, [])) - figures
        if workload not in FIGURES:
            faults.append(f"workload {workload!r} is not in ci/harness_json.py's list of figures")
        elif missing:
            faults.append(f"{workload} printed {sorted(figures)}, without {sorted(missing)}")
    if not seen:
        faults.append("no figure at all")
    for fault in faults:
        print(f"harness output: {fault}", file=sys.stderr)
    count = sum(len(figures) for figures in seen.values())
    print(f"harness output: {len(seen)} workloads, {count} figures, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
