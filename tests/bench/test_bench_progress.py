"""What a running benchmark shows."""

import io

from rich.console import Console

from ialp_jax.bench.progress import bars


def test_every_stage_has_a_bar_that_ends_full_even_if_pieces_were_left_out():
    text = io.StringIO()
    with bars(Console(file=text, force_terminal=True, width=120)) as watch:
        watch.begin("compiling", 3)
        watch.start("a2c, 64 users")
        watch.start("a2c, 1,024 users")
        watch.begin("timing", 2)
        watch.start("environment, 64 users")
    compiling, timing = text.getvalue().splitlines()[-3:-1]  # the last line shows the cursor again
    assert "compiling" in compiling and "3/3" in compiling
    assert "timing" in timing and "2/2" in timing and "ETA" in timing
    assert "users" not in compiling + timing


def test_a_piece_is_done_when_the_next_one_starts():
    text = io.StringIO()
    with bars(Console(file=text, force_terminal=True, width=120)) as watch:
        watch.begin("timing", 2)
        watch.start("first")
        watch.start("second")
        watch._progress.refresh()
        shown = text.getvalue()
    assert "1/2" in shown and "second" in shown.splitlines()[-1]
