"""Addresses of files: which are asked for, where a redirect may lead, and how messages show them without secrets."""

import string
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from fewshot_audio.errors import DataError

LONGEST_TEXT = 200  # characters of what a server said, in messages


def check_address(url: str) -> None:
    """Check an address before it is asked for.

    Raises:
        DataError: it is no http or https address of a host, or holds a user name, which would be sent in the open.
    """
    address = _split(url)
    if address is None or address.scheme not in ("http", "https") or not address.hostname:
        raise DataError(f"{shown_address(url)}: expected an http or https address of a host")
    if address.username is not None or address.password is not None:
        raise DataError(f"{shown_address(url)}: the address holds a user name, expected one without")


def follow(address: str, location: str) -> str:
    """Return the address that a redirect leads to.

    Args:
        address: the one that was asked for.
        location: the header of the answer, as ``http.client`` decodes it: each byte is a character.

    Raises:
        DataError: the address is less safe than the one before.
    """
    try:
        target = urljoin(address, quote(location.encode("latin-1"), safe=string.punctuation))
    except ValueError:
        target = ""
    before, after = _split(address), _split(target)
    if not location or after is None or after.scheme not in ("http", "https") or not after.hostname:
        raise DataError(
            f"{shown_address(address)}: redirected to {shown_address(target)!r}, expected an http or https address"
        )
    if before is not None and before.scheme == "https" and after.scheme == "http":
        raise DataError(
            f"{shown_address(address)}: redirected to {shown_address(target)!r}, from an encrypted address to an open "
            "one"
        )
    if after.username is not None or after.password is not None:
        raise DataError(f"{shown_address(address)}: redirected to an address with a user name at {after.hostname}")
    return target


def shown_address(url: str) -> str:
    """Return an address for messages: without user name, password, query and fragment, which may be secrets."""
    address = _split(url)
    if address is None:
        return "(no valid address)"
    if not address.netloc:  # the rest may be anything
        return f"{shown_text(address.scheme)}:..." if address.scheme else "(no address of a host)"
    host = address.netloc.rpartition("@")[2]
    query = "?..." if address.query or address.fragment else ""
    return shown_text(f"{address.scheme}://{host}{address.path}{query}")


def shown_text(text: str) -> str:
    """Return what a server said for messages: on one line, of bounded length, without control characters."""
    printable = "".join(character if character.isprintable() else "?" for character in text[: LONGEST_TEXT + 1])
    return printable if len(printable) <= LONGEST_TEXT else printable[:LONGEST_TEXT] + "..."


def _split(url: str) -> SplitResult | None:
    """Split an address; None if it is not one."""
    try:
        address = urlsplit(url)
        _ = address.port  # checked only when it is read
    except ValueError:
        return None
    return address
