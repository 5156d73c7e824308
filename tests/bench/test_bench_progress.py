"""What a running benchmark shows."""

import io

from rich.console import Console

from ialp_jax.bench.progress import bars


def lines_of(stages):
    """What is last shown of the pieces (stage, note) while they are at work, and at the end."""
    text = io.StringIO()
    with bars(Console(file=text, force_terminal=True, width=120)) as watch:
        stages(watch)
        watch._progress.refresh()
        during = text.getvalue().splitlines()
    return during, text.getvalue().splitlines()[:-1]  # the last line shows the cursor again


def test_every_stage_has_a_bar_that_ends_full_even_if_pieces_were_left_out():
    def stages(watch):
        watch.begin("compiling", 3)
        watch.start("compiling", "a2c, 64 users")
        watch.start("compiling", "a2c, 1,024 users")
        watch.begin("timing", 2)
        watch.start("timing", "environment, 64 users")

    compiling, timing = lines_of(stages)[1][-2:]
    assert "compiling" in compiling and "3/3" in compiling
    assert "timing" in timing and "2/2" in timing and "ETA" in timing
    assert "users" not in compiling + timing


def test_a_piece_is_done_when_the_next_one_starts_in_whatever_stage():
    def stages(watch):
        watch.begin("compiling", 3)
        for note in ("first", "second"):
            watch.start("compiling", note)
        watch.begin("timing", 2)
        watch.start("timing", "third")
        watch.begin("timing", 4)  # of which the one left out is done
        for note in ("fourth", "fifth"):
            watch.start("timing", note)

    compiling, timing = lines_of(stages)[0][-2:]
    assert "2/3" in compiling and "second" not in compiling
    assert "3/6" in timing and "fifth" in timing
