#!/usr/bin/env bash
# Makes commands available: need.sh COMMAND[=DEBIAN-PACKAGE]...
# Installs what is missing by apt-get where that is possible, else says what to install.
set -euo pipefail

missing=()
for want in "$@"; do
  command -v "${want%%=*}" >/dev/null || missing+=("${want#*=}")
done
((${#missing[@]})) || exit 0

if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
  echo "installing ${missing[*]} by apt-get"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "error: not found: ${missing[*]}; install the packages of these names and try again" >&2
  exit 1
fi
