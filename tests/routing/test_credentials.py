from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from routing.credentials import CredentialUnreadable, decrypt, encrypt, rotate
from routing.models import Credential, Provider

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_a_secret_opens_with_any_of_the_keys_and_none_other() -> None:
    token = encrypt("s3cret", [OLD])
    assert b"s3cret" not in token
    assert decrypt(token, [NEW, OLD]) == "s3cret"
    with pytest.raises(CredentialUnreadable):
        decrypt(token, [NEW])


def test_rotation_moves_a_secret_to_the_first_key() -> None:
    assert decrypt(rotate(encrypt("s3cret", [OLD]), [NEW, OLD]), [NEW]) == "s3cret"


def test_without_keys_nothing_is_encrypted() -> None:
    with pytest.raises(ValueError, match="at least one"):
        encrypt("s3cret", [])


@pytest.mark.django_db
def test_the_command_moves_every_stored_credential(settings: Any) -> None:
    provider = Provider.objects.create(slug="p", name="P")
    Credential.objects.create(provider=provider, secret_encrypted=encrypt("s3cret", [OLD]))
    settings.CREDENTIAL_KEYS = [NEW, OLD]
    call_command("rotate_credentials", verbosity=0)
    assert decrypt(Credential.objects.get().secret_encrypted, [NEW]) == "s3cret"


@pytest.mark.django_db
def test_the_command_changes_nothing_when_one_credential_cannot_be_opened(settings: Any) -> None:
    provider = Provider.objects.create(slug="p", name="P")
    Credential.objects.create(provider=provider, name="a", secret_encrypted=encrypt("s3cret", [OLD]))
    Credential.objects.create(
        provider=provider, name="b", secret_encrypted=encrypt("x", [Fernet.generate_key().decode()])
    )
    settings.CREDENTIAL_KEYS = [NEW, OLD]
    with pytest.raises(CommandError, match="nothing was changed"):
        call_command("rotate_credentials", verbosity=0)
    assert decrypt(Credential.objects.get(name="a").secret_encrypted, [OLD]) == "s3cret"
