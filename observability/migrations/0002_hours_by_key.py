"""What was charged to one key is read from its own hours, not from all of its organization's."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # the index is built beside traffic

    dependencies = [("observability", "0001_initial")]

    operations = [
        AddIndexConcurrently(
            model_name="usagehour",
            index=models.Index(fields=["api_key_id", "hour"], include=["charge_nanos"], name="hours_by_key"),
        ),
    ]
