import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedgate_kit.addresses import (
    SPECIAL_BLOCKS,
    AddressClass,
    RtspUrl,
    RtspUrlError,
    address_words,
    judge_addresses,
    parse_networks,
    parse_rtsp_url,
)

PASSWORD = "hunter2-hunter2"


def judged(address: str, *allowed: str, own: tuple[str, ...] = ()) -> str | None:
    """The class of the refusal, None where there is none."""
    refusals = judge_addresses([ip_address(address)], parse_networks(allowed), parse_networks(own))
    return refusals[0].address_class.value if refusals else None


@pytest.mark.parametrize(
    ("address", "refused_as"),
    [
        ("8.8.8.8", None),
        ("2606:4700::1111", None),
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("169.254.7.7", "link_local"),
        ("fe80::1", "link_local"),
        ("fe80::1%eth0", "link_local"),
        ("169.254.169.254", "metadata"),
        ("169.254.170.2", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("240.0.0.1", "reserved"),
        ("10.0.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.10", "private"),
        ("fd12:3456::1", "private"),
        ("fec0::1", "private"),
        ("100.64.0.1", "shared"),
        ("::ffff:127.0.0.1", "translated"),
        ("::ffff:8.8.8.8", "translated"),
        ("::127.0.0.1", "translated"),
        ("64:ff9b::7f00:1", "translated"),
        ("64:ff9b:1::7f00:1", "translated"),
        ("2002:7f00:1::", "translated"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "translated"),
        ("2001:db8::1", "reserved"),
        ("203.0.113.7", "reserved"),
        ("4000::1", "reserved"),
    ],
)
def test_only_public_addresses_need_no_allow_list(address: str, refused_as: str | None) -> None:
    assert judged(address) == refused_as


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("192.168.1.10", "192.168.1.0/24"),
        ("127.0.0.1", "127.0.0.1/32"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("fd12:3456::1", "fd12:3456::/32"),
        ("169.254.7.7", "169.254.7.0/24"),
        ("203.0.113.7", "203.0.113.0/24"),
        ("100.64.0.1", "100.64.0.0/10"),
        ("8.8.8.8", "0.0.0.0/0"),
    ],
)
def test_an_allow_list_opens_what_it_names(address: str, allowed: str) -> None:
    assert judged(address, allowed) is None


@pytest.mark.parametrize(
    ("address", "allowed", "refused_as"),
    [
        ("8.8.8.8", "192.168.1.0/24", "outside_allow_list"),
        ("192.168.2.1", "192.168.1.0/24", "private"),
        ("127.0.0.2", "127.0.0.1/32", "loopback"),
        ("10.0.0.1", "0.0.0.0/0", "private"),
        ("127.0.0.1", "0.0.0.0/0", "loopback"),
        ("fd12::1", "::/0", "private"),
        ("169.254.169.254", "169.254.169.254/32", "metadata"),
        ("169.254.169.254", "169.254.0.0/16", "metadata"),
        ("fd00:ec2::254", "fd00::/8", "metadata"),
        ("224.0.0.1", "224.0.0.0/4", "multicast"),
        ("0.0.0.0", "0.0.0.0/0", "unspecified"),
        ("::ffff:192.168.1.10", "192.168.1.0/24", "translated"),
        ("::ffff:192.168.1.10", "::ffff:192.168.1.10/128", "translated"),
    ],
)
def test_an_allow_list_opens_nothing_else(address: str, allowed: str, refused_as: str) -> None:
    assert judged(address, allowed) == refused_as


def test_our_own_networks_are_opened_only_by_a_network_inside_them() -> None:
    assert judged("10.20.0.5", "10.0.0.0/8", own=("10.20.0.0/16",)) == "own_network"
    assert judged("10.20.0.5", "10.20.0.0/24", own=("10.20.0.0/16",)) is None
    assert judged("10.21.0.5", "10.0.0.0/8", own=("10.20.0.0/16",)) is None
    assert judged("8.8.8.8", own=("8.8.8.0/24",)) == "own_network"


