#!/usr/bin/env bash
# Invokes every function of template.yaml with its payload of events/: create a
# tenant, issue an API key, register a provider, store a key, vend it, count, tell,
# sweep.
#
#   infra/samlocal/run.sh              with `sam local invoke`, which needs Docker
#   infra/samlocal/run.sh -emulator    without Docker, on Linux
#
# Exit status: 0 passed, 1 failed, 2 wrong arguments, 77 skipped: no Docker.
#
# shellcheck disable=SC2016 # the dollars in single quotes are jq's
set -euo pipefail

mode=docker
case "$#:${1:-}" in
0:) ;;
1:-emulator) mode=emulator ;;
*)
	echo "usage: ${0##*/} [-emulator]" >&2
	exit 2
	;;
esac

if test $mode = docker && ! docker info >/dev/null 2>&1; then
	echo "skipped: no Docker engine answers; ${0##*/} -emulator does without" >&2
	exit 77
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=${KEYVEND_TOOLS:-$HOME/.cache/keyvend}
region=eu-central-1
table=keyvend
case $(uname -m) in
arm64 | aarch64) arch=arm64 goarch=arm64 ;;
*) arch=x86_64 goarch=amd64 ;;
esac

# Whose AWS account this is must not matter: nothing here may reach it.
unset "${!AWS_@}"
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
export SAM_CLI_TELEMETRY=0

work=$(mktemp -d "${TMPDIR:-/tmp}/keyvend-samlocal.XXXXXX")
export TMPDIR=$work # SAM leaves lock files there
imported="" # the image that was made here
cleanup() {
	local pid
	trap '' INT TERM # to the end, once it has begun
	for pid in $(jobs -p); do kill "$pid" 2>/dev/null; done
	wait
	if test -n "$imported"; then
		docker image rm "$imported" "${imported%:*}:rapid-$arch" >/dev/null 2>&1
	fi
	rm -rf "$work"
}
trap 'cleanup || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() { # fail SENTENCE [LOG]
	echo "FAIL: $1" >&2
	if test -n "${2:-}"; then tail -n 30 "$2" >&2; fi
	exit 1
}

needs() { # needs COMMAND-OR-PATH...
	local tool
	for tool; do
		command -v "$tool" >/dev/null || fail "$tool is missing"
	done
}

# background LOG COMMAND... starts a process that ends with this script.
background() {
	local log=$1
	shift
	"$@" >>"$log" 2>&1 </dev/null &
}

# end PID ends a background process early.
end() {
	kill "$1" 2>/dev/null || true
	wait "$1" || true
}

# free_port ADDRESS prints a port that is free there, or fails when this
# machine does not have the address.
free_port() {
	"$tools/sam/bin/python" -c '
import socket, sys
try:
    print(socket.create_server((sys.argv[1], 0)).getsockname()[1])
except OSError:
    sys.exit(1)' "$1"
}

# await LOG COMMAND... repeats a command until it succeeds, as long as the last
# background process lives, and for a minute at most.
await() {
	local log=$1 end=$((SECONDS + 60))
	shift
	until "$@" >/dev/null 2>&1; do
		kill -0 $! 2>/dev/null || fail "a process ended at once" "$log"
		test $SECONDS -lt $end || fail "no answer within a minute" "$log"
		sleep 0.1
	done
}

# --------------------------------------------------------------------- build

