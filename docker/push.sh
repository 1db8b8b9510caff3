#!/bin/sh
# Pushes what docker/build.sh built to ECR, and has it scanned there. The version and `latest` are
# given only to an image without critical findings: a version, once given, cannot be given again.
set -eu

usage() {
  cat <<'TEXT'
Usage: docker/push.sh [OPTION ...]

  --version TEXT       the release, as it was built (git describe)
  --target NAME        final or minimal, as it was built (final)
  --name NAME          the local name, as it was built (sidecar)
  --repository NAME    the repository in ECR (sidecar)
  --region NAME        the AWS region (as the AWS CLI is configured)
  --scan-timeout TIME  wait so many seconds for each scan (300)
  --help               this text

Logs in to ECR by the AWS CLI's credentials, which need `ecr:*` on that repository. A missing
repository is created as the stack NAME-repository from docker/ecr/repository.yaml. Then COMMIT is
pushed and scanned; with a critical finding it ends here. Then VERSION and `latest` follow. Tags but
`latest` are never moved; what is there already is not pushed again. Built for two platforms,
COMMIT-amd64 and COMMIT-arm64 are pushed, and the three tags are lists of them. `minimal`
is not scanned: ECR wants to see an operating system.

Exit codes: 0 pushed, 1 failed, or critical findings, 64 wrong arguments, 69 docker, aws,
credentials or the image are missing.
TEXT
}
fail() { # CODE TEXT
  printf 'push.sh: %s\n' "$2" >&2
  exit "$1"
}
wrong() { fail 64 "$1; see docker/push.sh --help"; }
matches() { # TEXT PATTERN
  case $1 in *'
'*) return 1 ;; esac
  [ ${#1} -le 200 ] && printf '%s\n' "$1" | grep -qE "^($2)\$"
}

version='' target=final name=sidecar repository=sidecar scan_timeout=300
while [ $# -gt 0 ]; do
  case $1 in
    --help) usage && exit 0 ;;
    --version | --target | --name | --repository | --region | --scan-timeout)
      [ $# -ge 2 ] || wrong "$1 needs a value"
      [ -n "$2" ] || wrong "$1 has an empty value"
      case $1 in
        --version) version=$2 ;;
        --target) target=$2 ;;
        --name) name=$2 ;;
        --repository) repository=$2 ;;
        --region)
          matches "$2" '[a-z]{2,}(-[a-z0-9]+)+' ||
            wrong "--region \"$2\": expected eu-central-1 or the like"
          export AWS_REGION="$2" AWS_DEFAULT_REGION="$2"
          ;;
        --scan-timeout) scan_timeout=$2 ;;
      esac
      shift 2
      ;;
    *) wrong "unexpected argument \"$1\"" ;;
  esac
done
path='[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*'
letters='lower case letters, digits and single . _ - / between them'
matches "$target" 'final|minimal' || wrong "--target \"$target\": expected final or minimal"
matches "$name" "$path" || wrong "--name \"$name\": expected $letters"
matches "$repository" "$path" || wrong "--repository \"$repository\": expected $letters"
matches "$scan_timeout" '[1-9][0-9]{0,4}' ||
  wrong "--scan-timeout \"$scan_timeout\": expected seconds from 1 to 99999"

cd "$(dirname "$0")/.."
[ -n "$version" ] ||
  version=$(git describe --tags --always --dirty --abbrev=12 2>/dev/null) ||
  wrong "no git repository here: --version is needed"
matches "$version" '[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}' ||
  wrong "version \"$version\": expected up to 100 letters, digits and . _ -"
[ "$version" != latest ] || wrong "version \"latest\": expected a release"

command -v docker >/dev/null || fail 69 "docker is not installed, or not in PATH"
command -v aws >/dev/null || fail 69 "aws, the AWS CLI, is not installed, or not in PATH"
docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
  fail 69 "no Docker engine answers: start it, or check DOCKER_HOST and your right to use it"

