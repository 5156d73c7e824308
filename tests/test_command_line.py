"""Every command reads its words in one way: an option stands there once, with its values, or the command says what is wrong."""

import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ialp_jax
from ialp_jax import cli
from ialp_jax.artifacts import InputError
from ialp_jax.command_line import key_of, options_in, refuse_repeated, without
from ialp_jax.commands.train import Train
from ialp_jax.study.arguments import parse
from ialp_jax.study.command import command
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.fields import fields_of, held

SOURCE = Path(ialp_jax.__file__).parent


def typed(words, capsys):
    """Exit status of a command as it is typed, and what it said."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr(sys, "argv", ["ialp", *shlex.split(words)])
        cli.main()
    return stopped.value.code, " ".join("".join(capsys.readouterr()).split())


def test_no_command_reads_its_words_in_another_way():
    readers = [file for file in SOURCE.rglob("*.py") if "tyro.cli(" in file.read_text(encoding="utf-8")]
    assert readers == [SOURCE / "command_line.py"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("recommend policy --history A --history B", "--history: it is given 2 times, as --history A and as "
         "--history B. Fix: give it once, with all its values after one --history if it takes several"),
        ("train synthetic --methods a2c --methods ialp", "--methods: it is given 2 times, as --methods a2c and as"),
        ("train synthetic --seeds 2 --seeds=3", "--seeds: it is given 2 times, as --seeds 2 and as --seeds 3"),
        ("train synthetic --online.users 8 --online.users 8", "--online.users: it is given 2 times"),
        ("train synthetic --policy.item_start text --policy.item-start random", "--policy.item-start: it is given 2"),
        ("train synthetic --resume --no-resume", "--resume: it is given 2 times, as --resume and as --no-resume. Fix: "
         "give it once"),
        ("sweep synthetic --space a.toml --space b.toml", "--space: it is given 2 times"),
        ("bench --users 1 2 --quick --users 4", "--users: it is given 2 times, as --users 1 2 and as --users 4"),
        ("prefs plan synthetic --states 3 --states 4", "--states: it is given 2 times"),
        ("prefs judge out openai --model a --model b", "--model: it is given 2 times"),
        ("prefs merge a b --out c --out d", "--out: it is given 2 times"),
        ("report out --help --help", "--help: it is given 2 times"),
        ("train synthetic --simulator.rules", "--simulator.rules: no value follows it. Fix: give one or more, or none "
         "for an empty list, or leave it out"),
        ("recommend policy --history --k 3", "--history: no value follows it. Fix: give one or more, or leave it out"),
        ("bench --what --quick", "--what: no value follows it"),
        ("train synthetic --methods", "methods: no method, or one of them twice"),
        ("recommend policy --feedback 2", "feedback: 2 is out of range"),
        ("bench --repeats 0", "repeats: 0 is out of range. Fix: use a value 1 or more"),
        ("prefs judge out vllm --list-size 1", "list_size: 1 is out of range. Fix: use a value 2 or more"),
        ("sweep synthetic --runs-per-program 0", "runs_per_program: 0 is out of range"),
    ],
)  # fmt: skip
def test_what_would_be_dropped_in_silence_is_refused(words, message, capsys):
    code, said = typed(words, capsys)
    assert code == cli.BAD_INPUT and said.startswith(f"error: column {message}")


def test_no_rule_at_all_can_be_said():
    for words in (["--simulator.rules", "none"], shlex.split(command("synthetic", "quick", None, None, None, 5, {
            "simulator.rules": ()}))[3:]):  # fmt: skip
        assert parse(Train, ["synthetic", *words], "ialp train")[0].study.simulator.rules == ()


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["a", "--replicas", "2", "--mode", "list"], ["a", "--mode", "list"]),
        (["a", "--replicas=2", "--rank", "1"], ["a"]),
        (["a", "--mode", "list"], ["a", "--mode", "list"]),
    ],
)
def test_options_are_taken_out_with_their_values(words, left):
    assert without(words, "replicas", "rank", "world") == left


WORDS = st.lists(
    st.sampled_from(["--a", "--b.c", "--no-a", "--a=1", "--b.no_d=2", "x", "-1", "-h", "--"]), max_size=8
)


@given(WORDS)
def test_each_option_is_read_once_or_the_words_are_refused(words):
    keys = [key_of(flag) for flag, _ in options_in(words)]
    try:
        refuse_repeated(words)
    except InputError as error:
        assert len(set(keys)) < len(keys) and error.column.removeprefix("--") in keys
    else:
        assert len(set(keys)) == len(keys)


STUDY = StudyConfig(methods=("a2c",))
ANYTHING = st.one_of(
    st.integers(-3, 300).map(str), st.floats().map(repr), st.text("abcno-.é[]", max_size=6),
    st.sampled_from(["none", "None", "True", "false", "Explicit", "random", "gru", "1e999", "9" * 30]),
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(fields_of(STUDY)), st.lists(ANYTHING, max_size=2))
def test_whatever_follows_a_flag_is_held_or_refused(name, values):
    """And what is held is read back from the command that repeats it."""
    words = ["synthetic", "--methods", "a2c"] * (name != "methods") + [f"--{name.replace('_', '-')}", *values]
    try:
        study = parse(Train, words, "ialp train")[0].study
    except InputError:
        return
    except SystemExit as stopped:
        assert stopped.code in (0, cli.BAD_INPUT)  # 0: the words asked for help
        return
    again = shlex.split(command("synthetic", "quick", None, None, None, study.seeds, {
        name: held(study, name), "methods": study.methods}))[2:]  # fmt: skip
    if name not in ("seeds", "methods"):
        assert parse(Train, again, "ialp train")[0].study == study
