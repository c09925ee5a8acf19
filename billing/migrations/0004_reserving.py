"""Reserving, giving back and sweeping credit, each in one statement of the caller.

Rows are locked in the order of the whole product: holds, windows, accounts, each by id. Whoever waited for a lock sees
the row as it is then, so no two callers can hold the same cent.
"""

from __future__ import annotations

from django.db import migrations

# The open window of this kind, made where there is none and `p_opens` allows it; else NULL. Those who open a window of
# one organization take turns, or two of them could each open one. A stretch never begins before the last one closed.
OPEN_WINDOW = """
CREATE FUNCTION billing_open_window(
    p_organization bigint, p_kind text, p_subscription bigint, p_budget bigint, p_name text, p_limit bigint,
    p_opens_at timestamptz, p_closes_at timestamptz, p_now timestamptz, p_opens boolean
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
    v_last timestamptz;
BEGIN
    FOR attempt IN 1..2 LOOP
        IF p_budget IS NOT NULL THEN
            SELECT w.id INTO v_id FROM billing_window w
             WHERE w.budget_id = p_budget AND w.name = p_name AND w.opens_at <= p_now
               AND (w.closes_at IS NULL OR w.closes_at > p_now)
             ORDER BY w.opens_at DESC LIMIT 1;
        ELSIF p_name = 'period' THEN  -- its end moves with the subscription's
            SELECT w.id INTO v_id FROM billing_window w
             WHERE w.subscription_id = p_subscription AND w.name = p_name AND w.opens_at = p_opens_at;
        ELSE
            SELECT w.id INTO v_id FROM billing_window w
             WHERE w.subscription_id = p_subscription AND w.name = p_name AND w.opens_at <= p_now
               AND w.closes_at > p_now
             ORDER BY w.opens_at DESC LIMIT 1;
        END IF;
        IF v_id IS NOT NULL OR NOT p_opens THEN
            RETURN v_id;
        END IF;
        IF attempt = 1 THEN
            PERFORM pg_advisory_xact_lock(hashtextextended('billing_window', p_organization));
        END IF;
    END LOOP;
    IF p_budget IS NOT NULL THEN
        SELECT MAX(w.closes_at) INTO v_last FROM billing_window w WHERE w.budget_id = p_budget AND w.closes_at <= p_now;
    ELSE
        SELECT MAX(w.closes_at) INTO v_last FROM billing_window w
         WHERE w.subscription_id = p_subscription AND w.name = p_name AND w.closes_at <= p_now;
    END IF;
    INSERT INTO billing_window (organization_id, kind, subscription_id, budget_id, name, limit_nanos, spent_nanos,
                                held_nanos, opens_at, closes_at)
    VALUES (p_organization, p_kind, p_subscription, p_budget, p_name, p_limit, 0, 0,
            CASE WHEN p_name = 'period' THEN p_opens_at ELSE GREATEST(p_opens_at, v_last) END, p_closes_at)
    RETURNING id INTO v_id;
    RETURN v_id;
END $$;
"""

