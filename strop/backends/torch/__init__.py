"""The default backend: one process, any transformers causal language model."""

# before transformers: it says what of the packages that transformers imports shall be heard
import strop.models  # noqa: F401  # pyright: ignore[reportUnusedImport]
