from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = _("Money")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Accounts lies below billing, so billing adds the trial credit to what a sign-up does."""
        from accounts.signup import AFTER_SIGNUP
        from billing.grants import grant_trial_credit

        if grant_trial_credit not in AFTER_SIGNUP:
            AFTER_SIGNUP.append(grant_trial_credit)
