#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Checks the models of this directory with SPIN: each as it is, which must hold
# in every interleaving, and each with one barrier or rule left away, which
# must fail, so that we know the model would notice. Half a minute; exit status
# 0, 1, or 77 (skipped: there is no spin).
#
#   run.sh [MODEL [VARIANT]]

cd "$(dirname "$0")" || exit 1
command -v spin >/dev/null || { echo "skipped: no spin (apt install spin)"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cp ./*.pml ./*.inc "$dir" && cd "$dir" || exit 1
failed=0

# check MODEL VARIANT: 0 holds, 1 fails, 2 could not tell
check() {
	spin -a ${2:+-D$2} "$1.pml" >spin.log 2>&1 &&
	    ${CC:-cc} -O2 -w -DSAFETY -DCOLLAPSE -DMEMLIM=2000 -o pan pan.c \
	    >>spin.log 2>&1 || { cat spin.log; return 2; }
	./pan -m200000 -w22 >pan.log 2>&1
	grep -qE 'max search depth too small|out of memory|memory limit' \
	    pan.log && { cat pan.log; return 2; }
	grep -q 'errors: 0' pan.log && return 0
	grep -q 'errors: [1-9]' pan.log && return 1
	cat pan.log
	return 2
}

# expect holds|fails MODEL VARIANT
expect() {
	printf '%-9s %-14s ' "$2" "${3:-complete}"
	check "$2" "$3"
	case "$?$1" in
	0holds)
		sed -n 's/^ *\([0-9]*\) states, stored.*/holds, \1 states/p' \
		    pan.log ;;
	1fails)
		sed -n 's/^pan:1: \(.*\) (at depth.*/fails as it must: \1/p' \
		    pan.log ;;
	*)
		echo "WRONG: it should be found that this $1"
		failed=1 ;;
	esac
}

model() {
	name=$1
	shift
	if [ -n "$only" ] && [ "$only" != "$name" ]; then return; fi
	if [ -z "$variant" ]; then expect holds "$name" ""; fi
	for v; do
		if [ -z "$variant" ] || [ "$variant" = "$v" ]; then
			expect fails "$name" "$v"
		fi
	done
}

only=$1
variant=$2
model receive NO_A NO_B NO_C NO_E NO_F
model transmit NO_A NO_C NO_D NO_E NO_F NO_G NO_H
model lease NO_E NO_E_LATER NO_F NO_ORDER NO_LAP NO_LOOK OWN_WAKE LATE_LIMIT \
    NO_HEAD_CHECK
exit $failed
