"""Raises the catalogue version on every change of its tables, whoever makes it, SQL by hand included."""

from django.db import migrations

TABLES = [
    "routing_provider",
    "routing_credential",
    "routing_model",
    "routing_modelalias",
    "routing_deployment",
    "routing_pricecard",
    "routing_holidaycalendar",
]

FORWARD = """
INSERT INTO routing_catalogueversion (id, version) VALUES (1, 1) ON CONFLICT DO NOTHING;
CREATE FUNCTION routing_raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO routing_catalogueversion (id, version) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET version = routing_catalogueversion.version + 1;
    RETURN NULL;
END $$;
""" + "".join(
    f"CREATE TRIGGER raise_version AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION routing_raise_version();\n"
    for table in TABLES
)
BACKWARD = (
    "".join(f"DROP TRIGGER raise_version ON {table};\n" for table in TABLES) + "DROP FUNCTION routing_raise_version();"
)


class Migration(migrations.Migration):
    dependencies = [("routing", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
