"""A server with OpenAI's chat API in a thread, which answers from a known function, slowly or not at all."""

import json
import math
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

IDS = {"yes": (7,), "Yes": (8,), "no": (9,), " No": (10,), "YEP": (7,)}  # what /tokenize says
PROMPT_TOKENS = 100
Rule = Callable[[str], Any]


def p_labels(content: str) -> tuple[float, float]:
    """The known function: P(yes) and P(no), of the user's message."""
    code = sum(content.encode()) % 97
    return (1 + code) / 200, (98 - code) / 400


def completion(
    tokens: dict[str, float] | None, cached: int | None = None, usage: bool = True
) -> dict[str, Any]:
    """A reply in OpenAI's form that lists these tokens with these probabilities; None for no log-probabilities."""
    logprobs = None
    if tokens is not None:
        top = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in tokens.items()]
        logprobs = {"content": [{**top[0], "top_logprobs": top}], "refusal": None}
    said = next(iter(tokens)) if tokens else "Well"
    counted = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": 1, "total_tokens": PROMPT_TOKENS + 1}
    if cached is not None:
        counted["prompt_tokens_details"] = {"cached_tokens": cached}
    choice = {"index": 0, "finish_reason": "length", "logprobs": logprobs,
              "message": {"role": "assistant", "content": said}}  # fmt: skip
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
            **({"usage": counted} if usage else {})}  # fmt: skip


def by_function(content: str) -> dict[str, Any]:
    """Both labels among others, as the known function has them."""
    yes, no = p_labels(content)
    return completion({"Maybe": 0.2, "yes": yes, "no": no}, cached=64)


def token_ids(label: str) -> list[int]:
    """Of a label, as `IDS` has it; two of any other."""
    return list(IDS.get(label, (3, 4)))


class Server(ThreadingHTTPServer):
    """Answers by `rule`: a reply, a status with a message, or a text that is not JSON."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.rule: Rule = by_function
        self.delay: Callable[[str], float] = lambda content: 0.0
        self.failures: dict[str, list[int]] = {}  # of a message: statuses of its first attempts
        self.tokens: Rule = token_ids
        self.redirect = ""  # where requests are sent on to
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = self.peak = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """What a client is told."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address):
        """A client that was told to stop hangs up; nothing to say about it."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every reply waits 40 ms
    server: Server

    def do_POST(self) -> None:
        """Chat completions, and vLLM's /tokenize."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/tokenize":
            return self.reply(200, {"tokens": self.server.tokens(body["prompt"])})
        if self.server.redirect:
            return self.reply(307, {}, {"Location": self.server.redirect})
        assert self.path == "/v1/chat/completions"
        content = body["messages"][1]["content"]
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.server.in_flight += 1
            self.server.peak = max(self.server.peak, self.server.in_flight)
            failures = self.server.failures.get(content)
            status = failures.pop(0) if failures else None
        time.sleep(self.server.delay(content))
        answer = (status, "try again") if status else self.server.rule(content)
        with self.server.lock:
            self.server.in_flight -= 1
        if isinstance(answer, tuple):
            return self.reply(answer[0], {"error": {"message": answer[1], "type": "t", "code": None}})
        return self.reply(200, answer)

    def reply(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        """Sends it; a failed request may be tried again after a millisecond."""
        content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(answer, str) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("retry-after-ms", "1")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""
