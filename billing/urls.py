from django.urls import path

from billing import pages

urlpatterns = [path("wallet", pages.wallet, name="wallet")]
