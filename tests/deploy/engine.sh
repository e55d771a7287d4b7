#!/bin/bash
# engine.sh COMMAND...: run a command with a container engine, both images, and their database image.
# Uses the engine that is running; else, as root on Debian, starts one of its own and ends it again.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=${DEPLOY_WORK:-$PWD/var/engine}
base=python:3.11-slim-bookworm
postgres=postgres:17-bookworm
prometheus=prom/prometheus:v3.5.0
haproxy=haproxy:3.2
mkdir -p "$work/bin"

skip() {
    echo "The tests of images and compose are skipped: $1" >&2
    [ "${CI:-}" = true ] && exit 1
    exit 0
}

own_engine() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || skip "there is no container engine, and only root on Debian can start one"
    export DEBIAN_FRONTEND=noninteractive
    command -v dockerd >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends docker.io; } >&2
    command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap; } >&2
    export DOCKER_HOST=unix://$work/docker.sock
    dockerd --storage-driver overlay2 --data-root "$work/data" --exec-root "$work/exec" \
        -H "$DOCKER_HOST" --pidfile "$work/pid" >"$work/dockerd.log" 2>&1 &
    engine=$!
    trap 'kill "$engine"; wait "$engine" || true' EXIT
    for _ in $(seq 60); do
        docker info >/dev/null 2>&1 && return
        kill -0 "$engine" 2>/dev/null || break
        sleep 0.5
    done
    skip "the engine did not start, see $work/dockerd.log"
}

# Compose v2: the plugin that is there, else Debian trixie's, unpacked beside the engine.
compose() {
    docker compose version >/dev/null 2>&1 && return
    plugin=$work/compose/usr/libexec/docker/cli-plugins/docker-compose
    if [ ! -x "$plugin" ]; then
        mkdir -p "$work"/apt/{lists,cache/archives}/partial
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | head -1)
        echo "deb $mirror trixie main" >"$work/apt/sources"
        apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/apt/sources" -o Dir::Etc::sourceparts=-
            -o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache")
        "${apt[@]}" update >&2
        (cd "$work/apt" && "${apt[@]}" download docker-compose >&2 && dpkg-deb -x docker-compose_*.deb "$work/compose")
    fi
    printf '#!/bin/sh\n[ "$1" = compose ] && { shift; exec "%s" "$@"; }\nexec "%s" "$@"\n' \
        "$plugin" "$(command -v docker)" >"$work/bin/docker"
    chmod +x "$work/bin/docker"
    export PATH=$work/bin:$PATH
}

# Where no registry answers, a base of the same release under the same name, with this machine's
# certificates, so that pip reaches what it reaches here.
bases() {
    docker image inspect "$base" >/dev/null 2>&1 || docker pull -q "$base" >/dev/null 2>&1 || {
        [ -d "$work/base" ] || debootstrap --variant=minbase \
            --include=ca-certificates,python3.11,python3-pip,python3.11-venv \
            bookworm "$work/base" >"$work/debootstrap.log"
        cp /etc/ssl/certs/ca-certificates.crt "$work/base/etc/ssl/certs/"
        tar -C "$work/base" -c . | docker import - "$base"
    }
    docker image inspect "$postgres" >/dev/null 2>&1 || docker pull -q "$postgres" >/dev/null 2>&1 ||
        build -f tests/deploy/postgres.Dockerfile -t "$postgres" tests/deploy
    docker image inspect "$prometheus" >/dev/null 2>&1 || docker pull -q "$prometheus" >/dev/null 2>&1 || {
        # Other versions: not under those names.
        export PROMETHEUS_IMAGE=cardiowatch-test-prometheus NODE_EXPORTER_IMAGE=cardiowatch-test-node-exporter
        build -f tests/deploy/stand-ins.Dockerfile --target server -t "$PROMETHEUS_IMAGE" tests/deploy
        build -f tests/deploy/stand-ins.Dockerfile --target node -t "$NODE_EXPORTER_IMAGE" tests/deploy
    }
    docker image inspect "$haproxy" >/dev/null 2>&1 || docker pull -q "$haproxy" >/dev/null 2>&1 || {
        export EDGE_IMAGE=cardiowatch-test-edge
        build -f tests/deploy/stand-ins.Dockerfile --target edge -t "$EDGE_IMAGE" tests/deploy
    }
}

build() { DOCKER_BUILDKIT=0 docker build --quiet --network host "$@"; }

docker info >/dev/null 2>&1 || own_engine
compose
bases
build -f Dockerfile.api -t cardiowatch-api:local .
build -f Dockerfile.dashboard -t cardiowatch-dashboard:local .
docker images --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep -E "^(cardiowatch|$base)"
"$@"
