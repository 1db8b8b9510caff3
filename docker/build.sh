#!/bin/sh
# Builds the image for one or more platforms, refuses one that has grown too large, and only when
# all are good gives them their tags.
set -eu

usage() {
  cat <<'TEXT'
Usage: docker/build.sh [OPTION ...]

  --platform LIST  linux/amd64, linux/arm64 or both, separated by commas (the engine's own)
  --target NAME    final: on Alpine, with a shell (default); minimal: on nothing
  --name NAME      the repository part of the tags (sidecar)
  --version TEXT   the release (git describe)
  --network MODE   the network that the build uses (the engine's default)
  --help           this text

Tags: NAME:VERSION, NAME:COMMIT and NAME:latest. `minimal` adds -minimal to each, and more than one
platform -amd64 and -arm64; docker/push.sh joins these.
Variables: DOCKER_BUILDKIT=0 asks for the classic builder; ALPINE names another image to end on than
the Dockerfile does (a mirror's, for example).

Exit codes: 0 built, 1 failed or too large, 64 wrong arguments, 69 no docker, or no engine answers.
TEXT
}
fail() { # CODE TEXT
  printf 'build.sh: %s\n' "$2" >&2
  exit "$1"
}
wrong() { fail 64 "$1; see docker/build.sh --help"; }

# Names and versions are read by docker, make and a C compiler: none of them must be surprised.
matches() { # TEXT PATTERN
  case $1 in *'
'*) return 1 ;; esac
  [ ${#1} -le 200 ] && printf '%s\n' "$1" | grep -qE "^($2)\$"
}

platforms='' target=final name=sidecar version='' network=''
while [ $# -gt 0 ]; do
  case $1 in
    --help) usage && exit 0 ;;
    --platform | --target | --name | --version | --network)
      [ $# -ge 2 ] || wrong "$1 needs a value"
      [ -n "$2" ] || wrong "$1 has an empty value"
      case $1 in
        --platform) platforms=$2 ;;
        --target) target=$2 ;;
        --name) name=$2 ;;
        --version) version=$2 ;;
        --network) network=$2 ;;
      esac
      shift 2
      ;;
    *) wrong "unexpected argument \"$1\"" ;;
  esac
done
platform='linux/(amd64|arm64)'
[ -z "$platforms" ] || matches "$platforms" "$platform(,$platform)*" ||
  wrong "--platform \"$platforms\": expected linux/amd64, linux/arm64 or linux/amd64,linux/arm64"
matches "$target" 'final|minimal' || wrong "--target \"$target\": expected final or minimal"
matches "$name" '[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*' ||
  wrong "--name \"$name\": expected lower case letters, digits and single . _ - / between them"
[ -z "$network" ] || matches "$network" '[A-Za-z0-9][A-Za-z0-9_.:-]*' ||
  wrong "--network \"$network\": expected the name of a network"

cd "$(dirname "$0")/.."
commit='' revision=unknown source=unknown
if command -v git >/dev/null && revision=$(git rev-parse HEAD 2>/dev/null); then
  described=$(git describe --tags --always --dirty --abbrev=12)
  version=${version:-$described}
  commit=$(git rev-parse --short=12 HEAD)
  case $described in *-dirty) commit=$commit-dirty revision=$revision-dirty ;; esac
  # Only the address: a remote may have a password in it.
  source=$(git remote get-url origin 2>/dev/null | sed -E 's#^([a-z+]+://)[^/@]*@#\1#') || true
  matches "${source:=unknown}" '[A-Za-z0-9@:/._~+-]+' || source=unknown
else
  revision=unknown
fi
[ -n "$version" ] || wrong "no git repository here: --version is needed"
matches "$version" '[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}' ||
  wrong "version \"$version\": expected up to 100 letters, digits and . _ - (it becomes a tag)"

command -v docker >/dev/null || fail 69 "docker is not installed, or not in PATH"
engine=$(docker version --format '{{.Server.Os}}/{{.Server.Arch}}' 2>/dev/null) ||
  fail 69 "no Docker engine answers: start it, or check DOCKER_HOST and your right to use it"
