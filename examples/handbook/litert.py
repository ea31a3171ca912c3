"""LiteRT Torch (formerly ai_edge_torch), or one line that says why it is not here."""

try:
    import litert_torch
except ImportError:
    raise SystemExit(
        "This example needs LiteRT Torch (pip install litert-torch), which has wheels for Linux on "
        "x86-64 and macOS on ARM only; on Windows, run it in WSL."
    ) from None

__all__ = ["litert_torch"]
