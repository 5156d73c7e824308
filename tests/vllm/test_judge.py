"""The vLLM judge: its numbers are those of transformers in float32, and no text bends another item's."""

import json
import shutil

import numpy as np
import pytest
from asked import HOSTILE, INJECTION, PLAIN, Reference, make_requests
from scipy.special import logsumexp
from tiny_models import make_model

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.job.shards import shard_frame
from ialp_jax.preferences.judges.vllm import Config, build
from ialp_jax.preferences.prompting import listwise
from ialp_jax.preferences.prompting.estimate import Assumptions, estimate_job
from ialp_jax.preferences.prompting.layout import encode, label_ids, label_tokens
from ialp_jax.preferences.prompting.model_files import find_model, parameters

TITLES = [*PLAIN, *HOSTILE.values()]


def asked_of(requests):
    return [requests.make(state) for state in range(requests.num_states)]


@pytest.mark.parametrize("family", ["qwen", "llama"])
def test_pointwise_is_transformers(family, request, judge_of):
    folder, requests = request.getfixturevalue(family), make_requests(TITLES)
    judge, reference = judge_of(folder, requests), Reference(folder)
    labels = label_tokens(judge.layout, ("yes", "no"))
    assert len(labels[0]) > 1 < len(labels[1])  # several spellings, so that their sum says something
    scores = []
    for one, judgement in zip(asked_of(requests), judge.judge(asked_of(requests)), strict=True):
        expected = np.stack(
            [logsumexp(reference.log_p(judge.prompts(one), tokens), axis=1) for tokens in labels], axis=1
        )
        np.testing.assert_allclose(
            np.stack([judgement.log_yes, judgement.log_no], axis=1), expected, atol=2e-5
        )
        p_yes = 1 / (1 + np.exp(expected[:, 1] - expected[:, 0]))
        np.testing.assert_allclose(judgement.scores, p_yes, atol=1e-5)
        scores.append(judgement.scores)
    assert np.ptp(scores) > 0.1  # the prompt matters, so that equality says something


@pytest.mark.parametrize("family", ["qwen", "llama"])
def test_classify_is_transformers(family, request, judge_of):
    folder, requests = request.getfixturevalue(family), make_requests(TITLES)
    judge, reference = judge_of(folder, requests, "classify"), Reference(folder)
    labels = label_ids(judge.layout, ("yes", "no"))
    for one, judgement in zip(asked_of(requests), judge.judge(asked_of(requests)), strict=True):
        expected = reference.log_p(judge.prompts(one), labels)
        np.testing.assert_allclose(
            judgement.scores, 1 / (1 + np.exp(expected[:, 1] - expected[:, 0])), atol=1e-5
        )
        assert judgement.log_yes is None


@pytest.mark.parametrize("family", ["qwen", "llama"])
def test_list_mode_is_transformers(family, request, judge_of):
    folder, requests = request.getfixturevalue(family), make_requests(PLAIN)
    judge, reference = judge_of(folder, requests, "list", list_size=5, permutations=3), Reference(folder)
    letters = label_ids(judge.layout, "ABCDE")
    for one, judgement in zip(asked_of(requests), judge.judge(asked_of(requests)), strict=True):
        groups = listwise.deal(len(PLAIN), 5, 3, (0, one.state))
        expected = reference.log_p(judge.prompts(one), letters)
        seen = [[] for _ in PLAIN]
        for row, group in enumerate(groups):
            for position, item in enumerate(group):
                seen[item].append(expected[row, position])
        # Each letter's own probability, as it came; rounded to 4 digits in the raw answers.
        found = [[each["log_p"] for each in json.loads(answer)] for answer in judgement.raw]
        np.testing.assert_allclose(found, seen, atol=6e-5)
        own = np.log(np.mean(np.exp(seen), axis=1))
        np.testing.assert_allclose(judgement.log_yes, own, atol=1e-5)
        alone = {4: expected[len(groups)][:4]}
        corrected = [expected[row][:4] - alone[4] for row in range(len(groups))]
        utility = listwise.utilities(groups, corrected, len(PLAIN))
        np.testing.assert_allclose(judgement.scores, listwise.chosen_over_average(utility), atol=1e-5)
        assert judgement.usage.calls.sum() == len(groups) + 1 and judgement.usage.calls[1:].sum() == 0


