"""HTTP requests for files: no other schemes, no credentials, redirects only to addresses that are as safe."""

import urllib.request
from collections.abc import Mapping
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection, InvalidURL
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request

from fewshot_audio.data.download.addresses import check_address, follow, shown_address
from fewshot_audio.data.download.pace import Pace, PacedResponse
from fewshot_audio.errors import DataError

MAX_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})


def open_url(url: str, headers: Mapping[str, str], timeout: float, pace: Pace) -> HTTPResponse:
    """Open ``url``, following redirects; requests have no credentials that could be forwarded.

    Args:
        url: an http or https address.
        headers: of the request.
        timeout: seconds to wait for an answer, and for each read of it.
        pace: checked with each read.

    Raises:
        HTTPError: the server answers with an error.
        DataError: the address is not one to ask, there are too many redirects, or one is not safe.
    """
    check_address(url)
    opener = urllib.request.OpenerDirector()  # not build_opener, which would also open file: and ftp: addresses
    for handler in (
        urllib.request.ProxyHandler(),
        _PacedHttp(pace),
        _PacedHttps(pace),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    address = url
    for _ in range(MAX_REDIRECTS):
        try:
            response: HTTPResponse = opener.open(Request(address, headers=dict(headers)), timeout=timeout)
            return response
        except HTTPError as error:
            if error.code not in REDIRECTS:
                raise
            with error:
                address = follow(address, error.headers.get("Location", ""))
        except (InvalidURL, ValueError):  # host names that cannot be encoded; their messages show the whole address
            raise DataError(f"{shown_address(address)}: is not a valid address") from None
    raise DataError(f"{shown_address(url)}: more than {MAX_REDIRECTS} redirects, the last to {shown_address(address)}")


class _PacedHttp(urllib.request.HTTPHandler):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(partial(_connection, HTTPConnection, self._pace), request)


class _PacedHttps(urllib.request.HTTPSHandler):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def https_open(self, request: Request) -> HTTPResponse:
        return self.do_open(partial(_connection, HTTPSConnection, self._pace), request)


def _connection(kind: type[HTTPConnection], pace: Pace, host: str, **options: Any) -> HTTPConnection:
    connection = kind(host, **options)
    connection.response_class = partial(PacedResponse, pace=pace)  # type: ignore[assignment]
    return connection
