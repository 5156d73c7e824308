#!/bin/sh
# Asks PyPI which of the newest versions have known vulnerabilities: sh requirements/audit.sh [VERSION], by default 3.11.
# --strict, because pip-audit else says "No known vulnerabilities found" of packages that it could not ask about, as of all
# of them where only a mirror is reached.
set -euf
python=${PYTHON:-python3} here=$(dirname "$0") version=${1:-3.11}
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
. "$here/uv.sh"
"$uv" pip install --quiet --python "$venv/bin/python" pip-audit
"$venv/bin/pip-audit" --strict --disable-pip --no-deps --progress-spinner off -r "$here/constraints-newest-$version.txt"