variant=
[ "$target" = final ] || variant=-$target
local_image() { # PART, a part being one platform of several, or `whole`
  if [ "$1" = whole ]; then echo "$name:$version$variant"; else echo "$name:$version$variant-$1"; fi
}
remote_tag() { # PART
  if [ "$1" = whole ]; then echo "$commit$variant"; else echo "$commit$variant-$1"; fi
}
parts=
for part in whole amd64 arm64; do
  ! docker image inspect "$(local_image $part)" >/dev/null 2>&1 || parts="$parts $part"
done
case $parts in
  '') fail 69 "there is no image $(local_image whole): build it with docker/build.sh first" ;;
  ' whole '*)
    fail 69 "$(local_image whole) is there for one platform and for several: remove one of them"
    ;;
esac

# The commit is what the images say, not what is checked out by now.
revision=
for part in $parts; do
  said=$(docker image inspect "$(local_image "$part")" \
    --format '{{index .Config.Labels "org.opencontainers.image.revision"}}')
  [ "${revision:-$said}" = "$said" ] ||
    fail 1 "the images of $version are of two commits, $revision and $said: build them again"
  revision=$said
done
matches "$revision" '[0-9a-f]{40}|[0-9a-f]{64}' ||
  fail 1 "the image says that its commit is \"$revision\": only what is committed can be pushed"
commit=$(printf '%.12s' "$revision")

