"""Whatever a server answers: a judgement within the contract, a rejected pair, or one error of input."""

import copy
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from fake_chat_server import completion
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_preferences_openai_judge import judge_of, request_of

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.job.shards import shard_frame
from ialp_jax.preferences.judges.base import REJECTED, Usage
from ialp_jax.preferences.prompting import listwise
from ialp_jax.preferences.prompting.label_logprobs import UnreadableError, read_by_id, read_by_text
from ialp_jax.preferences.prompting.pair_answers import Answer, judgement_of
from ialp_jax.preferences.prompting.spending import Spending
from ialp_jax.preferences.prompting.vllm_outputs import pointwise_judgement

FUZZED = settings(max_examples=80, deadline=None, derandomize=True,
                  suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])  # fmt: skip
SERVED = settings(FUZZED, max_examples=40)
NUMBERS = st.one_of(st.integers(-(10**400), 10**400), st.integers(-5, 5), st.floats(), st.booleans())
TEXTS = st.one_of(
    st.sampled_from(["yes", "no", " Yes", "token_id:7", "token_id:9", "\ud800", "[bold]"]),
    st.text(max_size=3),
)
JSON = st.recursive(
    st.one_of(st.none(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)  # fmt: skip
USUAL = {"yes": 0.5, "no": 0.3, "token_id:7": 0.1, "token_id:9": 0.05}


def places_of(value, path=()):
    """The path to every part of a JSON value."""
    yield path
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, inner in entries:
        yield from places_of(inner, (*path, name))


PLACES = sorted(places_of(completion(USUAL, cached=4)), key=str)
GONE = object()


@st.composite
def replies(draw, places=PLACES):
    """A usual reply in which one to three parts are something else, or missing."""
    reply = copy.deepcopy(completion(USUAL, cached=4))
    for _ in range(draw(st.integers(1, 3))):
        path, value = draw(st.sampled_from(places)), draw(st.one_of(st.just(GONE), JSON))
        if not path:
            return None if value is GONE else value
        try:
            whole = reply
            for name in path[:-1]:
                whole = whole[name]
            if value is GONE:
                del whole[path[-1]]
            else:
                whole[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change has taken this place away
    return reply


def as_objects(value):
    """JSON as the client hands it on: what is no object stays as it is."""
    return json.loads(json.dumps(value), object_hook=lambda record: SimpleNamespace(**record))


CHOICES = [path for path in PLACES if path[:2] == ("choices", 0) and len(path) > 2]


@FUZZED
@given(reply=replies(CHOICES))
@pytest.mark.parametrize(
    "read",
    [lambda choice: read_by_id(choice, ((7, 8), (9,))), lambda choice: read_by_text(choice, ("yes", "no"))],
)
def test_any_choice_has_two_log_probabilities_or_says_why_not(read, reply):
    try:
        said, logs = read(as_objects(reply["choices"][0]))
    except UnreadableError as error:
        assert str(error)
        return
    assert isinstance(said, str) and all(
        -9999 <= log <= 1.5 for log in logs
    )  # the sum of tokens a server lists twice
    judgement = judgement_of([Answer(said, *logs)])
    assert 0 <= judgement.scores[0] <= 1


@pytest.mark.parametrize(
    "listed", [[], None, 5, ["yes"], [None], [{"token": "yes"}], [{"token": 3, "logprob": -1.0}]]
)
def test_lists_of_tokens_that_are_none(listed):
    choice = as_objects({"message": {"content": "yes"}, "logprobs": {"content": [{"top_logprobs": listed}]}})
    with pytest.raises(UnreadableError):
        read_by_text(choice, ("yes", "no"))


@pytest.mark.parametrize("log", [math.nan, 0.7, math.inf, "-1", None, True, 10**400])
def test_numbers_that_are_no_log_probabilities(log):
    top = [{"token": "yes", "logprob": log}, {"token": "no", "logprob": -1.0}]
    choice = as_objects({"message": {"content": "yes"}, "logprobs": {"content": [{"top_logprobs": top}]}})
    with pytest.raises(UnreadableError, match="are none"):
        read_by_text(choice, ("yes", "no"))


@pytest.mark.parametrize("impossible", [-math.inf, -(10**400), -1e300, -9999])
def test_an_impossible_label_has_no_probability(impossible):
    top = [{"token": "yes", "logprob": -0.1}, {"token": "no", "logprob": impossible}]
    choice = as_objects({"message": {"content": "yes"}, "logprobs": {"content": [{"top_logprobs": top}]}})
    _, logs = read_by_text(choice, ("yes", "no"))
    assert logs == [-0.1, -9999.0] and judgement_of([Answer("", *logs)]).scores[0] == 1


def fits(judgements, requests):
    """Whether what was judged can be kept: the contract's check, in which a score is in [0, 1] or rejected."""
    frame = shard_frame(requests, judgements, "openai")
    assert frame["raw"].str.starts_with(REJECTED).equals(frame["score"].is_null())
    frame.write_ndjson()


@SERVED
@given(reply=replies(), status=st.sampled_from([200, 200, 200, 200, 204, 307, 400, 402, 422, 500]))
def test_any_reply_of_a_server(server, reply, status):
    """The question about nobody is answered as usual, so that the odd one is the pair's; and then by the odd one, too."""

    def odd(content):
        return reply if status == 200 else (status, reply)

    request = request_of(0, 2)
    for rule in (lambda content: odd(content) if "Title0x1." in content else completion(USUAL), odd):
        server.rule = rule
        try:
            fits(judge_of(server, max_retries=0).judge([request]), [request])
        except InputError as error:
            assert error.fix


@SERVED
@given(
    content=st.sampled_from(
        ["", "null", "[" * 50_000, "<html>", "\x00", '{"choices": [', '"\\ud800"', "1e999", "{}"]
    )
)
def test_what_is_no_json_is_one_error(server, content):
    server.rule = lambda _: content
    with pytest.raises(InputError, match=r"not with a chat completion|failed|cannot judge"):
        judge_of(server, max_retries=0).judge([request_of(0, 1)])


@pytest.mark.parametrize("tokens", [None, [], [1, 2], ["7"], [[7]], [None], [True], {"7": 7}, 7, "7"])
def test_any_answer_about_token_ids(server, tokens):
    server.tokens = lambda label: tokens
    with pytest.raises(InputError, match=r"is not one token|not with token ids"):
        judge_of(server, server="vllm").judge([request_of(0, 1)])


def test_a_server_that_sends_on_to_another_is_not_followed(server):
    server.redirect = "http://127.0.0.1:9/v1/chat/completions"
    with pytest.raises(InputError, match="sends requests on to another address"):
        judge_of(server).judge([request_of(0, 1)])


COUNTS = st.one_of(st.none(), st.integers(-5, 5), NUMBERS, TEXTS, JSON)


@FUZZED
@given(prompt=COUNTS, answered=COUNTS, cached=COUNTS)
def test_any_account_of_tokens(prompt, answered, cached):
    usage = SimpleNamespace(
        prompt_tokens=prompt, completion_tokens=answered, prompt_tokens_details=as_objects(cached)
    )
    spending = Spending(1.0, 2.0, None)
    tokens, computed = spending.pay(usage)
    assert 0 <= computed <= tokens < 2**31 and spending.spent >= 0 and math.isfinite(spending.spent)
    judgement_of([Answer("", -1.0, -1.0, 1, tokens, computed)])


@pytest.mark.parametrize(
    "usage", [None, "much", SimpleNamespace(prompt_tokens=-1, completion_tokens=1), SimpleNamespace()]
)
def test_no_cap_is_kept_by_an_account_that_is_none(usage):
    with pytest.raises(InputError, match="does not say what an answer cost"):
        Spending(1.0, 2.0, 5.0).pay(usage)


LOGS = st.one_of(st.floats(-20, 0), st.sampled_from([-math.inf, -9999.0, -1e30, math.nan]))


@FUZZED
@given(data=st.data(), items=st.integers(2, 6))
def test_any_log_probabilities_of_a_list(data, items):
    groups = listwise.deal(items, 3, 2, (0,))
    sizes = sorted({group.size for group in groups})
    draw = lambda size: np.array(data.draw(st.lists(LOGS, min_size=size, max_size=size)))  # noqa: E731
    log_p, alone = [draw(group.size) for group in groups], {size: draw(size) for size in sizes}
    judgement = listwise.judgement(items, groups, log_p, alone, "ABC", Usage.nothing(items))
    broken = any(np.isnan(values).any() for values in [*log_p, *alone.values()])
    assert all(answer.startswith(REJECTED) == broken for answer in judgement.raw)
    assert (
        np.isnan(judgement.scores).all()
        if broken
        else ((judgement.scores >= 0) & (judgement.scores <= 1)).all()
    )


@FUZZED
@given(yes=LOGS, no=LOGS)
def test_any_log_probabilities_of_a_pair(yes, no):
    tokens = {7: SimpleNamespace(logprob=yes), 9: SimpleNamespace(logprob=no)}
    output = SimpleNamespace(outputs=[SimpleNamespace(logprobs=[tokens], text="yes")], num_cached_tokens=None)
    judgement = pointwise_judgement([output], [[1]], [[7], [9]])
    broken = math.isnan(yes) or math.isnan(no)
    assert judgement.raw[0].startswith(REJECTED) == broken == bool(np.isnan(judgement.scores[0]))
