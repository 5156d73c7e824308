"""A run's files with random numbers: nothing in them was measured."""

from pathlib import Path

import numpy as np

from ialp_jax.artifacts import write_arrays, write_json
from ialp_jax.evaluation.statistics import mean_reward, phase_reward

SEEDS, BINS, STEPS = 5, 100, 1_000_000
# name: reward at the start, reward at the end, judgements
LEVELS = {
    "random": (1.4, 1.4, 0), "popular": (5.6, 5.6, 0), "table_greedy": (7.2, 7.2, 120_000),
    "oracle": (11.8, 11.8, 0),
    "a2c": (1.5, 8.7, 0), "ialp": (7.8, 7.8, 120_000), "a_ialp_ft": (7.7, 8.9, 120_000),
    "a_ialp_ap_mixture": (7.6, 8.95, 120_000), "a_ialp_ap_value": (7.9, 9.4, 120_000),
}  # fmt: skip


def card(title, meaning, family, learns_online=True, rivals=(), **fields):
    """As a study writes it; `rivals` are (other, metric, question)."""
    named = [dict(zip(("other", "metric", "question"), rival, strict=True)) for rival in rivals]
    return {
        "title": title,
        "meaning": meaning,
        "family": family,
        "learns_online": learns_online,
        "rivals": named,
    } | fields


FIXED, ACTOR_CRITICS, PREFERENCES = "policies that never learn", "actor-critics", "iALP and its adaptations"
CARDS = {
    "random": card("random", "any allowed item, uniformly", FIXED, False),
    "popular": card("popular", "the offline users' most liked items", FIXED, False,
                    [("random", "mean_reward", "Is popularity already a strong policy?")]),
    "table_greedy": card("table greedy", "the preference table's best item, no reinforcement learning", FIXED, False),
    "oracle": card("oracle", "knows the simulator, looks one step ahead at departures; not a bound", FIXED, False),
    "a2c": card("A2C from scratch", "learns online only", ACTOR_CRITICS, True,
                [("random", "final_reward", "Does A2C learn past random?"),
                 ("popular", "final_reward", "Does A2C learn past popularity?")],
                reference=True, paper="Mnih et al. 2016, arXiv 1602.01783"),
    "ialp": card("iALP, frozen", "pre-trained on the preferences, not adapted", PREFERENCES, False,
                 [("a2c", "initial_reward", "Does pre-training help at the start?"),
                  ("table_greedy", "mean_reward", "Does RL on the table beat the table alone?")], reference=True),
    "a_ialp_ft": card("A-iALP_ft", "iALP, fine-tuned online", PREFERENCES, True,
                      [("a2c", "mean_reward", "Does fine-tuning earn more than A2C overall?")]),
    "a_ialp_ap_mixture": card("A-iALP_ap mixture", "iALP mixed with an online policy", PREFERENCES, True,
                              [("a_ialp_ft", "final_reward", "Does the mixture end above fine-tuning?"),
                               ("a2c", "final_reward", "Does the mixture end above A2C?"),
                               ("a2c", "mean_reward", "Does the mixture earn more than A2C overall?")],
                              curves={"weight": "weight of the pre-trained policy"}),
    "a_ialp_ap_value": card("A-iALP_ap value", "iALP or an online policy, by their values", PREFERENCES, True,
                            [("a_ialp_ft", "final_reward", "Does value choice end above fine-tuning?"),
                             ("a2c", "final_reward", "Does value choice end above A2C?"),
                             ("a2c", "mean_reward", "Does value choice earn more than A2C overall?")]),
}  # fmt: skip


def method_curves(rng, start, end, seeds=SEEDS):
    """Sessions, summed rewards and summed lengths [R, K] that go from `start` to `end`."""
    progress = 1 - np.exp(-np.linspace(0, 4, BINS))
    level = (
        start + (end - start) * progress + rng.normal(0, 0.15, (seeds, 1)) + rng.normal(0, 0.2, (seeds, BINS))
    )
    length = np.clip(level * 1.4 + 2, 1, 20)
    sessions = np.maximum((STEPS / BINS / length).round(), 1)
    return {"sessions": sessions, "reward": np.maximum(level, 0.1) * sessions, "length": length * sessions}


def method_metrics(rng, curves):
    """Every metric of one method, one random or curve-made value per seed."""
    sessions, reward = curves["sessions"], curves["reward"]
    seeds = len(sessions)
    length = mean_reward(sessions, curves["length"])
    return {
        "initial_reward": phase_reward(sessions, reward, first=0.05),
        "final_reward": phase_reward(sessions, reward, last=0.10),
        "mean_reward": mean_reward(sessions, reward),
        "length": length,
        "reward_per_turn": mean_reward(sessions, reward) / length,
        "coverage": rng.uniform(0.1, 0.6, seeds),
        "diversity": rng.uniform(0.5, 0.9, seeds),
        "novelty": rng.uniform(3, 7, seeds),
        "greedy_reward": phase_reward(sessions, reward, last=0.01),
        "sampled_reward": phase_reward(sessions, reward, last=0.05),
    }


