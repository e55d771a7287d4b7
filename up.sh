#!/bin/sh
# up.sh: write the secrets of the compose stack once (.env, var/keys, var/private), then start it.
set -eu
umask 077
python=${PYTHON:-python3}

command -v docker >/dev/null 2>&1 || { echo "Docker is missing: https://docs.docker.com/engine/install" >&2; exit 1; }
if [ ! -e .env ]; then
    mkdir -p var && mkdir -p -m 755 var/keys # the container's user reads the hashes there
    # The standard library is enough for this: nothing need be installed but the engine.
    key=$("$python" -c 'from pathlib import Path; from api.auth.api_keys import add_key
print(add_key(Path("var/keys/keys.json"), "dashboard", ("predict", "read", "outcome", "operate"))[1])')
    password=$("$python" -c 'import secrets; print(secrets.token_hex(32))')
    # Written completely or not at all: an interruption must not leave half a file.
    printf 'POSTGRES_PASSWORD=%s\nCARDIOWATCH_API_KEY=%s\n' "$password" "$key" >.env.part
    mv .env.part .env
    echo "New secrets are in .env; more API keys: cardiowatch keys --file var/keys/keys.json create" >&2
fi
mkdir -p var/private
chmod 700 var/private # even if the folder existed
if [ ! -e var/private/log.key ]; then
    # World-readable inside a private folder: the container's user does not exist on this machine.
    "$python" -c 'import secrets; print(secrets.token_hex(32))' >var/private/log.key.part
    chmod 644 var/private/log.key.part
    mv var/private/log.key.part var/private/log.key
    echo "The key that seals the log is var/private/log.key: keep a copy elsewhere (docs/record.md)" >&2
fi
exec docker compose up --detach --wait "$@"
