from django.urls import path

from routing import pages, project_pages

urlpatterns = [
    path("models", pages.model_list, name="models"),
    path("models/<path:slug>", pages.model_detail, name="model"),
    path("routing", project_pages.routing, name="routing"),
    path("projects/<int:id>/routing", project_pages.project_routing, name="project_routing"),
    path("projects/<int:id>/routing/ranking", project_pages.project_ranking, name="project_ranking"),
    path("projects/<int:id>/routing/rules/new", project_pages.rule_create, name="rule_create"),
    path("projects/<int:id>/routing/rules/<int:rule_id>", project_pages.rule_edit, name="rule_edit"),
    path("projects/<int:id>/routing/rules/<int:rule_id>/act", project_pages.rule_act, name="rule_act"),
]
