"""Generate `feedgate_contracts` from the .proto files beside this script.

protoc names Python modules by the proto package, `feedgate.camera.v1`; the top
package of that name belongs to the command, so the modules are moved to
`feedgate_contracts.camera.v1` and their imports with them.
"""

import re
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).parent
PACKAGE = HERE / "src" / "feedgate_contracts"


def main() -> None:
    sources = sorted(str(path.relative_to(HERE)) for path in HERE.glob("feedgate/**/*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        well_known = files("grpc_tools").joinpath("_proto")
        arguments = [
            "protoc",
            f"-I{HERE}",
            f"-I{well_known}",
            f"--python_out={folder}",
            f"--pyi_out={folder}",
        ]
        if protoc.main([*arguments, *sources]):
            sys.exit("protoc failed: see above")
        for noun in sorted(Path(folder, "feedgate").iterdir()):
            target = PACKAGE / noun.name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(noun, target)
            for module in target.rglob("*.py*"):
                moved = re.sub(
                    r"^from feedgate\.", "from feedgate_contracts.", module.read_text(), flags=re.MULTILINE
                )
                module.write_text(moved)
            for package in (target, *(path for path in target.rglob("*") if path.is_dir())):
                (package / "__init__.py").touch()


if __name__ == "__main__":
    main()
