"""The page at `/docs`, Swagger UI over the OpenAPI document, and the AsyncAPI document."""

from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.staticfiles import StaticFiles

ASSETS_PATH = "/docs-assets"


def packaged_assets() -> Path:
    """Folder with Swagger UI's files that the `fastapi-offline` package brings; nothing else of it is used."""
    return Path(str(resources.files("fastapi_offline"))) / "static"


def add_asyncapi_route(router: APIRouter, document: dict[str, Any]) -> None:
    """Adds `/asyncapi.json`.

    Args:
        router: gets the route.
        document: the AsyncAPI document.
    """

    @router.get("/asyncapi.json", include_in_schema=False)
    async def asyncapi(request: Request) -> JSONResponse:
        protocol = "wss" if request.url.scheme == "https" else "ws"
        server = {"host": request.url.netloc, "protocol": protocol, "description": "This gateway."}
        return JSONResponse({**document, "servers": {"gateway": server}})


def add_docs(app: FastAPI, assets: Path) -> None:
    """Adds `/docs`; its files come from the gateway itself, so that it works without access to a public CDN.

    Args:
        app: gets the page; its OpenAPI document is the one at `/openapi.json`.
        assets: folder with `swagger-ui-bundle.js`, `swagger-ui.css` and `favicon.png`.
    """
    app.mount(ASSETS_PATH, StaticFiles(directory=assets), name="docs-assets")
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=f"{app.title} - Swagger UI",
        swagger_js_url=f"{ASSETS_PATH}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS_PATH}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS_PATH}/favicon.png",
    )

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return page
