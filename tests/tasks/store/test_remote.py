"""Results in remote storage: published whole or not at all, and the same from every machine."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sentiment.errors import StorageError
from sentiment.files import digest_file
from tasks.manifest import Artifact
from tasks.store import Store
from tasks.store import objects as module
from tasks.store.objects import Objects
from tasks.store.remote import MANIFEST, place_of
from tests.support.s3 import Faults, environment, faults
from tests.tasks.store.test_store import CALLS, output, request, stage


@pytest.fixture
def source(tmp_path: Path) -> Artifact:
    path = tmp_path / "in.txt"
    path.write_text("hello ")
    return Artifact("in.txt", str(path), digest_file(path), 6, 0)


@pytest.fixture
def here(url: str, tmp_path: Path) -> Store:
    """The store at a URL, on one machine."""
    CALLS.clear()
    return Store(tmp_path / "here", Objects(url))


@pytest.fixture
def there(url: str, tmp_path: Path) -> Store:
    """The same store on another machine, with a cache of its own."""
    return Store(tmp_path / "there", Objects(url))


def objects_of(store: Store) -> list[str]:
    assert store.objects is not None
    return [listed.path for listed in store.objects.list()]


def check_whole(store: Store) -> None:
    """Every manifest names files that are there, with their content."""
    assert store.objects is not None
    for path in objects_of(store):
        if path.endswith(MANIFEST):
            stage, key, _ = path.split("/")
            for artifact in store.read(stage, key).outputs:
                assert store.objects.fetch(place_of(artifact)) == artifact.sha256


def test_a_result_is_there_for_another_machine(here: Store, there: Store, source: Artifact) -> None:
    built = here.build(request(source))
    assert built.computed
    assert there.find(request(source)).manifest == built.manifest
    assert there.find(request(source), verify=True).manifest == built.manifest
    assert not there.root.exists()  # not a byte was fetched
    assert not there.build(request(source)).computed
    assert CALLS == ["calm"]
    assert there.file(built.manifest.output("loud.txt")).read_text() == "HELLO calm"
    loud = built.manifest.output("loud.txt")
    assert objects_of(here) == sorted([place_of(loud), f"shout/{request(source).key}/{MANIFEST}"])


def test_a_stage_fetches_what_it_reads(here: Store, there: Store, source: Artifact) -> None:
    loud = here.build(request(source)).manifest.output("loud.txt")
    louder = there.build(request(loud)).manifest
    assert there.file(louder.output("loud.txt")).read_text() == "HELLO CALMcalm"
    assert loud.local(there.root).read_text() == "HELLO calm"


def test_a_copy_that_is_damaged_is_fetched_again(
    here: Store, there: Store, source: Artifact
) -> None:
    loud = here.build(request(source)).manifest.output("loud.txt")
    path = there.file(loud)
    times = path.stat()
    path.write_text("HELLO cald")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    louder = there.build(request(loud)).manifest
    assert there.file(louder.output("loud.txt")).read_text() == "HELLO CALMcalm"


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_file_that_is_damaged_there_is_found_and_made_again(
    here: Store, there: Store, source: Artifact, damage: str
) -> None:
    loud = here.build(request(source)).manifest.output("loud.txt")
    assert here.objects is not None
    if damage == "gone":
        here.objects.remove([place_of(loud)])
    else:
        here.objects.put(place_of(loud), b"HELLO cald")
    with pytest.raises(StorageError, match=r"^s3://.*loud.txt: missing, or not what.*--verify"):
        there.file(loud)
    assert not loud.local(there.root).exists()
    said = "missing" if damage == "gone" else "damaged"
    assert there.find(request(source), verify=True).damage == f"{loud.path} is {said}"
    there.discard(request(source), verify=True)
    assert there.build(request(source)).computed
    check_whole(there)
    assert there.file(loud).read_text() == "HELLO calm"


def test_a_damaged_manifest_is_made_again(here: Store, there: Store, source: Artifact) -> None:
    built = here.build(request(source)).manifest
    assert here.objects is not None
    here.objects.put(f"shout/{built.key}/{MANIFEST}", b"{")
    assert "is damaged" in (there.find(request(source)).damage or "")
    assert there.results("shout") == []
    assert there.build(request(source)).computed
    assert here.find(request(source)).manifest is not None


def test_what_was_computed_and_not_published_is_published(here: Store, source: Artifact) -> None:
    """A run was killed between the two."""
    Store(here.root).build(request(source))
    assert here.find(request(source)).manifest is None
    assert not here.build(request(source)).computed
    assert CALLS == ["calm"]
    check_whole(here)
    assert here.find(request(source)).manifest is not None


def test_of_two_machines_with_other_bytes_one_wins_whole(
    here: Store, there: Store, source: Artifact
) -> None:
    """As those of two GPUs may be. Both files are there; the manifest names one of them."""
    stores = [here, there]
    for number, store in enumerate(stores):
        manifest = Store(store.root).build(request(source)).manifest
        path = output(store, manifest)
        path.write_text(f"HELLO cal{number}")
        made = replace(
            manifest,
            outputs=(
                replace(
                    manifest.outputs[0], sha256=digest_file(path), mtime_ns=path.stat().st_mtime_ns
                ),
            ),
        )
        (path.parent / MANIFEST).write_text(made.to_json())
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda store: store.build(request(source)).manifest, stores)
    assert first == second
    check_whole(here)
    contents = {store.file(first.outputs[0]).read_bytes() for store in stores}
    assert len(contents) == 1


def test_force_replaces_the_result(here: Store, there: Store, source: Artifact) -> None:
    before = here.build(request(source)).manifest
    again = there.build(request(source), force=True)
    assert again.computed and CALLS == ["calm", "calm"]
    assert here.find(request(source)).manifest == again.manifest != replace(before, seconds=-1)


@pytest.fixture
def failing(
    s3: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Store, Faults]]:
    """A store behind a server that makes faults; its client repeats nothing."""
    monkeypatch.setitem(module.RETRIES, "max_retries", 0)
    CALLS.clear()
    with faults(s3) as (address, made):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        yield Store(tmp_path / "failing", Objects(url)), made


@pytest.mark.parametrize("fault", ["dead", "lost"])
def test_whatever_request_fails_nothing_is_half_published(
    failing: tuple[Store, Faults], source: Artifact, fault: str
) -> None:
    """The connection ends before or after each request in turn. The next run resumes there."""
    store, made = failing
    for place in range(99):
        asked = request(source, word=f"word-{place}")
        begun, failed = len(made.requests), list[int]()

        def fail_from(number: int, *_: str, first: int = begun + place) -> str | None:
            if number < first:
                return None
            failed.append(number)  # noqa: B023
            return fault

        made.fault = fail_from
        with suppress(StorageError):
            store.build(asked)
        made.fault = lambda number, method, path: None
        check_whole(store)
        if not failed:  # the request was the last
            break
        assert store.build(asked).manifest.config == {"config": {"word": f"word-{place}"}}
        check_whole(store)
        assert CALLS.count(f"word-{place}") == 1
    assert place >= 3  # look, put the file, put the manifest


SCRIPT = """
    import sys
    from pathlib import Path
    from tasks.manifest import Artifact
    from tasks.store import Store
    from tasks.store.objects import Objects
    from tests.tasks.store.test_store import request

    url, cache, path, sha256 = sys.argv[1:]
    source = Artifact("in.txt", path, sha256, 6, 0)
    Store(Path(cache), Objects(url)).build(request(source))