scratch=$(mktemp -d)
tagged=
clean_up() {
  for image in $tagged; do docker image rm "$image" >/dev/null 2>&1 || true; done
  rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# The CLI's paging, colours and prompts are for people.
export AWS_PAGER='' AWS_CLI_AUTO_PROMPT=off
aws sts get-caller-identity --output text >"$scratch/who" 2>"$scratch/errors" || {
  cat "$scratch/errors" >&2
  fail 69 "no AWS credentials that work: try \"aws sts get-caller-identity\" and \"aws configure\""
}
find_repository() {
  aws ecr describe-repositories --repository-names "$repository" --output text \
    --query 'repositories[0].repositoryUri' >"$scratch/uri" 2>"$scratch/errors"
}
if ! find_repository; then
  if ! grep -q RepositoryNotFoundException "$scratch/errors"; then
    cat "$scratch/errors" >&2
    fail 1 "cannot look up the repository $repository"
  fi
  echo "creating the repository $repository"
  stack=$(printf '%s' "$repository" | tr '/._' '---')-repository
  aws cloudformation deploy --template-file docker/ecr/repository.yaml --stack-name "$stack" \
    --parameter-overrides "RepositoryName=$repository" --no-fail-on-empty-changeset >&2 || {
    # What was rolled back would stand in the way of the next attempt.
    rolled_back=$(aws cloudformation describe-stacks --stack-name "$stack" --output text \
      --query "Stacks[?StackStatus=='ROLLBACK_COMPLETE'].StackId" 2>/dev/null) || true
    [ -z "$rolled_back" ] || aws cloudformation delete-stack --stack-name "$stack" || true
    fail 1 "cannot create the repository $repository"
  }
  find_repository || fail 1 "the repository was created and is not there"
fi
uri=$(cat "$scratch/uri")

# Prints the digest of a tag in ECR, and nothing if there is none.
digest_of() { # TAG
  aws ecr batch-get-image --repository-name "$repository" --image-ids "imageTag=$1" \
    --query 'images[0].imageId.imageDigest' --output text >"$scratch/digest" ||
    fail 1 "cannot look up $repository:$1"
  grep -v '^None$' "$scratch/digest" || true
}
whole=$(digest_of "$commit$variant")
given=$(digest_of "$version$variant")
[ -z "$given" ] || [ "$given" = "$whole" ] ||
  fail 1 "$repository:$version$variant is another image already: versions are never moved"

# A login of its own, gone at the end. With another configuration docker forgets its context too.
if [ -z "${DOCKER_HOST:-}" ]; then
  DOCKER_HOST=$(docker context inspect --format '{{.Endpoints.docker.Host}}')
  export DOCKER_HOST
fi
mkdir "$scratch/docker"
export DOCKER_CONFIG="$scratch/docker"
password=$(aws ecr get-login-password) || fail 1 "ECR gives no password"
printf '%s' "$password" |
  docker login --username AWS --password-stdin "${uri%%/*}" >"$scratch/login" 2>&1 || {
  cat "$scratch/login" >&2
  fail 1 "cannot log in to ${uri%%/*}"
}

push_part() { # PART
  tag=$(remote_tag "$1")
  digest=$(digest_of "$tag")
  if [ -n "$digest" ]; then
    echo "$tag is there already"
    return
  fi
  tagged="$tagged $uri:$tag"
  docker tag "$(local_image "$1")" "$uri:$tag"
  docker push --quiet "$uri:$tag" || fail 1 "cannot push $uri:$tag"
}
digests=
for part in $parts; do
  push_part "$part"
  digests="$digests $(digest_of "$(remote_tag "$part")")"
done
whole=$(digest_of "$commit$variant")
if [ -z "$whole" ]; then
  set --
  for digest in $digests; do set -- "$@" "$uri@$digest"; done
  docker manifest create "$uri:$commit$variant" "$@" >/dev/null ||
    fail 1 "cannot make the list $uri:$commit$variant"
  docker manifest push "$uri:$commit$variant" || fail 1 "cannot push the list"
  whole=$(digest_of "$commit$variant")
fi

# Status and number of critical findings; ECR knows an image a moment before its scan.
# shellcheck disable=SC2016 # a number in the CLI's query language
scan_state() { # DIGEST
  aws ecr describe-image-scan-findings --repository-name "$repository" \
    --image-id "imageDigest=$1" --no-paginate --output text --query \
    '[imageScanStatus.status, imageScanFindings.findingSeverityCounts.CRITICAL || `0`]' \
    2>"$scratch/errors" && return
  grep -q ScanNotFoundException "$scratch/errors" || {
    cat "$scratch/errors" >&2
    fail 1 "cannot read the scan's findings"
  }
  # A repository made by others may not scan what is pushed.
  aws ecr start-image-scan --repository-name "$repository" --image-id "imageDigest=$1" \
    >/dev/null 2>&1 || true
  echo "PENDING 0"
}
check_scan() { # DIGEST
  deadline=$(($(date +%s) + scan_timeout))
  while :; do
    state=$(scan_state "$1")
    # shellcheck disable=SC2086
    set -- "$1" $state
    case ${2:-} in
      COMPLETE | ACTIVE) break ;;
      PENDING | IN_PROGRESS) ;;
      *) fail 1 "the scan of $1 ended as ${2:-nothing}: see describe-image-scan-findings" ;;
    esac
    [ "$(date +%s)" -lt "$deadline" ] ||
      fail 1 "no scan of $1 within $scan_timeout s: $version and latest are not given to it"
    sleep 3
  done
  [ "${3:-0}" = 0 ] || fail 1 "$3 critical findings in $1: $version and latest are not given to it"
  echo "scanned, no critical findings: $1"
}
if [ "$target" = minimal ]; then
  echo "not scanned: minimal has no operating system that ECR could judge"
else
  for digest in $digests; do check_scan "$digest"; done
fi

# The same manifest by another name, so the same digest.
give_tag() { # TAG
  digest=$(digest_of "$1")
  if [ "$digest" != "$whole" ]; then
    manifest=$(aws ecr batch-get-image --repository-name "$repository" --output text \
      --image-ids "imageDigest=$whole" --query 'images[0].imageManifest')
    aws ecr put-image --repository-name "$repository" --image-tag "$1" --image-digest "$whole" \
      --image-manifest "$manifest" >/dev/null || fail 1 "cannot give the tag $1"
  fi
  echo "$uri:$1"
}
echo "$uri:$commit$variant"
[ "$version" = "$commit" ] || give_tag "$version$variant"
give_tag "latest$variant"
