"""Settings. The environment is read and checked here, at the top, and nowhere else."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from psycopg.conninfo import make_conninfo

from routerone.embedded.paths import embedded_paths, load_or_create_secrets

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()


# --- What the environment says -------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
TESTING = "pytest" in sys.modules
HOME = Path(env.str("ROUTERONE_HOME", default=str(BASE_DIR / ".routerone")))
DATABASE_URL = env.str("DATABASE_URL", default="")
REDIS_URL = env.str("REDIS_URL", default="")
JOURNAL_URL = env.str("JOURNAL_URL", default="")
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
EMBEDDED = not DATABASE_URL  # the evaluation set-up: everything on this machine, sandbox provider on

if EMBEDDED:
    _secrets = load_or_create_secrets(HOME)
    SECRET_KEY = env.str("SECRET_KEY", default=_secrets["SECRET_KEY"])
    API_KEY_PEPPER = env.str("API_KEY_PEPPER", default=_secrets["API_KEY_PEPPER"])
    CREDENTIAL_KEYS = env.list("CREDENTIAL_KEYS", default=[_secrets["CREDENTIAL_KEY"]])
    RECEIPT_SIGNING_KEY = env.str("RECEIPT_SIGNING_KEY", default=_secrets["RECEIPT_SIGNING_KEY"])
else:
    SECRET_KEY = env.str("SECRET_KEY")
    API_KEY_PEPPER = env.str("API_KEY_PEPPER")
    CREDENTIAL_KEYS = env.list("CREDENTIAL_KEYS")  # Fernet keys; the first encrypts, all decrypt
    RECEIPT_SIGNING_KEY = env.str("RECEIPT_SIGNING_KEY", default="")  # "" for no signed receipts
    if not REDIS_URL:
        raise ImproperlyConfigured("DATABASE_URL is set, so REDIS_URL must be set too.")

RECEIPT_OLD_PUBLIC_KEYS = env.list("RECEIPT_OLD_PUBLIC_KEYS", default=[])  # still published after a change of the key
for _key in [*RECEIPT_OLD_PUBLIC_KEYS, *([RECEIPT_SIGNING_KEY] if RECEIPT_SIGNING_KEY else [])]:
    if not re.fullmatch("[0-9a-f]{64}", _key):
        raise ImproperlyConfigured("Keys of receipts are 64 lower-case hexadecimal digits each.")

TRIAL_CREDIT_USD = env.str("TRIAL_CREDIT_USD", default="1.00")  # granted to a new organization at sign-up; "0" for none
MARKUP = env.str("MARKUP", default="1")  # factor on the price card
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")  # whoever sends it as a bearer may read /metrics
MAX_BODY_BYTES = env.int("MAX_BODY_BYTES", default=32 * 1024 * 1024)
MAX_REQUEST_S = env.float("MAX_REQUEST_S", default=900.0)  # a request is ended after this long
DRAIN_S = env.float("DRAIN_S", default=120.0)  # how long running streams may finish after SIGTERM
FIRST_BYTE_TIMEOUT_S = env.float("FIRST_BYTE_TIMEOUT_S", default=120.0)
STALL_TIMEOUT_S = env.float("STALL_TIMEOUT_S", default=90.0)
KEEP_ALIVE_S = env.float("KEEP_ALIVE_S", default=10.0)  # silence after which a stream gets a sign of life
UPSTREAM_TRANSPORT = env.str("UPSTREAM_TRANSPORT", default="pooled")  # or httpx, the slower reference
SLICE_LEASE_S = env.float("SLICE_LEASE_S", default=60.0)  # how long a process may admit requests on a lease of credit
HOLD_MARGIN_S = env.float("HOLD_MARGIN_S", default=60.0)  # a lease outlives the longest request by this
SWEEP_MARGIN_S = env.float("SWEEP_MARGIN_S", default=60.0)  # an expired lease is freed this much later
JOURNAL_STALLED_S = env.float("JOURNAL_STALLED_S", default=15.0)  # then the gateway settles by itself
JOURNAL_SHARDS = env.int("JOURNAL_SHARDS", default=2)  # streams; the same in every process of an installation
GATEWAY_PROCESSES = env.int("GATEWAY_PROCESSES", default=1)  # share of a limit per process while Redis is away
GATEWAY_DB_POOL_MAX = env.int("GATEWAY_DB_POOL_MAX", default=16)
LOG_RETENTION_DAYS = env.int("LOG_RETENTION_DAYS", default=90)  # charge records are kept, whatever their age
DEFAULT_REQUESTS_PER_MINUTE = env.int("DEFAULT_REQUESTS_PER_MINUTE", default=600)
SANDBOX_ENABLED = env.bool("SANDBOX_ENABLED", default=EMBEDDED)
SANDBOX_URL = env.str("SANDBOX_URL", default="")  # set by the supervisor
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["*"] if EMBEDDED else [])
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])  # networks whose X-Forwarded-For is believed
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[PUBLIC_URL])
SECURE = env.bool("SECURE", default=PUBLIC_URL.startswith("https://"))
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")

# --- Stores --------------------------------------------------------------------------------------------------------
_paths = embedded_paths(HOME)
if EMBEDDED:
    _database: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": env.str("ROUTERONE_PG_NAME", default="routerone"),
        "USER": "routerone",
        "HOST": env.str("ROUTERONE_PG_SOCKET", default=str(_paths.postgres_socket)),
        "PORT": "5432",  # the socket's name; libpq would take PGPORT
    }
else:
    _database = dict(env.db_url_config(DATABASE_URL))
_database["CONN_MAX_AGE"] = 0
_database.setdefault("OPTIONS", {})
DB_POOL_MAX = env.int("DB_POOL_MAX", default=10)  # connections per process; 0 for none kept
if DB_POOL_MAX and not TESTING:
    # A pool, not CONN_MAX_AGE: under ASGI a kept connection leaks with its thread.
    _database["OPTIONS"]["pool"] = {"min_size": 1, "max_size": DB_POOL_MAX, "timeout": 10}
DATABASES = {"default": _database}


def database_conninfo() -> str:
    """The libpq string of the default database, for what talks to PostgreSQL without the ORM."""
    parts = {
        "dbname": _database["NAME"],  # read at the call: tests change it
        "user": _database.get("USER") or None,
        "password": _database.get("PASSWORD") or None,
        "host": _database.get("HOST") or None,
        "port": _database.get("PORT") or None,
    }
    return make_conninfo(**{k: str(v) for k, v in parts.items() if v})


DATABASE_CONNINFO = database_conninfo  # Django shows only upper-case names of this file


if not REDIS_URL:
    REDIS_URL = f"unix://{env.str('ROUTERONE_VALKEY_SOCKET', default=str(_paths.valkey_socket))}?db=0"
JOURNAL_URL = JOURNAL_URL or REDIS_URL
_celery_broker = REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")

CACHES = {
    "default": {
        "BACKEND": "accounts.fallback_cache.FallbackCache",  # log-in limits hold, per process, without Redis too
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "r1",
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 1, "SOCKET_TIMEOUT": 1},
    }
}
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [REDIS_URL], "prefix": "r1ch"}}
}
SESSION_ENGINE = "django.contrib.sessions.backends.db"  # losing Redis must not log anybody out

CELERY_BROKER_URL = _celery_broker
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    # A run goes on and hands over to the next by itself; this starts it again after a crash.
    "follow-journal": {"task": "gateway.tasks.follow_journal", "schedule": 5.0, "options": {"expires": 5}},
    "keep-log": {"task": "observability.tasks.keep_log", "schedule": 6 * 3600.0, "options": {"expires": 3600}},
    "add-up-usage": {"task": "observability.tasks.add_up_usage", "schedule": 1800.0, "options": {"expires": 1800}},
    "prove-ledger": {"task": "billing.tasks.prove_ledger", "schedule": 3600.0, "options": {"expires": 3600}},
    "renew-plans": {"task": "billing.tasks.renew_plans", "schedule": 60.0, "options": {"expires": 60}},
    "expire-credit": {"task": "billing.tasks.expire_credit", "schedule": 60.0, "options": {"expires": 60}},
    "forget-idempotency-keys": {
        "task": "billing.tasks.forget_idempotency_keys",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "probe-providers": {"task": "routing.tasks.probe", "schedule": 60.0, "options": {"expires": 60}},
    "end-credentials": {"task": "routing.tasks.end_credentials", "schedule": 60.0, "options": {"expires": 60}},
    "sweep-holds": {"task": "gateway.tasks.sweep_holds", "schedule": 30.0, "options": {"expires": 30}},
}

# --- Django --------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "daphne",
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "channels",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "routerone",
    "accounts",
    "billing",
    "routing",
    "observability",
    "gateway",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "routerone.middleware.SecurityHeadersMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.PreferencesMiddleware",
    "routerone.middleware.ChinesePathMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
ROOT_URLCONF = "routerone.urls"
ASGI_APPLICATION = "routerone.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "billing.context.wallet",
            ],
        },
    }
]
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = DEBUG

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/overview"
LOGOUT_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_EMAIL_VERIFICATION = env.str("EMAIL_VERIFICATION", default="none" if EMBEDDED else "mandatory")
ACCOUNT_FORMS = {"signup": "accounts.forms.SignupForm"}
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True  # only in the browser that signed up
ACCOUNT_ADAPTER = "accounts.signup.AccountAdapter"
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key", "signup": "20/m/ip"}
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_SESSION_REMEMBER = True
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_ADAPTER = "accounts.mfa.SecondFactorAdapter"
MFA_TOTP_TOLERANCE = 1  # one step of 30 s either way: phones' clocks drift
MFA_ALLOW_UNVERIFIED_EMAIL = ACCOUNT_EMAIL_VERIFICATION != "mandatory"
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)  # whose X-Forwarded-For the rate limits believe

EMAIL_BACKEND = EMAIL_CONFIG["EMAIL_BACKEND"]
EMAIL_HOST = EMAIL_CONFIG.get("EMAIL_HOST", "")
EMAIL_PORT = EMAIL_CONFIG.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = EMAIL_CONFIG.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = EMAIL_CONFIG.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = EMAIL_CONFIG.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = EMAIL_CONFIG.get("EMAIL_USE_SSL", False)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Router One <no-reply@localhost>")

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "routerone" / "locale"]
FORMAT_MODULE_PATH = "routerone.formats"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024  # pages only; the gateway has its own limit
APPEND_SLASH = False

# --- Security ------------------------------------------------------------------------------------------------------
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=SECURE)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # probes come by plain http
SECURE_HSTS_SECONDS = 31536000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_TLS_PROXY", default=False) else None
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS: list[str] = []

# --- Admin ---------------------------------------------------------------------------------------------------------
UNFOLD = {
    "SITE_TITLE": "Router One",
    "SITE_HEADER": "Router One",
    "SITE_SUBHEADER": _("Staff and finance"),
    "SITE_URL": "/overview",
    "SHOW_HISTORY": True,
    "COLORS": {
        "primary": {
            "50": "oklch(97% .016 215)",
            "100": "oklch(94% .03 215)",
            "200": "oklch(89% .05 215)",
            "300": "oklch(81% .08 215)",
            "400": "oklch(70% .1 215)",
            "500": "oklch(57% .095 217)",
            "600": "oklch(47% .085 219)",
            "700": "oklch(41% .075 220)",
            "800": "oklch(35% .065 221)",
            "900": "oklch(30% .055 222)",
            "950": "oklch(22% .045 222)",
        }
    },
}

# --- Logging: one JSON line per event, request id inside -----------------------------------------------------------
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOGGING_CONFIG = "observability.logging.configure"
LOGGING: dict[str, Any] = {"level": LOG_LEVEL, "json": env.bool("LOG_JSON", default=not sys.stderr.isatty())}
