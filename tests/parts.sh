#!/bin/sh
# The parts of the tests that pip cannot install: PostgreSQL, Chromium and wrk.
# As root on Debian or Ubuntu they are installed; otherwise the command that does it is printed.
set -u
missing=
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 ||
    missing="$missing postgresql"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
    command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium"
command -v wrk >/dev/null 2>&1 || missing="$missing wrk"
[ -z "$missing" ] && exit 0

install="apt-get install --yes --no-install-recommends$missing"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing$missing for the tests" >&2
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update --quiet=2 && $install --quiet=2; } >/dev/null && exit 0
fi
echo "Missing for the tests:$missing. Install with: sudo $install (macOS: brew install$missing)" >&2
[ "${CI:-}" = true ] && exit 1
echo "The tests that need them are skipped." >&2
exit 0
