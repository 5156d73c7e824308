"""Errors of a server with OpenAI's API, in words that say what a user can do about them."""

import openai

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.prompting.prompts import clean

KEY = "OPENAI_API_KEY"
QUOTED = 200  # characters of a server's message that are kept


def said(error: openai.APIError) -> str:
    """The server's own words, short and on one line."""
    body = error.body
    return clean(str(body.get("message", body) if isinstance(body, dict) else error.message), QUOTED)


def explained(error: openai.APIError, server: str, model: str, retries: int) -> InputError:
    """What to raise for an error that retries did not mend.

    Args:
        error: as the client raised it.
        server: base address that was asked.
        model: that was asked for.
        retries: how many followed the first attempt, where the error is one that is tried again.
    """
    if isinstance(error, openai.APIConnectionError):
        return InputError(f"no answer from {server} after {retries} retries ({said(error)})", column="base_url",
                          fix="start the server or mend base_url; if it is slow, raise timeout or lower concurrency",
                          )  # fmt: skip
    status = getattr(error, "status_code", None)
    if status in (401, 403):
        return InputError(f"{server} does not accept the key for {model!r}: {said(error)}", column=KEY,
                          fix=f"set the environment variable {KEY} to a key of this server")  # fmt: skip
    if status is not None and 300 <= status < 400:
        return InputError(f"{server} sends requests on to another address, where none is sent", column="base_url",
                          fix="give that address, if you trust it")  # fmt: skip
    if status == 404:
        return InputError(f"{server} knows no model {model!r}, or not this kind of request: {said(error)}",
                          column="model", fix=f"use a name listed at {server}/models; base_url must end in /v1, and "
                          'server="vllm" is for vLLM alone')  # fmt: skip
    if status == 429:
        return InputError(f"{server} still refuses {model!r} after {retries} retries: {said(error)}",
                          column="concurrency",
                          fix="lower concurrency, raise max_retries, or see to the account's quota")  # fmt: skip
    return InputError(f"{server} failed for {model!r} with status {status}: {said(error)}", column="base_url",
                      fix="see the server's log and start the job again; finished shards are kept")  # fmt: skip
