#!/bin/sh
# Tries the wheel as a user gets it: sh requirements/wheel.sh lowest|newest|latest [TESTS...]; PYTHON names the interpreter.
# Built from this tree, installed into a fresh environment outside of it with the constraints of that end (latest: none, what
# an index offers today), and run in an empty folder. TESTS are folders and files of tests/, copied there and run too.
set -euf
resolution=${1:?lowest, newest or latest} python=${PYTHON:-python3} here=$(cd "$(dirname "$0")" && pwd)
shift
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
constraints="$here/constraints-$resolution-$version.txt"
case $resolution in
    lowest | newest) [ -f "$constraints" ] || { echo "there are no constraints for Python $version: run sh requirements/constraints.sh $version"; exit 1; } ;;
    latest) constraints=/dev/null ;;
    *) echo "RESOLUTION=$resolution is none of lowest, newest, latest"; exit 1 ;;
esac
unset PYTHONPATH # the tree's own sources must not be found
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv="$work/venv"
. "$here/uv.sh"
"$uv" build --quiet --wheel --python "$python" --out-dir "$work" "$here/.."
wheel=$(find "$work" -maxdepth 1 -name 'ialp_jax-*.whl')
"$uv" pip install --quiet --only-binary :all: --python "$venv/bin/python" --constraints "$constraints" "$wheel"
"$uv" pip check --quiet --python "$venv/bin/python"
echo "== Python $version, $resolution versions: $("$uv" pip freeze --python "$venv/bin/python" | grep -E '^(jax|flax|numpy|polars|tyro)==' | tr '\n' ' ')"

mkdir "$work/user"
cd "$work/user"
export PYTHONSAFEPATH=1 XLA_FLAGS="${XLA_FLAGS:---xla_backend_optimization_level=0}" # what is run is compiled, not timed
ialp="$venv/bin/python -m ialp_jax"
"$venv/bin/python" -c 'import ialp_jax, pathlib, sys
place = pathlib.Path(ialp_jax.__file__)
assert place.is_relative_to(sys.prefix), f"{place} is not of the wheel"
assert (place.parent / "py.typed").is_file(), "the wheel has no py.typed"'
$ialp envs >/dev/null
$ialp methods >/dev/null
"$venv/bin/ialp" methods a2c >/dev/null
$ialp train synthetic --out run --seeds 1 --methods a2c --policy.embedding 4 --policy.hidden 4 --evaluation.sessions 8 --loop.chunk 2 \
    --online.users 8 --online.rollout 4 --online.updates 12 --online.pool 4 --online.bins 4
$ialp recommend run/policy --k 3
[ $# = 0 ] || {
    "$uv" pip install --quiet --only-binary :all: --python "$venv/bin/python" --constraints "$constraints" \
        "$wheel" pytest hypothesis beartype openai
    cp -R "$here/../tests" "$here/../docs" "$here/../README.md" "$here/../pyproject.toml" "$work/user/"
    (cd tests && "$venv/bin/python" -m pytest -c ../pyproject.toml -p no:cacheprovider -W ignore::DeprecationWarning "$@") # old packages beside new ones
}
echo "== Python $version, $resolution versions: the wheel works outside the repository"
