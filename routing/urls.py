from django.urls import path

from routing import pages

urlpatterns = [
    path("models", pages.model_list, name="models"),
    path("models/<path:slug>", pages.model_detail, name="model"),
]
