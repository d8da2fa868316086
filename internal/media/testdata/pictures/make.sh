#!/bin/sh
# Makes the pictures of this folder from one photograph, in the forms that
# decoders get wrong. Needs Debian's libjpeg-turbo-progs imagemagick webp
# libheif-examples libavif-bin libjxl-tools apngasm gifsicle
# libimage-exiftool-perl ffmpeg. The files are kept, so that the tests need none
# of these.
set -e
cd "$(dirname "$0")"
im=/usr/bin/convert
src=../../../../fingerprint/pdq/testdata/images/bridge-mods__square-256x256.jpg
other=../../../../fingerprint/pdq/testdata/images/reg-test-input__labelme-subset__q2821.jpg
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT

$im "$src" -strip -crop 240x192+8+40 +repage -resize 120x96! -depth 8 base.png
$im base.png "$tmp/base.ppm"
$im "$other" -strip -resize 120x96! -depth 8 -type TrueColor -define png:color-type=2 "$tmp/other.png"

cjpeg -quality 90 "$tmp/base.ppm" > baseline.jpg
cjpeg -quality 90 -progressive "$tmp/base.ppm" > progressive.jpg
cjpeg -quality 90 -arithmetic "$tmp/base.ppm" > arithmetic.jpg
cjpeg -quality 90 -restart 1 "$tmp/base.ppm" > restart.jpg
cjpeg -quality 90 -rgb "$tmp/base.ppm" > rgb.jpg
cjpeg -quality 90 -sample 4x1 "$tmp/base.ppm" > sample411.jpg
cjpeg -quality 90 -grayscale "$tmp/base.ppm" > grey.jpg
$im base.png -colorspace CMYK -quality 90 cmyk.jpg              # Adobe, inverted
$im base.png -colorspace CMYK -quality 90 -interlace JPEG cmyk-progressive.jpg
cp baseline.jpg exif.jpg                                        # turned, with another picture as thumbnail and behind the end
$im "$tmp/other.png" -resize 60x48 -quality 80 "$tmp/thumb.jpg"
exiftool -q -overwrite_original -n -Orientation=6 "-ThumbnailImage<=$tmp/thumb.jpg" exif.jpg
cat "$tmp/thumb.jpg" >> exif.jpg
cat baseline.jpg base.png > png-behind.jpg

$im base.png -define png:bit-depth=16 -define png:color-type=2 png48:sixteen.png
$im base.png -colors 200 png8:palette.png
$im base.png -alpha set -region 6x6+2+2 -channel A -evaluate set 60% +channel +region -define png:color-type=6 rgba.png
$im base.png -interlace PNG interlaced.png
$im base.png -colorspace Gray -depth 8 -define png:color-type=0 grey.png
rm -f exif.png; exiftool -q -n -Orientation=3 -o exif.png base.png
cp base.png "$tmp/f1.png"; cp "$tmp/other.png" "$tmp/f2.png"; cp base.png "$tmp/keep.png"
(cd "$tmp" && apngasm anim.png f1.png 1 2 >/dev/null); cp "$tmp/anim.png" animated.png; cp "$tmp/keep.png" "$tmp/f1.png"

$im base.png still.gif
$im base.png -interlace GIF interlaced.gif
$im -delay 20 base.png -delay 40 "$tmp/other.png" -delay 20 base.png -loop 0 "$tmp/anim.gif"
gifsicle -O3 "$tmp/anim.gif" > animated.gif

cwebp -quiet -q 90 base.png -o lossy.webp
cwebp -quiet -lossless base.png -o lossless.webp
cwebp -quiet -q 90 -alpha_q 80 rgba.png -o alpha.webp
cwebp -quiet -q 90 "$tmp/f1.png" -o "$tmp/1.webp"; cwebp -quiet -q 90 "$tmp/f2.png" -o "$tmp/2.webp"
webpmux -frame "$tmp/1.webp" +200 -frame "$tmp/2.webp" +400 -loop 0 -o animated.webp

$im base.png BMP3:plain.bmp
$im base.png -colors 200 -compress RLE BMP3:rle.bmp
$im base.png -compress LZW lzw.tiff
$im base.png -compress Zip -depth 16 zip16.tiff
$im base.png -compress JPEG -quality 90 jpeg.tiff

heif-enc -q 90 base.png -o plain.heic >/dev/null
# Over 32 KB, where some readers of the size stop.
$im ../../../../fingerprint/pdq/testdata/images/bridge-mods__aaa-orig.jpg -strip -resize 640x480! "$tmp/large.png"
heif-enc -q 60 "$tmp/large.png" -o large.heic >/dev/null
avifenc -s 8 --min 16 --max 26 "$tmp/large.png" large.avif >/dev/null
avifenc -s 8 --min 10 --max 20 base.png plain.avif >/dev/null
avifenc -s 8 -d 10 --min 10 --max 20 base.png ten.avif >/dev/null
avifenc -s 8 --min 10 --max 20 --fps 5 "$tmp/f1.png" "$tmp/f2.png" animated.avif >/dev/null
cjxl -q 90 base.png plain.jxl >/dev/null 2>&1
ffmpeg -v error -y -i base.png -c:v jpeg2000 plain.jp2
$im base.png plain.ico
printf '<svg xmlns="http://www.w3.org/2000/svg" width="160" height="128"><rect width="80" height="64" fill="red"/></svg>\n' > plain.svg
