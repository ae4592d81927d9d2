"""
The API's description, and Swagger UI to read it, from files of the installed package: no CDN.
"""

from __future__ import annotations

from html import escape

from openapi_ui_bundles import swagger_ui
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from internal.errors import NotFound
from internal.server.openapi import openapi_yaml

_FILES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
# Swagger UI sets style attributes and draws its icons from data: URLs; nothing else is inline.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "public, max-age=3600"}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>CodeForge API</title>
<link rel="stylesheet" href="{docs}/swagger-ui.css">
<link rel="icon" type="image/png" href="{docs}/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{docs}/swagger-ui-bundle.js"></script>
<script src="{docs}/start.js"></script>
</body>
</html>
"""
_START = """const here = document.currentScript.src;
SwaggerUIBundle({
  url: new URL("openapi.yaml", here).href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""


async def docs_page(request: Request) -> Response:
    """The page of Swagger UI."""
    page = _PAGE.format(docs=escape(f"{request.scope['root_path']}/api/docs"))
    headers = {**_HEADERS, "Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    return Response(page, 200, headers, "text/html")


async def docs_file(request: Request) -> Response:
    """One of the page's files."""
    name: str = request.path_params["name"]
    if name == "start.js":
        return Response(_START, 200, _HEADERS, _FILES["swagger-ui-bundle.js"])
    if name not in _FILES:
        raise NotFound("There is no such file.")
    return FileResponse(swagger_ui.static_path / name, 200, _HEADERS, _FILES[name])


async def openapi_file(request: Request) -> Response:
    """api/openapi.yaml."""
    return Response(openapi_yaml(), 200, _HEADERS, "application/yaml")
