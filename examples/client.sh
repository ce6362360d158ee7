#!/usr/bin/env bash
# Ask a running service with curl: bash examples/client.sh [URL]
set -euo pipefail
url=${1:-http://127.0.0.1:3000}

curl --fail-with-body --silent --show-error "$url/predict" \
  --header 'Content-Type: application/json' \
  --data '{"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96}'
echo
curl --fail-with-body --silent --show-error "$url/predict_batch" \
  --header 'Content-Type: application/json' \
  --data '{"rows": [{"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96},
                    {"calls": 4, "minutes": 21.5, "messages": 0, "mb_used": 1200.0}]}'
echo
curl --fail-with-body --silent --show-error "$url/advise" \
  --header 'Content-Type: application/json' --header 'Accept-Language: es' \
  --data '{"plan": "Ultra", "months": [
            {"month": "2026-09", "calls": 4, "minutes": 21.5, "messages": 0, "mb_used": 1200.0},
            {"month": "2026-10", "calls": 4, "minutes": 21.5, "messages": 0, "mb_used": 1200.0}]}'
echo
