"""HTTP requests for files: no other schemes, and redirects only to addresses that are as safe."""

import string
import urllib.request
from collections.abc import Mapping
from http.client import HTTPResponse
from urllib.error import HTTPError
from urllib.parse import quote, urljoin, urlsplit

from fewshot_audio.errors import DataError

MAX_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})


def open_url(url: str, headers: Mapping[str, str], timeout: float) -> HTTPResponse:
    """Open ``url``, following redirects; requests have no credentials that could be forwarded.

    Args:
        url: an http or https address.
        headers: of the request.
        timeout: seconds to wait for an answer.

    Raises:
        HTTPError: the server answers with an error.
        DataError: there are too many redirects, or one is not safe.
    """
    opener = urllib.request.OpenerDirector()  # not build_opener, which would also open file: and ftp: addresses
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    address = url
    for _ in range(MAX_REDIRECTS):
        try:
            request = urllib.request.Request(address, headers=dict(headers))
            response: HTTPResponse = opener.open(request, timeout=timeout)
            return response
        except HTTPError as error:
            if error.code not in REDIRECTS:
                raise
            with error:
                address = follow(address, error.headers.get("Location", ""))
    raise DataError(f"{url}: more than {MAX_REDIRECTS} redirects, the last to {address}")


def follow(address: str, location: str) -> str:
    """Return the address that a redirect leads to.

    Raises:
        DataError: the address is less safe than the one before.
    """
    target = urljoin(address, quote(location, safe=string.punctuation))
    before, after = urlsplit(address), urlsplit(target)
    if not location or after.scheme not in ("http", "https") or not after.hostname:
        raise DataError(f"{address}: redirected to {location!r}, expected an http or https address")
    if before.scheme == "https" and after.scheme == "http":
        raise DataError(f"{address}: redirected to {location!r}, from an encrypted address to an open one")
    if after.username is not None:
        raise DataError(f"{address}: redirected to an address with a user name at {after.hostname}")
    return target


def version_of(response: HTTPResponse) -> str:
    """Return the version of a file for If-Range: a strong ETag, else the time of the last change."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
