"""The gateway's page for people. Its API paths never reach Django."""

from django.urls import path

from gateway import what_if

urlpatterns = [path("projects/<int:id>/what-if", what_if.what_if, name="what_if")]