"""


@pytest.mark.parametrize("victim", ["PUT", "manifest.json"])
def test_a_process_that_is_killed_leaves_no_half_result(
    s3: str, url: str, here: Store, source: Artifact, tmp_path: Path, victim: str
) -> None:
    with faults(s3) as (address, made):
        command = [sys.executable, "-c", textwrap.dedent(SCRIPT), url, str(tmp_path / "killed")]
        process = subprocess.Popen(
            [*command, source.path, source.sha256], env={**os.environ, **environment(address)}
        )

        def kill(number: int, method: str, path: str) -> str | None:
            if method == "PUT" and (victim == "PUT" or path.endswith(victim)):
                os.kill(process.pid, signal.SIGKILL)
                return "dead"
            return None

        made.fault = kill
        assert process.wait(timeout=60) == -signal.SIGKILL
    check_whole(here)
    assert here.find(request(source)).manifest is None
    again = Store(tmp_path / "killed", Objects(url)).build(request(source))
    assert not again.computed  # it was only to be published
    check_whole(here)
    assert here.find(request(source)).manifest == again.manifest


def test_a_store_at_a_url_is_marked(here: Store, there: Store) -> None:
    with pytest.raises(StorageError, match="no run has used it"):
        there.check()
    here.prepare()
    there.check()
    there.prepare()
    there.open()
    assert there.writable


def test_a_storage_that_ignores_conditions_is_refused(
    here: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put_anyway(self: Objects, path: str, content: bytes, mode: object) -> bool:
        self.put(path, content)
        return True

    monkeypatch.setattr(Objects, "_put_if", put_anyway)
    with pytest.raises(StorageError, match="cannot be the storage: it creates"):
        here.prepare()


def test_a_storage_that_may_only_be_read_serves_what_is_there(
    failing: tuple[Store, Faults], here: Store, source: Artifact
) -> None:
    here.prepare()
    built = here.build(request(source)).manifest
    store, made = failing
    made.fault = lambda number, method, path: (
        "403" if method != "GET" and method != "HEAD" else None
    )
    store.open()
    assert not store.writable
    assert store.build(request(source)).manifest == built
    assert store.file(built.output("loud.txt")).read_text() == "HELLO calm"
    with pytest.raises(StorageError, match="access denied"):
        store.build(request(source, word="wild"))


def test_stage_is_as_in_a_folder(here: Store, tmp_path: Path, source: Artifact) -> None:
    """The key, the manifest and the bytes do not depend on where the store is."""
    folder = Store(tmp_path / "folder")
    one, other = folder.build(request(source)).manifest, here.build(request(source)).manifest
    assert one.key == other.key
    assert [a.sha256 for a in one.outputs] == [a.sha256 for a in other.outputs]
    assert [a.path for a in one.outputs] == [a.path for a in other.outputs]
    assert stage().name == one.stage
