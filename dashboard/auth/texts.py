"""Texts of the sign-in and no-access screens."""

from __future__ import annotations

SIGN_IN_NEEDED = "Sign in to view patient data."
SIGN_IN = "Sign in"
SIGN_OUT = "Sign out"
NO_ROLE = (
    "You are signed in, but none of your groups has a role in Cardiowatch. Ask your administrator "
    "for access."
)
NO_ACCESS_TITLE = "You don't have access to this page"
NO_ACCESS = (
    "Your role does not include this page. If you need it for your work, ask your administrator."
)
