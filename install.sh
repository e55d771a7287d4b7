#!/bin/sh
# install.sh VENV REQUIREMENTS: make the virtual environment and install the hash-locked packages.
set -eu
venv=$1
requirements=$2
python=${PYTHON:-python3}

command -v "$python" >/dev/null 2>&1 || {
    echo "Python is missing: install Python 3.11 to 3.14, then run make again." >&2
    exit 1
}
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || {
    echo "Python 3.11 to 3.14 is needed, not $("$python" -V 2>&1): run make PYTHON=python3.12, say." >&2
    exit 1
}
"$python" -c 'import ensurepip, venv' 2>/dev/null || {
    echo "Python's venv module is missing: apt-get install python3-venv, then run make again." >&2
    exit 1
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "Installing $(grep -c '==' "$requirements") packages from $requirements (a few minutes at most)" >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    --only-binary :all: -r "$requirements"

# The one command line, from any folder: this environment's Python, this folder's code.
cat >"$venv/bin/cardiowatch" <<LAUNCHER
#!/bin/sh
exec "$(cd "$venv" && pwd)/bin/python" "$(cd "$(dirname "$0")" && pwd)/cardiowatch.py" "\$@"
LAUNCHER
chmod +x "$venv/bin/cardiowatch"
