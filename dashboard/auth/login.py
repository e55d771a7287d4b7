"""The pages that stand before all others where people must log in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any, ParamSpec

import streamlit as st

from dashboard.auth import roles, texts
from dashboard.auth.roles import People
from dashboard.navigation import APP, PAGES
from settings import load_settings

_Parameters = ParamSpec("_Parameters")


@cache
def _people() -> People | None:
    file = load_settings().login_file
    return None if file is None else roles.read(file)


def allowed_pages() -> frozenset[str]:
    """Return the pages that the visitor may see; without a login file everybody may see all."""
    return _allowed(st.user.to_dict())


def _allowed(claims: Mapping[str, Any]) -> frozenset[str]:
    known = _people()
    if known is None:
        return frozenset(PAGES)
    if not claims.get("is_logged_in") or not roles.is_recent(claims):
        return frozenset()
    return known.pages(claims)


def only_for(page: str) -> Callable[[Callable[_Parameters, None]], Callable[_Parameters, None]]:
    """Draw a fragment only for who may see a page of `PAGES` now; else run the whole page again.

    A fragment runs by itself, long after the script that asked which pages may be seen.
    """

    def guard(draw: Callable[_Parameters, None]) -> Callable[_Parameters, None]:
        @wraps(draw)
        def guarded(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> None:
            if page not in allowed_pages():
                st.rerun()
            draw(*args, **kwargs)

        return guarded

    return guard


def while_allowed(page: str, write: Callable[[], bytes]) -> Callable[[], bytes]:
    """Return `write` for a download button, which calls it later and without the visitor's session.

    It raises PermissionError once the visitor may no longer see the page.
    """
    claims = st.user.to_dict()

    def written() -> bytes:
        if page not in _allowed(claims):
            raise PermissionError
        return write()

    return written


def link(page: str, label: str, query_params: Mapping[str, str] | None = None) -> None:
    """Offer the way to another page of `PAGES`, where the visitor may see it.

    To others it would lead to a refusal.
    """
    if page in allowed_pages():
        st.page_link(f"{page}/page.py", label=label, query_params=query_params)


def refuse() -> None:
    """Draw in place of a page why the visitor does not see it, and what to do."""
    st.title(APP)
    if allowed_pages():
        st.warning(texts.NOT_FOR_YOU)
        link("overview", "Overview")
    else:
        _ask_for_login()


def _ask_for_login() -> None:
    """Show who is not logged in how to, and who has no role whom to ask."""
    claims = st.user.to_dict()
    if claims.get("is_logged_in") and roles.is_recent(claims):
        st.warning(texts.NO_ROLE)
        st.button(texts.LOG_OUT, on_click=st.logout)
    else:
        st.write(texts.LOGIN_NEEDED)
        st.button(texts.LOG_IN, on_click=st.login, type="primary")


def offer_logout() -> None:
    """Say who is logged in, and let them leave; nothing where nobody logs in."""
    if _people() is None:
        return
    name = st.user.to_dict().get("name") or st.user.to_dict().get("email") or ""
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.text(texts.logged_in_as(str(name)))
        st.button(texts.LOG_OUT, on_click=st.logout, type="tertiary")
