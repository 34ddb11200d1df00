# shellcheck shell=sh
# sh systemd.sh TEST FILE...: runs TEST, from a directory with copies of it and of
# the FILEs, as an ordinary user with a systemd --user of its own, cut off from
# the machine: own mounts, own processes, own cgroups. It wants root, and leaves
# nothing behind. It calls itself, with a stage as the first argument, for each
# thing to cut off. If a FILE is a Debian package, it is installed there, once more
# when the user makes a file "upgrade" beside it, and removed after the TEST.
set -eu
user=61234
# shellcheck disable=SC2016 # what units give a meaning to, and may be in a path
home='/home/jö 50%h ${x}'

case ${1-} in
cgroup) # has its own mounts; makes a cgroup, and removes it
	shift
	if mountpoint -q /sys/fs/cgroup; then umount -R /sys/fs/cgroup; fi
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	cgroup=/sys/fs/cgroup/spool-agent-test-$$
	mkdir "$cgroup"
	status=0
	(
		echo 0 >"$cgroup/cgroup.procs"
		exec unshare --cgroup --pid --fork --kill-child --mount-proc sh "$0" root "$@"
	) || status=$?
	# The kernel lets go of the cgroup once it has buried the last process.
	tries=0
	until find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null; do
		tries=$((tries + 1))
		[ "$tries" -lt 100 ] || break
		sleep 0.05
	done
	exit "$status"
	;;
root) # is the first of its own processes; makes the places of the user
	shift
	umount /sys/fs/cgroup
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mkdir /sys/fs/cgroup/test /sys/fs/cgroup/user
	echo 0 >/sys/fs/cgroup/test/cgroup.procs
	chown "$user" /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/user /sys/fs/cgroup/user/*
	mount -t tmpfs -o mode=755 run /run
	mount -t tmpfs -o mode=755 home /home
	mount -t tmpfs -o mode=755 lib /var/lib
	mkdir -p /run/systemd/system "/run/user/$user" "$home/test" /var/lib/systemd/linger
	cp -- "$@" "$home/test/"
	chmod 755 "$home/test/"*
	chmod 700 "/run/user/$user" "$home"
	chown -R "$user:$user" "/run/user/$user" "$home" /var/lib/systemd/linger
	cp -- "$0" /run/systemd.sh
	cp /etc/passwd /run/passwd
	echo "jo:x:$user:$user::$home:/bin/sh" >>/run/passwd
	mount --bind /run/passwd /etc/passwd
	cd /
	set -- setpriv --reuid "$user" --regid "$user" --clear-groups \
		env -i PATH="$PATH" TEST_FLAGS="$TEST_FLAGS" USER=jo HOME="$home" XDG_RUNTIME_DIR="/run/user/$user" sh /run/systemd.sh user "$(basename "$1")"
	package=$(find "$home/test" -name '*.deb')
	[ -n "$package" ] || exec "$@"
	mkdir -p /run/upper /run/work /var/lib/dpkg/info /var/lib/dpkg/updates
	: >/var/lib/dpkg/status
	mount -t overlay -o lowerdir=/usr,upperdir=/run/upper,workdir=/run/work usr /usr
	mount -t tmpfs dpkg /etc/dpkg # this machine may leave out man pages
	dpkg --log=/dev/null --install "$package"
	"$@" &
	test=$!
	while kill -0 "$test" 2>/dev/null; do
		if [ -e "$home/test/upgrade" ]; then
			dpkg --log=/dev/null --install "$package"
			rm "$home/test/upgrade"
		fi
		sleep 0.05
	done
	wait "$test"
	dpkg --log=/dev/null --purge spool-agent
	left=$(find /run/upper ! -type d ! -type c) # devices stand for what was removed
	if [ -n "$left" ]; then
		printf 'the package leaves: %s\n' "$left" >&2
		exit 1
	fi
	;;
user) # is the user
	cd "$HOME"
	(
		echo 0 >/sys/fs/cgroup/user/cgroup.procs
		exec /lib/systemd/systemd --user
	) >"$HOME/test/systemd.log" 2>&1 &
	manager=$!
	tries=0
	until systemctl --user is-system-running >/dev/null 2>&1; do
		tries=$((tries + 1))
		if [ "$tries" -gt 300 ]; then
			echo 'the user manager does not start' >&2
			cat "$HOME/test/systemd.log" >&2
			exit 1
		fi
		sleep 0.05
	done
	status=0
	# shellcheck disable=SC2086 # they are words
	INSIDE=1 "$HOME/test/$2" $TEST_FLAGS || status=$?
	systemctl --user exit || status=$?
	wait "$manager" || :
	exit "$status"
	;;
*) # cut off the mounts first: what the next stage mounts goes with it
	exec unshare --mount --propagation private sh "$0" cgroup "$@"
	;;
esac
