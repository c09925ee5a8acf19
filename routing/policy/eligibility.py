"""Whether a deployment may answer a request, and the one word for why not.

A refusal is a fact that the catalogue states; what nobody knows rules nothing out, except where a wish asks for a
guarantee (data policy, `require_parameters`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from accounts.model_limits import allows
from routing.policy.candidate import DeploymentInfo, ModelInfo
from routing.policy.needs import Needs
from routing.policy.project import ProjectPolicy
from routing.policy.wishes import MaxPrice, Wishes

# Reasons that are about the request's own wishes and limits, not about what is well or sick.
WISHED: Final = frozenset(
    {"data_policy_training", "data_policy_retention", "region", "provider_not_allowed", "provider_ignored",
     "model_not_allowed", "price_cap", "parameters"}
)  # fmt: skip
_CAPABILITIES: Final = {
    "images": "vision",
    "audio": "audio_input",
    "tools": "tools",
    "structured_output": "structured_output",
}
_MODALITIES: Final = {"video": "video", "files": "pdf"}
_THINKING: Final = frozenset(("", "none"))


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


def unfit(deployment: DeploymentInfo, model: ModelInfo, needs: Needs) -> str:
    """What this deployment can't do of what the request needs; "" for nothing."""
    context = deployment.context_length or model.context_length
    if context is not None and needs.prompt_tokens > context:
        return "context_length"
    for need, capability in _CAPABILITIES.items():
        if getattr(needs, need) and model.capabilities.get(capability) is False:
            return need
    for need, modality in _MODALITIES.items():
        if getattr(needs, need) and model.input_modalities and modality not in model.input_modalities:
            return need
    if needs.reasoning not in _THINKING and model.capabilities.get("reasoning") is False:
        return "reasoning"
    return ""


def unwanted(deployment: DeploymentInfo, model: ModelInfo, wishes: Wishes, policy: ProjectPolicy, needs: Needs) -> str:
    """What the request, its rule or its project forbids of this deployment; "" for nothing. A request's wishes can
    narrow what the project allows and never widen it."""
    provider = deployment.provider.lower()
    if _is_forbidden(provider, policy.allowed_providers, policy.denied_providers):
        return "provider_not_allowed"
    if wishes.only and provider not in wishes.only:
        return "provider_not_allowed"
    if provider in wishes.ignore:
        return "provider_ignored"
    if not wishes.allow_fallbacks and wishes.order and provider not in wishes.order:
        return "provider_not_allowed"
    if (wishes.no_training or policy.no_training) and deployment.trains_on_data is not False:
        return "data_policy_training"
    if (wishes.zero_retention or policy.zero_retention) and deployment.zero_retention is not True:
        return "data_policy_retention"
    for regions in (wishes.regions, policy.regions):
        if regions and deployment.region.lower() not in {region.lower() for region in regions}:
            return "region"
    if wishes.require_parameters and _lacks_parameters(model, needs):
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
    return not (policy.denied_models and allows(policy.denied_models, model.slug))


def _is_forbidden(name: str, allowed: Sequence[str], denied: Sequence[str]) -> bool:
    return not allows(allowed, name) or bool(denied and allows(denied, name))


def _lacks_parameters(model: ModelInfo, needs: Needs) -> bool:
    known = model.capabilities
    if needs.tools and known.get("tools") is not True:
        return True
    if needs.structured_output and known.get("structured_output") is not True:
        return True
    if needs.reasoning not in _THINKING and known.get("reasoning") is not True:
        return True
    return bool(needs.parameters) and known.get("sampling_params") is False
