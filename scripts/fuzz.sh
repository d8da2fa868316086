#!/usr/bin/env bash
# fuzz.sh SECONDS          fuzzes every target, SECONDS in all
# fuzz.sh each SECONDS     fuzzes every target, SECONDS each
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t targets < <(grep -rnoE '^func (Fuzz[A-Za-z0-9_]+)\(' --include='*_test.go' . | sed -E 's#^\./([^:]*)/[^/:]+:[0-9]+:func (Fuzz[A-Za-z0-9_]+)\(#\1 \2#' | sort -u)
n=${#targets[@]}
[ "$n" -gt 0 ] || { echo "fuzz: there is no target" >&2; exit 1; }
if [ "$1" = each ]; then each=$2; else each=$(( $1 / n )); [ "$each" -ge 1 ] || each=1; fi
echo "fuzz: $n targets, $each s each"
for t in "${targets[@]}"; do
  read -r dir name <<<"$t"
  # Making each new input smaller for seconds would take nearly all of the time.
  if ! out=$(go test -run '^$' -fuzz "^$name\$" -fuzztime "${each}s" -fuzzminimizetime 20x "./$dir" 2>&1); then
    echo "$out" | tail -40
    echo "fuzz: $dir $name failed; the case is in $dir/testdata/fuzz/$name: commit it with the fix" >&2
    exit 1
  fi
done
echo "fuzz: clean"
