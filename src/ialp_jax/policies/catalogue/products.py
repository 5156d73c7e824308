"""The head's products, of factors rounded to the type that the plan names; sums are float32.

An item's logit is computed in more than one place, so every place has to round alike. A pair of casts does not promise
that: inside a fusion XLA may keep the unrounded number ("excess precision", on by default). `jax.lax.reduce_precision`
always rounds.
"""

from functools import partial, reduce
from operator import add
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Matmul = Literal["float32", "bfloat16"]


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def rounded(array: Float[Array, "*shape"], matmul: Matmul) -> Float[Array, "*shape"]:
    """The nearest numbers that `matmul` holds, as float32; gradients pass as if nothing had been rounded."""
    kind = jnp.finfo(matmul)
    return array if matmul == "float32" else jax.lax.reduce_precision(array, kind.nexp, kind.nmant)


@rounded.defjvp
def _rounded_jvp(matmul, primals, tangents):  # type: ignore[no-untyped-def]
    return rounded(*primals, matmul), tangents[0]


def product(
    left: Float[Array, "*batch R d"], right: Float[Array, "*batch d M"], matmul: Matmul
) -> Float[Array, "*batch R M"]:
    """left @ right of rounded factors.

    The gradients are those of the rounded factors, from cotangents that are not rounded (see `cotangent_terms`).
    """
    if matmul == "float32":
        return jnp.matmul(left, right, preferred_element_type=jnp.float32)
    return _narrow_product(left, right, matmul)


def cotangent_terms(cotangent: Float[Array, "*shape"], matmul: Matmul) -> tuple[Array, ...]:
    """Terms that `matmul` holds and that add up to a cotangent, to 2^-17 of it.

    One bfloat16 would be wrong by up to 2^-9. A float32 factor instead would take accelerators off their fast
    bfloat16 units; two products stay on them.
    """
    if matmul == "float32":
        return (cotangent,)
    high = rounded(cotangent, matmul)
    return high, rounded(cotangent - high, matmul)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _narrow_product(left, right, matmul):  # type: ignore[no-untyped-def]
    kind = jnp.dtype(matmul)
    narrow_left, narrow_right = (rounded(factor, matmul).astype(kind) for factor in (left, right))
    return jnp.matmul(narrow_left, narrow_right, preferred_element_type=jnp.float32)


def _narrow_forward(left, right, matmul):  # type: ignore[no-untyped-def]
    return _narrow_product(left, right, matmul), (left, right)


def _narrow_backward(matmul, factors, cotangent):  # type: ignore[no-untyped-def]
    left, right = (jnp.matrix_transpose(factor) for factor in factors)
    terms = cotangent_terms(cotangent, matmul)
    d_left = reduce(add, (_narrow_product(term, right, matmul) for term in terms))
    return d_left, reduce(add, (_narrow_product(left, term, matmul) for term in terms))


_narrow_product.defvjp(_narrow_forward, _narrow_backward)