def test_equal_calls_give_equal_bytes_whatever_was_judged_before(qwen, judge_of):
    requests = make_requests(TITLES)
    judge, asked = judge_of(qwen, requests), asked_of(requests)
    first = judge.judge(asked[1:2])
    judge.judge(asked)
    again = judge.judge(asked[1:2])
    assert shard_frame(asked[1:2], first, "vllm").equals(shard_frame(asked[1:2], again, "vllm"))


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("family", ["qwen", "llama"])
def test_a_hostile_text_is_judged_and_shifts_nothing_else(what, family, request, judge_of):
    folder = request.getfixturevalue(family)
    harmless = make_requests([*PLAIN[:6], "Harmless", *PLAIN[6:]])
    hostile = make_requests([*PLAIN[:6], HOSTILE[what], *PLAIN[6:]])
    judge = judge_of(folder, harmless)
    before, after = judge.judge(asked_of(harmless)), judge.judge(asked_of(hostile))
    others = np.arange(len(PLAIN) + 1) != 6
    for left, right in zip(before, after, strict=True):
        np.testing.assert_allclose(left.scores[others], right.scores[others], atol=1e-6)
        assert np.isfinite(right.scores[6]) and 0 < right.scores[6] < 1


@pytest.mark.parametrize("family", ["qwen", "llama"])
def test_no_text_becomes_a_special_token(family, request, judge_of):
    """Neither in the history nor as a candidate, not even where the cleaning of prompts did not run."""
    requests = make_requests(PLAIN)
    layout = judge_of(request.getfixturevalue(family), requests).layout
    special = set(layout.tokenizer.all_special_ids)
    markers = "<|begin_of_text|><|eot_id|><|im_end|><|endoftext|>"
    assert special & set(encode(layout.tokenizer, markers, data=False))  # they would, read as chat
    for text in (INJECTION, markers):
        assert not special & set(layout.data(text))
        inside = layout.prefix(text, "Like it?")
        assert sorted(set(inside) & special) == sorted(set(layout.head) & special)


def test_a_shared_prefix_is_whole_blocks_and_ends_with_the_question(qwen, judge_of):
    requests = make_requests(PLAIN)
    judge = judge_of(qwen, requests)
    for one in asked_of(requests):
        sent = judge.prompts(one)
        shared = next(i for i in range(len(sent[0])) if len({tuple(prompt[: i + 1]) for prompt in sent}) > 1)
        assert shared >= 32
        text = judge.layout.tokenizer.decode(sent[0])
        assert "would this user like the following video game?" in text and one.item_texts[0] in text
        prefix = judge.layout.prefix(one.state_text, "Like it?")
        assert len(prefix) % 32 == 0


def test_the_estimate_counts_the_engines_own_tokens(qwen, judge_of):
    requests = make_requests(PLAIN, states=5)
    judge = judge_of(qwen, requests)
    estimate = estimate_job(
        requests, judge, judge.files, block=32, dtype="float32", states_per_shard=2, assumed=Assumptions()
    )  # fmt: skip
    asked = asked_of(requests)
    usages = [one.usage for shard in (asked[:2], asked[2:4], asked[4:]) for one in judge.judge(shard)]
    assert estimate.computed_tokens == sum(int(usage.computed_tokens.sum()) for usage in usages)
    assert estimate.prompt_tokens == sum(int(usage.prompt_tokens.sum()) for usage in usages)
    assert estimate.calls == 5 * len(PLAIN) and 100_000 < estimate.weights / 4 < 200_000


