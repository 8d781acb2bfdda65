# Sourced by the scripts that need a program of the system's, and install its package on Debian when they may.

fail() {
    echo "scripts/${0##*/}: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo --non-interactive "$@"
    fi
}

# require_apt MISSING PACKAGE: ends with a sentence that says what to do, unless this user may install the package.
require_apt() {
    command -v apt-get >/dev/null || fail "$1 missing, and there is no apt-get to install $2 with"
    as_root true 2>/dev/null || fail "$1 missing, and this user may not install packages: apt-get install $2"
}

apt_install() {
    echo "scripts/${0##*/}: installing $*" >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update --quiet >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "$@" >&2
}
