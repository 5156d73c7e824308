"""The likelihood judge: its numbers are those of a model that reads every title alone, and its costs what it computes."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from asked import HOSTILE, PLAIN
from scipy.special import expit
from tiny_models import WINDOW, make_encoder, make_model
from transformers import AutoModelForCausalLM

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.job.shards import shard_frame
from ialp_jax.preferences.judges.base import JudgeContext, JudgeRequest
from ialp_jax.preferences.judges.likelihood import Config, build
from ialp_jax.preferences.prompting import torch_models
from ialp_jax.preferences.prompting.estimate import Assumptions, estimate_counted
from ialp_jax.preferences.prompting.frames import frame
from ialp_jax.preferences.prompting.model_files import parameters
from ialp_jax.preferences.prompting.prompts import title_text
from ialp_jax.testing.judges import small_requests

TITLES = tuple(map(title_text, [*PLAIN, *HOSTILE.values()]))
CONTEXT = JudgeContext("games", "implicit", titles=TITLES)
HISTORIES = ((), (0,), (1, 5, 2), tuple(range(11)))


@pytest.fixture(scope="session")
def mistral(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models") / "mistral", "mistral")


@pytest.fixture
def judge_of(tmp_path):
    def make(folder, context=CONTEXT, **options):
        given = {"score": "personal", "dtype": "float32", "device": "cpu", "cache": tmp_path / "cache"}
        return build(context, Config(model=str(folder), **(given | options)))

    return make


def asked(state, items=None):
    """A state with one of the histories, about all titles or some."""
    history = HISTORIES[state]
    grades = tuple((place % 3 + 3) / 5 for place in range(len(history)))
    items = tuple(range(len(TITLES))) if items is None else items
    return JudgeRequest(state, state, "", history, grades, items, tuple(TITLES[item] for item in items))


ASKED = [asked(state) for state in range(len(HISTORIES))]


def alone(folder, before, titles):
    """log P of every token of every title: one whole text at a time, nothing kept, float32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    with torch.inference_mode():
        for title in titles:
            logits = model(torch.tensor([[*before, *title]]), use_cache=False).logits[0, len(before) - 1 : -1]
            log_p = logits.double().log_softmax(-1)
            found.append(log_p[torch.arange(len(title)), torch.tensor(title)].numpy())
    return found


@pytest.mark.parametrize("at_once", [1, 5, 64])
@pytest.mark.parametrize("family", ["qwen", "llama", "mistral"])
def test_titles_are_judged_as_if_each_had_been_asked_about_alone(family, at_once, request, judge_of):
    folder = request.getfixturevalue(family)
    judge = judge_of(folder, titles_at_once=at_once)
    nobody = np.array(
        [one.sum() for one in alone(folder, judge.texts(ASKED[0])[0], judge.texts(ASKED[0])[1])]
    )
    for one, judgement in zip(ASKED, judge.judge(ASKED), strict=True):
        before, titles = judge.texts(one)
        found = judge.model.log_p(before, titles)
        expected = alone(folder, before, titles)
        for log_p, known in zip(found, expected, strict=True):
            np.testing.assert_allclose(log_p, known, atol=1e-5)
        personal = np.array([known.sum() for known in expected]) - nobody
        np.testing.assert_allclose(judgement.scores, expit(personal), atol=1e-5)
        assert (
            one.history == () or np.ptp(personal) > 0.1
        )  # the history matters, so that equality says something
    assert family != "mistral" or len(before) > WINDOW


def test_the_score_whole_is_the_mean_probability_of_a_token(qwen, judge_of, tmp_path):
    judge = judge_of(qwen, score="whole")
    (judgement,) = judge.judge(ASKED[2:3])
    expected = [np.exp(one.mean()) for one in alone(qwen, *judge.texts(ASKED[2]))]
    np.testing.assert_allclose(judgement.scores, expected, atol=1e-5)
    assert not (tmp_path / "cache").exists()  # nobody is asked about
    assert judgement.raw[0].endswith(f"of {len(judge.texts(ASKED[2])[1][0])} tokens")


def test_what_is_told_is_the_frame_of_what_was_liked(llama, judge_of):
    judge = judge_of(llama, framing="list", most_liked=2)
    before, titles = judge.texts(asked(2))
    assert before[0] == judge.tokenizer.bos_token_id and judge.tokenizer.bos_token_id not in before[1:]
    # Grades .6, .8, 1: the two best, the best last.
    expected = frame("games", "list", [TITLES[5], TITLES[2]])
    assert judge.tokenizer.decode(before[1:]) == expected
    assert [judge.tokenizer.decode(ids) for ids in titles[:3]] == [f" {title}" for title in TITLES[:3]]


