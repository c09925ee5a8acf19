"""How providers are doing, as this process knows it: whom an attempt may go to, and what came of it."""

from __future__ import annotations

from typing import NamedTuple

from routing.catalogue import DeploymentInfo
from routing.policy.candidate import CredentialInfo


class Admission(NamedTuple):
    """Whether a deployment may be asked now, and with which credential. `refusal`: "" or why not."""

    credential: CredentialInfo | None = None
    refusal: str = ""
    needs_probe: bool = False
    retry_after_s: float = 0.0


FREE = Admission()


class Health:
    def admission(self, deployment: DeploymentInfo, tried: set[int], chance: float) -> Admission:
        return FREE if not tried else Admission(refusal="credential_cooling")

    async def take_probe(self, admission: Admission) -> bool:
        return True

    def first_token_limit_s(self, deployment_id: int) -> float:
        return 0.0

    def withdrew(self, deployment: DeploymentInfo, credential: CredentialInfo | None) -> None:
        pass

    def failed(
        self,
        deployment: DeploymentInfo,
        credential: CredentialInfo | None,
        error_class: str,
        retry_after_s: float | None = None,
    ) -> None:
        pass
