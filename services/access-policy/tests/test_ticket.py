import json
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from feedgate_access_policy.ticket import Ticket, TicketKeyError, TicketKeyFile, TicketKeys

ISSUED_US = 1_800_000_000_250_000
TICKET = Ticket(
    ticket_id="t",
    operator="op-1",
    agency="policia-sur",
    grant_id="g",
    camera_id="c",
    stream="c/original",
    purpose="investigate",
    issued_at_us=ISSUED_US,
    view_until_us=ISSUED_US + 3_600_000_000,
)


def test_a_ticket_is_signed_by_the_first_key_and_says_what_it_opens() -> None:
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    keys = TicketKeys([new, old])
    text = keys.sign(TICKET)
    claims = jwt.decode(
        text,
        new.public_key(),
        algorithms=["EdDSA"],
        audience="feedgate-relay",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims == {
        "iss": "feedgate-access-policy",
        "aud": "feedgate-relay",
        "jti": "t",
        "sub": "op-1",
        "agency": "policia-sur",
        "grant": "g",
        "camera": "c",
        "stream": "c/original",
        "purpose": "investigate",
        "iat": 1_800_000_000,
        "exp": 1_800_000_060,
        "issued_at_us": ISSUED_US,
        "view_until_us": ISSUED_US + 3_600_000_000,
    }
    published = keys.jwks()["keys"]
    assert jwt.get_unverified_header(text)["kid"] == published[0]["kid"]
    assert len({key["kid"] for key in published}) == 2


def test_what_is_published_verifies_and_holds_no_private_half() -> None:
    keys = TicketKeys([Ed25519PrivateKey.generate()])
    [published] = keys.jwks()["keys"]
    assert "d" not in published
    public = jwt.PyJWK.from_json(json.dumps(published))
    jwt.decode(
        keys.sign(TICKET),
        public,
        algorithms=["EdDSA"],
        audience="feedgate-relay",
        options={"verify_exp": False, "verify_iat": False},
    )


def pem_of(key: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_the_keys_of_a_file_are_believed_and_the_first_one_signs_also_once_it_has_changed(
    tmp_path: Path,
) -> None:
    last, coming = [Ed25519PrivateKey.generate() for _ in range(2)]
    file = tmp_path / "ticket.pem"
    followed: TicketKeyFile | None = None
    for keys in ([last], [last, coming], [coming, last], [coming]):
        replaced = tmp_path / "ticket.new"
        replaced.write_bytes(b"".join(map(pem_of, keys)))
        replaced.replace(file)
        followed = followed or TicketKeyFile(file)
        assert followed.jwks() == TicketKeys(keys).jwks()
        assert jwt.get_unverified_header(followed.sign(TICKET))["kid"] == followed.jwks()["keys"][0]["kid"]
    assert followed is not None
    file.write_bytes(b"no key")
    assert followed.jwks() == TicketKeys([coming]).jwks(), "a file that cannot be used changes nothing"


@pytest.mark.parametrize(
    "content",
    [None, b"", b"no key", pem_of(X25519PrivateKey.generate())],
    ids=["absent", "empty", "text", "X25519"],
)
def test_a_file_without_such_a_key_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TicketKeyError, match=r"key\.pem"):
        TicketKeyFile(file)
