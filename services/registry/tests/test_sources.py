from pathlib import Path
from typing import Any

import pytest

from feedgate_kit.addresses import parse_networks
from feedgate_kit.sealing import public_key_text
from feedgate_registry.pools import PoolsFileError, load_pools

from .conftest import CAMERA, DEPOT_KEY, ON_SQLITE_ONLY, PASSWORD, SITE_KEY, Stand, code_of, registered

PUBLIC = "public addresses"
DEPOT = "addresses in 192.168.7.0/24"
REFUSED: list[Any] = [
    pytest.param({"url": "rtsps://h/"}, "url", "`rtsp`, until certificates can be pinned", id="rtsps"),
    pytest.param({"url": "http://h/"}, "url", "`rtsp`", id="http"),
    pytest.param({"url": "concat:rtsp://h/"}, "url", "`rtsp://host/path`", id="concat"),
    pytest.param({"url": "rtsp://h:99999/"}, "url", "1..65535", id="port"),
    pytest.param({"url": f"rtsp://u:{PASSWORD}@h/", "username": "u"}, "url", "one of the two", id="both"),
    pytest.param({"url": f"rtsp://u:{PASSWORD}/x@h/"}, "url", "own field", id="slash in a password"),
    pytest.param({"url": "rtsp://127.0.0.1/"}, "loopback", PUBLIC, id="loopback"),
    pytest.param({"url": "rtsp://[::1]/"}, "loopback", PUBLIC, id="ipv6 loopback"),
    pytest.param({"url": "rtsp://[::ffff:127.0.0.1]/"}, "translated", "never", id="mapped loopback"),
    pytest.param({"url": "rtsp://169.254.169.254/"}, "metadata", "never", id="metadata"),
    pytest.param({"url": "rtsp://10.20.0.9/"}, "private", PUBLIC, id="our own network"),
    pytest.param({"url": "rtsp://192.168.7.9/"}, "private", PUBLIC, id="a private range of another pool"),
    pytest.param({"url": "rtsp://nowhere.example/"}, "unresolvable", "address itself", id="no such name"),
    pytest.param({"url": "rtsp://inside.example/"}, "private", PUBLIC, id="a name for a private address"),
    pytest.param({"url": "rtsp://both.example/"}, "private", PUBLIC, id="one bad address of two"),
]  # fmt: skip


@ON_SQLITE_ONLY
@pytest.mark.parametrize(("source", "reason", "allowed"), REFUSED)
async def test_a_source_out_of_bounds_is_refused_saying_what_was_seen_and_what_is_allowed(
    stand: Stand, source: dict[str, str], reason: str, allowed: str
) -> None:
    stand.resolver.names |= {"inside.example": ["10.0.0.7"], "both.example": ["8.8.8.8", "10.0.0.7"]}
    ana = await stand.owner("ana")
    answer = await ana.post("/registry/v1/cameras", json=CAMERA | {"source": source})
    assert (answer.status_code, code_of(answer)) == (422, "source-refused")
    (error,) = answer.json()["errors"]
    assert (error["path"], error["reason"]) == ("body.source", reason)
    assert error["seen"]
    assert allowed in error["allowed"]
    assert PASSWORD not in answer.text
    assert (await ana.get("/registry/v1/cameras")).json()["items"] == []
    camera = await registered(ana)
    answer = await ana.patch(
        f"/registry/v1/cameras/{camera['id']}", json={"source": source}, headers={"If-Match": '"1"'}
    )
    assert code_of(answer) == "source-refused"
    assert len(await stand.states(camera["id"])) == 1
    page = (await (await stand.nobody(internal=True)).get("/metrics")).text
    assert f'registry_sources_refused_total{{reason="{reason}",service="registry"}} 2.0' in page


async def test_a_pool_opens_the_networks_it_lists_and_no_other(stand: Stand) -> None:
    ana = await stand.owner("ana")
    inside = {"ingest_pool": "depot", "source": {"url": "rtsp://192.168.7.9/"}}
    assert (await registered(ana, **inside))["ingest_pool"] == "depot"
    for url, reason in (("rtsp://192.168.8.9/", "private"), ("rtsp://8.8.8.8/", "outside_allow_list")):
        answer = await ana.post("/registry/v1/cameras", json=CAMERA | inside | {"source": {"url": url}})
        (error,) = answer.json()["errors"]
        assert (error["reason"], error["allowed"]) == (reason, DEPOT)


async def test_an_address_is_never_asked_of_a_name_server(stand: Stand) -> None:
    await registered(await stand.owner("ana"), source={"url": "rtsp://[2606:4700::1111]:8554/live"})
    assert stand.resolver.asked == []


async def test_a_name_with_many_bad_addresses_names_a_few(stand: Stand) -> None:
    stand.resolver.names["many.example"] = [f"10.0.0.{number}" for number in range(200)]
    ana = await stand.owner("ana")
    answer = await ana.post("/registry/v1/cameras", json=CAMERA | {"source": {"url": "rtsp://many.example/"}})
    assert len(answer.json()["errors"]) == 5


POOLS = f"""
- name: site
  key_id: site-key-1
  public_key: {public_key_text(SITE_KEY.public_key())}
  allowed_networks: []
- name: depot
  key_id: depot-key-1
  public_key: {public_key_text(DEPOT_KEY.public_key())}
  allowed_networks: [192.168.7.0/24, "127.0.0.1"]
"""


def test_the_pools_file(tmp_path: Path) -> None:
    file = tmp_path / "pools.yaml"
    file.write_text(POOLS)
    pools = load_pools(file)
    assert list(pools) == ["site", "depot"]
    assert pools["site"].allowed_networks == ()
    assert pools["depot"].allowed_networks == parse_networks(["192.168.7.0/24", "127.0.0.1/32"])
    assert pools["depot"].key_id == "depot-key-1"
    assert pools["depot"].public_key.public_bytes_raw() == DEPOT_KEY.public_key().public_bytes_raw()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[]", "at least 1", id="empty"),
        pytest.param("name: site", "saw `an object`; allowed: an array", id="no list"),
        pytest.param(POOLS + "  colour: red", "colour", id="unknown key"),
        pytest.param(POOLS.replace("  key_id: depot-key-1\n", ""), "key_id", id="missing key"),
        pytest.param(POOLS.replace("name: depot", "name: site"), "twice", id="name twice"),
        pytest.param(POOLS.replace("192.168.7.0/24", "192.168.7.1/24"), "host bits", id="bits beyond"),
        pytest.param(POOLS.replace(public_key_text(DEPOT_KEY.public_key()), "AAAA"), "32", id="short key"),
        pytest.param("- {", "cannot be read", id="no yaml"),
    ],
)
def test_a_pools_file_that_is_not_whole_is_not_used(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "pools.yaml"
    file.write_text(text)
    with pytest.raises(PoolsFileError, match=said) as refused:
        load_pools(file)
    assert str(file) in str(refused.value)
    assert str(refused.value).endswith(" (docs/ref/settings.md)")


def test_a_pools_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(PoolsFileError, match=r"nothing\.yaml"):
        load_pools(tmp_path / "nothing.yaml")
