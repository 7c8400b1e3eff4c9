#!/usr/bin/env bash
# What Qt and OpenGL need to draw in a virtual screen, and a validator for the DICOM files that the tests write. Installs
# it where this is Debian or Ubuntu and we are root; otherwise says what to install. Nothing is needed on macOS and Windows.
set -euo pipefail
packages=(
    xvfb xauth
    libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0
    libxcb-xinerama0 libxcb-xkb1 libxkbcommon-x11-0
    libegl1 libgl1 libgl1-mesa-dri libopengl0
    libdbus-1-3 libfontconfig1 libglib2.0-0
)
# Without it one test is skipped, so nobody is stopped where it cannot be installed.
validator=dicom3tools
[ "$(uname -s)" = Linux ] || exit 0
if ! command -v dpkg-query >/dev/null; then
    command -v xvfb-run >/dev/null && exit 0
    echo "Install xvfb, xauth, the Qt 6 xcb libraries and Mesa's OpenGL with your package manager, then try again." >&2
    exit 1
fi
missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status} ' "$package" "${package}t64" 2>/dev/null || true)
    case $state in *installed*) ;; *) missing+=("$package") ;; esac
done
if ! command -v dciodvfy >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $validator >/dev/null ||
            echo "$validator cannot be installed; DICOM files are not checked by it." >&2
    else
        echo "DICOM files are not checked by $validator; to have that done: sudo apt-get install $validator" >&2
    fi
fi
[ ${#missing[@]} = 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
    echo "The tests need system packages; install them first:" >&2
    echo "    sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
