"""Access to pages: who may see which, the sign-in screen, and links that respect roles."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any, ParamSpec

import streamlit as st

from dashboard.auth import roles, texts
from dashboard.auth.roles import RoleMap
from dashboard.navigation import APP
from settings import load_settings

_Parameters = ParamSpec("_Parameters")
_NAME = re.compile(r"[!-~]([ -~]{0,62}[!-~])?")
"""What the header Acting-User takes."""


@cache
def _role_map() -> RoleMap | None:
    file = load_settings().login_file
    return None if file is None else roles.load_roles(file)


def allowed_pages() -> frozenset[str]:
    """Return the pages that the visitor may see; without a login file, all of them."""
    return roles.allowed_pages(_claims(), _role_map())


def is_operator() -> bool:
    """Return whether the visitor runs the service: those alone see its load tests."""
    return "load_tests" in allowed_pages()


def user_name() -> str | None:
    """Return the visitor's name or, from a proxy that signs it, e-mail; None without a login."""
    name = _identity().get("name") or _identity().get("email")
    return None if name is None else str(name)


def acting_user() -> str | None:
    """Return what the log keeps a hash of as the visitor's name; None without a login.

    The first of these claims that fits the header: e-mail address (also from a proxy that signs
    it), user name, subject.
    """
    claimed = (_identity().get(name) for name in ("email", "preferred_username", "sub"))
    fitting = (name for name in claimed if isinstance(name, str) and _NAME.fullmatch(name))
    return next(fitting, None)


def _identity() -> Mapping[str, Any]:
    """Return what is verified of the visitor, by our login or by a proxy that signs it."""
    return st.user.to_dict() if load_settings().iap_audience else _claims()


def _claims() -> Mapping[str, Any]:
    claims = st.user.to_dict()
    return claims if claims.get("is_logged_in") else {}


def requires_page(
    page: str,
) -> Callable[[Callable[_Parameters, None]], Callable[_Parameters, None]]:
    """Return a decorator that draws a fragment only while the visitor may see a page of `PAGES`.

    A fragment reruns by itself, long after the script that checked access; without access the whole
    page is rerun.
    """

    def guard(draw: Callable[_Parameters, None]) -> Callable[_Parameters, None]:
        @wraps(draw)
        def guarded(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> None:
            if page not in allowed_pages():
                st.rerun()
            draw(*args, **kwargs)

        return guarded

    return guard


def guard_download(page: str, write: Callable[[], bytes]) -> Callable[[], bytes]:
    """Return `write` with a check of access, for a download button.

    The button calls it later and without the visitor's session. It raises PermissionError if the
    visitor may no longer see the page.
    """
    claims = _claims()

    def written() -> bytes:
        if page not in roles.allowed_pages(claims, _role_map()):
            raise PermissionError
        return write()

    return written


def page_link(page: str, label: str, query_params: Mapping[str, str] | None = None) -> None:
    """Draw a link to another page of `PAGES`, unless the visitor may not see it."""
    if page in allowed_pages():
        st.page_link(f"{page}/page.py", label=label, query_params=query_params)


def access_denied() -> None:
    """Draw, in place of a page, why the visitor has no access, and what to do."""
    st.title(APP)
    if allowed_pages():
        st.warning(texts.NO_ACCESS)
        page_link("overview", "Overview")
    elif roles.is_login_valid(_claims()):
        st.warning(texts.NO_ROLE)
        st.button(texts.SIGN_OUT, on_click=st.logout)
    else:
        st.write(texts.SIGN_IN_NEEDED)
        st.button(texts.SIGN_IN, on_click=st.login, type="primary")


def logout_button() -> None:
    """Draw the user's name, and a sign-out button if the login is the dashboard's own."""
    name, has_login = user_name(), _role_map() is not None
    if not (name or has_login):
        return
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.text(f"Signed in as {name}" if name else "Signed in")
        if has_login:
            st.button(texts.SIGN_OUT, on_click=_sign_out, type="tertiary")


def _sign_out() -> None:
    """Sign out; nothing that was entered in this visit stays in memory."""
    st.session_state.clear()
    st.logout()
