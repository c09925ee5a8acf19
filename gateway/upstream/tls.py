"""Whom we trust."""

from __future__ import annotations

import ssl

import certifi


def client_context() -> ssl.SSLContext:
    """Checks certificate and host name. SSL_CERT_FILE and SSL_CERT_DIR replace the system's authorities."""
    paths = ssl.get_default_verify_paths()  # looks at those two variables
    found = paths.cafile or paths.capath
    context = ssl.create_default_context(cafile=None if found else certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
