"""Files that hold several keys or certificates one after the other (RFC 7468)."""

import re
from typing import Final

_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


def pem_blocks(text: str) -> list[str]:
    """Each block with its end of line, in order; whatever lies between them is left out."""
    return [f"{match[0]}\n" for match in _BLOCK.finditer(text)]
