"""Roles: which pages a user may see, by the groups that the OpenID Connect provider names.

`CARDIOWATCH_LOGIN_FILE` is Streamlit's `secrets.toml` with its section `[auth]` and one of our own,
`[cardiowatch.groups]`, which maps each group to a role.
"""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.navigation import PAGES
from errors import CardiowatchError

ROLES: Mapping[str, frozenset[str]] = {
    "clinician": frozenset(
        {"overview", "patient", "batch", "predictions", "explanations", "model_card"}
    ),
    "reviewer": frozenset(
        {"overview", "explanations", "fairness", "drift", "poisoning", "model_card"}
    ),
    "operator": frozenset({"overview", "drift", "load_tests", "model_card"}),
    "admin": frozenset(PAGES),
}
"""Only clinicians and admins see single patients and the log."""

SESSION_LIFETIME_S = 12 * 3600
"""A long shift: after it, a user who has left a group has no access."""

_CLOCK_SKEW_S = 60

_REQUIRED_KEYS = (
    "redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url",
)  # fmt: skip
MIN_SECRET_LENGTH = 32
"""Characters, at least, of a secret that signs cookies."""


class LoginError(CardiowatchError):
    """The login file is unusable; one sentence says why."""

    def __str__(self) -> str:
        return f"CARDIOWATCH_LOGIN_FILE: {super().__str__()}"


@dataclass(frozen=True)
class RoleMap:
    """The claim that names a user's groups, and the role of each group."""

    role_of_group: Mapping[str, str]
    claim: str
    over_tls: bool

    def allowed_pages(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Return the pages that a user with these claims may see; empty = none."""
        claimed = claims.get(self.claim)
        named = claimed if isinstance(claimed, list) else [claimed]
        known = [name for name in named if isinstance(name, str) and name in self.role_of_group]
        roles = {self.role_of_group[name] for name in known}
        return frozenset().union(*(ROLES[role] for role in roles))


def subject(claims: Mapping[str, Any]) -> str | None:
    """Return whose login it is, the same in each of their tabs; None = nobody has logged in.

    Source
    ------
    OpenID Connect Core 1.0, section 5.7: issuer and subject together, and no other claim.
    """
    named = claims.get("iss"), claims.get("sub")
    return None if named[1] is None else json.dumps(named)


def allowed_pages(claims: Mapping[str, Any], role_map: RoleMap | None) -> frozenset[str]:
    """Return the pages that a visitor with these claims may see; without a login file, all."""
    if role_map is None:
        return frozenset(PAGES)
    return role_map.allowed_pages(claims) if is_login_valid(claims) else frozenset()


def is_login_valid(claims: Mapping[str, Any]) -> bool:
    """Return whether a login has not expired and is not from the future."""
    issued, now = claims.get("iat"), time.time()
    return (
        isinstance(issued, int | float) and now - SESSION_LIFETIME_S < issued <= now + _CLOCK_SKEW_S
    )


def load_roles(path: Path) -> RoleMap:
    """Return the roles of a login file.

    Raises
    ------
    LoginError
        The file cannot be read, lacks a key, or names an unknown role.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise LoginError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise LoginError(f"{path} is not TOML") from None
    auth, ours = content.get("auth", {}), content.get("cardiowatch", {})
    missing = [name for name in _REQUIRED_KEYS if not auth.get(name)]
    if missing:
        raise LoginError(f"{path}: missing in [auth]: {', '.join(missing)}")
    if len(auth["cookie_secret"]) < MIN_SECRET_LENGTH:
        raise LoginError(
            f"cookie_secret in {path} is too short: create one with openssl rand -hex 32"
        )
    groups = ours.get("groups", {})
    unknown = sorted({str(role) for role in groups.values()} - ROLES.keys())
    if not groups or unknown:
        raise LoginError(
            f"{path}: [cardiowatch.groups] must map each group to one of: {', '.join(ROLES)}"
        )
    return RoleMap(groups, ours.get("claim", "groups"), auth["redirect_uri"].startswith("https:"))
