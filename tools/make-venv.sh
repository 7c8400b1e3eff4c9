#!/usr/bin/env bash
# make-venv.sh PYTHON FOLDER: a virtual environment with a pip that knows dependency groups.
set -euo pipefail
python=$1
folder=$2
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian and Ubuntu keep ensurepip in a package of its own.
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "python$version-venv" >/dev/null
    else
        echo "Python's venv module is incomplete; install it first: sudo apt-get install python$version-venv" >&2
        exit 1
    fi
fi
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
"$folder/bin/python" -m pip install --disable-pip-version-check -qq --upgrade "pip>=25.1"