# What is held, or why nothing is: `scope` is NULL where it was held. Nothing is written where it was not, except for
# windows that were opened.
RESERVE = """
CREATE FUNCTION billing_reserve(
    p_hold uuid, p_organization bigint, p_project bigint, p_key bigint, p_source text, p_need bigint, p_floor bigint,
    p_wish bigint, p_lifetime double precision, p_opens boolean,
    OUT amount bigint, OUT epoch bigint, OUT closes_in double precision, OUT scope text, OUT window_name text,
    OUT available bigint, OUT held bigint, OUT limit_of bigint, OUT resets_at timestamptz
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    v_now timestamptz := clock_timestamp();
    v_end timestamptz;
    v_zone text;
    v_suspended timestamptz;
    v_sub billing_subscription%ROWTYPE;
    v_until timestamptz;
    v_budget record;
    v_local timestamp;
    v_window record;
    v_wallet record;
    v_ids bigint[] := '{}';
    v_limits bigint[] := '{}';
    v_scopes text[] := '{}';
    v_ends timestamptz[] := '{}';
    v_id bigint;
    v_room bigint;
    v_latest timestamptz := '-infinity';
    v_closes timestamptz;
    v_has_budget text := '';
BEGIN
    scope := 'wallet'; window_name := ''; available := 0; held := 0;
    SELECT o.timezone, o.suspended_at INTO v_zone, v_suspended FROM accounts_organization o WHERE o.id = p_organization;
    IF NOT FOUND OR v_suspended IS NOT NULL THEN
        RETURN;
    END IF;

    -- The windows in which it counts.
    IF p_source <> 'wallet' THEN
        scope := p_source;
        SELECT s.* INTO v_sub FROM billing_subscription s
         WHERE s.organization_id = p_organization AND s.state <> 'ended';
        IF NOT FOUND THEN
            RETURN;
        END IF;
        v_until := CASE WHEN v_sub.state = 'grace' THEN GREATEST(v_sub.period_end, v_sub.grace_until)
                        ELSE v_sub.period_end END;
        IF v_now < v_sub.period_start OR v_now >= v_until THEN
            window_name := CASE WHEN p_source = 'plan' THEN 'period' ELSE '' END;
            RETURN;
        END IF;
    END IF;
    IF p_source = 'plan' THEN
        FOR v_window IN
            SELECT * FROM (VALUES
                ('period', (v_sub.terms->>'period_nanos')::bigint, v_sub.period_start, v_until),
                ('seven_days', (v_sub.terms->>'seven_days_nanos')::bigint, v_now, v_now + interval '7 days'),
                ('five_hours', (v_sub.terms->>'five_hours_nanos')::bigint, v_now, v_now + interval '5 hours')
            ) AS t(name, room, opens_at, closes_at)
        LOOP
            v_id := billing_open_window(p_organization, 'plan', v_sub.id, NULL, v_window.name, v_window.room,
                                        v_window.opens_at, v_window.closes_at, v_now, p_opens);
            IF v_id IS NULL THEN
                scope := 'plan'; window_name := v_window.name; limit_of := v_window.room;
                RETURN;
            END IF;
            v_ids := v_ids || v_id; v_limits := v_limits || v_window.room; v_scopes := v_scopes || 'plan'::text;
            v_ends := v_ends || CASE WHEN v_window.name = 'period' THEN v_until END;
        END LOOP;
    ELSIF p_source = 'overflow' THEN
        IF NOT v_sub.overflow THEN
            RETURN;
        END IF;
        IF v_sub.overflow_cap_nanos IS NOT NULL THEN
            v_local := date_trunc('month', v_now AT TIME ZONE v_zone);
            v_id := billing_open_window(p_organization, 'overflow', v_sub.id, NULL, 'month', v_sub.overflow_cap_nanos,
                                        v_local AT TIME ZONE v_zone, (v_local + interval '1 month') AT TIME ZONE v_zone,
                                        v_now, p_opens);
            IF v_id IS NULL THEN
                window_name := 'month'; limit_of := v_sub.overflow_cap_nanos;
                RETURN;
            END IF;
            v_ids := v_ids || v_id; v_limits := v_limits || v_sub.overflow_cap_nanos;
            v_scopes := v_scopes || 'overflow'::text; v_ends := v_ends || NULL::timestamptz;
        END IF;
    END IF;
    FOR v_budget IN
        SELECT b.id, b.period, b.limit_nanos, b.created_at, 'key_budget' AS scope FROM billing_budget b
         WHERE b.api_key_id = p_key
        UNION ALL
        SELECT b.id, b.period, b.limit_nanos, b.created_at, 'project_budget' FROM billing_budget b
         WHERE b.project_id = p_project
    LOOP
        IF v_budget.period = 'total' THEN
            v_id := billing_open_window(p_organization, 'budget', NULL, v_budget.id, 'total', v_budget.limit_nanos,
                                        LEAST(v_budget.created_at, v_now), NULL, v_now, p_opens);
        ELSE
            v_local := date_trunc(v_budget.period, v_now AT TIME ZONE v_zone);
            v_id := billing_open_window(p_organization, 'budget', NULL, v_budget.id, v_budget.period,
                                        v_budget.limit_nanos, v_local AT TIME ZONE v_zone,
                                        (v_local + ('1 ' || v_budget.period)::interval) AT TIME ZONE v_zone,
                                        v_now, p_opens);
        END IF;
        IF v_id IS NULL THEN
            scope := v_budget.scope; window_name := v_budget.period; limit_of := v_budget.limit_nanos;
            RETURN;
        END IF;
        v_ids := v_ids || v_id; v_limits := v_limits || v_budget.limit_nanos; v_scopes := v_scopes || v_budget.scope;
        v_ends := v_ends || NULL::timestamptz;
        IF v_has_budget <> 'key_budget' THEN
            v_has_budget := v_budget.scope;
        END IF;
    END LOOP;

    -- The scarcest of them; of equals the one that resets last.
    available := NULL; scope := NULL;
    IF v_ids <> '{}' THEN
        PERFORM 1 FROM billing_window w WHERE w.id = ANY(v_ids) ORDER BY w.id FOR NO KEY UPDATE;
        FOR v_window IN
            SELECT w.id, w.name, w.spent_nanos, w.held_nanos, COALESCE(x.ends, w.closes_at) AS closes_at, x.room, x.scope
              FROM unnest(v_ids, v_limits, v_scopes, v_ends) AS x(id, room, scope, ends)
              JOIN billing_window w ON w.id = x.id ORDER BY w.id
        LOOP
            v_room := v_window.room - v_window.spent_nanos - v_window.held_nanos;
            v_closes := LEAST(v_closes, v_window.closes_at);
            IF available IS NULL OR v_room < available
               OR (v_room = available AND COALESCE(v_window.closes_at, 'infinity') > v_latest) THEN
                available := v_room; held := v_window.held_nanos; limit_of := v_window.room;
                scope := v_window.scope; window_name := v_window.name; resets_at := v_window.closes_at;
                v_latest := COALESCE(v_window.closes_at, 'infinity');
            END IF;
        END LOOP;
    END IF;
    IF p_source = 'plan' THEN
        INSERT INTO billing_ledgeraccount (kind, organization_id, currency, posted_nanos, held_nanos, created_at)
        SELECT 'wallet', p_organization, 'USD', 0, 0, v_now
         WHERE NOT EXISTS (SELECT 1 FROM billing_ledgeraccount a
                            WHERE a.organization_id = p_organization AND a.kind = 'wallet' AND a.currency = 'USD')
            ON CONFLICT DO NOTHING;
        SELECT a.id, a.epoch INTO v_wallet FROM billing_ledgeraccount a
         WHERE a.organization_id = p_organization AND a.kind = 'wallet' AND a.currency = 'USD';
    ELSE
        SELECT a.id, a.epoch, a.posted_nanos - a.held_nanos AS left_over, a.held_nanos INTO v_wallet
          FROM billing_ledgeraccount a
         WHERE a.organization_id = p_organization AND a.kind = 'wallet' AND a.currency = 'USD'
           FOR NO KEY UPDATE;
        v_room := CASE WHEN FOUND THEN v_wallet.left_over ELSE 0 END;
        IF available IS NULL OR v_room <= available OR v_room <= 0 AND available > 0 THEN
            scope := 'wallet'; window_name := ''; available := v_room; limit_of := NULL; resets_at := NULL;
            held := COALESCE(v_wallet.held_nanos, 0);
        END IF;
    END IF;
    epoch := v_wallet.epoch;

    IF v_wallet.id IS NULL OR scope = 'wallet' AND available <= 0 THEN
        RETURN;
    ELSIF available >= p_need THEN
        amount := GREATEST(p_need, LEAST(p_wish, available / 8));
    ELSIF available >= p_floor AND available > 0 THEN
        amount := available;
    ELSE
        RETURN;
    END IF;

    UPDATE billing_window w
       SET held_nanos = w.held_nanos + amount, limit_nanos = x.room, closes_at = COALESCE(x.ends, w.closes_at)
      FROM unnest(v_ids, v_limits, v_ends) AS x(id, room, ends) WHERE w.id = x.id;
    IF p_source <> 'plan' THEN
        UPDATE billing_ledgeraccount a SET held_nanos = a.held_nanos + amount WHERE a.id = v_wallet.id;
    END IF;
    v_end := clock_timestamp();
    INSERT INTO billing_hold (id, account_id, organization_id, project_id, api_key_id, source, window_ids,
                              overflow_allowed, epoch, settled_nanos, settled_count, amount_nanos, remaining_nanos,
                              currency, state, created_at, expires_at)
    VALUES (p_hold, v_wallet.id, p_organization, CASE WHEN v_has_budget <> '' THEN p_project END,
            CASE WHEN v_has_budget = 'key_budget' THEN p_key END, p_source, v_ids,
            p_source = 'plan' AND v_sub.overflow, v_wallet.epoch, 0, 0, amount, amount, 'USD', 'open', v_end,
            v_end + make_interval(secs => p_lifetime));
    closes_in := EXTRACT(EPOCH FROM v_closes - v_end)::double precision;
    scope := NULL;
END $$;
"""

