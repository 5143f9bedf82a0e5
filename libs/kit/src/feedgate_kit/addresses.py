"""Which RTSP sources may be touched: the form of their URL and the addresses behind their host.

registry asks at registration and ingest asks again at connect, with the same words
(threat T-10: request forgery and injection by RTSP URL). Nothing here resolves a
name or opens a socket. No error and no representation holds a credential, a path
or a query; DVRs write passwords into either.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias
from urllib.parse import quote, unquote

from feedgate_kit.errors import FeedgateError

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_URL_CHARACTERS: Final = 2048
MAX_CREDENTIAL_CHARACTERS: Final = 128
DEFAULT_PORT: Final = 554  # RFC 2326 §3.2

TRANSPORT_OPTIONS: Final = frozenset({"filter_src", "http", "https", "multicast", "tcp", "udp"})
"""Query words that libavformat's RTSP client takes for itself: `http` tunnels elsewhere."""


class RtspUrlError(FeedgateError):
    """The text is no RTSP URL that may be used. It says what was seen without repeating it."""

    def __init__(self, seen: str, allowed: str) -> None:
        super().__init__(f"{seen}; allowed: {allowed}")
        self.seen = seen
        self.allowed = allowed


@dataclass(frozen=True, slots=True, repr=False)
class RtspUrl:
    """A camera's source in its parts. Only `reveal` and `address_url` give text to connect with."""

    host: str  # a name in lower case, or an address without brackets
    port: int
    target: str  # path and query as written, empty or beginning with `/` or `?`
    username: str = ""
    password: str = field(default="")

    def __repr__(self) -> str:
        return "RtspUrl(rtsp://…)"

    __str__ = __repr__

    @property
    def address(self) -> Address | None:
        """The host, where it is an address and no name."""
        return _literal(self.host)

    def address_url(self, address: Address) -> str:
        """The URL with `address` for its host and without credentials: what a connection is pinned to."""
        return f"rtsp://{_authority(str(address), self.port)}{self.target}"

    def reveal(self) -> str:
        """The whole URL with its credentials. For sealing; never for a log, an error or an answer."""
        userinfo = ""
        if self.username or self.password:
            userinfo = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        return f"rtsp://{userinfo}{_authority(self.host, self.port)}{self.target}"

    def with_credentials(self, username: str, password: str) -> "RtspUrl":
        """The same source under credentials that were given beside the URL.

        Raises:
            RtspUrlError: the URL holds credentials too, or these cannot be sent to a camera.
        """
        if self.username or self.password:
            raise RtspUrlError("credentials both in the URL and beside it", "one of the two")
        _check_credentials(username, password)
        return RtspUrl(self.host, self.port, self.target, username, password)


_PRINTABLE = re.compile(r"[\x21-\x7e]*")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,15})://")
_LABELS = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMERIC_LABEL = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL_ESCAPE = re.compile(r"%([01][0-9A-Fa-f]|7[Ff])")


def parse_rtsp_url(text: str) -> RtspUrl:
    """The parts of an RTSP URL, read so strictly that every other reader must see the same parts.

    Raises:
        RtspUrlError: anything two readers could disagree on, or a scheme other than `rtsp`.
    """
    if len(text) > MAX_URL_CHARACTERS:
        raise RtspUrlError(f"a URL of {len(text)} characters", f"at most {MAX_URL_CHARACTERS}")
    if not _PRINTABLE.fullmatch(text):
        raise RtspUrlError(
            "a space, a control character or a letter outside ASCII",
            "printable ASCII, others percent-encoded",
        )
    rest = _after_scheme(text)
    if "\\" in rest:
        raise RtspUrlError("a backslash", "`/` between the parts of a path")
    if "#" in rest:
        raise RtspUrlError("a `#`", "no fragment; write `#` in a password or path as `%23`")
    if _BAD_ESCAPE.search(rest) or _CONTROL_ESCAPE.search(rest):
        raise RtspUrlError(
            "a `%` that begins no printable character", "`%` and two hexadecimal digits, 20 or above"
        )
    end = min((place for place in (rest.find("/"), rest.find("?")) if place >= 0), default=len(rest))
    authority, target = rest[:end], rest[end:]
    if "@" in target or authority.count("@") > 1:
        raise RtspUrlError(
            "an `@` that does not stand between credentials and host",
            "`%40` for `@` and `%2F` for `/` in a password, or the password in its own field",
        )
    _check_options(target)
    userinfo, _, host_and_port = authority.rpartition("@")
    host, port = _host_and_port(host_and_port)
    username, _, password = (unquote(part) for part in userinfo.partition(":"))
    _check_credentials(username, password)
    return RtspUrl(host, port, target, username, password)


