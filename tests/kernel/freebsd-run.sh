#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# In a FreeBSD guest, from the CD: loads the module, runs kernel-test with the
# arguments given, unloads the module. TAP on stdout; exits 0 if all went well.
# It needs no program of the system's but kldload and kldunload.
case $0 in
*/*) dir=${0%/*} ;;
*) dir=. ;;
esac
dir=$(cd "$dir" && pwd) || exit 1

# One for kernels with VIMAGE cannot be loaded by one without: names are missing.
loaded=
for ko in "$dir/vimage/multistack.ko" "$dir/multistack.ko"; do
	[ -f "$ko" ] && kldload "$ko" && loaded=$ko && break
done
if [ -z "$loaded" ] || ! [ -c /dev/multistack ]; then
	echo "Bail out! the module did not load"
	exit 1
fi
echo "# loaded $loaded"

MULTISTACK_KO=$loaded "$dir/kernel-test" "$@"
status=$?

if ! kldunload multistack; then
	echo "not ok - the module unloads"
	status=1
fi
exit $status