build() {
	local main name path
	LAMBDA_ARCH=$goarch "$tools/sam/bin/sam" build --template template.yaml --parameter-overrides "Arch=$arch" \
		--build-dir "$work/build" --cache-dir "$work/cache" >"$work/build.log" 2>&1 ||
		fail "sam build" "$work/build.log"
	# With a wrong BuildMethod, SAM gives every function the same binary.
	for main in functions/*/main.go; do
		name=$(basename "$(dirname "$main")")
		path=$(go version -m "$(bootstrap "$name")" | awk '$1 == "path" {print $2}')
		test "$path" = "keyvend/functions/$name" || fail "the bootstrap of $name is of ${path:-nobody}"
	done
	# SAM drops every variable that the template does not name.
	awk '{print} /^      Variables:$/ {print "        AWS_ENDPOINT_URL_DYNAMODB: unset\n        AWS_ENDPOINT_URL_KMS: unset\n        AWS_ENDPOINT_URL_EVENTBRIDGE: unset\n        AWS_ENDPOINT_URL_SQS: unset"}' \
		"$work/build/template.yaml" >"$work/build/local.yaml"
	grep -q AWS_ENDPOINT_URL_KMS "$work/build/local.yaml" || fail "the built template has no variables"
}

# logical NAME prints the resource of functions/NAME.
logical() { printf '%sFunction' "$(printf %.1s "$1" | tr '[:lower:]' '[:upper:]')${1#?}"; }

bootstrap() { printf '%s/build/%s/bootstrap' "$work" "$(logical "$1")"; }

# --------------------------------------------------- what the functions stand on

prepare_emulator() { here=127.0.0.1 there=127.0.0.1; }

# prepare_docker chooses or makes the base image, and finds out under which
# address containers see this machine.
prepare_docker() {
	image=public.ecr.aws/lambda/provided:al2023-$arch
	if ! docker image inspect "$image" >/dev/null 2>&1 && ! docker pull -q "$image" >/dev/null 2>&1; then
		import_image
	fi
	there=$(docker run --rm --add-host machine:host-gateway --entrypoint /bin/cat "$image" /etc/hosts |
		awk '$2 == "machine" {print $1; exit}')
	test -n "$there" || fail "Docker does not tell the address of this machine"
	# A desktop's engine forwards that address to the loopback interface.
	here=$there
	free_port "$here" >/dev/null || here=127.0.0.1
	sam_flags=(--template "$work/build/local.yaml" --env-vars "$work/env.json" --parameter-overrides "Arch=$arch"
		--region "$region" --skip-pull-image)
	test -z "$imported" || sam_flags+=(--invoke-image "$imported")
}

# import_image makes the little that SAM and a Go binary need of the image that
# could not be pulled. It gets a name of its own.
import_image() {
	local name
	needs busybox
	mkdir -p "$work/image/bin" "$work/image/tmp" "$work/image/var/task"
	cp "$(command -v busybox)" "$work/image/bin/busybox"
	for name in sh mv chmod cat; do ln -s busybox "$work/image/bin/$name"; done
	image=keyvend-samlocal:$arch
	tar -C "$work/image" -cf - . | docker import - "$image" >/dev/null
	imported=$image
}

emulators() {
	local ddb kms key
	ddb=$(free_port "$here")
	kms=$(free_port "$here")
	background "$work/dynamodb.log" java -XX:TieredStopAtLevel=1 -Xmx384m -cp "$tools/dynamodb-local/lib/*" \
		software.amazon.dynamodb.services.local.main.ServerRunner -inMemory -sharedDb -disableTelemetry -port "$ddb"
	await "$work/dynamodb.log" curl -s "http://$here:$ddb/"
	background "$work/kms.log" "$tools/moto/bin/moto_server" -H "$here" -p "$kms"
	await "$work/kms.log" curl -s "http://$here:$kms/"

	# The host makes table and key as the template has them. That it serves then
	# is not wanted here.
	go build -o "$work/host" ./infra/host
	background "$work/host.log" "$work/host" -build=false -addr 127.0.0.1:0 -region $region -table $table \
		-dynamodb "http://$here:$ddb" -kms "http://$here:$kms"
	await "$work/host.log" grep -q 'key arn:' "$work/host.log"
	end $!
	key=$(sed -n 's/.*  key //p' "$work/host.log")

	# One program emulates KMS, EventBridge and SQS.
	AWS_ACCESS_KEY_ID=samlocal AWS_SECRET_ACCESS_KEY=samlocal "$tools/moto/bin/python" -c '
import boto3, sys
at = {"region_name": sys.argv[1], "endpoint_url": sys.argv[2]}
boto3.client("events", **at).create_event_bus(Name="keyvend")
for name in ("keyvend-aside", "keyvend-checks"):
    boto3.client("sqs", **at).create_queue(QueueName=name)' $region "http://$here:$kms" || fail "no event bus or queue"

	jq -n --arg table $table --arg key "$key" --arg ddb "http://$there:$ddb" --arg kms "http://$there:$kms" '{Parameters: {
		KEYVEND_TABLE: $table, KEYVEND_KMS_KEY: $key, KEYVEND_ENVIRONMENT: "samlocal", KEYVEND_KEY_CACHE_SECONDS: "300",
		KEYVEND_EVENT_BUS: "keyvend", KEYVEND_ASIDE_QUEUE: "\($kms)/123456789012/keyvend-aside",
		KEYVEND_CHECK_QUEUE: "\($kms)/123456789012/keyvend-checks",
		AWS_ENDPOINT_URL_DYNAMODB: $ddb, AWS_ENDPOINT_URL_KMS: $kms,
		AWS_ENDPOINT_URL_EVENTBRIDGE: $kms, AWS_ENDPOINT_URL_SQS: $kms}}' >"$work/env.json"
}

# ---------------------------------------------------------------- invocations

# invoke NAME PAYLOAD-FILE runs functions/NAME once. Its answer is then in the
# file $answer, its log in $log. An answer that is a function error fails.
invoke() {
	function=$(logical "$1") answer=$work/$1.answer log=$work/$1.log
	"invoke_$mode" "$1" "$2" || fail "$function could not be invoked" "$log"
	jq -e 'type != "object" or has("errorType") == false' "$answer" >/dev/null 2>&1 ||
		fail "$function ended with an error: $(cat "$answer")" "$log"
}

invoke_docker() {
	"$tools/sam/bin/sam" local invoke "$function" --event "$2" "${sam_flags[@]}" >"$answer" 2>>"$log" </dev/null
}

# The emulator that SAM itself puts into its images takes one invocation.
invoke_emulator() {
	local port api line vars=()
	port=$(free_port 127.0.0.1)
	api=$(free_port 127.0.0.1)
	while read -r line; do vars+=("$line"); done < <(jq -r '.Parameters | to_entries[] | "\(.key)=\(.value)"' "$work/env.json")
	background "$log" env -i PATH="$PATH" AWS_LAMBDA_FUNCTION_NAME="keyvend-$1" AWS_LAMBDA_FUNCTION_TIMEOUT=60 \
		AWS_REGION=$region AWS_ACCESS_KEY_ID=samlocal AWS_SECRET_ACCESS_KEY=samlocal "${vars[@]}" \
		"$rie" --log-level error --runtime-interface-emulator-address "127.0.0.1:$port" \
		--runtime-api-address "127.0.0.1:$api" "$(bootstrap "$1")"
	await "$log" bash -c "</dev/tcp/127.0.0.1/$port"
	curl -sS --max-time 90 --data-binary "@$2" -o "$answer" \
		"http://127.0.0.1:$port/2015-03-31/functions/function/invocations" 2>>"$log" || return
	end $!
}

# request NAME FILTER [JQ-ARGUMENT...] invokes functions/NAME with its payload
# of events/, put through the filter.
request() {
	local name=$1 filter=$2
	shift 2
	jq "$@" "$filter" "events/$name.json" >"$work/$name.event"
	invoke "$name" "$work/$name.event"
}

# expect WHAT FILTER [JQ-ARGUMENT...] prints the function's line if its answer
# passes the filter.
expect() {
	local what=$1 filter=$2
	shift 2
	if ! jq -e "$@" "$filter" "$answer" >/dev/null; then
		echo "$function answered: $(cat "$answer")" >&2
		fail "$function: not so: $what" "$log"
	fi
	printf '%-20s %s\n' "$function" "$what"
}

# routes_docker asks two functions through `sam local start-api`.
routes_docker() {
	local url
	function="sam local start-api" answer=$work/api.answer log=$work/api.log
	url=127.0.0.1:$(free_port 127.0.0.1)
	background "$log" "$tools/sam/bin/sam" local start-api --host 127.0.0.1 --port "${url#*:}" "${sam_flags[@]}"
	await "$log" curl -s "$url/healthz"
	curl -sS -o "$answer" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
		-d "$(jq -r .body events/vend.json)" "$url$(jq -r .rawPath events/vend.json)"
	expect "vends the key over HTTP" '.credential.value == $secret' --arg secret "$secret"
	curl -sS -o "$answer" "$url/nothing-is-here"
	expect "has a default route" '.code == "not_found"'
}

routes_emulator() { :; } # it knows functions, not routes

# -------------------------------------------------------------------- the run

cd "$root"
for rie in "$tools"/sam/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-"$arch"; do :; done
needs go java jq curl awk "$tools/sam/bin/sam" "$tools/sam/bin/python" "$tools/moto/bin/moto_server" "$rie"
test -d "$tools/dynamodb-local/lib" || fail "$tools/dynamodb-local/lib is missing"

build
"prepare_$mode"
emulators

request tenants .
expect "creates a tenant" '.tenant.status == "active"'
tenant=$(jq -r .tenant.id "$answer")

request tenants '{action: "issue_api_key", tenant: $tenant, name: "samlocal", scopes: ["manage", "vend"]}' --arg tenant "$tenant"
expect "issues an API key" '.token | startswith("sk_kv_")'
token=$(jq -r .token "$answer")

authorized='.headers.authorization = "Bearer " + $token'
request providers "$authorized" --arg token "$token"
expect "registers openai" '.statusCode == 201 and (.body | fromjson | .slug == "openai")'

secret=$(jq -r '.body | fromjson | .secret' events/keys.json)
request keys "$authorized" --arg token "$token"
expect "stores a user's key" '.statusCode == 200 and (.body | fromjson | .state == "connected")'
account=$(jq -r '.body | fromjson | .id' "$answer")

request vend "$authorized" --arg token "$token"
expect "vends that key" '.statusCode == 200 and (.body | fromjson | .active and .credential.value == $secret)' \
	--arg secret "$secret"

request keys "$authorized"' | .requestContext.http.method = "POST" | .rawPath = "/widgets/token"' --arg token "$token"
expect "mints a widget token" '.statusCode == 201'
widget=$(jq -r '.body | fromjson | .token' "$answer")
request widget '.headers.authorization = "Bearer " + $token | .headers["sec-fetch-site"] = "same-origin"' --arg token "$widget"
expect "shows the user his key" '.statusCode == 200 and (.body | fromjson | .data[0].installation.api_key_last_4 == "0001")'

# The lines in the payload are made to be of this tenant, account and moment.
jq -r .awslogs.data events/ledger.json | base64 -d | gunzip |
	jq -c '.logEvents[].message |= (fromjson | .at = (now | todate) | .tenant = $tenant | if .account_id then .account_id = $account else . end | tojson)' \
		--arg tenant "$tenant" --arg account "$account" | gzip | base64 | tr -d '\n' |
	jq -R '{awslogs: {data: .}}' >"$work/ledger.event"
invoke ledger "$work/ledger.event"
expect "counts three audit lines" '. == {entered: 3, skipped: 0}'

request keys "$authorized"' | .requestContext.http.method = "GET" | .rawPath = $path | del(.body)' \
	--arg token "$token" --arg path "/keyvend/accounts/$account/reads"
expect "knows of two reads" '.statusCode == 200 and (.body | fromjson | .data[0].count == 2)'

request outbox .
expect "tells of two changes" '.batchItemFailures == []'
jq '.Records[0].dynamodb.NewImage.doc.S = "{}"' events/outbox.json >"$work/poison.event"
invoke outbox "$work/poison.event"
expect "sets aside what it cannot read" '.batchItemFailures == []'

# Nobody is asked: a provider that has no check is found to have none.
request providers "$authorized"' | .body = $body' --arg token "$token" --arg body \
	'{"provider":"acme","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"Acme"}}'
expect "registers a provider" '.statusCode == 201'
request keys "$authorized"' | .rawPath = "/data-integrations/acme/api-key"' --arg token "$token"
expect "stores another key" '.statusCode == 200'
account=$(jq -r '.body | fromjson | .id' "$answer")
request health '.Records[0].body |= (fromjson | .tenant = $tenant | .slug = "acme" | .user_id = $user | tojson)' \
	--arg tenant "$tenant" --arg user "$(jq -r '.body | fromjson | .user_id' events/keys.json)"
expect "looks at a key" '.batchItemFailures == []'
request keys "$authorized"' | .requestContext.http.method = "GET" | .rawPath = $path | del(.body)' \
	--arg token "$token" --arg path "/keyvend/accounts/$account/history"
expect "knows what was found" '.statusCode == 200 and (.body | fromjson | .data[0].reason == "no_check")'

request sweep .
expect "sweeps" '.checks.leased == 0'

# Whatever else the template has at least starts and takes its payload.
for main in functions/*/main.go; do
	name=$(basename "$(dirname "$main")")
	test ! -e "$work/$name.event" || continue
	test -e "events/$name.json" || fail "events/ has no payload for $(logical "$name")"
	request "$name" .
	expect "takes its payload" 'type != "object" or (.statusCode // 200) < 500'
done

"routes_$mode"

! grep -l -F -e "$secret" -e "$token" "$work"/*.log >&2 || fail "these logs hold a secret"
echo "PASS ($mode)"
