"""What login and refusal say."""

from __future__ import annotations

LOGIN_NEEDED = "Here are findings of patients, so this service wants to know who you are."
LOG_IN = "Log in"
LOG_OUT = "Log out"
NO_ROLE = (
    "You are logged in, and none of your groups has a role here. Ask who runs the service for one."
)
NOT_YOURS = "Not for your role"
NOT_FOR_YOU = (
    "Your role does not see this page. Ask who runs the service, should you need it for your work."
)


def logged_in_as(name: str) -> str:
    """Say who is logged in."""
    return f"Logged in as {name}" if name else "Logged in"
