"""Forms with recordings: few fields, short ones, and a clear answer if they cannot be stored."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from fewshot_audio.serve.api_errors import no_space
from fewshot_audio.serve.limits import ServerLimits

MAX_FIELDS = 8  # one is used


class FormRoute(APIRoute):
    """A route whose forms are bounded."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Give the route's handler requests that bound their forms."""
        handler = super().get_route_handler()

        async def bounded_handler(request: Request) -> Response:
            return await handler(_FormRequest(request.scope, request.receive))

        return bounded_handler


class _FormRequest(Request):
    async def form(self, **_: Any) -> FormData:  # type: ignore[override]
        limits: ServerLimits = self.app.state.context.service.limits
        max_files = limits.clips_per_request + 1  # the route itself says how many there are if there are a few too many
        try:
            return await super().form(max_files=max_files, max_fields=MAX_FIELDS, max_part_size=limits.text_bytes)
        except HTTPException as error:
            if error.status_code == 400 and ("Too many" in error.detail or "maximum size" in error.detail):
                message = (
                    f"A form has at most {limits.clips_per_request} recordings and {MAX_FIELDS} other fields of "
                    f"{limits.text_bytes / (1 << 10):g} kB each."
                )
                raise HTTPException(413, message) from error
            raise
        except OSError as error:
            raise no_space("The recordings cannot be stored", error) from error
