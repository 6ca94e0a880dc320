# Everything about the package is in pyproject.toml, but for two things that need a few lines: the bundles and sweeps at
# the repository's top, which the wheel brings along, and README.md as PyPI's page shows it.
import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.config.pyprojecttoml import load_file

ROOT = Path(__file__).parent


class BuildWithBundles(build_py):
    """Put ``bundles/`` and ``sweeps/`` where ``monai_ept.shipped`` finds them in an installed package."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for name in ("bundles", "sweeps"):
                shutil.copytree(
                    ROOT / name,
                    Path(self.build_lib, "monai_ept", "_shipped", name),
                    ignore=shutil.ignore_patterns("models", "__pycache__"),
                    dirs_exist_ok=True,
                )


def long_description(text: str, source: str | None) -> str:
    """
    README.md for a page that has only its text.

    Args:
        text: of README.md.
        source: address of the repository; links of the README then lead there, otherwise they become plain text.
    """
    base = f"{source.rstrip('/')}/blob/main/" if source else ""
    raw = f"{source.rstrip('/')}/raw/main/" if source else ""
    local = r"(?!https?:|mailto:|#)([^)\s]+)"
    text = re.sub(rf"!\[([^\]]*)\]\({local}\)", rf"![\1]({raw}\2)" if source else "", text)
    return re.sub(rf"(?<!!)\[([^\]]*)\]\({local}\)", rf"[\1]({base}\2)" if source else r"\1", text)


if __name__ == "__main__":
    urls = load_file(ROOT / "pyproject.toml")["project"].get("urls", {})
    setup(
        cmdclass={"build_py": BuildWithBundles},
        long_description=long_description((ROOT / "README.md").read_text(encoding="utf-8"), urls.get("Source")),
        long_description_content_type="text/markdown",
    )
