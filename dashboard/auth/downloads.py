"""Which downloads each page offers: a file is served to whom it was offered, alone.

A download has an address that anybody could be given, so its address alone opens nothing. It
reaches a browser only in a message to the page that made it; what was sent there is remembered as
long as the page is open or Streamlit would let it come back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from dashboard.auth.identity import Identity

PATH = "/media/"

SESSION_GRACE_S = 120.0
"""So long Streamlit keeps a session whose connection is lost (its `MemorySessionStorage`)."""

_OFFERS_MAX = 50
"""Downloads remembered of a page; a page has ten at most and is drawn again and again."""

_MESSAGE_MAX = 64 * 1024
"""Bytes; larger messages are tables and charts."""


class Offers:
    """The downloads that a session of one person has been sent."""

    def __init__(self, to: Identity) -> None:
        self.to = to
        self.session = ""
        self.downloads: deque[str] = deque(maxlen=_OFFERS_MAX)
        """Addresses, and names of files that are made when they are asked for."""
        self.connections = 0
        self.left_at = 0.0

    def note(self, sent: bytes) -> None:
        """Remember the download that a message to the page offers, if it offers one.

        Only the fields that Streamlit fills are looked at: a page repeats what was typed elsewhere.
        """
        if len(sent) > _MESSAGE_MAX:
            return
        message = ForwardMsg.FromString(sent)
        self.session = message.new_session.initialize.session_id or self.session
        button = message.delta.new_element.download_button
        made = message.backend_operation_response.deferred_file
        found = (button.url, button.deferred_file_id, made.url)
        self.downloads.extend(name for name in found if name)


class Downloads:
    """The offers of all pages."""

    def __init__(self) -> None:
        self._pages: list[Offers] = []

    @contextmanager
    def page(self, of: Identity, resumed: str = "") -> Iterator[Offers]:
        """Remember the offers to a page while it is connected.

        Parameters
        ----------
        of
            Who opens the page.
        resumed
            The session to which its browser comes back after a lost connection; empty = none.
        """
        offers = self._resume(of, resumed)
        offers.connections += 1
        try:
            yield offers
        finally:
            offers.connections -= 1
            offers.left_at = monotonic()
            if not (offers.downloads or offers.connections):
                self._pages.remove(offers)

    def _resume(self, of: Identity, session: str) -> Offers:
        oldest = monotonic() - SESSION_GRACE_S
        self._pages = [page for page in self._pages if page.connections or page.left_at > oldest]
        for page in self._pages:
            if session and page.session == session and page.to == of:
                return page
        self._pages.append(Offers(of))
        return self._pages[-1]

    def are_offered(self, address: str, to: Identity) -> bool:
        """Return whether an open page of this person, browser and role offers a file."""
        return to.browser is not None and any(
            page.connections and page.to == to and address in page.downloads for page in self._pages
        )
