"""Lengths at which Fourier transforms are fast: even, with no prime factor above 13."""


def is_fast(n: int) -> bool:
    """Say whether ``n`` is such a length."""
    rest = n
    for prime in (2, 3, 5, 7, 11, 13):
        while rest % prime == 0:
            rest //= prime
    return rest == 1 and n % 2 == 0


def next_fast(n: int) -> int:
    """Return the smallest such length from ``n`` on."""
    size = max(n + n % 2, 2)
    while not is_fast(size):
        size += 2
    return size
