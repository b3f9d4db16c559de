"""Reading manifests: YAML from files, directories or standard input; a bad field is named whole."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from contracts.manifests import KINDS, MANIFEST, EnvironmentManifest, Manifest, ModelManifest
from services.chassis.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

STANDARD_INPUT = "-"
SUFFIXES = {".yaml", ".yml"}


class _Loader(yaml.SafeLoader):
    """Safe YAML that takes no key twice: the first one would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT002 (as its parent has it)
        seen: set[Any] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is a word", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value} stands here twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest and where it stands; lines: where each field of its spec does."""

    file: str
    number: int
    line: int
    manifest: Manifest

    @property
    def shown(self) -> str:
        """Return what it is, as people call it."""
        if isinstance(self.manifest, ModelManifest):
            return f"Model {self.manifest.name} ({self.manifest.environment})"
        return f"{self.manifest.kind} {self.manifest.name}"

    def refuse(self, field: str, detail: str) -> Refused:
        """Return the refusal of one of its fields."""
        place = f"{self.file}:{self.line}: document {self.number} ({self.shown})"
        return Refused(f"{place}, {field}: {detail}")


def read(files: Iterable[str]) -> list[Document]:
    """Return every document, those that others stand in first.

    Raises Refused naming file, line, document and field of everything that is wrong.
    """
    problems: list[str] = []
    found = [each for file in _whole(files) for each in _documents(file, problems)]
    problems += _twice(found)
    if problems:
        raise Refused("\n".join(problems))
    if not found:
        raise Refused("there is no document in it")
    return sorted(found, key=lambda each: KINDS.index(each.manifest.kind))


def environments(documents: Sequence[Document]) -> frozenset[str]:
    """Return the names of the environments among them."""
    manifests = (each.manifest for each in documents)
    return frozenset(each.name for each in manifests if isinstance(each, EnvironmentManifest))


def _whole(files: Iterable[str]) -> Iterator[str]:
    """Yield files, for a directory those in it."""
    for file in files:
        if file != STANDARD_INPUT and Path(file).is_dir():
            inside = sorted(each for each in Path(file).iterdir() if each.suffix in SUFFIXES)
            yield from map(str, inside)
        else:
            yield file


def _documents(file: str, problems: list[str]) -> Iterator[Document]:
    name = "standard input" if file == STANDARD_INPUT else file
    loader, number = _loader(file, name), 0
    try:
        while loader.check_node():
            number += 1
            node = loader.get_node()
            given = None if node is None else loader.construct_document(node)
            if node is None or given is None:
                continue
            line = node.start_mark.line + 1
            try:
                yield Document(name, number, line, MANIFEST.validate_python(given))
            except ValidationError as error:
                called = f"document {number}{_called(given)}"
                problems += [_told(name, called, node, each) for each in error.errors()]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        problems.append(f"{name}:{mark.line + 1 if mark else 1}: {error.problem or error.context}")
    except yaml.YAMLError as error:
        problems.append(f"{name}: this is no YAML: {error}")
    except RecursionError:
        problems.append(f"{name}: document {number} is nested too deeply")
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        # What a tag or a look makes of a text: 2026-99-99 looks like a date, and is none.
        problems.append(f"{name}: document {number}: a value is not what it looks like: {error}")
    finally:
        loader.dispose()


def _loader(file: str, name: str) -> _Loader:
    try:
        return _Loader(_text(file))
    except yaml.YAMLError as error:
        raise Refused(f"{name}: this is no YAML: {error}") from error


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == STANDARD_INPUT else Path(file).read_text()
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Refused(f"{file}: this is no text") from error


def _called(given: Any) -> str:
    """Return what a document that cannot be read calls itself."""
    if not isinstance(given, dict):
        return ""
    said = [str(given[name]) for name in ("kind", "name") if isinstance(given.get(name), str)]
    return f" ({' '.join(said)})" if said else ""


def _told(file: str, called: str, node: yaml.Node, problem: Any) -> str:
    """Return one problem, with the line of its field."""
    place = [str(part) for part in problem["loc"]]
    if place and place[0] in KINDS:
        place = place[1:]
    field = ".".join(place) or "kind"
    said = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"].startswith("union_tag"):
        said = f"one of {', '.join(KINDS)} is wanted"
    return f"{file}:{_line(node, place)}: {called}, {field}: {said}"


def _line(node: yaml.Node, place: Sequence[str]) -> int:
    """Return the line a field stands on, or would stand in."""
    line = int(node.start_mark.line) + 1
    for part in place:
        if not isinstance(node, yaml.MappingNode):
            break
        found = [(key, value) for key, value in node.value if key.value == part]
        if not found:
            break
        line, node = found[0][0].start_mark.line + 1, found[0][1]
    return line


def _twice(documents: Sequence[Document]) -> Iterator[str]:
    seen: dict[str, Document] = {}
    for each in documents:
        first = seen.setdefault(each.shown, each)
        if first is not each:
            yield (
                f"{each.file}:{each.line}: document {each.number} ({each.shown}) stands at"
                f" {first.file}:{first.line} already"
            )
