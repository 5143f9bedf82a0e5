"""Files whose mere presence breaks something far away."""

from tests.servers.machine import REPOSITORY
from tests.servers.needs import UNIT_PACKAGES


def test_no_folder_of_unit_tests_calls_itself_a_package() -> None:
    """Each would be imported as the package `tests`, and the second to come would be refused."""
    folders = (REPOSITORY / name for name in UNIT_PACKAGES)
    assert [file for folder in folders for file in folder.glob("**/tests/**/__init__.py")] == []
