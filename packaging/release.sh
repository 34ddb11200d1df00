#!/bin/sh
# release.sh builds what is released, into dist: an archive for each platform, the
# packages for Linux, and checksums. "make release" runs it. It needs GNU tar and a
# commit: that is the version if it has no tag, and its time is that of all files,
# so that every build of a commit gives the same bytes.

set -eu
cd -- "$(dirname -- "$0")/.."
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
dist=$PWD/dist
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
umask 022

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
VERSION=$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null) ||
	VERSION=v0.0.0-git$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S)
VERSION=${VERSION#v}
MAINTAINER=${MAINTAINER:-the maintainers of spool agent <spool-agent@localhost>}
export SOURCE_DATE_EPOCH VERSION MAINTAINER CGO_ENABLED=0

# build COMMAND FILE builds a program for $GOOS and $GOARCH.
build() { go build -trimpath -ldflags='-s -w' -buildvcs=true -o "$2" "./cmd/$1"; }

rm -rf -- "$dist"
mkdir -p "$dist" "$work/bin" "$work/common/completions" "$work/common/man"
build agent "$work/bin/spool-agent"
case $("$work/bin/spool-agent" version) in
*'(devel)'* | *+dirty*)
	echo 'a release needs a clone, not a worktree, in which all is committed: it has the version of the commit' >&2
	exit 1
	;;
esac
for shell in bash zsh fish; do
	"$work/bin/spool-agent" completion "$shell" >"$work/common/completions/spool-agent.$shell"
done
go build -tags man -o "$work/bin/spool-agent" ./cmd/agent
"$work/bin/spool-agent" "$work/common/man"
gzip -n9 "$work/common/man/"*
mkdir "$work/common/doc"
cp README.md CHANGELOG.md SECURITY.md spoolfiles/PROTOCOL.md "$work/common/doc/"
# The unit that 'agent install' writes, but of a package.
sed -e '1s/.*/# Of the package spool-agent. For changes that last:/' -e 's|/usr/local/bin/agent|/usr/bin/spool-agent|' \
	service/testdata/simple.service >"$work/common/spool-agent.service"

(cd "$work" && CGO_ENABLED=0 GOBIN=$work/bin GOFLAGS='' go install "$nfpm")
for os in linux darwin windows freebsd; do
	for arch in amd64 arm64; do
		name=spool-agent_${VERSION}_${os}_$arch
		cp -R "$work/common" "$work/$name"
		exe=
		[ "$os" != windows ] || exe=.exe
		GOOS=$os GOARCH=$arch build agent "$work/$name/spool-agent$exe"
		GOOS=$os GOARCH=$arch build spool-hook "$work/$name/spool-hook$exe"
		chmod -R u=rwX,go=rX "$work/$name" # whatever they are in the checkout
		find "$work/$name" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
		tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner -cf - "$name" |
			gzip -n9 >"$dist/$name.tar.gz"
		if [ "$os" = linux ]; then
			mv "$work/$name" "$work/stage"
			for packager in deb rpm apk; do
				(cd "$work" && ARCH=$arch bin/nfpm package --config "$OLDPWD/packaging/nfpm.yaml" --packager "$packager" --target "$dist/")
			done
			mv "$work/stage" "$work/$name"
		fi
		rm -r "${work:?}/$name"
	done
done
cd "$dist"
sha256sum -- * >SHA256SUMS
