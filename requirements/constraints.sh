#!/bin/sh
# Resolves pyproject.toml anew at both ends: sh requirements/constraints.sh [VERSION...], by default 3.11 3.12 3.13.
# constraints-lowest-VERSION.txt has the lowest versions that pyproject.toml allows and that have wheels (what they depend on
# in turn is not pyproject's to bound and is the newest that fits), constraints-newest-VERSION.txt the newest. PYTHON names
# the interpreter that runs uv; the versions asked for need not be installed.
set -euf
python=${PYTHON:-python3} here=$(dirname "$0")
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
. "$here/uv.sh"
for version in ${*:-3.11 3.12 3.13}; do
    for resolution in lowest newest; do
        case $resolution in lowest) strategy=lowest-direct ;; newest) strategy=highest ;; esac
        file=constraints-$resolution-$version.txt
        echo "# The $resolution versions on Python $version (Linux, x86_64); written by \`make constraints\`." >"$venv/$file"
        "$uv" pip compile --quiet "$here/../pyproject.toml" --extra dev --python-version "$version" --only-binary :all: \
            --resolution $strategy --no-header --no-annotate >>"$venv/$file"
        mv "$venv/$file" "$here/$file"
    done
done
