"""Whether a table is good enough to pre-train on: thresholds on what `evaluate_table` measured."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import FlagConversionOff

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.quality.answers import LEAST_MASS, in_words
from ialp_jax.preferences.quality.beside import CHANCE, auc_beside, interval
from ialp_jax.preferences.quality.evaluation import LabelMass, TableQuality
from ialp_jax.ranges import Share
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class GateConfig:
    """What a table must reach."""

    label_mass: Share = LEAST_MASS
    """Least mean probability of the answers the judge was asked for, where it is known; below, it answered
    something else."""
    auc: Share = 0.55
    """Least mean AUC against the held-out feedback; 0.5 is chance. 0 asks for none."""
    distinct: Share = 0.05
    """Least mean share of different scores among a user's pairs; below, the judge says the same of everything."""
    rejected: Share = 0.05
    """Highest share of pairs that were asked about and not judged."""
    position_bias: Share = 0.5
    """Highest absolute Spearman correlation of a user's scores with the order in which the items were asked about,
    popularity held fixed."""
    popularity_loss: Share = 0.0
    """Most by which the AUC may be clearly below popularity's on the same pairs (the whole interval is) where no part of
    it is clearly personal: such a table says less than counting the logs. 1 asks for nothing."""
    enforce: FlagConversionOff[bool] = True
    """Stop where the table fails; otherwise go on and say so."""


def check_gate(quality: TableQuality, config: GateConfig, flag: str = "--gate") -> list[str]:
    """One sentence per failure, with what was measured, the threshold and the option that changes it.

    Args:
        quality: what was measured.
        config: the thresholds.
        flag: where the command at hand takes the thresholds' options.
    """
    mass = None if quality.label_mass is None else quality.label_mass.mean
    auc, position = quality.judge.auc.mean, quality.judge.position_bias.mean
    rejected = quality.rejected / (quality.rejected + quality.pairs)
    failures = []
    if mass is not None and mass < config.label_mass:
        low = _low("The mean label mass", mass, config.label_mass, f"{flag}.label-mass")
        failures.append(low + _answered(quality.label_mass))
    if auc is None and config.auc > 0:
        failures.append(f"The AUC cannot be measured, as no user has both a judged item with held-out feedback and "
                        f"one without; {config.auc:g} is needed ({flag}.auc).")  # fmt: skip
    if auc is not None and auc < config.auc:
        failures.append(_low("The AUC against held-out feedback", auc, config.auc, f"{flag}.auc"))
    if quality.judge.distinct < config.distinct:
        what = "The mean share of different scores among a user's pairs"
        failures.append(_low(what, quality.judge.distinct, config.distinct, f"{flag}.distinct"))
    if rejected > config.rejected:
        failures.append(_high("The share of rejected pairs", rejected, config.rejected, f"{flag}.rejected"))
    if position is not None and abs(position) > config.position_bias:
        what = "The absolute Spearman correlation of scores and the order asked, popularity held fixed,"
        failures.append(_high(what, abs(position), config.position_bias, f"{flag}.position-bias"))
    if behind_popularity(quality, config.popularity_loss):
        failures.append(f"{auc_beside(quality.over_popularity, 'popularity')}, and its personal part is not clearly better "
                        f"than chance (AUC less item means {interval(quality.judge.personal_auc)}): counting the logs says "
                        f"more ({flag}.popularity-loss).")  # fmt: skip
    return failures


def behind_popularity(quality: TableQuality, allowed: float) -> bool:
    """Whether a table ranks clearly worse than popularity, by more than `allowed`, and not clearly by persons."""
    personal = quality.judge.personal_auc
    is_personal = personal is not None and personal.low is not None and personal.low > CHANCE
    high = quality.over_popularity.high
    return high is not None and high < -allowed and not is_personal


def require_gate(
    quality: TableQuality, config: GateConfig, directory: Path, flag: str = "--preferences.gate"
) -> None:
    """Refuses a table that fails, unless the gate is not enforced.

    Raises:
        InputError: naming every failure, and how to go on regardless.
    """
    failures = check_gate(quality, config, flag)
    if failures and config.enforce:
        raise InputError(f"the preference table is not good enough. {' '.join(failures)}".rstrip("."),
                         file=directory, fix="look at it (ialp prefs show, ialp prefs evaluate) and judge with another "
                         f"model, or go on regardless with {flag}.enforce False (make: GATE=0)")  # fmt: skip


def _answered(mass: LabelMass | None) -> str:
    """What was asked for and what came, where one word was asked for."""
    return f" {in_words(mass.labels, mass.answers)}" if mass is not None and mass.labels else ""


def _low(what: str, measured: float, least: float, flag: str) -> str:
    return f"{what} is {measured:.3g}, below {least:g} ({flag})."


def _high(what: str, measured: float, most: float, flag: str) -> str:
    return f"{what} is {measured:.3g}, above {most:g} ({flag})."
