from collections.abc import AsyncIterator

import pytest

from services.ingest.tests.yard import Yard


@pytest.fixture
async def yard() -> AsyncIterator[Yard]:
    yard = Yard()
    yield yard
    await yard.worker.close()
