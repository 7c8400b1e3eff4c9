#!/usr/bin/env bash
# with-screen.sh COMMAND...: run in a virtual screen where xvfb-run is there, in the real one otherwise.
# (Qt's "offscreen" platform is not enough: napari needs OpenGL.)
set -euo pipefail
if command -v xvfb-run >/dev/null; then
    exec xvfb-run -a -s "-screen 0 1700x1100x24 +extension GLX" "$@"
fi
exec "$@"
