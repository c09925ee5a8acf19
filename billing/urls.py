from django.urls import path

from billing import pages

urlpatterns = [
    path("wallet", pages.wallet, name="wallet"),
    path(".well-known/routerone-receipt-key.json", pages.receipt_keys, name="receipt-keys"),
]
