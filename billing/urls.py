from django.urls import path

from billing import budget_pages, pages

urlpatterns = [
    path("wallet", pages.wallet, name="wallet"),
    path("keys/<int:id>/budgets", budget_pages.key_budgets, name="key_budgets"),
    path("projects/<int:id>/budgets", budget_pages.project_budgets, name="project_budgets"),
    path(".well-known/routerone-receipt-key.json", pages.receipt_keys, name="receipt-keys"),
]
