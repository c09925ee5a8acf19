"""What the database itself refuses: a change to a price card that has billed, or to a markup rule that has begun."""

from django.db import migrations

FORWARD = """
CREATE TRIGGER raise_version AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON routing_markuprule
    FOR EACH STATEMENT EXECUTE FUNCTION routing_raise_version();

CREATE FUNCTION routing_keep_billed_card() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.deployment_id, NEW.tier, NEW.min_prompt_tokens, NEW.schedule, NEW.valid_from, NEW.rates)
            IS NOT DISTINCT FROM
            (OLD.deployment_id, OLD.tier, OLD.min_prompt_tokens, OLD.schedule, OLD.valid_from, OLD.rates) THEN
        RETURN NEW;
    END IF;
    IF EXISTS (SELECT 1 FROM billing_usagerecord WHERE price_card_id = OLD.id) THEN
        RAISE EXCEPTION 'price card % has billed: only its end may change', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER keep_billed_card BEFORE UPDATE OR DELETE ON routing_pricecard
    FOR EACH ROW EXECUTE FUNCTION routing_keep_billed_card();

-- A minute for the clocks of two machines, where an end is set to this moment.
CREATE FUNCTION routing_keep_begun_markup() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz := clock_timestamp();
BEGIN
    IF OLD.valid_from <= moment THEN
        IF TG_OP = 'DELETE'
            OR (NEW.scope, NEW.provider_id, NEW.model_id, NEW.organization_id, NEW.factor, NEW.valid_from)
                IS DISTINCT FROM
                (OLD.scope, OLD.provider_id, OLD.model_id, OLD.organization_id, OLD.factor, OLD.valid_from)
            OR (NEW.valid_until IS DISTINCT FROM OLD.valid_until
                AND (OLD.valid_until <= moment OR NEW.valid_until < moment - interval '1 minute')) THEN
            RAISE EXCEPTION 'markup rule % has begun: it can only be ended', OLD.id USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER keep_begun_markup BEFORE UPDATE OR DELETE ON routing_markuprule
    FOR EACH ROW EXECUTE FUNCTION routing_keep_begun_markup();
"""
BACKWARD = """
DROP TRIGGER keep_begun_markup ON routing_markuprule;
DROP FUNCTION routing_keep_begun_markup();
DROP TRIGGER keep_billed_card ON routing_pricecard;
DROP FUNCTION routing_keep_billed_card();
DROP TRIGGER raise_version ON routing_markuprule;
"""


class Migration(migrations.Migration):
    dependencies = [("routing", "0004_markup_rules"), ("billing", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
