#!/bin/sh
# Install what some tests need from the system's packages: MariaDB and Chromium.
# Only as root on a system with apt, and only what is absent; otherwise those tests skip and say why.
set -eu
missing=""
command -v mariadbd >/dev/null 2>&1 || [ -x /usr/sbin/mariadbd ] || missing="$missing mariadb-server"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "Not installed:$missing (not root, or no apt); the tests that need it will skip." >&2
  exit 0
fi
echo "Installing$missing from the system's packages" >&2
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
