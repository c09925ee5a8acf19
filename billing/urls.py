from django.urls import path

from billing import budget_pages, pages, plan_pages

urlpatterns = [
    path("wallet", pages.wallet, name="wallet"),
    path("pricing", plan_pages.pricing, name="pricing"),
    path("plans", plan_pages.plans, name="plans"),
    path("plans/choose/<slug:slug>", plan_pages.plan_choose, name="plan_choose"),
    path("plans/cancel", plan_pages.plan_cancel, name="plan_cancel"),
    path("plans/resume", plan_pages.plan_resume, name="plan_resume"),
    path("plans/overflow", plan_pages.plan_overflow, name="plan_overflow"),
    path("plans/pay", plan_pages.plan_pay, name="plan_pay"),
    path("keys/<int:id>/budgets", budget_pages.key_budgets, name="key_budgets"),
    path("projects/<int:id>/budgets", budget_pages.project_budgets, name="project_budgets"),
    path(".well-known/routerone-receipt-key.json", pages.receipt_keys, name="receipt-keys"),
]
