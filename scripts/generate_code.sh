#!/bin/sh
# Generate the protobuf code of every room beside its .proto files.
set -eu
cd "$(dirname "$0")/.."
out=${1:-.}
PATH="$(cd "${BIN:-.venv/bin}" && pwd):$PATH"
python -m grpc_tools.protoc -I . --python_out="$out" --grpc_python_out="$out" --mypy_out="$out" --mypy_grpc_out="$out" \
  */proto/*.proto 2>&1 | grep -v '^Writing mypy' >&2 || true
