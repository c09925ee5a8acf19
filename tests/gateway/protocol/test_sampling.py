"""Models without sampling parameters."""

from __future__ import annotations

import pytest

from gateway.protocol.conversation import Conversation, Sampling
from gateway.protocol.sampling import without_sampling


@pytest.mark.parametrize(
    ("dialect", "sampling", "lost"),
    [
        ("anthropic_messages", Sampling(temperature=0.2, top_k=5, stop=("a",)), ("temperature", "top_k")),
        (
            "gemini_generate",
            Sampling(temperature=0.2, top_p=0.5),
            ("generationConfig.temperature", "generationConfig.topP"),
        ),
        ("openai_chat", Sampling(temperature=1, top_p=1, frequency_penalty=0, seed=3), ()),
        ("openai_chat", Sampling(max_output_tokens=9), ()),
    ],
)
def test_wishes_are_left_out_and_named_unless_they_are_the_default(
    dialect: str, sampling: Sampling, lost: tuple[str, ...]
) -> None:
    got, named = without_sampling(Conversation(model="m", turns=(), sampling=sampling, dialect=dialect))
    assert named == lost
    assert got.sampling == Sampling(
        stop=sampling.stop, seed=sampling.seed, max_output_tokens=sampling.max_output_tokens
    )