def test_every_address_is_judged_and_each_refusal_says_what_was_seen_and_what_is_allowed() -> None:
    addresses = [ip_address("8.8.8.8"), ip_address("10.0.0.7"), ip_address("::1")]
    refusals = judge_addresses(addresses, [])
    assert [str(refusal.address) for refusal in refusals] == ["10.0.0.7", "::1"]
    assert str(refusals[0]) == "`10.0.0.7`, a private address (10.0.0.0/8); allowed: public addresses"
    (refusal,) = judge_addresses(addresses[:1], parse_networks(["192.168.1.0/24"]))
    assert str(refusal) == "`8.8.8.8`, outside the pool's allow-list; allowed: addresses in 192.168.1.0/24"
    (refusal,) = judge_addresses([ip_address("169.254.169.254")], [])
    assert refusal.allowed == "never a metadata address"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("8.8.8.8", "a public address"),
        ("2606:4700::1", "a public address"),
        ("10.1.2.3", "a private address"),
        ("127.9.9.9", "a loopback address"),
        ("fe80::1%eth0", "a link local address"),
        ("169.254.169.254", "a metadata address"),
        ("224.0.0.1", "a multicast address"),
        ("0.0.0.0", "an unspecified address"),
        ("::ffff:10.0.0.1", "a translated address"),
        ("4000::1", "a reserved address"),
    ],
)
def test_an_address_can_be_told_of_without_being_shown(address: str, words: str) -> None:
    assert address_words(ip_address(address)) == words


ADDRESSES = st.one_of(
    st.ip_addresses(),
    st.sampled_from(SPECIAL_BLOCKS).flatmap(lambda block: st.ip_addresses(network=block.network)),
)
NETWORKS = st.one_of(
    st.builds(ip_network, ADDRESSES),
    st.builds(
        lambda address, bits: ip_network((address, min(bits, address.max_prefixlen)), strict=False),
        ADDRESSES,
        st.integers(0, 128),
    ),
)


@settings(deadline=None)  # a busy machine is no failure
@given(ADDRESSES, st.lists(NETWORKS, max_size=4))
def test_whatever_the_allow_list_says_the_shut_blocks_stay_shut(
    address: IPv4Address | IPv6Address, allowed: list[object]
) -> None:
    shut = {AddressClass.METADATA, AddressClass.MULTICAST, AddressClass.UNSPECIFIED, AddressClass.TRANSLATED}
    around = [block for block in SPECIAL_BLOCKS if address in block.network]
    narrowest = max(around, key=lambda block: block.network.prefixlen, default=None)
    refusals = judge_addresses([address], allowed)  # type: ignore[arg-type]  # hypothesis' networks
    if narrowest is not None and narrowest.address_class in shut:
        assert refusals
        assert refusals[0].address_class in shut
    if allowed and not refusals:
        assert any(address in network for network in allowed)  # type: ignore[operator]
    if address.is_loopback and not any(network.is_loopback for network in allowed):  # type: ignore[attr-defined]
        assert refusals


def test_the_parts_of_a_url() -> None:
    url = parse_rtsp_url("RTSP://us%40er:p%2Fa%3As@Cam.Example.:8554/live/1?channel=2&subtype=0")
    assert (url.host, url.port, url.target) == ("cam.example", 8554, "/live/1?channel=2&subtype=0")
    assert (url.username, url.password) == ("us@er", "p/a:s")
    assert url.address is None
    assert url.address_url(ip_address("10.0.0.9")) == "rtsp://10.0.0.9:8554/live/1?channel=2&subtype=0"


