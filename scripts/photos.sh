#!/usr/bin/env bash
# Fetches freely licensed Debian packages with pictures of many sorts and makes
# of them a set for `siaga bench copies`: FOLDER/develop to work with and
# FOLDER/final, a third, to be looked at once. Pictures that show the same are
# taken once. About 900 MB are downloaded; nothing is installed. With --more it
# takes other packages (2 GB), of which nothing was tuned.
set -euo pipefail
cd "$(dirname "$0")/.."
more=
[ "${1:-}" = --more ] && { more=1; shift; }
[ $# -eq 1 ] || { echo "usage: scripts/photos.sh [--more] FOLDER" >&2; exit 2; }
out=$1
packages=(
  # photographs
  gnome-backgrounds plasma-workspace-wallpapers mate-backgrounds lomiri-wallpapers-16.04 lomiri-wallpapers-20.04
  ukui-wallpapers desktop-base lxqt-themes endless-sky-data stellarium-data python3-skimage opencv-doc cimg-doc
  libvigraimpex-doc palapeli-data digikam-data hugin-data kgeography-data
  # objects on white, drawings, screens of programs
  tuxpaint-stamps-default gcompris-qt-data wesnoth-1.16-data fillets-ng-data sway-backgrounds
  # textures, paper, patterns: little that tells one from the other
  gimp-data-extras mypaint-data-extras krita-data trigger-rally-data neverball-data foobillardplus-data
)
[ -z "$more" ] || packages=(
  wordpress-theme-twentytwentyone wordpress-theme-twentytwentythree wordpress-theme-twentytwentytwo
  debian-edu-artwork-emerald debian-edu-artwork-softwaves debian-edu-artwork-homeworld kstars-data marble-data
  gimp-help-en openshot-qt khangman kmahjongg ktuberling-data tuxpaint-data gnome-user-docs qtbase5-examples
  qtdeclarative5-examples inkscape-tutorials imagemagick-6-doc kodi-data trackballs-data lincity-ng-data pingus-data
  extremetuxracer-data colobot-common-textures unknown-horizons openclipart-png supertux-data warmux-data hedgewars-data
  scorched3d-data torcs-data freedroidrpg-data megaglest-data warzone2100-data planetblupi-common tuxtype-data
  kdenlive-data
)
mkdir -p "$out/packages" "$out/unpacked"
out=$(cd "$out" && pwd)
for p in "${packages[@]}"; do
  [ -d "$out/unpacked/$p" ] && continue
  if (cd "$out/packages" && apt-get download -q "$p" >/dev/null 2>&1); then
    dpkg -x "$out/packages/${p}"_*.deb "$out/unpacked/.$p" && mv "$out/unpacked/.$p" "$out/unpacked/$p"
    rm -f "$out/packages/${p}"_*.deb
  else
    echo "photos: $p cannot be had here; going on without" >&2
  fi
done
exec go run ./cmd/siaga bench copies --workers 2 --gather "$out" "$out/unpacked"