# Takes what was freed in these holds off their windows and wallets.
FREE = """
CREATE FUNCTION billing_free(p_ids uuid[], p_freed bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_windows bigint[];
    v_accounts bigint[];
BEGIN
    SELECT array_agg(DISTINCT x) INTO v_windows FROM billing_hold h, unnest(h.window_ids) x WHERE h.id = ANY(p_ids);
    IF v_windows IS NOT NULL THEN
        PERFORM 1 FROM billing_window w WHERE w.id = ANY(v_windows) ORDER BY w.id FOR NO KEY UPDATE;
        UPDATE billing_window w SET held_nanos = w.held_nanos - d.freed
          FROM (SELECT x AS id, SUM(f.freed)::bigint AS freed
                  FROM unnest(p_ids, p_freed) AS f(id, freed) JOIN billing_hold h ON h.id = f.id, unnest(h.window_ids) x
                 GROUP BY x) d
         WHERE w.id = d.id;
    END IF;
    SELECT array_agg(DISTINCT h.account_id) INTO v_accounts FROM billing_hold h
     WHERE h.id = ANY(p_ids) AND h.source <> 'plan';
    IF v_accounts IS NOT NULL THEN
        PERFORM 1 FROM billing_ledgeraccount a WHERE a.id = ANY(v_accounts) ORDER BY a.id FOR NO KEY UPDATE;
        UPDATE billing_ledgeraccount a SET held_nanos = a.held_nanos - d.freed
          FROM (SELECT h.account_id AS id, SUM(f.freed)::bigint AS freed
                  FROM unnest(p_ids, p_freed) AS f(id, freed) JOIN billing_hold h ON h.id = f.id AND h.source <> 'plan'
                 GROUP BY h.account_id) d
         WHERE a.id = d.id;
    END IF;
END $$;
"""

