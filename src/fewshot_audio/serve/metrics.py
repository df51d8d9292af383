"""Counters in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # seconds
PREFIX = "fewshot_audio_"

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counts since the server's start; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[Labels] = Counter()
        self._errors: Counter[Labels] = Counter()
        self._clips: Counter[Labels] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a finished request. ``route`` and ``method`` come from a short list, never from a client."""
        with self._lock:
            self._requests[("route", route), ("method", method), ("status", str(status))] += 1
            if status >= 400:
                self._errors[(("status", str(status)),)] += 1
            counts = self._buckets.setdefault(route, [0] * (len(BUCKETS) + 1))
            counts[bisect_left(BUCKETS, seconds)] += 1
            self._seconds[route] += seconds  # type: ignore[assignment]

    def clips(self, outcome: str, count: int = 1) -> None:
        """Count clips: classified, unknown, enrolled or rejected."""
        with self._lock:
            self._clips[(("outcome", outcome),)] += count

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """All counters and the given gauges (name -> help, value)."""
        with self._lock:
            lines = _counter("requests_total", "Requests answered.", self._requests)
            lines += _counter("errors_total", "Requests answered with 400 or more.", self._errors)
            lines += _counter("clips_total", "Clips by outcome.", self._clips)
            lines += self._histogram()
        for name, (help_text, value) in gauges.items():
            lines += [f"# HELP {PREFIX}{name} {help_text}", f"# TYPE {PREFIX}{name} gauge", f"{PREFIX}{name} {value:g}"]
        return "\n".join(lines) + "\n"

    def _histogram(self) -> list[str]:
        name = f"{PREFIX}request_seconds"
        lines = [f"# HELP {name} Time from a request's head to the end of its answer.", f"# TYPE {name} histogram"]
        for route, counts in sorted(self._buckets.items()):
            cumulative = 0
            for limit, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
                cumulative += count
                lines.append(f"{name}_bucket{_braces((('route', route), ('le', limit)))} {cumulative}")
            label = _braces((("route", route),))
            lines += [f"{name}_sum{label} {self._seconds[route]:.6f}", f"{name}_count{label} {cumulative}"]
        return lines


def _counter(name: str, help_text: str, counts: Mapping[Labels, int]) -> list[str]:
    head = [f"# HELP {PREFIX}{name} {help_text}", f"# TYPE {PREFIX}{name} counter"]
    return head + [f"{PREFIX}{name}{_braces(labels)} {count}" for labels, count in sorted(counts.items())]


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}"