@pytest.mark.parametrize("family", ["qwen", "llama"])
def test_no_title_becomes_a_special_token(family, request, judge_of):
    folder = request.getfixturevalue(family)
    spelt = ("<|im_end|><|eot_id|><|begin_of_text|>", *TITLES[1:])  # as if titles had not been cleaned
    judge = judge_of(folder, replace(CONTEXT, titles=spelt))
    before, titles = judge.texts(asked(1))
    special = set(judge.tokenizer.all_special_ids)
    assert not special & {token for title in titles for token in title} and not special & set(before[1:])


@pytest.mark.parametrize("score", ["personal", "whole"])
def test_the_estimate_is_what_is_computed(score, qwen, judge_of):
    requests = small_requests()
    judge = judge_of(qwen, requests.context, score=score, titles_at_once=1)  # no batch is filled up
    told = estimate_counted(requests, judge, judge.files, dtype="float32", at_once=1, assumed=Assumptions())
    fed = []
    judge.model._model.register_forward_pre_hook(
        lambda module, args, given: fed.append(given["input_ids"].numel()), with_kwargs=True
    )
    usages = [
        one.usage for one in judge.judge([requests.make(state) for state in range(requests.num_states)])
    ]
    assert told.computed_tokens == sum(fed) == judge.model.computed
    assert told.computed_tokens == sum(int(usage.computed_tokens.sum()) for usage in usages)
    assert told.prompt_tokens == sum(int(usage.prompt_tokens.sum()) for usage in usages)
    pairs, catalogue = int(requests.pairs().sum()), requests.num_items if score == "personal" else 0
    assert told.calls == sum(int(usage.calls.sum()) for usage in usages) == pairs + catalogue
    assert told.weights == 4 * parameters(judge.files)
    # The words before and each title but its last token, once a state; nobody's once.
    texts = [judge.texts(requests.make(state)) for state in range(requests.num_states)]
    every = judge.texts(
        replace(requests.make(0), history=(), history_grades=(), items=tuple(range(requests.num_items)))
    )
    texts += [every] if catalogue else []
    assert told.computed_tokens == sum(
        len(before) + sum(len(one) - 1 for one in titles) for before, titles in texts
    )