class AddressClass(StrEnum):
    """Why an address is refused: a stable code, safe for metrics and logs."""

    UNSPECIFIED = "unspecified"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link_local"
    METADATA = "metadata"
    MULTICAST = "multicast"
    PRIVATE = "private"
    SHARED = "shared"
    TRANSLATED = "translated"
    RESERVED = "reserved"
    OWN_NETWORK = "own_network"
    OUTSIDE_ALLOW_LIST = "outside_allow_list"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One address that may not be connected to: what was seen, and what is allowed."""

    address: Address
    address_class: AddressClass
    seen: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.seen}; allowed: {self.allowed}"


@dataclass(frozen=True, slots=True)
class _Block:
    network: Network
    address_class: AddressClass
    openable: bool  # an allow-list may open it, or a part of it


def _blocks(address_class: AddressClass, *networks: str, openable: bool) -> tuple[_Block, ...]:
    return tuple(_Block(ip_network(network), address_class, openable) for network in networks)


# The IANA special-purpose address registries (RFC 6890 and its updates), and what clouds
# add to them. Written out because what `ipaddress` counts as global changes with Python's
# patch releases. Of two blocks around an address the narrower one counts.
SPECIAL_BLOCKS: Final = (
    *_blocks(
        AddressClass.METADATA,
        "169.254.169.254/32",  # AWS, Azure, GCP, OpenStack
        "169.254.170.2/32",  # AWS container credentials
        "169.254.170.23/32",  # AWS pod credentials
        "169.254.169.253/32",  # AWS resolver
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure host agent, a public address
        "192.0.0.192/32",  # Oracle
        "fd00:ec2::/32",  # AWS: ::254 metadata, ::253 resolver, ::23 container credentials
        "fd20:ce::254/128",  # GCP
        openable=False,
    ),
    *_blocks(AddressClass.UNSPECIFIED, "0.0.0.0/8", "::/128", openable=False),
    *_blocks(AddressClass.MULTICAST, "224.0.0.0/4", "ff00::/8", openable=False),
    *_blocks(AddressClass.RESERVED, "255.255.255.255/32", openable=False),
    *_blocks(AddressClass.LOOPBACK, "127.0.0.0/8", "::1/128", openable=True),
    # An IPv4 address in IPv6 clothes. Never opened: the allow-list would have to be read twice.
    *_blocks(
        AddressClass.TRANSLATED,
        "::/96",  # IPv4-compatible, RFC 4291 §2.5.5.1
        "::ffff:0:0/96",  # IPv4-mapped, RFC 4291 §2.5.5.2
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
        "64:ff9b::/96",  # NAT64, RFC 6052
        "64:ff9b:1::/48",  # NAT64 of one's own, RFC 8215
        "2002::/16",  # 6to4, RFC 3056
        "2001::/32",  # Teredo, RFC 4380
        openable=False,
    ),
    *_blocks(AddressClass.LINK_LOCAL, "169.254.0.0/16", "fe80::/10", openable=True),
    *_blocks(
        AddressClass.PRIVATE,
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "fec0::/10",
        openable=True,
    ),
    *_blocks(AddressClass.SHARED, "100.64.0.0/10", openable=True),  # carrier-grade NAT, RFC 6598
    *_blocks(
        AddressClass.RESERVED,
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "100::/64",
        "2001:2::/48",
        "2001:10::/28",
        "2001:20::/28",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        openable=True,
    ),
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that IANA gives out, RFC 4291 §2.4
_EVERYTHING = IPv6Network("::/0")


def judge_addresses(
    addresses: Iterable[Address],
    allowed_networks: Sequence[Network],
    own_networks: Sequence[Network] = (),
) -> list[Refusal]:
    """Why these addresses may not be connected to; empty if all of them may.

    A host is used only if every address it has is free of refusals, since the next
    answer of its name server may name any of them.

    Args:
        addresses: all that the host resolved to.
        allowed_networks: the pool's allow-list. Empty: every public address. Otherwise
            exactly these; a loopback, link-local, private or reserved address, or one in
            `own_networks`, is opened only by a network that lies inside that range, so
            `0.0.0.0/0` means the public Internet and `10.0.0.0/8` does not open our own
            part of it. Metadata, multicast, unspecified and translated addresses stay shut.
        own_networks: where this system itself lives.
    """
    judged = (_judge(address, allowed_networks, own_networks) for address in addresses)
    return [refusal for refusal in judged if refusal is not None]


def address_words(address: Address) -> str:
    """What kind of address this is, `a private address`: tells of it without showing it."""
    block = _special_block(address)
    kind = "public" if block is None else _kind(block.address_class)
    return f"{_article(kind)} {kind} address"


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks of an allow-list; a bare address is a network of one.

    Raises:
        ValueError: one is no network, or has bits set beyond its prefix.
    """
    return tuple(ip_network(text) for text in texts)


