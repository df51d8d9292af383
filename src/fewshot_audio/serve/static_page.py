"""The page's routes. Its files are read once; a request picks one of them by name from a list, never by a path."""

from importlib.resources import files

from fastapi import APIRouter, Response

from fewshot_audio.serve.api_errors import ApiError

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def page_routes() -> APIRouter:
    """Routes of the page, of the API's documentation, and of the files that both load."""
    contents = {entry.name: entry.read_bytes() for entry in files("fewshot_audio.serve").joinpath("page").iterdir()}
    router = APIRouter(include_in_schema=False)

    def file_response(name: str) -> Response:
        if name not in contents:
            raise ApiError(404, "There is no such file.")
        return Response(contents[name], media_type=MEDIA_TYPES[name.rpartition(".")[2]])

    @router.get("/")
    async def page() -> Response:
        return file_response("index.html")

    @router.get("/docs")
    async def docs() -> Response:
        return file_response("docs.html")

    @router.get("/assets/{name}")
    async def asset(name: str) -> Response:
        return file_response(name)

    return router
