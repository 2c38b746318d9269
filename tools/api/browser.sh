#!/bin/sh
# Uses the API from a website in a headless Chromium, through OpenAI's npm package: browser.sh KLEINBILD
# It installs the package into a temporary folder, which it removes.
set -eu
program=$(realpath "$1")
here=$(dirname "$(realpath "$0")")

missing=
for tool in node npm chromium; do
	command -v "$tool" >/dev/null || missing="$missing $tool"
done
[ -z "$missing" ] || { echo "test-browser: missing:$missing (Debian: apt install nodejs npm chromium)" >&2; exit 1; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" openai
node "$here/browser.mjs" "$program" "$folder"
