from collections.abc import AsyncIterator

import pytest

from services.ingest.tests.yard import Yard


@pytest.fixture
async def yard() -> AsyncIterator[Yard]:
    yard = Yard()
    yield yard
    yard.camera.may_close.set()
    await yard.worker.close()
