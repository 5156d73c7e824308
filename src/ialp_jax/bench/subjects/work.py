"""How much work every workload needs at least, by its shapes alone."""

from collections.abc import Mapping

from ialp_jax.bench.measuring.floors import FLOAT, Counts
from ialp_jax.bench.settings import Shape
from ialp_jax.bench.subjects.worlds import FACTORS, RandomWorld
from ialp_jax.worlds.near import TABLE_ITEMS

WINDOW = 4  # of the distance rule, the simulator's default
ADAM = 8  # arrays of the parameters' size that a step moves: gradient twice, parameters and both moments in and out


def product(rows: float, inner: float, columns: float) -> float:
    """FLOPs of [rows, inner] x [inner, columns]."""
    return 2.0 * rows * inner * columns


def environment_work(shape: Shape, users: int, world: RandomWorld) -> Counts:
    """One turn of all users without a policy: what is excluded is read, one interaction and four numbers are written."""
    numbers = 4  # user, turn, temper, reward so far
    read = FLOAT * (shape.history + shape.turn_cap + numbers)
    written = FLOAT * (2 + numbers)
    ratings = FLOAT if world.dense else 2 * FACTORS * FLOAT
    # Of the window: a byte of the table for each item, or the vectors where there is none.
    window = WINDOW if world.items <= TABLE_ITEMS else (WINDOW + 1) * FACTORS * FLOAT
    looked_up = ratings + window
    held = FLOAT * (2 * shape.turn_cap + numbers)
    return Counts({}, 0.0, users * (read + written + looked_up), float(users * held))


def serving_work(shape: Shape, users: int, items: int, policies: int = 1) -> Counts:
    """One turn of all users with a policy: query, recurrence and one pass of the catalogue head."""
    per_user = product(1, shape.embedding, items) + query_flops(shape) + cell_flops(shape)
    weights = FLOAT * head_parameters(shape, items)
    return Counts(
        {users: policies * users * per_user},
        float(policies * users * items),
        float(policies * weights),
        float(policies * weights),
    )


def learning_work(shape: Shape, users: int, items: int) -> Counts:
    """One update's backward pass: the head's logits again and two products, the small networks, Adam."""
    rows = users * shape.rollout
    head = 3 * product(1, shape.embedding, items)
    small = 2 * (query_flops(shape) + cell_flops(shape)) + 3 * critic_flops(shape) + value_flops(shape)
    parameters = FLOAT * (head_parameters(shape, items) + small_parameters(shape))
    # The embeddings are also read for the logits and for the queries' gradient.
    moved = ADAM * parameters + 2 * FLOAT * head_parameters(shape, items)
    return Counts({rows: rows * (head + small)}, float(rows * items), float(moved), 4.0 * parameters)


def head_work(shape: Shape, users: int, items: int, passes: int, products: int) -> Counts:
    """The head alone: so many passes over the logits, so many products of its shape."""
    weights = FLOAT * head_parameters(shape, items)
    flops = products * product(users, shape.embedding, items)
    return Counts({users: flops}, float(passes * users * items), float(products * weights), float(weights))


def together(*parts: Counts) -> Counts:
    """The sum of several pieces of work."""
    flops: dict[int, float] = {}
    for part in parts:
        for rows, count in part.flops.items():
            flops[rows] = flops.get(rows, 0.0) + count
    return Counts(
        flops,
        sum(part.exponentials for part in parts),
        sum(part.bytes for part in parts),
        max(part.resident for part in parts),
    )


def reading_work(shape: Shape, pool: int) -> Counts:
    """The histories of the users whose sessions may open in one update, forward only."""
    return Counts({pool: pool * shape.history * cell_flops(shape)})


def cell_flops(shape: Shape) -> float:
    """One step of the GRU for one user: three gates from the interaction and from the hidden state."""
    gates = 3 * shape.hidden
    return product(1, 2 * shape.embedding + 1, gates) + product(1, shape.hidden, gates)


def query_flops(shape: Shape) -> float:
    """The policy's query from the features (hidden state and profile)."""
    return product(1, shape.hidden + shape.embedding, shape.embedding)


def value_flops(shape: Shape) -> float:
    """V once."""
    return product(1, shape.hidden + shape.embedding, shape.hidden) + product(1, shape.hidden, 1)


def critic_flops(shape: Shape) -> float:
    """V, and Q of one item, which needs V as well."""
    return value_flops(shape) + product(1, shape.hidden + shape.embedding, shape.embedding)


def head_parameters(shape: Shape, items: int) -> int:
    """Item embeddings and biases."""
    return items * (shape.embedding + 1)


def small_parameters(shape: Shape) -> int:
    """Everything but the catalogue head, biases left out."""
    gates, features = 3 * shape.hidden, shape.hidden + shape.embedding
    recurrent = (2 * shape.embedding + 1) * gates + shape.hidden * gates
    return recurrent + 2 * features * shape.embedding + features * shape.hidden + shape.hidden


def as_numbers(counts: Counts) -> Mapping[str, float]:
    """For the results file."""
    return {"flops": counts.total_flops, "exponentials": counts.exponentials, "bytes": counts.bytes}
