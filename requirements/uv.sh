# Read by the other scripts: makes the environment $venv with $python, and puts uv into it, which reads no settings of pip:
# wheels and a mirror that pip knows are handed on.
"$python" -m venv --clear "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check"
$pip install --quiet 'uv>=0.9'

setting() { $pip config get "install.$1" 2>/dev/null || $pip config get "global.$1" 2>/dev/null || true; }
links=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$(setting find-links)}}
index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$(setting index-url)}}
[ -z "$links" ] || export UV_FIND_LINKS="$(echo $links | tr ' ' ',')"
[ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
uv="$venv/bin/uv"
