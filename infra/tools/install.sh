#!/usr/bin/env bash
# Installs what the tests need besides Go and a Chromium: DynamoDB Local, a KMS
# emulator, SAM, the official Node SDK and React widget, what checks the files for
# browsers, and the linter.
# Everything goes below $KEYVEND_TOOLS (default ~/.cache/keyvend); what is there in
# the right version stays.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tools=${KEYVEND_TOOLS:-$HOME/.cache/keyvend}
mkdir -p "$tools"

# once NAME VERSION COMMAND...: runs the command unless NAME is there already in
# that version. The mark is written last, so a broken install is done again.
once() {
  local name=$1 version=$2 mark="$tools/.${1//\//-}"
  shift 2
  if [[ -e $mark && $(<"$mark") == "$version" ]]; then return; fi
  echo "installing $name $version"
  rm -rf "${tools:?}/$name" "$mark"
  "$@"
  echo "$version" >"$mark"
}

dynamodb_local() {
  mkdir -p "$tools/dynamodb-local"
  mvn -q -B -f "$here/dynamodb-local.xml" dependency:copy-dependencies -DoutputDirectory="$tools/dynamodb-local/lib"
}

venv() { # venv NAME PACKAGE...
  local name=$1
  shift
  python3 -m venv "$tools/$name"
  "$tools/$name/bin/pip" install -q --disable-pip-version-check "$@"
}

npm_packages() { # npm_packages NAME FOLDER
  mkdir -p "$tools/$1"
  cp "$root/$2"/package*.json "$tools/$1/"
  npm ci --silent --ignore-scripts --no-audit --no-fund --prefix "$tools/$1"
}

go_tool() { # go_tool NAME PACKAGE
  mkdir -p "$tools/bin"
  GOBIN="$tools/bin" go install "$2"
}

once dynamodb-local 3.1.0 dynamodb_local
once moto 5.2.1 venv moto 'moto[server]==5.2.1'
once sam 1.170.0 venv sam 'aws-sam-cli==1.170.0'
for name in node react; do
  once $name "$(cksum <"$root/infra/e2e/$name/package-lock.json")" npm_packages $name infra/e2e/$name
done
once web "$(cksum <"$root/infra/widget/node/package-lock.json")" npm_packages web infra/widget/node
once bin/golangci-lint v2.15.0 go_tool golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
echo "tools are in $tools"
