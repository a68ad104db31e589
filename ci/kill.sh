#!/usr/bin/env bash
# kill.sh [ROUNDS [SEED]]: see ci/campaign.sh.
exec "$(dirname "${BASH_SOURCE[0]}")/campaign.sh" kill "$@"
