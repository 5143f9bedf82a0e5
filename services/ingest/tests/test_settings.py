"""Settings that nobody can run with are refused in one line that repeats no secret."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import SecretStr, ValidationError

from feedgate_ingest.__main__ import build
from feedgate_ingest.settings import IngestSettings
from feedgate_kit.sealing import key_id_of, private_key_text
from feedgate_kit.settings import SettingsError

KEY = X25519PrivateKey.generate()


def settings(**fields: object) -> IngestSettings:
    return IngestSettings.model_validate({"pool_private_key": SecretStr(private_key_text(KEY)), **fields})


def test_a_key_without_a_name_has_the_one_made_from_it() -> None:
    last = X25519PrivateKey.generate()
    text = f"{private_key_text(KEY)}\nsite-1 {private_key_text(last)}\n"
    keys = settings(pool_private_key=SecretStr(text)).load_pool_keys().private_keys
    assert list(keys) == [key_id_of(KEY.public_key()), "site-1"]
    assert private_key_text(keys["site-1"]) == private_key_text(last)


def test_a_key_does_not_show_itself() -> None:
    assert private_key_text(KEY) not in repr(settings()) + repr(settings().load_pool_keys())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "is not set"),
        (SecretStr("c2VjcmV0"), "has 6 bytes"),
        (SecretStr("!"), "base64"),
        (SecretStr(" \n"), "there is no private key"),
        (SecretStr(f"a b {private_key_text(KEY)}"), "a name and a key"),
        (SecretStr(f"{private_key_text(KEY)}\n" * 2), "that no other line has"),
    ],
)
def test_a_key_that_is_none_is_named(value: SecretStr | None, said: str) -> None:
    with pytest.raises(SettingsError, match=f"FEEDGATE_INGEST_POOL_PRIVATE_KEY.*{said}") as caught:
        settings(pool_private_key=value).load_pool_keys()
    assert "c2VjcmV0" not in str(caught.value)


def test_networks_are_networks() -> None:
    with pytest.raises(ValidationError):
        settings(own_networks=["10.0.0.1/8"])


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "TOKEN_URL"),
        ({"token_url": "http://127.0.0.1/token"}, "CLIENT_SECRET"),
    ],
)
def test_alone_it_needs_a_login_for_registry(fields: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match=f"FEEDGATE_INGEST_{named} is not set"):
        build(settings(**fields))


async def test_alone_it_is_put_together() -> None:
    service = build(settings(token_url="http://127.0.0.1/token", client_secret=SecretStr("x")))
    assert service.name == "ingest"
    assert service.readiness.waiting_for() == ["the owners' will, fresh"]
