"""The results as tables for a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ialp_jax.bench.largest import Largest
from ialp_jax.bench.peers import ratios
from ialp_jax.bench.results import Measured, Results, Spread
from ialp_jax.bench.subjects.workloads import WORKLOADS

COLUMNS = (
    "workload", "users", "items", "steps/s", "lowest-highest", "floor allows", "reached", "first result", "temporary", "head",
)  # fmt: skip
GROWTH_COLUMNS = ("workload", "grown in", "users", "items", "memory", "twice as large", "steps/s")
WIDE = 140  # characters that all columns need
NARROW = (0, 1, 2, 3, 6)  # what fits 80; the page has the rest
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def print_results(results: Results, console: Console) -> None:
    """Points, peers, and what was left out."""
    shown = range(len(COLUMNS)) if console.width >= WIDE else NARROW
    table = Table(title=f"user-steps per second, {results.machine['platform']}")
    for index in shown:
        numbers = 0 < index < len(COLUMNS) - 1
        table.add_column(COLUMNS[index], justify="right" if numbers else "left", no_wrap=numbers)
    previous = ""
    for point in results.points:
        if previous and point.workload != previous:
            table.add_section()
        row = cells(point)
        table.add_row(*(row[index] for index in shown))
        previous = point.workload
    console.print(table)
    for point in results.points:
        if point.problem:
            console.print(f"[bold red]{point.workload}, {point.users:,} users, {point.items:,} items: "
                          f"{escape(point.problem)}[/bold red]")  # fmt: skip
    note = departed(results)
    if note:
        console.print(f"departures: {note}", highlight=False)
    _print_profiles(results, console)
    _print_largest(results, console)
    _print_peers(results, console)
    _print_skipped(results, console)


def cells(point: Measured) -> tuple[str, ...]:
    """One row of the table."""
    return (
        WORKLOADS[point.workload].title,
        f"{point.users:,}",
        f"{point.items:,}",
        rate(point.steps_per_s.median),
        spread(point.steps_per_s),
        rate(point.steps_per_call / point.floor_s["total"]),
        f"{point.fraction:.0%}",
        f"{point.first_result_s:.1f} s",
        size(point.memory["temporary"]),
        point.plan or "-",
    )


def departed(results: Results) -> str:
    """How much work falls on users who have left, and how much would if all waited for the last to leave."""
    cap = results.settings["shape"]["turn_cap"]
    shares = [share for point in results.points if (share := point.idle_if_synchronous(cap)) is not None]
    if not shares:
        return ""
    least, most = f"{min(shares):.0%}", f"{max(shares):.0%}"
    return (f"no step falls on a user who has left, who is replaced in the same turn; if all had waited for the last "
            f"one to leave (turn cap {cap}), {least if least == most else f'{least} to {most}'} of the steps of "
            "training would have, under the policies as they were at the end")  # fmt: skip


def _print_profiles(results: Results, console: Console) -> None:
    if (
        results.settings.get("profile")
        and results.points
        and not any(point.profile for point in results.points)
    ):
        console.print("[yellow]the profiler told of no operations on this device[/yellow]")
    for point in results.points:
        if not point.profile:
            continue
        table = Table("function", "file", "share", "ns per step", "most of it in", title=(
            f"Where the time goes: {WORKLOADS[point.workload].title}, {point.users:,} users, {point.items:,} items"))  # fmt: skip
        for share in point.profile:
            table.add_row(escape(share.function), escape(share.file), f"{share.share:.1%}",
                          f"{share.ns_per_step:,.1f}", escape(share.largest))  # fmt: skip
        console.print(table)


def _print_largest(results: Results, console: Console) -> None:
    if not results.largest:
        return
    table = Table(*GROWTH_COLUMNS, title="How far they grow, by doubling one size")
    for found in results.largest:
        table.add_row(*growth_cells(found))
    console.print(table)


def growth_cells(found: Largest) -> tuple[str, ...]:
    """One row of what was grown."""
    speed = found.note if found.steps_per_s is None else f"{rate(found.steps_per_s)} {found.note}"
    return (
        WORKLOADS[found.workload].title, found.axis, f"{found.users:,}", f"{found.items:,}", size(found.bytes),
        "not tried" if found.refused_bytes is None else size(found.refused_bytes), speed.strip(),
    )  # fmt: skip


def _print_peers(results: Results, console: Console) -> None:
    if not results.peers:
        return
    table = Table("peer", "users", "items", "settings", "its steps/s", "ours", "ours / its", "ours, best users",
                  title="Peers, measured in the same run")  # fmt: skip
    for row in ratios(results):
        table.add_row(row.peer, f"{row.users:,}", f"{row.items:,}", escape(row.settings), rate(row.theirs),
                      *(("-", "-") if row.ours is None else (rate(row.ours), f"{row.ours / row.theirs:.1f}x")),
                      "-" if row.best is None else f"{rate(row.best)} ({row.best / row.theirs:.1f}x)")  # fmt: skip
    console.print(table)


def _print_skipped(results: Results, console: Console) -> None:
    """One line per point, but one for all that the budget had no room for: their estimates are nearly the same."""
    for skipped in results.skipped:
        if skipped.limit != "budget":
            console.print(f"[yellow]left out:[/yellow] {WORKLOADS[skipped.workload].title}, {skipped.users:,} users, "
                          f"{skipped.items:,} items: {escape(skipped.why)}", highlight=False)  # fmt: skip
    late = [skipped for skipped in results.skipped if skipped.limit == "budget"]
    if late:
        names = ", ".join(f"{skipped.workload} {skipped.users:,} x {skipped.items:,}" for skipped in late)
        console.print(f"[yellow]left out for lack of time:[/yellow] {names} (users x items). The first: "
                      f"{escape(late[0].why)}", highlight=False)  # fmt: skip


def rate(value: float) -> str:
    """A number per second to three digits: 97.1 k, 1.76 M."""
    for unit, name in UNITS:
        if value >= unit:
            return f"{value / unit:.3g} {name}" if value < 999.5 * unit else f"{value / unit:,.0f} {name}"
    return f"{value:.3g}"


def spread(values: Spread) -> str:
    """Lowest and highest of the repeats."""
    return f"{rate(values.low)}-{rate(values.high)}"


def size(count: float) -> str:
    """Bytes in MB or GB."""
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
