#!/usr/bin/env bash
# jax 0.10.2 and 0.12.0.1, CPU: jax.eval_shape, which compiles nothing, refuses functions that call one under
# jax.jit(..., compiler_options=...), as if it were an outer jit.
#
# Seen: `jax.eval_shape(told, x)` of the jitted function itself returns the shape; of a plain function that calls it, as
# `lambda x: told(x) + 1`, it raises ValueError "`compiler_options` can only be passed to top-level `jax.jit`". Without the options
# both return the shape. So options added to one function break code elsewhere that only wants the shapes of something
# that calls it. Options given to `.lower(...).compile(options)` do not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3}
"$python" -m venv "$folder/venv"
version=$("$python" -c 'import sys; print("0.10.2" if sys.version_info < (3, 12) else "0.12.0.1")')
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "jax==$version" "jaxlib==$version"
cat >"$folder/shapes.py" <<'PYTHON'
import jax
import jax.numpy as jnp

OPTIONS = {"xla_backend_optimization_level": 2}


def double(x):
    return 2.0 * x


x = jnp.ones(3)
plain, told = jax.jit(double), jax.jit(double, compiler_options=OPTIONS)
print("called:", told(x), "lowered and compiled:", told.lower(x).compile()(x))
assert jax.eval_shape(told, x).shape == (3,)
try:
    seen = jax.eval_shape(lambda x: told(x) + 1.0, x)
except ValueError as error:
    seen = error
print("eval_shape of a caller ->", str(seen)[:70])
assert isinstance(seen, ValueError) and "top-level" in str(seen), "this has changed"
assert jax.eval_shape(plain, x).shape == jax.eval_shape(lambda x: plain(x) + 1.0, x).shape == (3,)
assert plain.lower(x).compile(OPTIONS)(x)[0] == 2.0
print(jax.__version__, "as described")
PYTHON
"$folder/venv/bin/python" "$folder/shapes.py"