platforms=${platforms:-$engine}

# Without buildx, only an old client has BuildKit, and only when asked for it.
buildx=false
! docker buildx version >/dev/null 2>&1 || buildx=true
if [ "${DOCKER_BUILDKIT:-}" = 0 ] || { [ -z "${DOCKER_BUILDKIT:-}" ] && ! $buildx; }; then
  builder=classic
  export DOCKER_BUILDKIT=0
else
  builder=BuildKit
  export DOCKER_BUILDKIT=1
fi

unfinished=
scratch=
clean_up() {
  for image in $unfinished; do docker image rm "$image" >/dev/null 2>&1 || true; done
  [ -z "$scratch" ] || rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# The classic builder gives what begins with `scratch` its own architecture, except where it copies
# into it under --platform. An image without content, made so, stands in for `scratch`.
make_empty() { # PLATFORM TAG
  scratch=$(mktemp -d)
  mkdir "$scratch/nothing"
  printf 'FROM scratch\nCOPY nothing /\n' >"$scratch/Dockerfile"
  docker build --quiet --platform "$1" --tag "$2" "$scratch" >/dev/null
  rm -rf "$scratch"
  scratch=
}
build() { # PLATFORM TAG
  set -- "$1" "$2" --file docker/Dockerfile --target "$target" --tag "$2" \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "SOURCE=$source"
  [ -z "$network" ] || set -- "$@" --network "$network"
  [ -z "${ALPINE:-}" ] || set -- "$@" --build-arg "ALPINE=$ALPINE"
  if [ $builder = BuildKit ]; then
    set -- "$@" --platform "$1"
    # One image, in the engine's own store, without attestations: that is what gets pushed.
    ! $buildx || set -- "$@" --load --provenance=false
  else
    set -- "$@" --force-rm
    if [ "$1" != "$engine" ]; then
      set -- "$@" --build-arg "PLATFORM=$1"
    fi
    if [ "$1" != "$engine" ] && [ "$target" = minimal ]; then
      unfinished="$unfinished $2-empty"
      make_empty "$1" "$2-empty"
      set -- "$@" --build-arg "EMPTY=$2-empty"
    fi
  fi
  shift 2
  docker build "$@" .
}

# Limits in bytes: what is added to the base, and all of it (the image before this one had 9.56 MB).
added_limit=350000
total_limit=9560000
[ "$target" = final ] || total_limit=400000
check_size() { # TAG
  docker history --human=false --format '{{.Size}} {{.CreatedBy}}' "$1" | awk \
    -v platform="$2" -v added_limit=$added_limit -v total_limit=$total_limit '
    { total += $1 }
    / COPY / { added += $1 } # the bases have none
    END {
      printf "%s: %d bytes, %d of them added to the base\n", platform, total, added
      exit !(0 < added && added <= added_limit && total <= total_limit)
    }' || fail 1 "refused: at most $added_limit bytes may be added, to $total_limit in all"
}

set -f # the lists below are split at spaces, and are nothing else
many=false
# shellcheck disable=SC2046
set -- $(printf '%s' "$platforms" | tr , ' ')
[ $# -eq 1 ] || many=true
for platform; do
  image=sidecar-unfinished:$$-${platform#linux/}
  case " $unfinished " in *" $image "*) wrong "--platform names $platform twice" ;; esac
  echo "building $target $version for $platform with the $builder builder"
  unfinished="$unfinished $image"
  build "$platform" "$image"
  check_size "$image" "$platform"
done
for platform; do
  suffix=
  [ "$target" = final ] || suffix=-$target
  ! $many || suffix=$suffix-${platform#linux/}
  [ "$commit" != "$version" ] || commit=
  for tag in "$version" $commit latest; do
    docker tag "sidecar-unfinished:$$-${platform#linux/}" "$name:$tag$suffix"
    echo "$name:$tag$suffix"
  done
done
