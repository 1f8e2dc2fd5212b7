"""Times a callable after a warm-up."""

import statistics
import time


def measure(step, seconds, minimum=5):
    """Calls `step` until it is warm (a quarter of `seconds`, three calls at least), then for `seconds` and at least
    `minimum` calls; returns the times of the latter in ms."""
    warm = time.perf_counter() + seconds / 4
    calls = 0
    while calls < 3 or time.perf_counter() < warm:
        step()
        calls += 1
    times = []
    end = time.perf_counter() + seconds
    while len(times) < minimum or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def once(run, epoch):
    """Times one whole run after a warm-up epoch."""
    epoch()
    start = time.perf_counter()
    run()
    return [(time.perf_counter() - start) * 1e3]


def summary(times, gflop):
    """The fields that `tidegate bench --json` has too."""
    median = statistics.median(times)
    return {
        "median_ms": median,
        "min_ms": min(times),
        "max_ms": max(times),
        "runs": len(times),
        "gflops": gflop / median * 1e3 if gflop else None,
    }
