"""Where to: the catalogue, factors on its prices, and how each project wants to be routed."""

from routing.models.catalogue import (
    CatalogueVersion,
    Credential,
    Deployment,
    Dialect,
    HolidayCalendar,
    Model,
    ModelAlias,
    PriceCard,
    Provider,
)
from routing.models.checks import CatalogueUpload, Check, ProbePlan
from routing.models.markup import MarkupRule
from routing.models.project import ProjectRouting, RoutingRule

__all__ = [
    "CatalogueUpload",
    "CatalogueVersion",
    "Check",
    "Credential",
    "Deployment",
    "Dialect",
    "HolidayCalendar",
    "MarkupRule",
    "Model",
    "ModelAlias",
    "PriceCard",
    "ProbePlan",
    "ProjectRouting",
    "Provider",
    "RoutingRule",
]
