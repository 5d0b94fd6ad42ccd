"""How many instances for how many scans: ``python -m benchmarks.capacity [SECONDS_A_SCAN]``.

A simulation of HippoView's queue: one scan at work in an instance, so many that wait, and a refusal
beyond. First it is held against what `benchmarks.load` measured (docs/performance.md, Load): its
parameters are fitted to 1 and 8 clients and the fixed rate, the other rows are predictions. Then it
says for 10, 1,000 and 100,000 scans a day how many instances keep 95 % within `TARGET_S` in the
busiest hour.
"""

import heapq
import math
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# Of docs/performance.md, Load: clients that send one scan after the other, and p50 and p95 in
# seconds; and the ten minutes at a fixed rate.
MEASURED_CLOSED = {1: (0.23, 0.44), 2: (0.45, 0.76), 4: (0.97, 1.29), 8: (1.92, 2.23),
                   16: (3.96, 4.76)}  # fmt: skip
STEADY_RATE, MEASURED_STEADY = 3.84, (0.42, 1.13)
# A scan that comes is a whole head, by the API on two cores (docs/performance.md, The viewer).
HEAD_S = 1.8
TARGET_S = 15.0
# The busiest hour's share of a day, and how many scans are sent at once.
BUSIEST_SHARE, BATCH = 0.15, 5
QUEUE_SIZE = 16
HOURS = 24 * 30


@dataclass(frozen=True)
class Service:
    """How long a scan takes.

    Attributes
    ----------
    median_s, sigma : float
        Of a log-normal distribution, while nothing disturbs the machine.
    slow_share, slow_s, slow_factor : float
        The share of the time in which the machine is busy with something else, how long such a
        time is in the mean (seconds), and how many times longer a scan takes then.
    """

    median_s: float = 0.23
    sigma: float = 0.3
    slow_share: float = 0.05
    slow_s: float = 0.5
    slow_factor: float = 1.5

    def of(self, seconds: float) -> "Service":
        """The same spread for scans that take so long."""
        return Service(seconds, self.sigma, self.slow_share, self.slow_s, self.slow_factor)

    def draws(self, seed: int) -> Callable[[float], float]:
        """A function that says how long a scan takes that begins at a time (seconds)."""
        rng = random.Random(seed)  # noqa: S311 - a simulation
        state = {"slow": False, "until": 0.0}
        quick_s = self.slow_s * (1 - self.slow_share) / self.slow_share

        def draw(now: float) -> float:
            while state["until"] <= now:
                state["slow"] = not state["slow"]
                mean = self.slow_s if state["slow"] else quick_s
                state["until"] += rng.expovariate(1 / mean)
            factor = self.slow_factor if state["slow"] else 1.0
            return factor * self.median_s * math.exp(rng.gauss(0, self.sigma))

        return draw


@dataclass(frozen=True)
class Seen:
    """What the senders of scans saw."""

    p50_s: float
    p95_s: float
    refused: float
    per_second: float


def closed(service: Service, clients: int, scans: int = 4000, seed: int = 1) -> Seen:
    """So many clients, each sending the next scan as soon as it has its answer."""
    draw, waiting, now = service.draws(seed), [0.0] * clients, 0.0
    latencies = []
    for _ in range(scans):
        came = heapq.heappop(waiting)  # who came first
        now = max(now, came) + draw(max(now, came))
        latencies.append(now - came)
        heapq.heappush(waiting, now)
    return _seen(latencies, 0, now)


def opened(service: Service, instances: int, arrivals: Iterator[float], seed: int = 1) -> Seen:
    """Scans that come whether or not the last one was answered, each to an instance by chance."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    draws = [service.draws(seed + n) for n in range(instances)]
    ends: list[list[float]] = [[] for _ in range(instances)]
    latencies, refused, now = [], 0, 0.0
    for now in arrivals:
        chosen = rng.randrange(instances)
        line = [end for end in ends[chosen] if end > now]
        if len(line) > QUEUE_SIZE:
            refused += 1
        else:
            begins = line[-1] if line else now
            line.append(begins + draws[chosen](begins))
            latencies.append(line[-1] - now)
        ends[chosen] = line
    return _seen(latencies, refused, now)


def steady(rate: float, seconds: float) -> Iterator[float]:
    """One scan after the other at a fixed rate (a second)."""
    return (n / rate for n in range(int(rate * seconds)))


def batches(rate: float, seconds: float, seed: int = 1) -> Iterator[float]:
    """People who send `BATCH` scans at once, at random moments, so many scans a second in all."""
    rng, now = random.Random(seed), 0.0  # noqa: S311 - a simulation
    while (now := now + rng.expovariate(rate / BATCH)) < seconds:
        for n in range(BATCH):
            yield now + n * 0.05


def instances_for(service: Service, scans_a_day: int) -> tuple[int, Seen]:
    """The fewest instances that hold the target in the busiest hour, without a refusal in 1,000."""
    rate = scans_a_day * BUSIEST_SHARE / 3600
    instances = max(1, math.ceil(rate * service.median_s))
    while True:
        # As long as it takes for some thousands of scans, and an hour at least.
        seen = opened(service, instances, batches(rate, max(3600, 5000 / rate)))
        if seen.p95_s <= TARGET_S and seen.refused < 0.001:
            return instances, seen
        instances += 1


def _seen(latencies: list[float], refused: int, seconds: float) -> Seen:
    cut = statistics.quantiles(latencies, n=100)
    share = refused / (refused + len(latencies))
    return Seen(cut[49], cut[94], share, len(latencies) / seconds)


def main() -> None:
    """Print how far the simulation is from what was measured, and the plan."""
    service = Service()
    print(f"{'':>24}{'measured p50, p95 (s)':>24}{'simulated p50, p95 (s)':>26}")
    rows = [(f"{n} clients", m, closed(service, n)) for n, m in MEASURED_CLOSED.items()]
    at_rate = opened(service, 1, steady(STEADY_RATE, 6000))
    rows.append((f"{STEADY_RATE} a second", MEASURED_STEADY, at_rate))
    for name, (p50, p95), seen in rows:
        print(f"{name:>24}{p50:14.2f}{p95:10.2f}{seen.p50_s:16.2f}{seen.p95_s:10.2f}")
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else HEAD_S
    print(f"\nscans of {seconds} s, {BATCH} sent at once, 95 % within {TARGET_S:.0f} s")
    print(f"{'scans a day':>12}{'busiest hour':>14}{'instances':>11}{'p50 (s)':>9}{'p95 (s)':>9}"
          f"{'refused':>9}{'busy':>7}")  # fmt: skip
    for scans in (10, 1000, 100_000):
        instances, seen = instances_for(service.of(seconds), scans)
        rate = scans * BUSIEST_SHARE / 3600
        print(f"{scans:12,}{scans * BUSIEST_SHARE:14,.0f}{instances:11}{seen.p50_s:9.1f}"
              f"{seen.p95_s:9.1f}{seen.refused:9.2%}{rate * seconds / instances:7.0%}")  # fmt: skip


if __name__ == "__main__":
    main()