def many_methods(methods, families, seed=3):
    """Levels and cards of a run of many methods: the classic nine, then invented ones in `families` families."""
    rng = np.random.default_rng(seed)
    levels, cards = dict(LEVELS), dict(CARDS)
    names = [FIXED, ACTOR_CRITICS, PREFERENCES, *(f"family number {index}" for index in range(3, families))]
    for index in range(methods - len(LEVELS)):
        name = f"method_{index}"
        start, end = rng.uniform(1.5, 8), rng.uniform(7, 9.6)
        rivals = [("a2c", "initial_reward", f"Does {index} help at the start?"), ("popular", "final_reward", f"Does {index} learn?"),
                  ("a2c", "final_reward", f"Does {index} end above A2C?")]  # fmt: skip
        levels[name] = (start, end, 0)
        cards[name] = card(
            f"Invented learner {index:02}",
            f"number {index}",
            names[1:families][::-1][index % (families - 1)],
            rivals=rivals,
        )
    if families == 2:
        cards = {
            name: of | {"family": ACTOR_CRITICS} if of["family"] == PREFERENCES else of
            for name, of in cards.items()
        }
    return {"levels": levels, "cards": cards}


def write_fake_run(out: Path, seeds=SEEDS, levels=LEVELS, cards=CARDS, **world_fields) -> None:
    """Writes all five input files of a report into `out`; a level without a card is of an earlier version."""
    rng = np.random.default_rng(7)
    arrays, methods = {"bins": np.linspace(0, STEPS, BINS + 1)}, {}
    for name, (start, end, judgements) in levels.items():
        curves = method_curves(rng, start, end, seeds)
        arrays |= {f"{name}/{kind}": values for kind, values in curves.items()}
        counts = rng.multinomial(20_000, [0.5, 0.15, 0.1, 0.05, 0.2]).tolist()
        methods[name] = {
            "online_steps": STEPS if end > start else 0,
            "judgements": judgements,
            "llm_calls": 2 * judgements,
            "per_seed": method_metrics(rng, curves),
            "departures": dict(
                zip(("distance", "rating", "category", "patience", "turn_cap"), counts, strict=True)
            ),
        }
        if name in cards:
            methods[name]["card"] = cards[name]
    if "a_ialp_ap_mixture" in levels:
        fall = 0.5 + 0.45 * np.exp(-np.linspace(0, 4, BINS))
        arrays["a_ialp_ap_mixture/weight"] = np.clip(fall + rng.normal(0, 0.02, (seeds, BINS)), 0, 1)
    write_arrays(out / "curves.npz", arrays)
    write_json(out / "results.json", {
        "budget": {"online_steps": STEPS, "seeds": seeds, "pretrain_steps": 500_000}, "methods": methods,
    })  # fmt: skip
    write_json(out / "world.json", fake_world() | world_fields)
    write_json(out / "preferences.json", fake_preferences())
    write_json(
        out / "config.json",
        {"env": "steam", "a2c": {"learning_rate": 3e-4, "hidden": [64, 64]}, "seeds": seeds},
    )


def fake_world():
    return {
        "env": "steam", "source": "synthetic", "users": 2386, "items": 1515, "interactions": 61_234,
        "statements": ["These numbers are random: this run was made up for a test.",
                       "Play hours were graded by their quantile within each item."],
        "cautions": ["7 of 9 user-item pairs have 0 <hours>."],
        "fit": {"heldout": {"factorisation": {"rmse": 0.211, "auc": 0.883}, "popularity": {"auc": 0.821},
                            "mean": {"rmse": 0.287, "auc": 0.5}},
                "item_mean_share": 0.41, "item_mean_auc": 0.896, "rank": 16},
        "departure": {"rules": ["distance"], "distance_threshold": 0.731, "distance_percentile": 5.0,
                      "window": 4,
                      "turn_cap": 20},
        "reward": {"low": 0, "high": 1, "statement": "the graded play time the world predicts"},
    }  # fmt: skip


def fake_preferences():
    return {
        "judge": "content", "is_llm": False, "model": None, "test_double": False, "calls": 0,
        "pairs": 120_000, "states": 1200,
        "statements": ["TF-IDF similarity of history and item text, calibrated; popularity prior added."],
        "completion": {"option": "model",
                       "heldout": {"model_auc": 0.81, "zero_auc": 0.5, "item_mean_auc": 0.77}},
        "auc_vs_world": 0.875, "auc_vs_world_personal": 0.671, "auc_vs_world_popularity": 0.718,
    }  # fmt: skip


def fake_quality():
    """As `plain(evaluate_table(...))` gives it."""

    def mean(value):
        return {"mean": value, "low": value - 0.012, "high": value + 0.012, "states": 300}

    def column(auc, personal):
        return {"auc": mean(auc), "ndcg": mean(0.2), "personal_auc": personal and mean(personal),
                "popularity": mean(0.431), "position_bias": mean(0.021), "distinct": 0.62}  # fmt: skip

    return {
        "judge": column(0.743, 0.681), "content": column(0.822, 0.655), "popularity": column(0.799, None),
        "held_out_popularity": mean(0.312), "label_mass": {"mean": 0.914, "low": 0.85, "pairs": 60_000}, "by_popularity": [], "content_calibration": None,
        "calibration": {"error": 0.317, "brier": 0.2, "base_rate": 0.016, "base_brier": 0.0157, "bins": []},
    }  # fmt: skip


def fake_llm_preferences():
    """What a study leaves that took an LLM's finished table."""
    return fake_preferences() | {
        "judge": "vllm", "is_llm": True, "model": "imagined-9b", "revision": "r1", "rejected": 12, "calls": 60_000,
        "prompt_tokens": 12_000_000, "computed_tokens": 3_000_000,
        "statement": "The language model imagined-9b judged.",
        "statements": ["The language model imagined-9b judged.", "Only 300 of 1,200 offline users were judged."],
        "table": {"path": "/tables/steam", "fingerprint": "0123456789abcdef", "content": "fedcba9876543210"},
        "quality": fake_quality(), "gate": {"passed": True, "failures": []},
    }  # fmt: skip