# Each function answers how many holds it changed. Holds that are not open any more stay as they are.
GIVE_BACK = """
CREATE FUNCTION billing_give_back(p_ids uuid[], p_spent bigint[], p_counts bigint[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
    v_freed bigint[];
BEGIN
    PERFORM 1 FROM billing_hold h WHERE h.id = ANY(p_ids) ORDER BY h.id FOR NO KEY UPDATE;
    WITH before AS (
        SELECT h.id, h.remaining_nanos, g.spent, g.count, h.settled_count >= g.count AS done,
               CASE WHEN h.settled_count >= g.count THEN 0
                    ELSE GREATEST(0, LEAST(h.amount_nanos, g.spent) - h.settled_nanos) END AS remaining
          FROM unnest(p_ids, p_spent, p_counts) AS g(id, spent, count)
          JOIN billing_hold h ON h.id = g.id AND h.state = 'open'
    ), changed AS (
        UPDATE billing_hold h
           SET state = CASE WHEN before.done THEN 'done' ELSE 'returned' END, returned_nanos = before.spent,
               returned_count = before.count, remaining_nanos = before.remaining, closed_at = clock_timestamp()
          FROM before WHERE h.id = before.id
        RETURNING h.id, before.remaining_nanos - before.remaining AS freed
    )
    SELECT array_agg(id), array_agg(freed) INTO v_ids, v_freed FROM changed;
    PERFORM billing_free(v_ids, v_freed) WHERE v_ids IS NOT NULL;
    RETURN COALESCE(cardinality(v_ids), 0);
END $$;
"""

RELEASE = """
CREATE FUNCTION billing_release(p_id uuid, p_nanos bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_freed bigint;
BEGIN
    SELECT LEAST(p_nanos, h.remaining_nanos) INTO v_freed FROM billing_hold h
     WHERE h.id = p_id AND h.state = 'open' FOR NO KEY UPDATE;
    IF v_freed > 0 THEN
        UPDATE billing_hold h
           SET amount_nanos = h.amount_nanos - v_freed, remaining_nanos = h.remaining_nanos - v_freed WHERE h.id = p_id;
        PERFORM billing_free(ARRAY[p_id], ARRAY[v_freed]);
    END IF;
    RETURN COALESCE(v_freed, 0);
END $$;
"""

# Rows that somebody is just settling or giving back are their business: skip them.
SWEEP = """
CREATE FUNCTION billing_sweep(p_before timestamptz, p_most bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
    v_freed bigint[];
BEGIN
    WITH expired AS (
        SELECT h.id, h.remaining_nanos FROM billing_hold h
         WHERE h.state IN ('open', 'returned') AND h.expires_at < p_before
         ORDER BY h.expires_at LIMIT p_most FOR NO KEY UPDATE SKIP LOCKED
    ), swept AS (
        UPDATE billing_hold h SET state = 'swept', remaining_nanos = 0, closed_at = clock_timestamp()
          FROM expired WHERE h.id = expired.id RETURNING h.id, expired.remaining_nanos AS freed
    )
    SELECT array_agg(id), array_agg(freed) INTO v_ids, v_freed FROM swept;
    PERFORM billing_free(v_ids, v_freed) WHERE v_ids IS NOT NULL;
    RETURN COALESCE(cardinality(v_ids), 0);
END $$;
"""

DROP = """
DROP FUNCTION billing_sweep(timestamptz, bigint);
DROP FUNCTION billing_release(uuid, bigint);
DROP FUNCTION billing_give_back(uuid[], bigint[], bigint[]);
DROP FUNCTION billing_free(uuid[], bigint[]);
DROP FUNCTION billing_reserve(uuid, bigint, bigint, bigint, text, bigint, bigint, bigint, double precision, boolean);
DROP FUNCTION billing_open_window(bigint, text, bigint, bigint, text, bigint, timestamptz, timestamptz, timestamptz,
                                  boolean);
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_slices"), ("accounts", "0003_limits")]

    operations = [migrations.RunSQL(OPEN_WINDOW + RESERVE + FREE + GIVE_BACK + RELEASE + SWEEP, DROP)]
