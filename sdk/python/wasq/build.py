"""From src/handler.py to dist/NAME.wasm: `python -m wasq.build`. `wasq build` calls it, and puts the manifest inside."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SOURCES = ["src/handler.py", "handler.py"]
HELP = f"""Makes dist/NAME.wasm of a handler, where NAME is the plugin's in plugin.toml.

  python -m wasq.build [SOURCE]   default: the first that is there of {", ".join(SOURCES)}"""
# What is of no use in a component.
NOT_IN_COMPONENT = {"wasq-sdk", "componentize-py"}
ENTRY = """import {module}
from wasq._component import MessageHandler
from wasq._handler import registered

if len(registered) != 1:
    raise SystemExit(f"{module} has {{len(registered)}} functions with @handler, and a component has one")
"""


class Problem(Exception):
    """What is wrong, with the way out."""


def manifest(project: Path) -> tuple[str, bool]:
    """The plugin's name, and whether it calls hosts. The host reads all of it."""
    path = project / "plugin.toml"
    if not path.exists():
        least = 'name = "my-handler"\ntypes = ["order_completed"]'
        raise Problem(f"there is no plugin.toml in {project}; the least one:\n\n{least}")
    try:
        table = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise Problem(f"{path}: {error}") from None
    name = table.get("name")
    if not isinstance(name, str):
        raise Problem('plugin.toml has no name; write for example: name = "my-handler"')
    return name, bool(table.get("allowed_outbound_hosts"))


def dependencies(project: Path) -> list[str]:
    """The names of the distributions that the project needs in its component, and what these need."""
    path = project / "pyproject.toml"
    wanted = list(tomllib.loads(path.read_text()).get("project", {}).get("dependencies", [])) if path.exists() else []
    found: list[str] = []
    while wanted:
        requirement = wanted.pop()
        name = re.split(r"[\s;\[<>=!~(@]", requirement.strip(), maxsplit=1)[0].lower().replace("_", "-")
        if name in found or name in NOT_IN_COMPONENT or "extra ==" in requirement:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if ";" in requirement:
                continue
            raise Problem(f"{name} is not installed; run: {sys.executable} -m pip install {name}") from None
        found.append(name)
        wanted.extend(distribution.requires or [])
    return found


def copy_dependencies(names: list[str], into: Path) -> None:
    """Copies the modules of these distributions."""
    for name in names:
        for file in importlib.metadata.distribution(name).files or []:
            if file.suffix in (".so", ".pyd"):
                raise Problem(f"{name} has machine code ({file}), which does not run in a component; use one in Python alone")
            if ".." not in file.parts and not file.parts[0].endswith((".dist-info", ".data")) and file.suffix != ".pyc":
                target = into / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)


def wit() -> Path:
    """The contract: in the package, or beside the SDKs in the repository."""
    here = Path(__file__).parent
    packaged = here / "wit"
    return packaged if packaged.exists() else here.parents[2] / "wit"


def build(project: Path, given: str | None) -> Path:
    """Makes the component."""
    name, calls_hosts = manifest(project)
    source = next((path for path in ([given] if given else SOURCES) if (project / path).is_file()), None)
    if source is None:
        raise Problem(f"there is no handler at {given or ', '.join(SOURCES)} in {project}")
    out = project / "dist" / f"{name}.wasm"
    out.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        entry, site = Path(directory) / "entry", Path(directory) / "site"
        entry.mkdir()
        (entry / "app.py").write_text(ENTRY.format(module=Path(source).stem))
        package = Path(__file__).parent
        shutil.copytree(package, site / "wasq", ignore=shutil.ignore_patterns("build.py", "testing.py", "wit", "__pycache__", "*.pyc"))
        copy_dependencies(dependencies(project), site)
        paths = [entry, (project / source).parent, site]
        # Its script need not be on the path.
        command = [sys.executable, "-c", "from componentize_py import script; script()", "--wit-path", str(wit())]
        command += ["--world", "worker-http" if calls_hosts else "worker", "componentize", "app", "--output", str(out)]
        for path in paths:
            command += ["--python-path", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Problem(f"{source} does not become a component:\n{reason(done.stderr or done.stdout)}")
    return out


def reason(said: str) -> str:
    """What went wrong when the modules were imported; the whole of it, where that is not what went wrong."""
    missing = re.search(r"ModuleNotFoundError: No module named '([^']*)'", said)
    if missing:
        return f"no module named {missing[1]}: name its package under dependencies in pyproject.toml, and install it"
    return said.strip()


def main() -> None:
    """The command."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("-h", "--help"):
        print(HELP)
        return
    try:
        out = build(Path.cwd(), arguments[0] if arguments else None)
    except Problem as problem:
        raise SystemExit(f"error: {problem}") from None
    print(f"{out.relative_to(Path.cwd())}  {out.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