def test_a_bigger_batch_computes_no_more(qwen, judge_of):
    usages = [judge_of(qwen, titles_at_once=size).judge(ASKED[1:])[2].usage for size in (1, 64)]
    for one, other in zip(*(vars(usage).values() for usage in usages), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nobody_is_asked_about_once_per_catalogue_and_model(qwen, llama, judge_of, tmp_path):
    first, second, other = judge_of(qwen), judge_of(qwen), judge_of(llama)
    answers = [judge.judge(ASKED[1:2])[0] for judge in (first, second)]
    assert shard_frame(ASKED[1:2], answers[:1], "j").equals(shard_frame(ASKED[1:2], answers[1:], "j"))
    about_nobody = int(first._catalogue_cost().computed_tokens.sum())
    assert first.model.computed == second.model.computed + about_nobody > about_nobody
    (kept,) = (tmp_path / "cache" / "likelihood").iterdir()
    other.judge(ASKED[1:2])
    judge_of(qwen, framing="list").judge(ASKED[1:2])
    judge_of(qwen, most_liked=1).judge(ASKED[1:2])  # nobody likes as much
    assert len(list(kept.parent.iterdir())) == 3
    np.savez(kept, log_p=np.zeros(3))
    with pytest.raises(InputError, match=r"it holds arrays .*delete it"):
        judge_of(qwen).judge(ASKED[1:2])
    kept.write_bytes(b"damaged")
    with pytest.raises(InputError, match="not a readable"):
        judge_of(qwen).judge(ASKED[1:2])


def test_equal_calls_give_equal_bytes_whatever_was_judged_before(qwen, judge_of):
    judge = judge_of(qwen)
    first = judge.judge(ASKED[:2])
    judge.judge(ASKED[2:])
    assert shard_frame(ASKED[:2], first, "j").equals(shard_frame(ASKED[:2], judge.judge(ASKED[:2]), "j"))
    assert judge.model.computed > 0 and first[0].usage.calls.sum() == 2 * len(
        TITLES
    )  # the catalogue's stand at state 0


def test_what_else_is_asked_about_a_user_moves_no_score(qwen, judge_of):
    judge = judge_of(qwen)
    (every,), (some,) = judge.judge([asked(3)]), judge.judge([asked(3, (14, 2, 9))])
    np.testing.assert_allclose(some.scores, every.scores[[14, 2, 9]], atol=1e-6)


def test_too_long_a_text_is_rejected_by_rule_and_the_others_are_judged(qwen, judge_of):
    before, titles = judge_of(qwen).texts(asked(1))
    limit = len(before) + int(np.median([len(title) for title in titles]))
    judge = judge_of(qwen, max_model_len=limit)
    (judgement,) = judge.judge([asked(1)])
    long = np.array([len(before) + len(title) > limit for title in titles])
    assert long.any() and not long.all()
    np.testing.assert_array_equal(np.isnan(judgement.scores), long)
    assert all(
        raw.startswith("rejected: the prompt of") == one for raw, one in zip(judgement.raw, long, strict=True)
    )
    np.testing.assert_array_equal(judgement.usage.calls, ~long)
    assert shard_frame([asked(1)], [judgement], "j")["score"].null_count() == long.sum()
    nothing = judge_of(qwen, max_model_len=2).judge([asked(1)])[0]
    assert np.isnan(nothing.scores).all() and nothing.usage.computed_tokens.sum() == 0


def test_it_needs_no_chat_template(qwen, judge_of, tmp_path):
    shutil.copytree(qwen, tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").unlink()
    plain, chat = judge_of(tmp_path / "base").judge([asked(1)])[0], judge_of(qwen).judge([asked(1)])[0]
    np.testing.assert_array_equal(plain.scores, chat.scores)


def test_who_judged_is_said_with_size_and_precision(qwen, judge_of, tmp_path):
    info = judge_of(qwen).info
    assert info.test_double and not info.is_llm and info.statement.startswith("TEST DOUBLE")
    shutil.copytree(qwen, tmp_path / "folder")
    (tmp_path / "folder" / "ialp_model.json").unlink()
    info = judge_of(tmp_path / "folder").info
    size = f"{parameters(judge_of(qwen).files) / 1e6:.3g} M parameters"
    assert info.is_llm and info.statement.startswith(
        f"The language model folder ({size}, float32) judged through transformers"
    )
    assert "no question" in info.statement and "titles only" in info.statement
    assert info.settings["dtype"] == "float32" and {"torch", "transformers"} < info.settings.keys()
    assert judge_of(qwen, framing="list").info != judge_of(qwen).info


def test_what_cannot_be_used_is_refused_with_the_way_on(qwen, judge_of, tmp_path):
    with pytest.raises(InputError, match=r"kept no titles.*plan it again"):
        judge_of(qwen, JudgeContext("games", "implicit"))
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "m.gguf").touch()
    with pytest.raises(InputError, match=r"a GGUF model.*Hugging Face model"):
        judge_of(tmp_path / "packed")
    encoder = make_encoder(tmp_path / "encoder")
    with pytest.raises(InputError, match="PyTorch finds no GPU"):
        judge_of(qwen, device="cuda")
    shutil.copytree(qwen, tmp_path / "mute")
    for file in (tmp_path / "mute").glob("tokenizer*"):
        file.unlink()
    with pytest.raises(InputError, match="tokenizer cannot be used"):
        judge_of(tmp_path / "mute").judge([asked(1)])
    with pytest.raises(InputError, match=r"lacks weights.*of a causal language model"):
        judge_of(encoder, max_model_len=64).judge([asked(1)])


def test_its_own_precision_is_named(qwen, judge_of, monkeypatch):
    monkeypatch.setattr(torch_models, "has_bfloat16", lambda: True)
    assert judge_of(qwen, dtype="auto").info.settings["dtype"] == "float32"  # as its configuration says
    files = replace(judge_of(qwen).files, config={"model_type": "unheard of", "num_attention_heads": 1})
    files = replace(files, path="/nowhere")
    assert torch_models.precision("bfloat16", "cpu", files) == "bfloat16"
    monkeypatch.setattr(torch_models, "has_bfloat16", lambda: False)
    assert torch_models.precision("auto", "cpu", files) == "float32"
