"""An index that holds a sum has to be written with every addition to it; without, only the row is."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # the index is built beside traffic

    dependencies = [("observability", "0003_log_in_partitions")]

    operations = [
        AddIndexConcurrently(
            model_name="usagehour", index=models.Index(fields=["api_key_id", "hour"], name="hours_of_key")
        ),
        # The names an organization has used, one step per name, and the hours in which it used one.
        AddIndexConcurrently(
            model_name="usagehour",
            index=models.Index(fields=["organization_id", "model", "provider", "hour"], name="hours_of_model"),
        ),
        RemoveIndexConcurrently(model_name="usagehour", name="hours_by_key"),
        migrations.AlterField("usagehour", "currency", models.CharField(max_length=3, db_default="USD")),
        # Room on each page for the newer version of a row beside it.
        migrations.RunSQL(
            "ALTER TABLE observability_usagehour SET (fillfactor = 70)",
            "ALTER TABLE observability_usagehour RESET (fillfactor)",
        ),
    ]
