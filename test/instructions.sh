# shellcheck shell=sh
# How many instructions netto adds, in a guest that counts them (test/vm -i): each kind of rounds without it, with empty
# programs at the same hooks, with netto without samples, with samples, in sample mode, and with tasks. Prints "KIND MODE MEDIAN MEAN".

. /lib.sh

ticks=
[ "${1-}" = fast ] || ticks=tick:40000 # 12 s each
fewer=1
[ "${1-}" != fast ] || fewer=2 # medians need no more

rounds_of() { # MODE
	for kind in udp:5000 forward:2500 tcp:500 pipe:10000 $ticks; do
		rounds=${kind#*:}
		load "count_${kind%:*}" $((rounds / fewer)) >"$T/rounds" || exit 1
		sed "s/.*mean=\(.*\) median=\(.*\)/${kind%:*} $1 \2 \1/" "$T/rounds"
	done
}

netto_of() { # MODE OPTION...
	mode=$1
	shift
	start_netto "$@" 600
	sleep 1
	rounds_of "$mode"
	stop_netto || exit 1
}

# A sends to B through the router; the frames that it forwards have an address that B does not take.
net_up
router_up
neighbour "$A" a0 198.51.100.254 "$R" ra
neighbour "$R" rb "$ROUTED" "$A" a0
sleep 5 # the guest settles
rounds_of without
start_burn hooks
rounds_of empty
stop_burn || exit 1
sleep 1
netto_of trace -F 0
netto_of sampled -m sample -F 1
netto_of tasks -F 0 -t 10
start_netto -m sample -F 100000 600 # for so long that what it takes has settled
sleep 1
load count_udp 30000 | sed 's/.*mean=\(.*\) median=\(.*\)/limited sampling \2 \1/'
stop_netto
if [ "${1-}" != fast ]; then # means, of which whatever else the guest does is a part
	netto_of samples -F 997
	netto_of sampling -m sample
fi
rounds_of without
