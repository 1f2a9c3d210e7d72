"""OpenAI's requests as requests of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamo.llm.generation import EngineRequest
from dynamo.llm.text.model_files import ModelFiles
from dynamo.sdk.errors import BadRequest

SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logit_bias",
    "response_format",
    "min_tokens",
)
_MOST_TOKENS = 1 << 32
DEFAULT_TOKENS = 512
"""How long an answer may be where neither the client nor the model says anything."""


class ContextLengthExceeded(BadRequest):
    """A prompt, with the answer that is asked for, is longer than the model's context."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One choice of an answer: what the engine is asked, and what the text needs to be made of its tokens."""

    index: int
    request: EngineRequest
    stops: tuple[str, ...]
    logprobs: int | None
    echo: str = ""
    keep_stop: bool = False


class Preprocessor:
    """Makes tokens of conversations and prompts. `context` bounds prompt and answer; 0: what the model's files say."""

    def __init__(self, files: ModelFiles, context: int = 0) -> None:
        self.files = files
        self.context = min(filter(None, (context, files.context)), default=0)

    def prepare_chat(self, request: Mapping[str, Any], name: str) -> tuple[Prepared, ...]:
        """The choices of a chat request. Raises BadRequest, ContextLengthExceeded."""
        messages = request.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
            raise BadRequest("`messages` is not a list of messages")
        more = request.get("chat_template_kwargs")
        text = self.files.template.render(
            messages,
            tools=request.get("tools"),
            generate=bool(request.get("add_generation_prompt", True)),
            more=more if isinstance(more, dict) else None,
        )
        tokens = self._encode_prompt(text, begun=True)
        wanted = request.get("max_completion_tokens") or request.get("max_tokens")
        logprobs = int(request.get("top_logprobs") or 0) if request.get("logprobs") else None
        return tuple(self._build_choices(request, name, [tokens], wanted, logprobs, [""]))

    def prepare_completion(self, request: Mapping[str, Any], name: str) -> tuple[Prepared, ...]:
        """The choices of a completion request: `n` for each of its prompts. Raises as `chat` does."""
        if request.get("suffix"):
            raise BadRequest("this model continues prompts; it fills in nothing before a `suffix`")
        prompts = _read_prompts(request.get("prompt"))
        tokens = [
            self._encode_prompt(prompt) if isinstance(prompt, str) else self._check_tokens(prompt) for prompt in prompts
        ]
        echoes = [""] * len(prompts)
        if request.get("echo"):
            echoes = [prompt if isinstance(prompt, str) else self.files.tokenizer.decode(prompt) for prompt in prompts]
        logprobs = request.get("logprobs")
        return tuple(self._build_choices(request, name, tokens, request.get("max_tokens", 16), logprobs, echoes))

    def _build_choices(
        self,
        request: Mapping[str, Any],
        name: str,
        prompts: Sequence[list[int]],
        wanted: int | None,
        logprobs: int | None,
        echoes: Sequence[str],
    ) -> Iterator[Prepared]:
        stops = request.get("stop") or ()
        ends = frozenset() if request.get("ignore_eos") else self.files.ends
        ends |= frozenset(request.get("stop_token_ids") or ())
        sampling = {key: request[key] for key in SAMPLING if request.get(key) is not None}
        if logprobs is not None:
            sampling["logprobs"] = logprobs
        many = int(request.get("n") or 1)
        for number, tokens in enumerate(prompts):
            prompt, limit = tuple(tokens), self._compute_limit(len(tokens), wanted)
            for choice in range(many):
                index = number * many + choice
                own = dict(sampling)
                if choice and "seed" in own:
                    own["seed"] += choice
                asked = EngineRequest(
                    id=f"{name}.{index}" if index else name,
                    tokens=prompt,
                    max_tokens=limit,
                    stop_tokens=ends,
                    sampling=own,
                )
                yield Prepared(
                    index=index,
                    request=asked,
                    stops=(stops,) if isinstance(stops, str) else tuple(stops),
                    logprobs=logprobs,
                    echo=echoes[number],
                    keep_stop=bool(request.get("include_stop_str_in_output")),
                )

    def _encode_prompt(self, text: str, *, begun: bool = False) -> list[int]:
        """The tokens of a prompt; what cannot fit is refused by its length, since to count it would take long."""
        least = self.files.tokenizer.count_least(text)
        if self.context and least >= self.context:
            raise ContextLengthExceeded(
                f"this model's context is {self.context} tokens; the prompt has at least {least}"
            )
        return self.files.tokenizer.encode(text, begun=begun)

    def _check_tokens(self, tokens: list[int]) -> list[int]:
        size = self.files.tokenizer.size or _MOST_TOKENS
        for token in tokens:
            if type(token) is not int or not 0 <= token < size:
                raise BadRequest(f"the prompt has the token {token!r:.100}; this model has those below {size}")
        return list(tokens)

    def _compute_limit(self, prompt: int, wanted: int | None) -> int:
        if not prompt:
            raise BadRequest("the prompt is empty")
        if not self.context:
            return wanted or DEFAULT_TOKENS
        room = self.context - prompt
        if room < 1 or (wanted or 1) > room:
            asked = f" and {wanted} are asked for" if wanted else ""
            raise ContextLengthExceeded(
                f"this model's context is {self.context} tokens; the prompt has {prompt}{asked}"
            )
        return wanted or room


def _read_prompts(prompt: Any) -> list[str | list[int]]:
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt, list) and prompt:
        if all(isinstance(item, int) and item >= 0 for item in prompt):
            return [prompt]
        if all(isinstance(item, (str, list)) for item in prompt):
            return list(prompt)
    raise BadRequest("`prompt` is neither text nor tokens")
