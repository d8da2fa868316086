#!/usr/bin/env bash
# Installs the programs that tests need and that are missing. On a machine that
# is not Debian, install them by hand: a missing one fails the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v ffmpeg >/dev/null || missing+=(ffmpeg)
command -v chromium >/dev/null || missing+=(chromium fonts-noto-core)
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing+=(postgresql)
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
command -v strace >/dev/null || [ "$(uname)" != Linux ] || missing+=(strace)
command -v systemd-analyze >/dev/null || [ "$(uname)" != Linux ] || missing+=(systemd)
command -v npm >/dev/null || missing+=(npm)

if [ ${#missing[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "parts: install these by hand, then run this again: ${missing[*]}" >&2
    exit 1
  fi
  sudo=""; [ "$(id -u)" = 0 ] || sudo=sudo
  echo "parts: installing ${missing[*]}" >&2
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# axe-core checks pages for people who cannot see, hear or point.
if [ ! -f .cache/node_modules/axe-core/axe.min.js ]; then
  npm install --silent --no-save --no-package-lock --prefix .cache axe-core@4.14.1 >/dev/null
fi
