#!/bin/sh
# Install the pinned agent CLIs for `pytest -m agents`, each version in a directory of its own.
#
# Usage: tests/agents/install.sh [cache directory]
# The cache directory defaults to $CODEFORGE_AGENTS_DIR, then ~/.cache/codeforge-agents. Safe to repeat: what is
# installed and starts is left alone; a half-finished install is made anew. Needs npm; exits 0 with a word when
# there is none, because the tests then skip and say so.
set -eu

cache=${1:-${CODEFORGE_AGENTS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/codeforge-agents}}

if ! command -v npm >/dev/null 2>&1; then
    echo "npm is not installed: the tests of real agent CLIs will be skipped" >&2
    exit 0
fi

# install NAME VERSION PACKAGE...: into $cache/NAME-VERSION, moved there only when the program starts.
install() {
    name=$1 version=$2
    shift 2
    target=$cache/$name-$version
    program=node_modules/.bin/$name
    if "$target/$program" --version </dev/null >/dev/null 2>&1; then
        echo "$name $version is there: $target"
        return
    fi
    partial=$cache/.partial-$name-$version
    rm -rf "$partial" "$target"
    mkdir -p "$partial"
    # A package.json of its own keeps npm from walking up into another project.
    echo '{"private": true}' >"$partial/package.json"
    (cd "$partial" && npm install --no-audit --no-fund --loglevel=error "$@" >&2)
    "$partial/$program" --version </dev/null
    mv "$partial" "$target"
    echo "$name $version installed: $target"
}

# The newest 2.1.x asks for Node 22 or later to install; the program itself is one binary that needs no Node.
install claude 2.1.328 node@24 @anthropic-ai/claude-code@2.1.328
# What npm picks with Node 20. It looks sessions up by directory and reports cost per run.
install claude 2.1.197 @anthropic-ai/claude-code@2.1.197
