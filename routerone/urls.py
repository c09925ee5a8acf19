"""Every page of the product, by app. The gateway's API paths never reach Django (see asgi.py)."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("routerone.site_urls")),
    path("", include("accounts.urls")),
    path("", include("billing.urls")),
    path("", include("routing.urls")),
    path("", include("observability.urls")),
    path("", include("gateway.page_urls")),
    path("accounts/", include("allauth.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
]
