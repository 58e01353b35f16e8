"""How Sphinx builds the documentation: `make docs`."""

import importlib.metadata
from typing import Any

project = "avct-jax"
author = "the avct-jax authors"
copyright = author  # the name that Sphinx wants
release = importlib.metadata.version("avct-jax")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Every notebook is run at every build: what a page shows is what this version does.
nb_execution_mode = "force"
nb_execution_timeout = 300  # s
nb_execution_raise_on_error = True
nb_output_stderr = "remove"  # what libraries log while they load

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # fields of a NamedTuple are listed once, in their class
napoleon_attr_annotations = False  # the class' signature has their types

html_theme = "sphinx_book_theme"
html_title = "avct-jax"
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True}


def skip_tuple_fields(_app: Any, _what: str, _name: str, value: Any, skip: bool, _options: Any) -> bool:
    """Leave out "Alias for field number 0": `Attributes:` in the class says more."""
    return skip or type(value).__name__ == "_tuplegetter"


def shorten(
    _app: Any, _what: str, _name: str, _value: Any, _options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Write Array as the code does, not as the private class that it is."""
    short = lambda text: (
        text and text.replace("jaxlib._jax.Array", "Array").replace("numpy.ndarray", "np.ndarray")
    )
    return short(signature), short(returned)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", skip_tuple_fields)
    app.connect("autodoc-process-signature", shorten)
