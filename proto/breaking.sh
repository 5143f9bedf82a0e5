#!/usr/bin/env bash
# Hold the messages to what readers of the main branch were promised.
#
# The base is where this work left main; on main itself it is the commit before. Only a history that
# holds no messages yet has nothing to compare with.
set -euo pipefail
cd "$(dirname "$0")/.."

# A build machine may check the tree out as another user than it runs as.
git() { command git -c safe.directory='*' "$@"; }
commit_of() { git rev-parse --quiet --verify "$1^{commit}" 2>/dev/null; }

head=$(commit_of HEAD) || { echo "buf breaking: no history here, nothing to compare with"; exit 0; }
main=$(commit_of origin/main || commit_of main || echo "$head")
base=$(git merge-base "$main" "$head")
if [[ $base == "$head" ]] && git diff --quiet HEAD -- proto; then
    base=$(commit_of "HEAD^") || {
        shallow=$(git rev-parse --is-shallow-repository)
        [[ $shallow == true ]] && echo "buf breaking: a shallow clone, its history is out of reach" >&2
        [[ $shallow == true ]] || echo "buf breaking: first commit, nothing to compare with"
        exit 0
    }
fi
if ! git cat-file -e "$base:proto/buf.yaml" 2>/dev/null; then
    echo "buf breaking: ${base:0:12} holds no messages, nothing to compare with"
    exit 0
fi

earlier=$(mktemp -d)
trap 'rm -rf "$earlier"' EXIT
git archive "$base" proto | tar -x -C "$earlier"
cd proto
buf breaking --against "$earlier/proto"
