#!/usr/bin/env python3
"""Times PyTorch, ONNX Runtime and Keras on the workloads of docs/PERFORMANCE.md, alone or in turn with `tidegate bench`.

    pip install -r scripts/requirements.txt
    python scripts/peers.py                                          # every peer, every workload
    python scripts/peers.py --workload W3 --mode train --peer torch --threads 2 --json
    python scripts/peers.py --tidegate target/release/tidegate       # A B A B, with ratios of the medians
    python scripts/peers.py --memory --tidegate target/release/tidegate   # peak memory of the W3 train step
    python scripts/peers.py --device cuda --peer torch               # PyTorch on a GPU
    python scripts/peers.py --check                                  # do the peers run the same model?

candle and Burn are a Rust program that is built once, apart from everything else (hundreds of crates):

    cargo build --release --manifest-path benches/peers/Cargo.toml      # --features wgpu for burn-wgpu
    RUST=benches/peers/target/release/tidegate-peers
    python scripts/peers.py --rust-peers $RUST --tidegate target/release/tidegate     # these and the others
    python scripts/peers.py --rust-peers $RUST --peer burn-wgpu --tidegate target/release/tidegate --tidegate-device gpu
"""

import argparse
import json
import os
import platform

from peer_bench import compare, rust_peers
from peer_bench.workloads import WORKLOADS


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", choices=list(compare.MODES), help="only these (default: all but burn-wgpu)")
    parser.add_argument("--rust-peers", metavar="PATH", help="the program that runs candle and Burn")
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS), help="only these (default: all)")
    parser.add_argument("--mode", choices=["infer", "train"], help="only this one (default: both)")
    parser.add_argument("--threads", type=int, help="threads of each (default: what each takes by itself)")
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each measurement, after the warm-up")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, taken in turn")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="PyTorch's device")
    parser.add_argument("--tf32", action="store_true", help="let PyTorch use TF32 on the GPU")
    parser.add_argument("--tidegate", metavar="PATH", help="the program to measure beside the peers")
    parser.add_argument("--tidegate-device", default="cpu", help="its --device")
    parser.add_argument("--memory", action="store_true", help="peak resident memory of the W3 train step instead")
    parser.add_argument("--check", action="store_true", help="compare the peers' answers instead")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--markdown", action="store_true", help="tables as in docs/PERFORMANCE.md at the end")
    parser.add_argument("--here", action="store_true", help="measure one peer in this very process")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(options.threads)
    if not options.peer:
        options.peer = ["torch"] if options.device == "cuda" else list(compare.MODULES)
        options.peer += ["candle", "burn"] if options.rust_peers else []
    rust = [name for name in options.peer if name in rust_peers.NAMES]
    if rust and (not options.rust_peers or options.here or options.serve or options.memory):
        parser.error(f"{rust[0]} is run by --rust-peers PATH, and only to compare speed or answers")
    if (options.here or options.serve) and len(options.peer) != 1:
        parser.error("--here needs one --peer")
    return options


def jobs_of(options):
    """Workloads and modes asked for; the airline loop is training."""
    for name in options.workload or WORKLOADS:
        for mode in [options.mode] if options.mode else ["infer", "train"]:
            if name != "airline" or mode == "train":
                yield WORKLOADS[name], mode


def main():
    options = parse()
    if options.check:
        return compare.check(options)
    if options.serve:
        return compare.serve(compare.load(options.peer[0], options), options.seconds)
    if options.memory:
        memory = compare.peak_memory(options)
        if options.json:
            return print(json.dumps({"peak_resident_mb": memory}))
        for name, megabytes in memory.items():
            print(f"{name:>12}  {'failed' if megabytes is None else f'{megabytes:.0f} MB'}")
        return None
    records = []
    for record in here(options) if options.here else compare.compare(options, jobs_of(options)):
        records.append(record)
        if not options.json:
            show(record, first=len(records) == 1)
    if options.markdown:
        tables(records)
    if options.json:
        about = {}
        for record in records:
            about |= record.pop("about")
        print(json.dumps({"machine": platform.processor() or platform.machine(), "about": about, "results": records}))
    return None


def here(options):
    """One peer, no other process."""
    name = options.peer[0]
    peer = compare.load(name, options)
    for w, mode in jobs_of(options):
        if mode in peer.modes and (w.name != "airline" or hasattr(peer, "airline")):
            result = compare.time_one(peer, w, mode, options.seconds)
            yield {"workload": w.name, "mode": mode, "results": {name: result}, "about": {name: peer.describe()}}


def show(record, first):
    """A line per measured program; the ratio is its median over tidegate's: above 1, tidegate is faster."""
    if first:
        print(*record["about"].values(), sep="\n")
        print(f"{'workload':8} {'mode':5} {'who':>11} {'median ms':>10} {'min':>10} {'max':>10} {'GFLOP/s':>8} {'ratio':>6}")
    ours = record["results"].get("tidegate", {}).get("median_ms")
    for name, r in record["results"].items():
        head = f"{record['workload']:8} {record['mode']:5} {name:>11}"
        if "error" in r:
            print(head, " ", *r["error"])
            continue
        flops = f"{r['gflops']:8.1f}" if r.get("gflops") else " " * 8
        ratio = f"{r['median_ms'] / ours:6.2f}" if ours and name != "tidegate" else ""
        print(f"{head} {r['median_ms']:10.3f} {r['min_ms']:10.3f} {r['max_ms']:10.3f} {flops} {ratio}", flush=True)


def tables(records):
    """Medians in ms, a table for each mode; a ratio is the peer's median over tidegate's."""
    for mode in ("infer", "train"):
        of_mode = [r for r in records if r["mode"] == mode]
        names = list(dict.fromkeys(name for r in of_mode for name in r["results"]))
        if of_mode:
            print(f"\n{mode}\n\n| | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
        for record in of_mode:
            ours = record["results"].get("tidegate", {}).get("median_ms")
            print(f"| {record['workload']} | " + " | ".join(cell(record["results"].get(n), ours, n) for n in names) + " |")


def cell(result, ours, name):
    """A median, and in brackets how many times ours it is."""
    median = (result or {}).get("median_ms")
    if median is None:
        return ""
    ratio = f" ({median / ours:.3g})" if ours and name != "tidegate" else ""
    return f"{median:.3g}{ratio}" if median < 1000 else f"{median:,.0f}{ratio}"


if __name__ == "__main__":
    main()