def test_too_long_a_prompt_is_rejected_by_rule_and_the_others_are_judged(qwen, judge_of):
    # A byte or more per token: this text alone is beyond 1,024 tokens, though it is within 200 characters.
    requests = make_requests([*PLAIN, "🀄" * 119])
    judge = judge_of(qwen, requests, max_model_len=512)
    for mode in ("pointwise", "classify"):
        judge = judge_of(qwen, requests, mode, max_model_len=512)
        for judgement in judge.judge(asked_of(requests)):
            assert np.isnan(judgement.scores[-1]) and judgement.raw[-1].startswith("rejected: the prompt of")
            assert np.isfinite(judgement.scores[:-1]).all() and judgement.usage.calls[-1] == 0
    frame = shard_frame(asked_of(requests), judge.judge(asked_of(requests)), "vllm")
    assert frame["score"].null_count() == requests.num_states


def test_a_random_model_says_that_it_is_a_test_double(qwen, judge_of):
    info = judge_of(qwen, make_requests(PLAIN)).info
    assert info.test_double and not info.is_llm and info.statement.startswith("TEST DOUBLE")


def test_what_the_folder_says_of_the_model_is_what_the_table_says(qwen, tmp_path):
    for kind, is_llm, words in (
        ("general", True, "The language model folder (SIZE, float32) judged"),
        (
            "trained_on_logs",
            False,
            "folder (SIZE, float32), a small model trained on logs and not a general LLM, judged",
        ),
    ):
        shutil.copytree(qwen, tmp_path / kind / "folder")
        note = tmp_path / kind / "folder" / "ialp_model.json"
        note.write_text(json.dumps({"kind": kind, "statement": "Said so."}))
        info = build(make_requests(PLAIN).context, Config(model=str(note.parent), dtype="float32")).info
        assert info.is_llm == is_llm and not info.test_double
        size = f"{parameters(find_model(str(qwen), None)) / 1e6:.3g} M parameters"
        assert info.statement.startswith(words.replace("SIZE", size)) and info.statement.endswith("Said so.")
        note.write_text(json.dumps({"kind": "wise"}))
        with pytest.raises(InputError, match="'wise'"):
            build(make_requests(PLAIN).context, Config(model=str(note.parent)))


def test_other_weights_are_another_revision(qwen, tmp_path):
    context = make_requests(PLAIN).context
    again = make_model(tmp_path / "same" / "qwen", "qwen")
    other = make_model(tmp_path / "other" / "qwen", "qwen", seed=1)
    one, same, another = (build(context, Config(model=str(path))).info for path in (qwen, again, other))
    assert one.revision == same.revision != another.revision


@pytest.mark.parametrize("mode", ["pointwise", "classify"])
def test_labels_of_several_tokens_are_refused_before_the_engine_starts(tmp_path, mode):
    folder, requests = make_model(tmp_path / "qwen", "qwen", single_labels=False), make_requests(PLAIN)
    with pytest.raises(InputError, match="label 'yes' is not a single token"):
        build(requests.context, Config(model=str(folder), mode=mode)).judge(asked_of(requests))


def test_equal_labels_and_too_long_lists_are_refused(qwen):
    requests = make_requests(PLAIN)
    with pytest.raises(InputError, match="not distinct"):
        build(requests.context, Config(model=str(qwen), labels=("yes", "yes"))).judge(asked_of(requests))
    with pytest.raises(InputError, match="letters"):
        build(requests.context, Config(model=str(qwen), mode="list", list_size=60)).judge(asked_of(requests))


def test_a_model_without_chat_template_or_without_folder_is_refused(qwen, tmp_path):
    shutil.copytree(qwen, tmp_path / "bare")
    (tmp_path / "bare" / "chat_template.jinja").unlink()
    requests = make_requests(PLAIN)
    with pytest.raises(InputError, match="chat template"):
        build(requests.context, Config(model=str(tmp_path / "bare"))).judge(asked_of(requests))
    with pytest.raises(InputError, match="no folder and no model on the hub"):
        build(requests.context, Config(model="nobody/nothing"))
    with pytest.raises(InputError, match="no model was given"):
        build(requests.context, Config())
