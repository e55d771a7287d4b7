#!/bin/sh
# deploy.sh OVERLAY [--dry-run]: deploy this version to the cluster that kubectl points to; watch for failure.
#
# --dry-run prints what would be applied and changes nothing. The environment fills in the overlays:
#   local: TAG of both images, new for each build
#   gke, gke-1-to-3: PROJECT_ID REGION CLOUD_SQL_INSTANCE API_HOST DASHBOARD_HOST IAP_CLIENT_ID
#     API_DIGEST DASHBOARD_DIGEST (64 hex digits, without "sha256:", as the build prints them)
# The secrets must exist; docs/operations.md says how to create them once.
set -eu
cd "$(dirname "$0")"

fail() { echo "$1" >&2; exit 1; }
usage() { fail "usage: deploy.sh local|gke|gke-1-to-3 [--dry-run]"; }

overlay=${1:-}
gke="PROJECT_ID REGION CLOUD_SQL_INSTANCE API_HOST DASHBOARD_HOST IAP_CLIENT_ID API_DIGEST DASHBOARD_DIGEST"
case $overlay in
local) names=TAG ;;
gke | gke-1-to-3) names=$gke ;;
*) usage ;;
esac
case ${2:-} in "" | --dry-run) ;; *) usage ;; esac
dry=${2:-}
command -v kubectl >/dev/null 2>&1 || fail "kubectl is missing: https://kubernetes.io/docs/tasks/tools"

check() { # reject what is missing or would break the YAML
    for name in $names; do
        eval "value=\${$name:-}"
        [ -n "$value" ] || fail "$name is not set; see the head of k8s/deploy.sh"
        case $value in *[!A-Za-z0-9._-]*) fail "$name holds a character that no such name has" ;; esac
    done
    case $overlay in
    local) # it is also the end of a Job's name
        case $TAG in *[!a-z0-9-]* | -* | *- | ?????????????????????????????????????????*)
            fail "TAG has at most 40 small letters, digits and inner hyphens" ;;
        esac ;;
    *)
        for digest in "$API_DIGEST" "$DASHBOARD_DIGEST"; do
            case $digest in *[!0-9a-f]*) false ;; *) [ "${#digest}" = 64 ] ;; esac ||
                fail "a digest has 64 hex digits, without sha256:"
        done ;;
    esac
}

fill() { # fill in NAME by $NAME
    if [ "$overlay" = local ]; then
        sed -e "s/\(image: cardiowatch-[a-z]*\):local$/\1:$TAG/" -e "s/cardiowatch-migrate-local$/cardiowatch-migrate-$TAG/"
        return
    fi
    zeros=$(printf '%064d' 0)
    ones=$(echo "$zeros" | tr 0 1)
    # DASHBOARD_HOST and API_HOST also end the names of settings (CARDIOWATCH_API_HOST): whole words.
    text=$(sed -e "s/sha256:$zeros/sha256:$API_DIGEST/" -e "s/sha256:$ones/sha256:$DASHBOARD_DIGEST/" \
        -e "s/\bPROJECT_ID\b/$PROJECT_ID/g" -e "s/\bREGION\b/$REGION/g" \
        -e "s/\bCLOUD_SQL_INSTANCE\b/$CLOUD_SQL_INSTANCE/g" -e "s/\bAPI_HOST\b/$API_HOST/g" \
        -e "s/\bDASHBOARD_HOST\b/$DASHBOARD_HOST/g" -e "s/\bIAP_CLIENT_ID\b/$IAP_CLIENT_ID/g")
    release=$(printf '%s' "$text" | cksum | cut -d ' ' -f 1) # another text, another Job
    printf '%s\n' "$text" | sed "s/\bRELEASE\b/$release/"
}

check
rendered=$(kubectl kustomize "overlays/$overlay")
rendered=$(printf '%s\n' "$rendered" | fill)
if [ -n "$dry" ]; then
    printf '%s\n' "$rendered"
    exit
fi

namespace=cardiowatch
k() { kubectl --namespace "$namespace" "$@"; }
apply() { printf '%s\n' "$rendered" | kubectl apply --selector "$1" -f -; }

