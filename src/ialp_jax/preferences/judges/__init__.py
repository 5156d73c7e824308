"""Judges, one file each, found by name.

A judge's file defines `Config`, a frozen dataclass of its settings with defaults, and
`build(context, config) -> Judge`. A file is imported only when its judge is asked for, so a judge with heavy
dependencies costs nothing to those who use another.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset
from ialp_jax.preferences.judges.base import Judge, JudgeContext, JudgeInfo, Judgement, JudgeRequest, Usage
from ialp_jax.preferences.prompting.prompts import title_text

__all__ = [
    "Judge",
    "JudgeContext",
    "JudgeInfo",
    "JudgeRequest",
    "Judgement",
    "Usage",
    "available_judges",
    "build_judge",
    "judge_module",
]


def available_judges() -> list[str]:
    """Names of all judges; nothing is imported to find them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def judge_module(name: str) -> ModuleType:
    """Imports the file of one judge.

    Raises:
        InputError: if there is no such judge, or a package it needs is not installed.
    """
    if name not in available_judges():
        raise InputError(f"there is no judge {name!r}", fix=f"choose one of {', '.join(available_judges())}")
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise InputError(f"the judge {name!r} needs {error.name!r}, which is not installed",
                         fix=f"install ialp-jax[{name}], or choose another judge") from error  # fmt: skip


def build_judge(name: str, dataset: Dataset, config: Any = None) -> Judge:
    """Builds a judge for a dataset; `config` None means the defaults of its `Config`."""
    module = judge_module(name)
    titles = tuple(map(title_text, dataset.items["title"].to_list()))
    context = JudgeContext(dataset.domain, dataset.feedback, dataset, titles)
    return module.build(context, module.Config() if config is None else config)
