"""A sweep from what was asked for: a study that runs share, and the space that is searched."""

from pathlib import Path

from ialp_jax.artifacts import InputError
from ialp_jax.study.config import Preset, StudyConfig
from ialp_jax.study.fields import apply
from ialp_jax.sweeps.definition import Sweep, changed_fields
from ialp_jax.sweeps.settings import check_space
from ialp_jax.sweeps.space import Space


def define(
    env: str,
    preset: Preset,
    data: Path | None,
    prefs: Path | None,
    study: StudyConfig,
    base: StudyConfig,
    space: Space,
    file: Path | None = None,
) -> Sweep:
    """The sweep of a space over a study, checked before anything is computed; paths are made absolute.

    Args:
        env: name of an environment, or path of a file that registers one.
        preset: size of the study.
        data: folder of logs, if any.
        prefs: folder of a finished preference table, if any.
        study: what the runs share.
        base: the study as the preset has it.
        space: what is searched.
        file: where the space was read, for errors.

    Raises:
        InputError: if study and space both decide a field, or the space does not suit the study.
    """
    for field, key in (("seeds", "seeds"), ("methods", "method")):
        if getattr(study, field) != getattr(base, field):
            raise InputError(
                f"the sweep's file decides it, by `{key}`", column=f"--{field}", fix="write it there"
            )
    given = changed_fields(study, base)
    for taken in {*space.fixed, *(axis.name for axis in space.axes)} & set(given):
        raise InputError("the sweep's file decides it", column=taken, fix="leave it out here, or there")
    return Sweep(
        env=str(Path(env).resolve()) if env.endswith(".py") else env,
        preset=preset,
        data=None if data is None else data.resolve(),
        prefs=None if prefs is None else prefs.resolve(),
        changes=changed_fields(apply(study, space.fixed, file), base),
        space=check_space(space, study, file),
    )