stop() { # say what failed, with the logs and the warnings, and what to do
    echo "deploy.sh: $1" >&2
    k logs --selector "$2" --all-containers --prefix --tail=50 >&2 || true
    k get events --field-selector type=Warning --sort-by=.metadata.creationTimestamp 2>&1 | tail -n 20 >&2
    fail "$3"
}

stuck() { # pods of a selector that wait for what will not come; a registry that hiccups once is ErrImagePull
    k get pods --selector "$1" \
        -o jsonpath='{range .items[*]}{.metadata.name}: {..waiting.reason}{"\n"}{end}' |
        grep -E 'ImagePullBackOff|InvalidImageName|ErrImageNeverPull|CreateContainer|RunContainer|CrashLoop'
}

migrated() { # the second try fails some 10 s after the first: a database that is away for a moment
    pods=batch.kubernetes.io/job-name=$1
    undo="No Deployment was changed: the previous pods serve, and old programs run on newer tables. No more tries:
  kubectl -n $namespace delete job $1"
    waited=0
    until [ "$(k get job "$1" -o jsonpath='{.status.succeeded}')" = 1 ]; do
        tries=$(k get job "$1" -o jsonpath='{.status.failed}')
        over=$(k get job "$1" -o jsonpath='{.status.conditions[?(@.type=="Failed")].reason}')
        [ "${tries:-0}" -lt 2 ] && [ -z "$over" ] || stop "the migration fails" "$pods" "$undo"
        found=$(stuck "$pods") && stop "the migration cannot start: $found" "$pods" "$undo"
        phases=$(k get pods --selector "$pods" -o jsonpath='{.items[*].status.phase}')
        [ "$waited" -lt 45 ] || [ -n "$phases" ] ||
            stop "the cluster admits no pod of the migration" "$pods" "$undo"
        [ "$waited" -lt 300 ] || [ "$phases" != Pending ] ||
            stop "no node takes the migration" "$pods" "$undo"
        sleep 3
        waited=$((waited + 3))
    done
}

rolled_out() {
    undo="The previous pods serve. To go back (then deploy the previous version, so that the files agree):
  kubectl -n $namespace rollout undo deployment/cardiowatch-api
  kubectl -n $namespace rollout undo deployment/cardiowatch-dashboard"
    until k rollout status "deployment/$1" --timeout=5s; do
        # The pods of the newest revision: those of an earlier, broken one may still be there.
        hash=$(k get replicasets --selector "app.kubernetes.io/name=$1" \
            -o jsonpath='{range .items[*]}{.metadata.annotations.deployment\.kubernetes\.io/revision} {.metadata.labels.pod-template-hash}{"\n"}{end}' |
            sort -n | tail -n 1 | cut -d ' ' -f 2)
        pods=app.kubernetes.io/name=$1,pod-template-hash=$hash
        found=$(stuck "$pods") && stop "$1 does not start: $found" "$pods" "$undo"
        why=$(k get deployment "$1" \
            -o jsonpath='{.status.conditions[?(@.type=="ReplicaFailure")].message}{.status.conditions[?(@.reason=="ProgressDeadlineExceeded")].message}')
        [ -z "$why" ] || stop "$1: $why" "$pods" "$undo"
    done
}

secrets="cardiowatch-database cardiowatch-keys cardiowatch-seal cardiowatch-dashboard"
# Without this secret the load balancer requires no login and shows the dashboard to everybody.
[ "$overlay" = local ] || secrets="$secrets cardiowatch-iap"
for secret in $secrets; do
    k get secret "$secret" >/dev/null 2>&1 ||
        fail "the secret $secret is missing in $namespace: docs/operations.md, First deployment"
done
job=$(printf '%s\n' "$rendered" | sed -n 's/^  name: \(cardiowatch-migrate-.*\)/\1/p')
k delete job "$job" --ignore-not-found # the same version again: it may have failed for another reason
apply '!cardiowatch'
[ "$overlay" != local ] || k rollout status statefulset/postgres --timeout=300s
migrated "$job"
apply cardiowatch=serve
rolled_out cardiowatch-api
rolled_out cardiowatch-dashboard
# Last and apart: kubectl would admit traffic even if the login in front was rejected.
[ "$overlay" = local ] || apply cardiowatch=route
