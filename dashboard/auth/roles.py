"""Who may see which page: people log in at an OpenID Connect provider, and its groups have roles.

The file that `CARDIOWATCH_LOGIN_FILE` names is Streamlit's `secrets.toml` with the section `[auth]`
and one of our own, `[cardiowatch.groups]`: a role for each group of the provider.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.navigation import PAGES

ROLES: Mapping[str, frozenset[str]] = {
    "clinician": frozenset({"overview", "patient", "predictions", "explanations", "model_card"}),
    "reviewer": frozenset(
        {"overview", "explanations", "fairness", "drift", "poisoning", "model_card"}
    ),
    "operator": frozenset({"overview", "drift", "load_tests", "model_card"}),
    "admin": frozenset(PAGES),
}
"""Only clinicians and admins see single patients and the log."""

LONGEST_S = 12 * 3600
"""A login lasts a long shift: who has left a group sees nothing more after it."""

_CLOCKS_DIFFER_S = 60

_NEEDED = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
SECRET_MIN = 32
"""Characters of a secret that signs cookies, at least."""


class LoginError(ValueError):
    """The login cannot be used; one sentence says why."""


@dataclass(frozen=True)
class People:
    """What the file says: the claim that names groups, and the role of each group."""

    groups: Mapping[str, str]
    claim: str
    over_tls: bool

    def pages(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Return the pages that a person with these claims may see; empty = none."""
        claimed = claims.get(self.claim)
        named = claimed if isinstance(claimed, list) else [claimed]
        known = [name for name in named if isinstance(name, str) and name in self.groups]
        roles = {self.groups[name] for name in known}
        return frozenset().union(*(ROLES[role] for role in roles))


def is_recent(claims: Mapping[str, Any]) -> bool:
    """Say whether a login is young enough to count, and not from the future."""
    issued, now = claims.get("iat"), time.time()
    return isinstance(issued, int | float) and now - LONGEST_S < issued <= now + _CLOCKS_DIFFER_S


def read(path: Path) -> People:
    """Read the file.

    Raises
    ------
    LoginError
        It cannot be read, lacks something, or names a role that does not exist.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise LoginError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise LoginError(f"{path} is not TOML") from None
    auth, ours = content.get("auth", {}), content.get("cardiowatch", {})
    missing = [name for name in _NEEDED if not auth.get(name)]
    if missing:
        raise LoginError(f"{path} lacks in [auth]: {', '.join(missing)}")
    if len(auth["cookie_secret"]) < SECRET_MIN:
        raise LoginError(f"cookie_secret in {path} is short: openssl rand -hex 32 makes one")
    groups = ours.get("groups", {})
    unknown = sorted({str(role) for role in groups.values()} - ROLES.keys())
    if not groups or unknown:
        raise LoginError(
            f"{path} needs in [cardiowatch.groups] a role for each group: {', '.join(ROLES)}"
        )
    return People(groups, ours.get("claim", "groups"), auth["redirect_uri"].startswith("https:"))
