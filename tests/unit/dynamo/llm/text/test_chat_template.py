"""Templates that come with models are programs of strangers."""

from __future__ import annotations

import pytest

from dynamo.llm.text.chat_template import ChatTemplate, TemplateBroken
from dynamo.sdk.errors import BadRequest

HI = [{"role": "user", "content": "hi"}]


def test_plain():
    """A model without a template still has conversations."""
    assert ChatTemplate().render(HI) == "user: hi\nassistant:"
    calls = [{"role": "assistant", "content": None, "tool_calls": []}]
    assert ChatTemplate().render(calls, generate=False) == "assistant: \n"


def test_parts_are_joined():
    """Content in parts is text; pictures are refused, since nobody here can read them."""
    parts = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    assert ChatTemplate().render(parts).startswith("user: ab")
    with pytest.raises(BadRequest, match="image_url"):
        ChatTemplate().render([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])


def test_names():
    """What transformers gives to templates is there: tools, tokens, tojson, raise_exception, loop controls."""
    source = "{{ bos_token }}{{ tools | tojson }}{% for m in messages %}{% break %}{% endfor %}{{ x }}"
    template = ChatTemplate(source, bos_token="<s>")
    assert template.render(HI, tools=[{"a": "ü"}], more={"x": 1}) == '<s>[{"a": "ü"}]1'
    with pytest.raises(BadRequest, match="no system"):
        ChatTemplate("{{ raise_exception('no system') }}").render(HI)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ messages.append(1) }}",
        "{% set _ = messages[0].update({'role': 'x'}) %}",
        "{{ strftime_now.__globals__['json'] }}",
        "{% include '/etc/passwd' %}",
        "{{ '%s' | format(messages) | attr('__class__') }}{{ lipsum.__globals__.os }}",
        "{% for i in range(10**9) %}x{% endfor %}",
    ],
)
def test_sandbox(source):
    """A template reaches nothing but the conversation, and changes nothing of it."""
    messages = [dict(HI[0])]
    with pytest.raises(BadRequest):
        ChatTemplate(source).render(messages)
    assert messages == HI


def test_broken():
    """A template that is none is a fault of the model's files, not of the client."""
    with pytest.raises(TemplateBroken):
        ChatTemplate("{% for %}")
    with pytest.raises(TemplateBroken):
        ChatTemplate("x" * (1 << 21))
