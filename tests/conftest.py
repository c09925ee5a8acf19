"""One PostgreSQL and one Valkey for each process of a run, in a folder that is deleted afterwards.

They are started when this file is imported: pytest-django reads the settings right after, because they are named
here and not in pyproject.toml. DATABASE_URL and REDIS_URL, where given, are used instead.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routerone.embedded.paths import embedded_paths
from routerone.embedded.postgres import PostgresServer
from routerone.embedded.valkey import ValkeyServer


def _start_servers() -> Path:
    """The folder is passable for the user that runs PostgreSQL where root runs the tests; what is in it is not."""
    home = Path(tempfile.mkdtemp(prefix="r1-tests-"))
    if os.geteuid() == 0:
        home.chmod(0o711)
    paths = embedded_paths(home)
    servers = [PostgresServer(paths, durable=False)] if not os.environ.get("DATABASE_URL") else []
    others = [ValkeyServer(paths, durable=False)] if not os.environ.get("REDIS_URL") else []
    owner = os.getpid()

    def stop() -> None:
        if os.getpid() != owner:  # a forked child that ends must not stop them
            return
        for server in (*others, *servers):
            server.stop()
        for folder in paths.everything():
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    for server in (*servers, *others):
        server.start()
    return home


os.environ["ROUTERONE_HOME"] = str(_start_servers())
for _name in ("ROUTERONE_PG_SOCKET", "ROUTERONE_VALKEY_SOCKET"):
    os.environ.pop(_name, None)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "routerone.settings")
os.environ.setdefault("TRIAL_CREDIT_USD", "1.00")

import django  # noqa: E402  # the settings need the servers above

django.setup()  # now, so that test modules can import tables at their top


def pytest_configure() -> None:
    """Quick passwords. The hash says how often it was repeated, so a server beside the tests can check them too."""
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["tests.quick_passwords.QuickHasher"]  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """The processes of a run start servers of their own before they read the settings, as this one did."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several processes one runs all of a file, but for tests of the running product: it stays up and fills its
    process's database, so these come last everywhere (pytest-django puts them there)."""
    for item in items:
        product = "processes" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group(f"{item.path}{' with the product' if product else ''}"))


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The run's Valkey, empty at the start of each test that uses it."""
    from django.conf import settings

    return str(settings.REDIS_URL)


@pytest.fixture
def conninfo(transactional_db: None) -> str:
    """A libpq string to the test database for pools beside the ORM; what they write is seen and flushed afterwards."""
    from routerone.settings import database_conninfo

    return database_conninfo()


@pytest.fixture(autouse=True)
def _empty_redis(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave nothing behind in Redis for the next test, where the test may have used it."""
    yield
    if "stack" in request.fixturenames:  # a running product keeps its journal there
        return
    if {"redis_url", "db", "transactional_db", "conninfo", "client"} & set(request.fixturenames):
        import redis
        from django.conf import settings

        with redis.Redis.from_url(str(settings.REDIS_URL)) as store:
            store.flushdb()


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database, also where only whole stories run, which carry no mark.

    Transactional tests clean up with TRUNCATE, which the tables of money refuse; one test switches that on again.
    """
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default"})
        with connection.cursor() as cursor:
            for table in ("billing_entry", "billing_transfer", "billing_usagerecord"):
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_not_emptied")
    yield
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:  # whatever a killed process or a browser's thread has left open
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        teardown_databases(made, verbosity=0)
