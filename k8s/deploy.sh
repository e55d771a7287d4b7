#!/bin/sh
# deploy.sh local|gke [--dry-run]: deploy this version to the cluster that kubectl points to.
#
# --dry-run prints what would be applied and changes nothing. gke reads from the environment:
#   PROJECT_ID REGION CLOUD_SQL_INSTANCE API_HOST DASHBOARD_HOST IAP_CLIENT_ID
#   API_DIGEST DASHBOARD_DIGEST (64 hex digits, without "sha256:", as the build prints them)
# The secrets must exist; docs/operations.md says how to create them once.
set -eu
cd "$(dirname "$0")"

fail() { echo "$1" >&2; exit 1; }
usage() { fail "usage: deploy.sh local|gke [--dry-run]"; }

overlay=${1:-}
case $overlay in local | gke) ;; *) usage ;; esac
case ${2:-} in "" | --dry-run) ;; *) usage ;; esac
dry=${2:-}
command -v kubectl >/dev/null 2>&1 || fail "kubectl is missing: https://kubernetes.io/docs/tasks/tools"

check() { # reject what is missing or would break the YAML
    for name in PROJECT_ID REGION CLOUD_SQL_INSTANCE API_HOST DASHBOARD_HOST IAP_CLIENT_ID \
        API_DIGEST DASHBOARD_DIGEST; do
        eval "value=\${$name:-}"
        [ -n "$value" ] || fail "$name is not set; see the head of k8s/deploy.sh"
        case $value in *[!A-Za-z0-9._-]*) fail "$name holds a character that no such name has" ;; esac
    done
    for digest in "$API_DIGEST" "$DASHBOARD_DIGEST"; do
        case $digest in *[!0-9a-f]*) false ;; *) [ "${#digest}" = 64 ] ;; esac ||
            fail "a digest has 64 hex digits, without sha256:"
    done
}

fill() { # fill in NAME by $NAME
    zeros=$(printf '%064d' 0)
    ones=$(echo "$zeros" | tr 0 1)
    # DASHBOARD_HOST and API_HOST also end the names of settings (CARDIOWATCH_API_HOST): whole words.
    sed -e "s/sha256:$zeros/sha256:$API_DIGEST/" -e "s/sha256:$ones/sha256:$DASHBOARD_DIGEST/" \
        -e "s/\bPROJECT_ID\b/$PROJECT_ID/g" -e "s/\bREGION\b/$REGION/g" \
        -e "s/\bCLOUD_SQL_INSTANCE\b/$CLOUD_SQL_INSTANCE/g" -e "s/\bAPI_HOST\b/$API_HOST/g" \
        -e "s/\bDASHBOARD_HOST\b/$DASHBOARD_HOST/g" -e "s/\bIAP_CLIENT_ID\b/$IAP_CLIENT_ID/g"
}

[ "$overlay" = local ] || check
rendered=$(kubectl kustomize "overlays/$overlay")
[ "$overlay" = local ] || rendered=$(printf '%s\n' "$rendered" | fill)
if [ -n "$dry" ]; then
    printf '%s\n' "$rendered"
    exit
fi

namespace=cardiowatch
secrets="cardiowatch-database cardiowatch-keys cardiowatch-seal cardiowatch-dashboard"
# Without this secret the load balancer requires no login and shows the dashboard to everybody.
[ "$overlay" = local ] || secrets="$secrets cardiowatch-iap"
for secret in $secrets; do
    kubectl get secret "$secret" --namespace "$namespace" >/dev/null 2>&1 ||
        fail "the secret $secret is missing in $namespace: docs/operations.md, First deployment"
done
# A Job's template cannot change; the previous Job has finished.
kubectl delete job cardiowatch-migrate --namespace "$namespace" --ignore-not-found
printf '%s\n' "$rendered" | kubectl apply --selector '!cardiowatch' -f -
kubectl wait --for=condition=complete job/cardiowatch-migrate --namespace "$namespace" --timeout=3600s
kubectl rollout status deployment/cardiowatch-api --namespace "$namespace" --timeout=300s
kubectl rollout status deployment/cardiowatch-dashboard --namespace "$namespace" --timeout=300s
# Not in one step: kubectl would admit traffic even if the login in front was rejected.
[ "$overlay" = local ] || printf '%s\n' "$rendered" | kubectl apply --selector cardiowatch=route -f -
