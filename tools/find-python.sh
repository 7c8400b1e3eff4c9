#!/usr/bin/env bash
# Print the first Python that is 3.11 or newer; "python3" itself wins where it is.
set -euo pipefail
for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        command -v "$candidate"
        exit 0
    fi
done
echo "Python 3.11 or newer is needed; install it or give it with: make PYTHON=/path/to/python" >&2
exit 1