@pytest.mark.parametrize(
    ("text", "host", "port", "target"),
    [
        ("rtsp://203.0.113.7", "203.0.113.7", 554, ""),
        ("rtsp://203.0.113.7:554/", "203.0.113.7", 554, "/"),
        ("rtsp://[2001:DB8::1]:8554/a", "2001:db8::1", 8554, "/a"),
        ("rtsp://cam_1.local?x=1", "cam_1.local", 554, "?x=1"),
        ("rtsp://host:65535/a", "host", 65535, "/a"),
    ],
)
def test_hosts_ports_and_targets(text: str, host: str, port: int, target: str) -> None:
    url = parse_rtsp_url(text)
    assert (url.host, url.port, url.target) == (host, port, target)


def test_an_address_as_host_is_known_as_one() -> None:
    assert parse_rtsp_url("rtsp://[::ffff:127.0.0.1]/").address == IPv6Address("::ffff:127.0.0.1")
    assert parse_rtsp_url("rtsp://127.0.0.1/").address == IPv4Address("127.0.0.1")
    assert (
        parse_rtsp_url("rtsp://[2001:db8::1]/a").address_url(ip_address("2001:db8::1"))
        == "rtsp://[2001:db8::1]/a"
    )


REFUSED = [
    pytest.param("rtsps://host/", "`rtsps`", id="rtsps by name"),
    pytest.param("http://host/", "`http`", id="http"),
    pytest.param("file:///etc/passwd", "`file`", id="file"),
    pytest.param("concat:rtsp://host/|file", "no scheme", id="concat"),
    pytest.param("host/path", "no scheme", id="no scheme"),
    pytest.param("", "no scheme", id="empty"),
    pytest.param(f"admin:{PASSWORD}@host/path", "no scheme", id="credentials and no scheme"),
    pytest.param("rtsp:///path", "no host", id="no host"),
    pytest.param(f"rtsp://u:{PASSWORD}@/path", "no host", id="credentials and no host"),
    pytest.param("rtsp://host/a b", "a space", id="space"),
    pytest.param("rtsp://ho\nst/", "a space", id="line feed that urllib would drop"),
    pytest.param("rtsp://host/\x00", "a space", id="nul"),
    pytest.param("rtsp://hóst/", "a space", id="not ascii"),
    pytest.param("rtsp://host\\@other/", "a backslash", id="backslash"),
    pytest.param("rtsp://host#@other/", "a `#`", id="fragment before another host"),
    pytest.param("rtsp://host/a#b", "a `#`", id="fragment"),
    pytest.param(f"rtsp://u:{PASSWORD}@a@b/", "an `@`", id="two at signs"),
    pytest.param(f"rtsp://u:1/{PASSWORD}@host/", "an `@`", id="a password with a slash"),
    pytest.param("rtsp://host/%0d%0aDESCRIBE", "a `%`", id="encoded line end"),
    pytest.param("rtsp://host/%zz", "a `%`", id="broken escape"),
    pytest.param("rtsp://host:0/", "a port", id="port 0"),
    pytest.param("rtsp://host:65536/", "a port", id="port 65536"),
    pytest.param("rtsp://host:/", "a port", id="empty port"),
    pytest.param("rtsp://host:+80/", "a port", id="signed port"),
    pytest.param(f"rtsp://u:{PASSWORD}/x", "a port", id="a password read as a port"),
    pytest.param("rtsp://[::1/", "brackets", id="open bracket"),
    pytest.param("rtsp://[127.0.0.1]/", "brackets", id="ipv4 in brackets"),
    pytest.param("rtsp://[fe80::1%25eth0]/", "brackets", id="zone"),
    pytest.param("rtsp://::1/", "no host", id="ipv6 without brackets"),
    pytest.param("rtsp://2130706433/", "unusual spelling", id="one number"),
    pytest.param("rtsp://0x7f000001/", "unusual spelling", id="hexadecimal"),
    pytest.param("rtsp://127.1/", "unusual spelling", id="two numbers"),
    pytest.param("rtsp://0177.0.0.1/", "unusual spelling", id="octal"),
    pytest.param("rtsp://127.0.0.1.0x1/", "unusual spelling", id="ends in a number"),
    pytest.param("rtsp://-host/", "neither a name", id="leading hyphen"),
    pytest.param("rtsp://ho%73t/", "neither a name", id="encoded host"),
    pytest.param("rtsp://a..b/", "neither a name", id="empty label"),
    pytest.param("rtsp://host/a?tcp&http", "transport", id="tunnel option"),
    pytest.param("rtsp://host/a?x=1&UD%50", "transport", id="encoded option"),
    pytest.param("rtsp://u%3Aser:p@host/", "a username with a `:`", id="colon in the username"),
    pytest.param("rtsp://u:%ff@host/", "UTF-8", id="not utf-8"),
    pytest.param(f"rtsp://{'u' * 129}:p@host/", "129 characters", id="long username"),
    pytest.param(f"rtsp://host/{'a' * 2048}", "2060 characters", id="long url"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "seen"), REFUSED)
