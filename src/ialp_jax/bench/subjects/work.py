"""How much work every workload needs at least, by its shapes alone."""

from ialp_jax.bench.measuring.floors import FLOAT, Counts
from ialp_jax.bench.settings import Shape
from ialp_jax.bench.subjects.worlds import FACTORS, RandomWorld
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.worlds.near import TABLE_ITEMS

WINDOW = 4  # of the distance rule, the simulator's default
SLOTS = PolicyConfig().session_slots
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
    """One turn of all users with a policy: its session is read, query, one pass of the catalogue head."""
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


def feedback_work(shape: Shape, items: int, steps: int, rows: int, answers: int = 1) -> Counts:
    """Steps on the feedback of kept decisions, `rows` in all with so many answers each: every row is read forward and
    backward, Adam after every step."""
    row = 3 * (cell_flops(shape) + query_flops(shape) + product(1, shape.embedding, answers))
    parameters = FLOAT * (head_parameters(shape, items) + small_parameters(shape))
    flops = {rows // steps: rows * row} if steps else {}
    return Counts(flops, 0.0, float(steps * ADAM * parameters), 4.0 * parameters)


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


def sums(shape: Shape) -> int:
    """Numbers that the session encoder adds up: of the history and of the session items and feedback, and two counts."""
    return 4 * shape.embedding + 4


def features(shape: Shape) -> int:
    """What the session encoder gives: its hidden layer, and the sums that this reads."""
    return shape.hidden + sums(shape)


def cell_flops(shape: Shape) -> float:
    """Reading the session of one user: its items weighted by feedback, and a layer on top."""
    weighted = product(1, shape.history, shape.embedding) + product(1, SLOTS, shape.embedding)
    return weighted + product(1, sums(shape), shape.hidden)


def query_flops(shape: Shape) -> float:
    """The policy's query from the features."""
    return product(1, features(shape), shape.embedding)


def value_flops(shape: Shape) -> float:
    """V once."""
    return product(1, features(shape), shape.hidden) + product(1, shape.hidden, 1)


def critic_flops(shape: Shape) -> float:
    """V, and Q of one item, which needs V as well."""
    return value_flops(shape) + product(1, features(shape), shape.embedding)


def head_parameters(shape: Shape, items: int) -> int:
    """Item embeddings and biases."""
    return items * (shape.embedding + 1)


def small_parameters(shape: Shape) -> int:
    """Everything but the catalogue head, biases left out."""
    width = features(shape)
    return sums(shape) * shape.hidden + 2 * width * shape.embedding + width * shape.hidden + shape.hidden
