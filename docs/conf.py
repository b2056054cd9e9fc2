"""Configuration of the documentation site: `make docs` builds it, with every warning an error.

The source directory is the repository, so that READMEs stay where they are and their relative links are checked.
"""

project = "Pantree"
copyright = "2025 Pantree"  # Sphinx's name
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "clients/*/README.md",
    "gateway/README.md",
    "examples/README.md",
    "fitting/README.md",
    "SECURITY.md",
    "k8s/README.md",
    "k8s/helm/README.md",
    "protos/README.md",
    "research/*.md",
    "services/*/README.md",
    "services/**/MODEL_CARD.md",
]
exclude_patterns = ["build", "**/node_modules", ".venv"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

html_theme = "furo"
html_title = "Pantree"
html_extra_path = ["site/index.html"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_class_signature = "separated"
autoclass_content = "both"
# The standard library and other packages are not part of this site; references to them stay plain text.
nitpick_ignore_regex = [(r"py:.*", r"(?!pantree_client).*"), (r"py:.*", r".*(\.Transport|T)$")]
