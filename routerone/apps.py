from django.apps import AppConfig


class RouterOneConfig(AppConfig):
    name = "routerone"
    default_auto_field = "django.db.models.BigAutoField"
