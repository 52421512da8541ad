#!/bin/sh
# Fail if the committed protobuf code differs from what its .proto files generate.
set -eu
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
BIN="${BIN:-.venv/bin}" sh scripts/generate_code.sh "$fresh"
bad=0
for proto in */proto/*.proto; do
  for file in "$fresh/${proto%.proto}"_pb2*; do
    cmp -s "$file" "${file#"$fresh"/}" || { echo "stale: ${file#"$fresh"/}; run make proto" >&2; bad=1; }
  done
done
exit $bad
