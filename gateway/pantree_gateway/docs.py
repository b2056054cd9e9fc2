"""The Swagger UI page at `/docs`, and the AsyncAPI document."""

from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.staticfiles import StaticFiles

# Paths in the page are relative, so that it also works below a path that a proxy removes.
_ASSETS_PATH = "/docs-assets"


def add_docs(app: FastAPI, asyncapi_document: dict[str, Any]) -> None:
    """Adds `/docs` and `/asyncapi.json`. The gateway serves the files of the page, which so needs no public CDN."""
    # fastapi-offline is installed for these files only.
    assets = Path(str(resources.files("fastapi_offline"))) / "static"
    app.mount(_ASSETS_PATH, StaticFiles(directory=assets), name="docs-assets")
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=f"{app.title} - Swagger UI",
        swagger_js_url=f"{_ASSETS_PATH[1:]}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS_PATH[1:]}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS_PATH[1:]}/favicon.png",
    )

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return page

    @app.get("/asyncapi.json", include_in_schema=False)
    async def asyncapi(request: Request) -> JSONResponse:
        protocol = "wss" if request.url.scheme == "https" else "ws"
        server = {"host": request.url.netloc, "protocol": protocol, "description": "This gateway."}
        return JSONResponse({**asyncapi_document, "servers": {"gateway": server}})
