# shellcheck shell=sh
# How many instructions netto adds, in a guest that counts them (test/vm -i): each kind of rounds without it, with empty
# programs at the same hooks, with netto without samples, with samples, in sample mode, and with tasks. Prints "KIND MODE MEDIAN MEAN".

. /lib.sh
IP=$(which ip)

# A sends to 203.0.113.1 through R, which forwards; the frames have an address that B does not take. Neighbours are
# permanent: one that was learnt is verified every half minute, and for the 5 s before that a packet takes 90 instructions more.
net_up() {
	for ns in netto-a netto-r netto-b; do
		"$IP" netns add "$ns"
	done
	"$IP" -batch - <<-END
		link add a0 netns netto-a type veth peer name ra netns netto-r address 02:00:00:00:00:02
		link add b0 netns netto-b type veth peer name rb netns netto-r
	END
	"$IP" -n netto-a -batch - <<-END
		addr add 198.51.100.1/24 dev a0
		link set a0 up
		route add default via 198.51.100.254
		neigh add 198.51.100.254 lladdr 02:00:00:00:00:02 dev a0 nud permanent
	END
	"$IP" -n netto-r -batch - <<-END
		addr add 198.51.100.254/24 dev ra
		addr add 203.0.113.254/24 dev rb
		link set ra up
		link set rb up
		neigh add 203.0.113.1 lladdr 02:00:00:00:00:01 dev rb nud permanent
	END
	"$IP" -n netto-b link set b0 up
	"$IP" netns exec netto-r sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

[ "${1-}" = fast ] || [ -n "${ticks-}" ] || ticks=tick:40000 # 12 s each
export ticks="${ticks- }"
[ "${1-}" != fast ] || fewer=2 # medians need no more
export fewer="${fewer-1}"

rounds_of() { # MODE
	for kind in udp:5000 forward:2500 tcp:500 pipe:10000 $ticks; do
		rounds=${kind#*:}
		/rounds "${kind%:*}" $((rounds / fewer)) >"$T/rounds" || exit 1
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

if [ "${1-}" = rounds ]; then # for attach
	rounds_of "$2"
	exit
fi
net_up
sleep 5 # the guest settles
rounds_of without
/attach /empty.o sh "$0" rounds empty || exit 1
sleep 1
netto_of trace -F 0
netto_of sampled -m sample -F 1
netto_of tasks -F 0 -t 10
start_netto -m sample -F 100000 600 # for so long that what it takes has settled
sleep 1
/rounds udp 30000 | sed 's/.*mean=\(.*\) median=\(.*\)/limited sampling \2 \1/'
stop_netto
if [ "${1-}" != fast ]; then # means, of which whatever else the guest does is a part
	netto_of samples -F 997
	netto_of sampling -m sample
fi
rounds_of without
