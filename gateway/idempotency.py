"""`Idempotency-Key`: the same request is made once. Answers are not stored, so a repetition is told about the first.

Rows live in PostgreSQL for a day, as keyed hashes: neither the caller's key nor its body can be read from them.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from gateway.errors import BadRequest, Conflict, NotAvailable, Unprocessable

log = structlog.get_logger(__name__)

HEADER = b"idempotency-key"
LONGEST = 255
_KEPT = "24 hours"

# Whoever inserts the row, or takes over one whose request can't be running any more, makes the request.
_CLAIM = f"""
INSERT INTO billing_idempotencykey AS known (hash, body_hash, request_id, is_running, created_at, runs_until)
VALUES (%(hash)s, %(body)s, %(request)s, true, now(), now() + make_interval(secs => %(longest)s))
    ON CONFLICT (hash) DO UPDATE SET body_hash = excluded.body_hash, request_id = excluded.request_id,
       is_running = true, created_at = now(), runs_until = excluded.runs_until
 WHERE known.created_at < now() - interval '{_KEPT}' OR (known.is_running AND known.runs_until < now())
RETURNING true
"""  # noqa: S608 - the interval is a constant
_LOOK = """
SELECT body_hash, request_id, is_running, GREATEST(1, EXTRACT(EPOCH FROM runs_until - now()))::int
  FROM billing_idempotencykey WHERE hash = %s
"""
_DONE = "UPDATE billing_idempotencykey SET is_running = false WHERE hash = %s AND request_id = %s"
_FREE = "DELETE FROM billing_idempotencykey WHERE hash = %s AND request_id = %s"


class Idempotency:
    """Over a pool of psycopg connections."""

    def __init__(self, pool: AsyncConnectionPool[Any], *, pepper: bytes, longest_s: float) -> None:
        self._pool = pool
        self._pepper = pepper
        self._longest_s = longest_s

    async def claim(self, key: str, api_key_id: int, body: bytes, request_id: str) -> bytes:
        """The claim of this request on this key, for `end`.

        Raises Conflict where the first request runs or has finished, Unprocessable where it had another body,
        BadRequest for a key that is too long, NotAvailable.
        """
        if len(key) > LONGEST:
            raise BadRequest(f"An Idempotency-Key has at most {LONGEST} characters.", code="invalid_idempotency_key")
        claim = self._hash(b"key", str(api_key_id).encode(), key.encode("utf-8", "replace"))
        body_hash = self._hash(b"body", body)
        parameters = {"hash": claim, "body": body_hash, "request": request_id, "longest": self._longest_s}
        try:
            async with self._pool.connection(timeout=2.0) as connection:
                if await (await connection.execute(_CLAIM, parameters)).fetchone():
                    return claim
                row = await (await connection.execute(_LOOK, [claim])).fetchone()
        except (psycopg.Error, PoolTimeout, PoolClosed, OSError) as error:
            log.warning("idempotency_unavailable", error_class=type(error).__name__)
            raise NotAvailable("Idempotency-Key can't be checked right now.", retry_after_s=2) from None
        if row is None:  # freed in between by a first request that failed
            return await self.claim(key, api_key_id, body, request_id)
        raise _told(row, body_hash)

    async def end(self, claim: bytes, request_id: str, *, answered: bool) -> None:
        """A request that failed without a charge frees its key, so that it can be made again."""
        try:
            async with self._pool.connection(timeout=2.0) as connection:
                await connection.execute(_DONE if answered else _FREE, [claim, request_id])
        except (psycopg.Error, PoolTimeout, PoolClosed, OSError) as error:
            log.warning("idempotency_not_ended", error_class=type(error).__name__)  # it runs out by itself

    def _hash(self, *parts: bytes) -> bytes:
        return hmac.new(self._pepper, b"\0".join(parts), hashlib.sha256).digest()


def _told(row: Any, body_hash: bytes) -> Exception:
    first_body, request_id, is_running, seconds = row
    first = "gen-" + str(request_id).replace("-", "")
    if bytes(first_body) != body_hash:
        return Unprocessable(
            "This Idempotency-Key was used for another request. Use a new key for a new request.",
            code="idempotency_key_reused",
            param="Idempotency-Key",
        )
    if is_running:
        return Conflict(
            "A request with this Idempotency-Key is still running.",
            code="idempotency_key_in_use",
            retry_after_s=min(int(seconds), 10),
            details={"request_id": first},
        )
    return Conflict(
        f"The request with this Idempotency-Key has finished as {first}. Answers are not stored; its receipt is at"
        f" GET /v1/generation?id={first}.",
        code="idempotency_key_finished",
        details={"request_id": first},
    )
