"""PNG and SVG files of many charts: a second process draws them while this one computes the next.

vl-convert holds Python's global lock while it draws, so a thread would not help. The second process runs this
file by its path, so it imports vl-convert but nothing else of the package.
"""

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import vl_convert

FONTS = Path(__file__).with_name("fonts")
EXPORTS = "window.vegaEmbed = vegaEmbed; window.vega = vega; window.vegaLite = vegaLite;"


@functools.cache
def converter() -> ModuleType:
    """vl-convert, which knows the fonts of this package.

    They have a name of their own: of two fonts with one name, vl-convert may take the one of the machine, and
    files would then differ between machines.
    """
    vl_convert.register_font_directory(str(FONTS))
    return vl_convert


class Renderer:
    """Draws the charts that it is given, in order; `finish` waits for them and returns Vega's JavaScript.

    Use it as a context: leaving the context always ends the process.
    """

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self._count = 0
        command = [sys.executable, "-P", __file__]  # -P: this folder's statistics.py is not the standard one
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True,
            process_group=0,  # a signal to our group, such as Ctrl-C, is for us to handle
        )  # fmt: skip
        return self

    def add(self, spec: dict[str, Any], stem: Path) -> None:
        """Draw a Vega-Lite spec, which includes its config, as `stem`.png and `stem`.svg."""
        assert self._process.stdin is not None
        self._count += 1
        path = Path(self._folder.name) / f"{self._count}.json"
        path.write_text(json.dumps(spec), encoding="utf-8")
        try:
            self._process.stdin.write(json.dumps([str(path), str(stem)]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.finish()  # raises an error with the output of the process

    def finish(self) -> str:
        """Wait for all charts. Returns Vega, Vega-Lite and vega-embed as one script."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdin = None
        script, errors = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"drawing the charts failed: {errors.strip()[:500]}")
        return script

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        self._folder.cleanup()


def draw(spec: dict[str, Any], stem: Path) -> None:
    """Write `stem`.svg and, from it, `stem`.png at twice the size."""
    svg = converter().vegalite_to_svg(spec)
    stem.with_name(f"{stem.name}.svg").write_text(svg, encoding="utf-8")
    stem.with_name(f"{stem.name}.png").write_bytes(converter().svg_to_png(svg, scale=2))


def bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script: from the cache, since making it takes two seconds."""
    name = f"vega-{version('vl-convert-python')}.js"
    try:
        root = Path(os.environ.get("EMARGIN_CACHE") or Path.home() / ".cache" / "emargin-study")
        kept = root / name
        if kept.exists():
            return kept.read_text(encoding="utf-8")
    except (OSError, RuntimeError, UnicodeDecodeError):  # no home folder, or one that cannot be read
        return vl_convert.javascript_bundle(EXPORTS)
    made = vl_convert.javascript_bundle(EXPORTS)
    with contextlib.suppress(OSError):
        root.mkdir(parents=True, exist_ok=True)
        whole = root / f"{name}.{os.getpid()}.part"
        whole.write_text(made, encoding="utf-8")
        os.replace(whole, kept)
    return made


def _serve() -> None:
    script = bundle()
    for line in sys.stdin:
        path, stem = json.loads(line)
        draw(json.loads(Path(path).read_text(encoding="utf-8")), Path(stem))
    sys.stdout.write(script)


if __name__ == "__main__":
    _serve()
