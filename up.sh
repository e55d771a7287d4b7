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
print(add_key(Path("var/keys/keys.json"), "dashboard", ("predict", "read", "outcome", "operate", "on-behalf"))[1])')
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
tls=var/private/tls
if [ -z "$(ls "$tls" 2>/dev/null)" ]; then
    command -v openssl >/dev/null 2>&1 || { echo "openssl is missing; it makes the certificate of localhost" >&2; exit 1; }
    mkdir -p -m 755 "$tls" && chmod 755 "$tls" # in a private folder, like the log's key
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 -subj /CN=localhost \
        -addext "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1" \
        -keyout "$tls.key" -out "$tls.crt" 2>/dev/null
    cat "$tls.crt" "$tls.key" >"$tls.part"
    rm "$tls.key"
    chmod 644 "$tls.part"
    mv "$tls.part" "$tls/localhost.pem"
    echo "A certificate of its own for localhost: browsers warn until they trust $tls.crt" >&2
fi
docker compose up --detach --wait "$@"
port() { docker compose port edge "$1" | sed 's/.*:/:/; s/^:443$//'; }
echo "Dashboard: https://localhost$(port 8443)   API: https://localhost$(port 9443)/docs" >&2
