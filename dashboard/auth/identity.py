"""Who sends a request: the login and the browser that its cookies name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import Scope
from streamlit.web.server.starlette import starlette_server_config as names
from streamlit.web.server.starlette import starlette_websocket
from streamlit.web.server.starlette.starlette_app_utils import decode_xsrf_token_string

from dashboard.auth import roles
from dashboard.auth.roles import RoleMap


@dataclass(frozen=True)
class Identity:
    """A person and a browser, with the rights that the person has now."""

    subject: str | None
    """The login's subject; None = not logged in, or no login needed."""
    pages: frozenset[str]
    """The pages that the person may see; empty = none."""
    browser: bytes | None
    """Streamlit's token against forged requests, which differs between browsers."""


def identify(cookies: Mapping[str, str], role_map: RoleMap | None) -> Identity:
    """Return who sends these cookies; without a login file everybody may see every page."""
    browser, _ = decode_xsrf_token_string(cookies.get(names.XSRF_COOKIE_NAME, ""))
    claims = {} if role_map is None else _claims(cookies)
    subject = roles.subject(claims) if roles.is_login_valid(claims) else None
    return Identity(subject, roles.allowed_pages(claims, role_map), browser)


def is_logged_in(scope: Scope) -> bool:
    """Return whether the sender has a valid login."""
    return roles.is_login_valid(_claims(HTTPConnection(scope).cookies))


def _claims(cookies: Mapping[str, str]) -> Mapping[str, Any]:
    name = names.USER_COOKIE_NAME
    found = starlette_websocket._get_signed_cookie_with_chunks(dict(cookies), name)
    return dict(json.loads(found)) if found else {}
