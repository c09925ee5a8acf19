from django.urls import path

from accounts import key_pages, pages

urlpatterns = [
    path("keys", key_pages.keys, name="keys"),
    path("keys/new", key_pages.key_create, name="key_create"),
    path("keys/<int:id>", key_pages.key_edit, name="key_edit"),
    path("keys/<int:id>/revoke", key_pages.key_revoke, name="key_revoke"),
    path("projects", pages.projects, name="projects"),
    path("projects/<int:id>", pages.project, name="project"),
    path("projects/<int:id>/archive", pages.project_archive, name="project_archive"),
    path("settings", pages.settings_page, name="settings"),
    path("settings/sessions", pages.log_out_everywhere, name="log_out_everywhere"),
]
