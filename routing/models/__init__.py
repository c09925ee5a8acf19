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
from routing.models.markup import MarkupRule
from routing.models.project import ProjectRouting, RoutingRule

__all__ = [
    "CatalogueVersion",
    "Credential",
    "Deployment",
    "Dialect",
    "HolidayCalendar",
    "MarkupRule",
    "Model",
    "ModelAlias",
    "PriceCard",
    "ProjectRouting",
    "Provider",
    "RoutingRule",
]