def _judge(
    address: Address, allowed_networks: Sequence[Network], own_networks: Sequence[Network]
) -> Refusal | None:
    special = _special_block(address)
    around = [] if special is None else [special]
    around += [
        _Block(network, AddressClass.OWN_NETWORK, openable=True)
        for network in own_networks
        if address in network
    ]
    openers = [network for network in allowed_networks if address in network]
    shut = next((block for block in around if not block.openable), None)
    if shut is None:
        shut = next((b for b in around if not any(_inside(network, b.network) for network in openers)), None)
    if shut is not None:
        kind = _kind(shut.address_class)
        allowed = _words(allowed_networks) if shut.openable else f"never a {kind} address"
        return Refusal(
            address,
            shut.address_class,
            f"`{address}`, {_article(kind)} {kind} address ({shut.network})",
            allowed,
        )
    if around or openers or not allowed_networks:
        return None
    return Refusal(
        address,
        AddressClass.OUTSIDE_ALLOW_LIST,
        f"`{address}`, outside the pool's allow-list",
        _words(allowed_networks),
    )


def _special_block(address: Address) -> _Block | None:
    """The narrowest block around an address that is not simply public."""
    around = [block for block in SPECIAL_BLOCKS if address in block.network]
    if around:
        return max(around, key=lambda block: block.network.prefixlen)
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return _Block(_EVERYTHING, AddressClass.RESERVED, openable=False)
    return None


def _kind(address_class: AddressClass) -> str:
    return address_class.replace("_", " ")


def _inside(network: Network, block: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(block, IPv4Network) and network.subnet_of(block)
    return isinstance(block, IPv6Network) and network.subnet_of(block)


def _words(allowed_networks: Sequence[Network]) -> str:
    if not allowed_networks:
        return "public addresses"
    return "addresses in " + ", ".join(map(str, allowed_networks))


def _after_scheme(text: str) -> str:
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise RtspUrlError("no scheme", "`rtsp://host/path`")
    match scheme[1].lower():
        case "rtsp":
            return text[scheme.end() :]
        case "rtsps":
            raise RtspUrlError("the scheme `rtsps`", "`rtsp`, until certificates can be pinned")
        case other:
            raise RtspUrlError(f"the scheme `{other}`", "`rtsp`")


def _check_options(target: str) -> None:
    _, _, query = target.partition("?")
    for option in re.split(r"[?&]", query):
        if unquote(option).lower() in TRANSPORT_OPTIONS:
            raise RtspUrlError("a query word that picks a transport", "a query without it")


def _host_and_port(text: str) -> tuple[str, int]:
    if text.startswith("["):
        inside, bracket, after = text[1:].partition("]")
        literal = _literal(inside)
        if not bracket or not isinstance(literal, IPv6Address) or literal.scope_id is not None:
            raise RtspUrlError(
                "brackets around something else", "an IPv6 address in brackets, without a zone"
            )
        return str(literal), _port(after)
    host, colon, port = text.partition(":")
    return _host(host.lower()), _port(colon + port)


def _host(host: str) -> str:
    host = host.removesuffix(".")
    if not host:
        raise RtspUrlError("no host", "`rtsp://host/path`")
    if len(host) > 253 or not _LABELS.fullmatch(host):
        raise RtspUrlError(
            "a host that is neither a name nor an address", "letters, digits, `-`, `_` and `.`; punycode"
        )
    # `127.1`, `2130706433`, `0x7f000001` and `0177.0.0.1` are addresses to some readers and names to others.
    if _NUMERIC_LABEL.fullmatch(host.rsplit(".", 1)[-1]) and _literal(host) is None:
        raise RtspUrlError(
            "an IPv4 address in an unusual spelling", "four decimal numbers without leading zeros"
        )
    return host


def _port(text: str) -> int:
    """The port of `:8554`; the default for nothing. Never repeats what it read: it may be a password."""
    if not text:
        return DEFAULT_PORT
    digits = text[1:]
    if text[0] != ":" or not re.fullmatch(r"[0-9]{1,5}", digits) or not 1 <= int(digits) <= 65535:
        raise RtspUrlError("a port that is no number between 1 and 65535", "1..65535")
    return int(digits)


def _check_credentials(username: str, password: str) -> None:
    for name, value in (("username", username), ("password", password)):
        if len(value) > MAX_CREDENTIAL_CHARACTERS:
            raise RtspUrlError(f"a {name} of {len(value)} characters", f"at most {MAX_CREDENTIAL_CHARACTERS}")
        if not value.isprintable():  # also what is no UTF-8: `unquote` puts U+FFFD, caught below
            raise RtspUrlError(f"a {name} with a character that cannot be printed", "printable characters")
        if "\ufffd" in value:
            raise RtspUrlError(f"a {name} that is no UTF-8", "UTF-8, percent-encoded")
    if ":" in username:  # RFC 7617 §2: the camera could not tell where it ends
        raise RtspUrlError("a username with a `:`", "a username without `:`")


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _authority(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port == DEFAULT_PORT else f"{shown}:{port}"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