def test_what_two_readers_could_read_differently_is_refused(text: str, seen: str) -> None:
    with pytest.raises(RtspUrlError) as refused:
        parse_rtsp_url(text)
    assert seen in refused.value.seen
    assert refused.value.allowed
    assert PASSWORD not in str(refused.value)


def test_rtsps_says_until_when() -> None:
    with pytest.raises(RtspUrlError, match="until certificates can be pinned"):
        parse_rtsp_url("rtsps://host/")


def test_credentials_beside_the_url() -> None:
    url = parse_rtsp_url("rtsp://host/a").with_credentials("admin", "p@ss/w:rd é")
    assert parse_rtsp_url(url.reveal()) == url
    with pytest.raises(RtspUrlError, match="both in the URL and beside it"):
        parse_rtsp_url("rtsp://u:p@host/a").with_credentials("admin", PASSWORD)
    for username, password in (
        ("a\nb", PASSWORD),
        ("a", f"{PASSWORD}\x00"),
        ("a:b", PASSWORD),
        ("a", PASSWORD * 9),
    ):
        with pytest.raises(RtspUrlError) as refused:
            parse_rtsp_url("rtsp://host/a").with_credentials(username, password)
        assert PASSWORD not in str(refused.value)


PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="\ufffd"), max_size=20)


@given(
    host=st.sampled_from(["cam.example", "192.0.2.7", "2001:db8::7"]),
    port=st.integers(1, 65535),
    target=st.text("abc/=&1.", max_size=20).map(lambda text: f"/{text}"),
    username=PRINTABLE.map(lambda text: text.replace(":", "")),
    password=PRINTABLE,
)
def test_what_is_sealed_reads_back_and_is_never_shown(
    host: str, port: int, target: str, username: str, password: str
) -> None:
    url = RtspUrl(host, port, target, username, password)
    assert parse_rtsp_url(url.reveal()) == url
    for shown in (repr(url), str(url), f"{url}", f"{url!r}", repr([url])):
        assert shown.strip("[]") == "RtspUrl(rtsp://…)"
    assert "@" not in url.address_url(ip_address("10.0.0.1"))


@given(st.text("rtsp:/@?#[]%\\.0127af \n-", max_size=40).map(lambda text: f"rtsp://{text}"))
def test_whatever_is_accepted_has_one_reading(text: str) -> None:
    try:
        url = parse_rtsp_url(text)
    except RtspUrlError:
        return
    again = parse_rtsp_url(url.reveal())
    assert again == url
    # The reading of a plain URL reader: the first `//`, up to `/` or `?`, behind the only `@`.
    authority = re.split(r"[/?]", text.removeprefix("rtsp://"), maxsplit=1)[0]
    assert authority.rpartition("@")[2].lower().removeprefix("[").startswith(url.host.split(":", 1)[0][:1])
    assert quote(url.host, safe=":.-_") == url.host
