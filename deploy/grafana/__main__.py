"""Writes `dashboards/*.json`: `python -m deploy.grafana`."""

from deploy.grafana.boards import FOLDER, files


def main() -> None:
    """Write every board, and remove what is none any more."""
    written = files()
    FOLDER.mkdir(exist_ok=True)
    for old in set(FOLDER.glob("*.json")) - set(written):
        old.unlink()
    for file, text in written.items():
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
