import pytest

from feedgate_tools.simulator.settings import Settings


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(clip=True, cameras=20, spread=1, gop_s=2.5, size="640x360"),
        Settings(user="admin", password="-- a=b 'c'", audio=True, exit_with_parent=True),
    ],
    ids=["default", "clips", "login"],
)
def test_the_command_line_says_the_same(settings: Settings) -> None:
    assert Settings.from_arguments(settings.to_arguments()) == settings


@pytest.mark.parametrize(
    "arguments",
    [
        ["--size=641x360"],
        ["--size=large"],
        ["--cameras=0"],
        ["--fps=0"],
        ["--spread=0"],
        ["--gop-s=0"],
        ["--slices=0"],
        ["--password=x"],
        ["--unheard-of"],
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Settings.from_arguments(arguments)
    assert arguments[0].strip("-").partition("=")[0] in capsys.readouterr().err


def test_a_clip_is_made_of_whole_groups() -> None:
    settings = Settings(clip=True, fps=25, gop_s=1.5, clip_s=4)
    assert (settings.gop_pictures, settings.clip_groups) == (38, 3)
