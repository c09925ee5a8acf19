"""The three plans to begin with. Staff edit them; this runs once, so what staff changed or took off sale stays so.

The reasoning behind the figures is in docs/decisions/0012-plans-in-dollars-at-list-price.md.
"""

from django.db import migrations

USD = 1_000_000_000
PRO = [
    "anthropic/claude-haiku-*",
    "anthropic/claude-sonnet-*",
    "openai/gpt-*-mini",
    "openai/gpt-*-nano",
    "openai/gpt-*-luna",
    "openai/gpt-*-terra",
    "openai/gpt-oss-*",
    "google/gemini-*-flash*",
    "google/gemma-*",
    "deepseek/*",
    "qwen/*",
    "moonshotai/*",
    "z-ai/*",
    "minimax/*",
    "xiaomi/*",
    "mistralai/*",
    "meta-llama/*",
]
MAX = [
    "anthropic/claude-haiku-*",
    "anthropic/claude-sonnet-*",
    "anthropic/claude-opus-*",
    "openai/gpt-*",
    "google/*",
    "x-ai/*",
    *PRO[9:],
    "meta/*",
    "bytedance/*",
    "tencent/*",
    "stepfun/*",
]
# slug, name, rank, price, per 5 hours, per 7 days, per period, models
PLANS = [
    ("pro", "Pro", 10, 20 * USD, 3 * USD, 8_750_000_000, 25 * USD, PRO),
    ("max", "Max", 20, 100 * USD, 16_800_000_000, 49 * USD, 140 * USD, MAX),
    ("ultra", "Ultra", 30, 200 * USD, 38_400_000_000, 112 * USD, 320 * USD, ["*"]),
]


def add(apps, schema_editor):
    plans = apps.get_model("billing", "Plan")
    for slug, name, rank, price, five_hours, seven_days, period, models in PLANS:
        values = {
            "name": name,
            "rank": rank,
            "price_nanos": price,
            "period_days": 30,
            "covered_models": models,
            "five_hours_nanos": five_hours,
            "seven_days_nanos": seven_days,
            "period_nanos": period,
        }
        plans.objects.get_or_create(slug=slug, defaults=values)


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_plan_history")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
