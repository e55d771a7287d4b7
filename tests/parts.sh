#!/bin/sh
# The parts of the tests that pip cannot install: PostgreSQL, PgBouncer, Chromium, wrk, HAProxy, an OpenID
# Connect provider from npm, Prometheus, Alertmanager and etcd; with the argument `deploy` also Patroni. As
# root on Debian or Ubuntu they are installed; otherwise the command that does it is printed.
set -u
cd "$(dirname "$0")" || exit 1
missing=
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 ||
    missing="$missing postgresql"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
    command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium"
command -v wrk >/dev/null 2>&1 || missing="$missing wrk"
command -v haproxy >/dev/null 2>&1 || [ -x /usr/sbin/haproxy ] || missing="$missing haproxy"
command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ] || missing="$missing pgbouncer"
[ "${1:-}" != deploy ] || command -v patroni >/dev/null 2>&1 || missing="$missing patroni"
command -v npm >/dev/null 2>&1 || missing="$missing npm"

checker() { # unpacked, not installed: Debian's packages would start servers
    (cd ../var/promtool/usr/bin 2>/dev/null && [ -x promtool ] && [ -x prometheus-alertmanager ] && [ -x etcd ]) && return
    command -v dpkg-deb >/dev/null 2>&1 || return
    echo "Fetching Prometheus, Alertmanager and etcd for the tests of alerts and failovers" >&2
    mkdir -p ../var/promtool && (
        cd ../var/promtool && apt-get download --quiet=2 prometheus prometheus-alertmanager etcd-server >/dev/null 2>&1 &&
            for package in *.deb; do dpkg-deb -x "$package" . && rm "$package" || exit; done
        # Alertmanager looks for its templates at this path only.
        [ "$(id -u)" != 0 ] || cp -r usr/share/prometheus /usr/share/
    ) || echo "They cannot be had; the tests that need them are skipped" >&2
}

provider() { # locked with hashes; nothing of it runs at installation
    [ -e dashboard/oidc/node_modules/.package-lock.json ] && return 0
    echo "Installing the OpenID Connect provider of the tests" >&2
    (cd dashboard/oidc && npm ci --ignore-scripts --no-audit --no-fund --silent) && return 0
    echo "It could not be installed; the tests of the login need it" >&2
    [ "${CI:-}" != true ]
}
[ -z "$missing" ] && { checker; provider; exit; }

install="apt-get install --yes --no-install-recommends$missing"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing$missing for the tests" >&2
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update --quiet=2 && $install --quiet=2; } >/dev/null && { checker; provider; exit; }
fi
echo "Missing for the tests:$missing. Install with: sudo $install (macOS: brew install$missing)" >&2
[ "${CI:-}" = true ] && exit 1
echo "The tests that need them are skipped." >&2
exit 0
