#!/bin/sh
# Tests a server against its own OpenAPI document with schemathesis: schema.sh KLEINBILD [OPTION OF ST RUN...]
# It installs schemathesis into a temporary folder, unless $SCHEMATHESIS names an installed program st.
set -eu
program=$(realpath "$1")
shift
here=$(dirname "$(realpath "$0")")
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || :; rm -rf "$folder"' EXIT

if [ -z "${SCHEMATHESIS:-}" ]; then
	python3 -c 'import venv, ensurepip' 2>/dev/null || {
		echo "test-api: missing: python3 with venv (Debian: apt install python3-venv)" >&2
		exit 1
	}
	python3 -m venv "$folder/venv"
	"$folder/venv/bin/pip" install -q 'schemathesis==4.32.5'
	SCHEMATHESIS=$folder/venv/bin/st
fi

token=token-of-the-test
"$program" serve -m demo --listen 127.0.0.1:0 --token "$token" --model-id test-model \
	>"$folder/address" 2>"$folder/log" &
server=$!
address=
for _ in $(seq 300); do
	read -r address <"$folder/address" && break
	kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
	sleep 0.1
done

# The check of object-level authorization needs more than one user.
cd "$folder"
SCHEMATHESIS_HOOKS=hooks PYTHONPATH=$here "$SCHEMATHESIS" run "$address/openapi.json" \
	-H "Authorization: Bearer $token" \
	--checks all --exclude-checks object_level_authorization --max-examples "${EXAMPLES:-30}" --seed "${SEED:-1}" \
	--request-timeout 120 --no-color "$@"
