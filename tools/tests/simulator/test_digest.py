from feedgate_tools.simulator.digest import Credentials, DigestChallenge, digest_response

MUFASA = Credentials("Mufasa", "Circle Of Life")
NONCE = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
URI = "rtsp://camera/cam0"


def authorization(credentials: Credentials, challenge: DigestChallenge, nonce: str, method: str) -> str:
    response = digest_response(credentials, challenge.realm, nonce, method, URI)
    return (
        f'Digest username="{credentials.user}", realm="{challenge.realm}", nonce="{nonce}", '
        f'uri="{URI}", response="{response}"'
    )


def test_the_response_is_that_of_the_rfc() -> None:
    # RFC 2617 §3.5 has it with qop; without, by §3.2.2.1, openssl gives this for the same values.
    response = digest_response(MUFASA, "testrealm@host.com", NONCE, "GET", "/dir/index.html")
    assert response == "670fd8c2df070c60b045671b8b24ff02"


def test_only_the_right_password_to_this_challenge_and_method_will_do() -> None:
    challenge = DigestChallenge(MUFASA, nonce=NONCE)
    wrong_password, wrong_user = Credentials("Mufasa", "Hakuna"), Credentials("Scar", "Circle Of Life")
    right = authorization(MUFASA, challenge, NONCE, "DESCRIBE")
    assert challenge.is_met(right, "DESCRIBE")
    assert not challenge.is_met(right, "SETUP")
    assert not challenge.is_met(None, "DESCRIBE")
    assert not challenge.is_met("Basic TXVmYXNhOkNpcmNsZSBPZiBMaWZl", "DESCRIBE")
    assert not challenge.is_met(authorization(wrong_password, challenge, NONCE, "DESCRIBE"), "DESCRIBE")
    assert not challenge.is_met(authorization(wrong_user, challenge, NONCE, "DESCRIBE"), "DESCRIBE")
    assert not challenge.is_met(authorization(MUFASA, challenge, "0" * 32, "DESCRIBE"), "DESCRIBE")


def test_two_challenges_differ() -> None:
    assert DigestChallenge(MUFASA).nonce != DigestChallenge(MUFASA).nonce


def test_a_password_is_not_shown() -> None:
    assert "Circle" not in repr(DigestChallenge(MUFASA))
