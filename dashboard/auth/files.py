"""Uploads and downloads: a file belongs to the person and browser whose session it is in.

A download's address alone opens nothing: the file is served only to a session that was sent the
address.
"""

from __future__ import annotations

from collections import Counter, deque
from functools import partial
from typing import cast
from weakref import WeakKeyDictionary

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime import get_instance
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.web.server.starlette.starlette_websocket import StarletteSessionClient

from dashboard.auth.identity import Identity, identify
from dashboard.auth.roles import RoleMap

UPLOADS = "/_stcore/upload_file/"
DOWNLOADS = "/media/"

MAX_UPLOADS = 20
"""Uploads kept at once; the gate's form drops its file when it is submitted."""
MAX_UPLOADS_PER_PERSON = 4
"""By login, otherwise by session; the files of a closed page are kept for two minutes."""
UPLOAD_PAGES = frozenset({"batch", "poisoning"})
"""Pages with a file uploader."""

_MAX_OFFERS = 50
"""Downloads remembered for each session; a page has ten at most and is redrawn again and again."""

NOT_FOUND = PlainTextResponse("Not Found", 404)
_SIGN_IN_REQUIRED = PlainTextResponse("Sign in first.", 403)
_NO_UPLOADS = PlainTextResponse("Your role has no page that takes files.", 403)
_NOT_YOURS = PlainTextResponse("This session is not yours; reload the page.", 403)
_TOO_MANY_OF_YOURS = PlainTextResponse("You have too many files open; try again later.", 429)
_TOO_MANY = PlainTextResponse("Too many files are open; try again later.", 503)


class FileGuard:
    """ASGI applications in front of Streamlit's addresses of uploads and downloads."""

    def __init__(self, app: ASGIApp, role_map: RoleMap | None) -> None:
        self.app = app
        self._identify = partial(identify, role_map=role_map)
        self._offers: WeakKeyDictionary[AppSession, deque[str]] = WeakKeyDictionary()
        """Addresses of downloads."""
        self._arriving: Counter[str] = Counter()
        """Uploads in progress, by person."""
        self._uploaded: dict[tuple[str, str], str] = {}
        """The person by session and file."""

    async def download(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a download to a session that was sent its address, or reject the request."""
        sender = self._identify(HTTPConnection(scope).cookies)
        is_offered = any(
            scope["path"] in addresses and self._owns(sender, session.id)
            for session, addresses in self._offers.items()
        )
        rejection = NOT_FOUND if sender.pages else _SIGN_IN_REQUIRED
        await (self.app if is_offered else rejection)(scope, receive, send)

    async def upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an upload on, or reject it."""
        session, _, file = scope["path"].removeprefix(UPLOADS).partition("/")
        sender = self._identify(HTTPConnection(scope).cookies)
        person = sender.subject or session
        rejection = self._rejection(scope["method"], person, session, sender)
        if rejection is not None:
            await rejection(scope, receive, send)
            return
        self._arriving[person] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._arriving -= Counter({person: 1})  # which drops a zero
            self._uploaded[session, file] = person
            if not get_instance().is_active_session(session):
                # Streamlit drops a session's files once, at its end, which may be past.
                _uploads().remove_file(session, file)

    def note_offer(self, session: str, sent: bytes) -> str:
        """Remember the download that a message to a page offers.

        Return the page's session: a script run's first message names it, the others do not.
        """
        message = ForwardMsg.FromString(sent)
        session = message.new_session.initialize.session_id or session
        address = offered_download(message)
        offering = get_instance().get_app_session(session) if address else None
        if offering is not None:
            self._offers.setdefault(offering, deque(maxlen=_MAX_OFFERS)).append(address)
        return session

    def _owns(self, sender: Identity, session: str) -> bool:
        """Return whether a sender with access has the session's page open."""
        client = get_instance().get_client(session)
        return (
            bool(sender.pages and sender.browser)
            and isinstance(client, StarletteSessionClient)
            and self._identify(client.client_context.cookies) == sender
        )

    def _rejection(
        self, method: str, person: str, session: str, sender: Identity
    ) -> PlainTextResponse | None:
        if not sender.pages & UPLOAD_PAGES:
            return _NO_UPLOADS
        if not self._owns(sender, session):
            return _NOT_YOURS
        kept = self._kept() if method == "PUT" else Counter()
        if kept[person] >= MAX_UPLOADS_PER_PERSON:
            return _TOO_MANY_OF_YOURS
        return _TOO_MANY if kept.total() >= MAX_UPLOADS else None

    def _kept(self) -> Counter[str]:
        """Return how many uploads are kept or arriving, by person."""
        kept = _uploads().file_storage
        self._uploaded = {
            (session, file): person
            for (session, file), person in self._uploaded.items()
            if file in kept.get(session, ())
        }
        return self._arriving + Counter(self._uploaded.values())


def offered_download(message: ForwardMsg) -> str:
    """Return the address of the download that a message offers; empty = none.

    Other fields are not read, because a page may repeat an address that somebody typed.
    """
    made = message.backend_operation_response.deferred_file
    return message.delta.new_element.download_button.url or made.url


def may_make_file(message: BackMsg) -> bool:
    """Return whether a message asks for no file of another session; Streamlit would make it."""
    request = message.backend_operation_request
    if not request.HasField("deferred_file"):
        return True
    made = get_instance().media_file_mgr._deferred_callables.get(request.deferred_file.file_id)
    return made is None or made["session_id"] == request.session_id


def _uploads() -> MemoryUploadedFileManager:
    return cast("MemoryUploadedFileManager", get_instance().uploaded_file_mgr)
