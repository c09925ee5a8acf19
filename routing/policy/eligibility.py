"""Whether a deployment may answer a request, and the one word for why not.

`unusable` is the same for everybody, `unfit` is about what the request needs, `unwanted` about what is allowed.

A model that was asked for by name is refused only for what the catalogue states: what nobody knows rules nothing out,
except where a wish asks for a guarantee (data policy, `require_parameters`). A model that we choose ourselves must be
known to serve the request: that is what `sure` asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from accounts.model_limits import allows
from routing.policy.candidate import DeploymentInfo, ModelInfo
from routing.policy.needs import NO_THOUGHT, Needs
from routing.policy.project import ProjectPolicy
from routing.policy.wishes import MaxPrice, Wishes

Standing = tuple[tuple[DeploymentInfo, str], ...]

# What is nobody's wish and may be otherwise in a while.
OURS: Final = frozenset(
    {"provider_disabled", "deployment_disabled", "draining", "retired", "no_address", "no_credential", "no_price",
     "no_exchange_rate"}
)  # fmt: skip
# What the request's own wishes and limits, or its project's, rule out.
WISHED: Final = frozenset(
    {"data_policy_training", "data_policy_retention", "region", "provider_not_allowed", "provider_ignored",
     "model_not_allowed", "price_cap", "parameters"}
)  # fmt: skip
# How much smaller, and how much larger, a prompt may be than its estimate says: by up to a third in Chinese, and by as
# much as an estimate that was rounded down.
_SMALLEST: Final = 0.7
_LARGEST: Final = 1.45
_ANYBODYS_CONTEXT: Final = 8_000  # what is believed of a model whose context length nobody knows
_CAPABILITIES: Final = {"images": "vision", "audio": "audio_input"}
_MODALITIES: Final = {"images": "image", "audio": "audio", "video": "video", "files": "pdf"}
_BY_CAPABILITY: Final = {
    "sampling_params": ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty"),
    "parallel_tools": ("parallel_tool_calls",),
    "web_search": ("web_search",),
}
_CAPABILITY_OF: Final = {name: capability for capability, names in _BY_CAPABILITY.items() for name in names}


def unusable(deployment: DeploymentInfo, at: datetime) -> str:
    """The reason that rules a deployment out for everybody; "" for none."""
    if not deployment.provider_enabled:
        return "provider_disabled"
    if not deployment.enabled:
        return "deployment_disabled"
    if deployment.draining:
        return "draining"
    if deployment.retired(at):
        return "retired"
    if deployment.dialect not in deployment.base_urls:
        return "no_address"
    if deployment.auth != "none" and not deployment.secret:
        return "no_credential"
    return ""


def unfit(deployment: DeploymentInfo, model: ModelInfo, needs: Needs, *, sure: bool = False) -> str:
    """What this deployment can't do of what the request needs; "" for nothing.

    Unless it has to be sure, reasoning and output beyond the model's own do not count: the request is then served with
    less of them.
    """
    context = deployment.context_length or model.context_length
    if not _fits(context, needs, sure=sure):
        return "context_length"
    lacking = _lacking(model, needs, sure=sure)
    if lacking or not sure:
        return lacking
    most = deployment.max_output_tokens or model.max_output_tokens
    if needs.max_output_tokens is not None and most is not None and needs.max_output_tokens > most:
        return "output_limit"
    if needs.reasoning not in NO_THOUGHT and model.capabilities.get("reasoning") is not True:
        return "reasoning"
    return ""


def standing(model: ModelInfo, at: datetime, speaks: Callable[[DeploymentInfo], bool]) -> Standing:
    """Each deployment with what rules it out for every request of this endpoint and day, "" for nothing."""
    return tuple((one, unusable(one, at) or ("" if speaks(one) else "endpoint")) for one in model.deployments)


def is_choosy(wishes: Wishes, policy: ProjectPolicy) -> bool:
    """Whether request or project rule any deployment out by its provider, its data policy or its parameters. Where they
    don't, `unwanted` says "" of every one."""
    named = (policy.allowed_providers, policy.denied_providers, policy.regions, wishes.only, wishes.ignore)
    flags = (policy.no_training, policy.zero_retention, wishes.no_training, wishes.zero_retention)
    rest = (not wishes.allow_fallbacks, wishes.require_parameters, wishes.regions)
    return any(named) or any(flags) or any(rest)


