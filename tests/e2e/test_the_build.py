"""The committed build is what the sources say, as far as it can be seen without Node."""

import hashlib

from tests.gateway.stack import REPOSITORY

WEB = REPOSITORY / "web"
BUILT = REPOSITORY / "service" / "page"
SOURCES = (
    *("index.html", "notices", "package-lock.json", "package.json", "src"),
    "vite.config.ts",
)
REGISTRY_MARKS = ('"resolved"', "://registry")


def test_the_committed_build_was_made_from_these_sources() -> None:
    files = [
        file
        for name in SOURCES
        for file in ([WEB / name] if "." in name else sorted((WEB / name).rglob("*")))
        if file.is_file() and not file.name.endswith(".test.ts")
    ]

    digests = {
        file.relative_to(WEB).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }

    lines = (BUILT / "sources.sha256").read_text().splitlines()
    recorded = {path: digest for digest, path in (line.split("  ") for line in lines)}
    assert recorded == digests, "run `npm run build` in web"


def test_the_lock_file_names_no_registry() -> None:
    lock = (WEB / "package-lock.json").read_text()

    assert [mark for mark in REGISTRY_MARKS if mark in lock] == []
