"""Who may upload a file, into which session, and how many files are kept at once."""

from __future__ import annotations

from collections import Counter
from typing import cast

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.runtime import get_instance
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.web.server.starlette.starlette_websocket import StarletteSessionClient

from dashboard.auth.identity import Identity, identify, identify_sender
from dashboard.auth.roles import RoleMap

PATH = "/_stcore/upload_file/"

MAX_OPEN_UPLOADS = 20
"""Uploads that are kept at once; the gate's form lets go of its file when it is sent."""

MAX_UPLOADS_PER_PERSON = 4
"""Of them one login's, or one session's where nobody logs in; a page that is left keeps its file
for two minutes."""

UPLOAD_PAGES = frozenset({"poisoning"})
"""Pages with a file uploader; a test holds them against the pages."""

_NO_UPLOADS = PlainTextResponse("Your role has no page that takes files.", 403)
_NOT_YOURS = PlainTextResponse("This is not a session of yours; reload the page.", 403)
_TOO_MANY_OF_YOURS = PlainTextResponse(
    "You have too many files open; try again in a few minutes.", 429
)
_TOO_MANY = PlainTextResponse("Too many files are open; try again later.", 503)


class UploadLimit:
    """ASGI middleware in front of the address that takes files.

    Parameters
    ----------
    role_map
        Which role may see which page; without it nobody has to log in.
    """

    def __init__(self, app: ASGIApp, role_map: RoleMap | None) -> None:
        self.app = app
        self.role_map = role_map
        self._arriving: Counter[str] = Counter()
        self._sender_of: dict[str, str] = {}
        """By session; it counts after the session's end, until Streamlit drops the files."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the upload on, or refuse it."""
        session, _, file = scope["path"].removeprefix(PATH).partition("/")
        sender = identify_sender(scope, self.role_map)
        person = sender.subject or session
        refusal = self._refusal(scope["method"], person, session, sender)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        self._arriving[person] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._arriving -= Counter({person: 1})  # which drops a zero
            self._sender_of[session] = person
            if not get_instance().is_active_session(session):
                # Streamlit drops the files of a session once, at its end, which may be past.
                _manager().remove_file(session, file)

    def _refusal(
        self, method: str, person: str, session: str, sender: Identity
    ) -> PlainTextResponse | None:
        if not sender.pages & UPLOAD_PAGES:
            return _NO_UPLOADS
        if self._owner(session) != sender:
            return _NOT_YOURS
        if method != "PUT":
            return None
        kept = self._kept()
        if kept[person] >= MAX_UPLOADS_PER_PERSON:
            return _TOO_MANY_OF_YOURS
        return _TOO_MANY if kept.total() >= MAX_OPEN_UPLOADS else None

    def _owner(self, session: str) -> Identity | None:
        """Return who opened a session; None = no page of it is open."""
        client = get_instance().get_client(session)
        if not isinstance(client, StarletteSessionClient):
            return None
        return identify(client.client_context.cookies, self.role_map)

    def _kept(self) -> Counter[str]:
        """Return how many files are kept or arriving, by person."""
        files = {session: len(of) for session, of in list(_manager().file_storage.items())}
        self._sender_of = {s: person for s, person in self._sender_of.items() if files.get(s)}
        kept = Counter(self._arriving)
        for session, number in files.items():
            kept[self._sender_of.get(session, session)] += number
        return kept


def _manager() -> MemoryUploadedFileManager:
    return cast("MemoryUploadedFileManager", get_instance().uploaded_file_mgr)