def unwanted(deployment: DeploymentInfo, model: ModelInfo, wishes: Wishes, policy: ProjectPolicy, needs: Needs) -> str:
    """What the request, its rule or its project forbids of this deployment; "" for nothing. A request's wishes can
    narrow what the project allows and never widen it."""
    provider = deployment.provider.lower()
    if not allows(policy.allowed_providers, provider) or not allows(wishes.only, provider):
        return "provider_not_allowed"
    if not wishes.allow_fallbacks and not allows(wishes.order, provider):
        return "provider_not_allowed"
    if _is_among(provider, policy.denied_providers) or _is_among(provider, wishes.ignore):
        return "provider_ignored"
    if (wishes.no_training or policy.no_training) and deployment.trains_on_data is not False:
        return "data_policy_training"
    if (wishes.zero_retention or policy.zero_retention) and deployment.zero_retention is not True:
        return "data_policy_retention"
    if not _is_there(deployment.region, wishes.regions) or not _is_there(deployment.region, policy.regions):
        return "region"
    if wishes.require_parameters and lacks_parameters(deployment, model, needs):
        return "parameters"
    return ""


def too_dear(price: MaxPrice, *caps: MaxPrice | None) -> bool:
    """Whether a price is above one of the caps, in any of its parts."""
    return any(
        most is not None and (asked or 0) > most
        for cap in caps
        if cap is not None
        for asked, most in zip(price, cap, strict=True)
    )


def may_use(model: ModelInfo, key_models: Sequence[str], policy: ProjectPolicy) -> bool:
    """Whether key and project allow the model. Patterns with `*`; none: all."""
    if not allows(key_models, model.slug) or not allows(policy.allowed_models, model.slug):
        return False
    return not _is_among(model.slug, policy.denied_models)


def lacks_parameters(deployment: DeploymentInfo, model: ModelInfo, needs: Needs) -> bool:
    """Whether it is not known to take every parameter that the request has."""
    known = model.capabilities
    if (needs.tools and known.get("tools") is not True) or (
        needs.structured_output and known.get("structured_output") is not True
    ):
        return True
    if needs.reasoning not in NO_THOUGHT and known.get("reasoning") is not True:
        return True
    most = deployment.max_output_tokens or model.max_output_tokens
    if needs.max_output_tokens is not None and most is not None and needs.max_output_tokens > most:
        return True
    return any(known.get(_CAPABILITY_OF.get(name, "")) is not True for name in needs.parameters)


def _fits(context: int | None, needs: Needs, *, sure: bool) -> bool:
    if sure:
        return needs.prompt_tokens * _LARGEST + (needs.max_output_tokens or 0) <= (context or _ANYBODYS_CONTEXT)
    return context is None or needs.prompt_tokens * _SMALLEST <= context


def _lacking(model: ModelInfo, needs: Needs, *, sure: bool) -> str:
    """The first need that the model does not have: for all that is known, or to be sure, of which that is not known."""
    known = model.capabilities
    if needs.images and _is_missing(_takes(model, "images"), sure):
        return "images"
    if needs.audio and _is_missing(_takes(model, "audio"), sure):
        return "audio"
    if needs.video and _is_missing(_takes(model, "video"), sure):
        return "video"
    if needs.files and _is_missing(_takes(model, "files"), sure):
        return "files"
    if needs.tools and _is_missing(known.get("tools"), sure):
        return "tools"
    if needs.structured_output and _is_missing(known.get("structured_output"), sure):
        return "structured_output"
    return ""


def _takes(model: ModelInfo, need: str) -> object:
    """True, False, or None where nobody knows."""
    known: Mapping[str, object] = model.capabilities
    stated = known.get(_CAPABILITIES.get(need, ""))
    if stated is None and model.input_modalities:
        return _MODALITIES[need] in model.input_modalities
    return stated


def _is_missing(stated: object, sure: bool) -> bool:
    return stated is not True if sure else stated is False


def _is_among(name: str, patterns: Sequence[str]) -> bool:
    return bool(patterns) and allows(patterns, name)


def _is_there(region: str, wanted: Sequence[str]) -> bool:
    return not wanted or region.lower() in {one.lower() for one in wanted}
