"""Files in and out. Formats are imported on use; nothing here imports torch."""

from __future__ import annotations
