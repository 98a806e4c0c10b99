# shellcheck shell=sh
# What is told of packets, devices, tasks and softirqs' contexts, against what the kernel counts itself, and what is known of
# the load. For a virtual machine with a virtio network card and two CPUs, in busybox's sh. Runs as root; $1 = the name of the
# test, $2... = some of the functions below, without their operator_; all without.
# shellcheck disable=SC2034 # for lib.sh
part=$1
. "$(dirname "$0")/lib.sh"
A=netto-a B=netto-b ADDRESS=192.0.2.2
XDP=${XDP:-/xdp.o}

# A row's field: of a record, of CPU or all.
field() { # RECORD CPU NAME FIELD
	awk -F, -v record="$1" -v cpu="$2" -v name="$3" -v field="$4" \
		'$3 == record && $4 == cpu && $5 == name { print $field; found = 1; exit } END { if (!found) print 0 }' "$T/csv"
}

packet() { # NAME: its count, on all CPUs
	field packet all "$1" 8
}

# What /proc/net/softnet_stat counts on all CPUs: processed, dropped, squeezed, RPS. Hexadecimal is the shell's to read.
softnet() {
	processed=0 dropped=0 squeezed=0 rps=0
	while read -r a b c _ _ _ _ _ _ d _; do
		processed=$((processed + 0x$a)) dropped=$((dropped + 0x$b)) squeezed=$((squeezed + 0x$c)) rps=$((rps + 0x$d))
	done </proc/net/softnet_stat
	echo "$processed $dropped $squeezed $rps"
}

received() { # DEVICE [NAMESPACE]
	${2:+"$IP" netns exec "$2"} cat "/sys/class/net/$1/statistics/rx_packets"
}

is_rt() {
	grep -q PREEMPT_RT /proc/version
}

# In tenths of a nanosecond, as printed: what receiving took, shared among the packets.
check_per_packet() { # WHAT
	for cpu in all 0 1; do
		packets=$(field packet $cpu processed 8)
		[ "$packets" -gt 0 ] || continue
		took=$(($(ns $cpu rx_softirq) + $(ns $cpu napi_thread) + $(ns $cpu hardirq)))
		check "$1: ns_per_packet on CPU $cpu: what receiving took ($took ns), shared among $packets packets" \
			"$(field packet $cpu ns_per_packet 6) * $packets - $took <= 0.06 * $packets &&
			 $took - $(field packet $cpu ns_per_packet 6) * $packets <= 0.06 * $packets" "$(grep packet,$cpu "$T/csv")"
	done
	seen=$(awk -F, '
		$3 == "event" && $4 == "all" && $5 == "rx_softirq" { ns = $6 }
		$3 == "packet" && $5 ~ "^ns_per_packet/rx_softirq/" { sum += $6; packets = $8 }
		END { printf "%.0f %.0f", sum * packets, ns }' "$T/csv")
	check "$1: what a packet costs by stage sums to all of rx_softirq ($seen ns)" \
		"${seen% *} > 0.999 * ${seen#* } - 1e6 && ${seen% *} < 1.001 * ${seen#* } + 1e6" "$(grep ns_per_packet "$T/csv")"
}

# counted WHAT COMMAND...: all counts of /proc in that time, and no more than what goes on around it.
counted() {
	what=$1
	shift
	first=$(softnet)
	start_netto -c 600
	before=$(softnet)
	"$@" >"$T/load" 2>&1
	after=$(softnet)
	stop_netto
	conserved "$what"
	most=$(softnet)
	for name in processed dropped squeezed rps; do
		low=$((${after%% *} - ${before%% *})) high=$((${most%% *} - ${first%% *}))
		check "$what: $name are those of /proc/net/softnet_stat ($low)" \
			"$(packet $name) >= $low && $(packet $name) <= $high" "$(grep packet,all "$T/csv")"
		eval "$name=$low"
		after=${after#* } before=${before#* } most=${most#* } first=${first#* }
	done
}

operator_packets() {
	counted "loopback" load sendto udp4 3011
	check "loopback: 3011 packets are processed, no card has any" \
		"$(packet processed) == 3011 && $(packet cards) == 0 && $(packet dropped) == 0" "$(grep packet "$T/csv")"
	check_per_packet "loopback"

	# A backlog for one packet drops; a budget of one squeezes
	cat /proc/sys/net/core/netdev_max_backlog /proc/sys/net/core/netdev_budget >"$T/sysctls"
	echo 1 >/proc/sys/net/core/netdev_budget
	counted "squeezed" load udpflood 1 0 1 64
	check "squeezed: there are some" "$squeezed > 0" "$(softnet)"
	check_per_packet "squeezed"
	sed -n 2p "$T/sysctls" >/proc/sys/net/core/netdev_budget
	echo 2 >/sys/class/net/lo/queues/rx-0/rps_cpus
	echo 2 >/proc/sys/net/core/netdev_max_backlog
	counted "RPS" load udpflood 1 0 1 64
	echo 0 >/sys/class/net/lo/queues/rx-0/rps_cpus
	sed -n 1p "$T/sysctls" >/proc/sys/net/core/netdev_max_backlog
	if is_rt; then # there threads have the backlog, which need no interrupt
		check "RPS: some were dropped" "$rps == 0 && $dropped > 0" "$(softnet)"
	else
		check "RPS: it sent packets, and some were dropped" "$rps > 0 && $dropped > 0" "$(softnet)"
	fi
	check_per_packet "RPS"
}

# The busiest CPU and what would fill it, from the rows of events, as README says.
operator_busiest() {
	measure load udpflood 1.5 1 1 64
	seen=$(awk -F, '
		$3 == "event" && $5 == "net" && $4 != "all" && $6 > 0 {
			n++
			sum += $7
			if ($7 > most) { most = $7; cpu = $4; net = $6 }
		}
		$3 == "event" && $5 == "idle" { idle[$4] = $6 }
		$3 == "event" && $5 != "net" { wall[$4] += $6 }
		$3 == "packet" && $5 == "processed" { packets[$4] = $8 }
		END {
			rate = packets[cpu] * 1e9 / wall[cpu]
			print cpu, most, 100 * most / (sum / n), rate, rate * (net + idle[cpu]) / net
		}' "$T/csv")
	echo "$seen" | {
		read -r cpu net imbalance rate full
		check "the busiest CPU is the load's, $cpu: $net %, imbalance $imbalance %, $rate packets/s, full at $full" \
			"$cpu == 1 && $(run_row busiest_cpu 8) == 1 && $(run_row busiest_cpu 7) - $net < 0.01 && $net > 30 &&
			 $(run_row imbalance 7) - $imbalance < 0.05 && $imbalance - $(run_row imbalance 7) < 0.05 &&
			 $(run_row busiest_rate 8) - $rate < 1 && $rate - $(run_row busiest_rate 8) < 1 &&
			 $(run_row busiest_rate_full 8) - $full < 1 && $full - $(run_row busiest_rate_full 8) < 1" "$(grep ,run, "$T/csv")"
	}
}

# Polls of a device, by what the kernel's own trace of napi_poll has of it.
operator_devices() {
	measure load sendto udp4 2003
	# of a softirq that polls one packet, its beginning and end are a good part
	check "loopback: the backlog polled 2003 packets, and has most of rx_softirq's time" \
		"$(packet 'polled/(backlog)') == 2003 && $(field device all '(backlog)' 8) >= 1 &&
		 $(field device all '(backlog)' 6) <= $(ns all rx_softirq) + $(ns all napi_thread) &&
		 $(field device all '(backlog)' 6) > 0.5 * ($(ns all rx_softirq) + $(ns all napi_thread))" \
		"$(grep -e ,device, -e ,event,all "$T/csv")"
	check "loopback: and none else polled" "$(grep -c ,device,all, "$T/csv") == 1" "$(grep ,device, "$T/csv")"

	card_up
	first=$(received eth0) # the card gets packets that nobody asked for, too
	start_netto -c 600
	before=$(received eth0)
	ping -q -c 200 -i 0.005 10.0.2.2 >"$T/load" 2>&1
	after=$(received eth0)
	stop_netto
	most=$(($(received eth0) - first))
	least=$((after - before))
	conserved "virtio-net"
	check "virtio-net: eth0 polled the packets that it counts ($least to $most)" \
		"$least >= 200 && $(packet polled/eth0) >= $least && $(packet polled/eth0) <= $most" "$(grep -e ,device, -e polled "$T/csv")"
	check "virtio-net: these are the cards' packets, too" "$(packet cards) >= $least && $(packet cards) <= $most" \
		"$(grep -e cards "$T/csv")"
	check "virtio-net: its queues on each CPU sum to it" "$(awk -F, '
		$3 == "device" && $4 == "all" && $5 == "eth0" { ns = $6; polls = $8 }
		$3 == "device" && $4 != "all" && $5 == "eth0" { ns -= $6; polls -= $8 }
		$3 == "queue" && $5 ~ "^eth0/" { sum += $6; n += $8 }
		$3 == "device" && $4 == "all" && $5 == "eth0" { all = $6; m = $8 }
		END { print (ns == 0 && polls == 0 && sum == all && n == m) }' "$T/csv")" "$(grep -e ,device, -e ,queue, "$T/csv")"
	ip link set eth0 down

	# veth polls where there is XDP; its name is of another network namespace, and so is its number
	net_up
	ip -n $B link set b1 xdpdrv obj "$XDP" sec xdp
	number=$("$IP" netns exec $B readlink /proc/self/ns/net | tr -dc 0-9)
	load udpsend $A $B $ADDRESS 10 0 1000 >/dev/null
	for threaded in 0 1; do
		if ! "$IP" netns exec $B sh -c "echo $threaded >/sys/class/net/b1/threaded" 2>"$T/try" && [ $threaded = 1 ]; then
			skip "polls of threaded NAPI" "$(head -n 1 "$T/try")"
			continue
		fi
		what="veth, threaded: $threaded"
		first=$(received b1 $B)
		start_netto -c 600
		before=$(received b1 $B)
		load udpsend $A $B $ADDRESS 1500 0 100000 sleep >"$T/load" 2>&1
		least=$(($(received b1 $B) - before))
		stop_netto
		most=$(($(received b1 $B) - first))
		conserved "$what"
		check "$what: b1@$number polled the packets that it counts ($least to $most)" \
			"$least >= 1500 && $(packet "polled/b1@$number") >= $least && $(packet "polled/b1@$number") <= $most" \
			"$(grep -e ,device, -e polled "$T/csv")"
		event=rx_softirq
		[ $threaded = 0 ] || event=napi_thread
		check "$what: its time is of $event" \
			"$(field device all "b1@$number" 6) > 0.4 * $(ns all $event) &&
			 $(field device all "b1@$number" 6) <= $(ns all rx_softirq) + $(ns all napi_thread)" \
			"$(grep -e ,device, -e ,event,all "$T/csv")"
	done
	net_down
}

task() { # NAME EVENT FIELD: of the only process of that name
	awk -F, -v name="^$1:[0-9]*/$2$" -v field="$3" '$3 == "task" && $5 ~ name { s += $field; n++ }
		END { printf "%.0f", n == 1 ? s : -n }' "$T/csv"
}

operator_tasks() {
	# A name that would move the cursor, break a row and part its fields
	nasty=$(printf 'a,"\n\033[2J')
	cp "$(which load)" "$T/$nasty"
	start_netto -c -t 100 600
	load sendto udp4 1009 >"$T/load" && "$T/$nasty" recv tcp4 211 >>"$T/load" && "$T/$nasty" sendto udp4 307 >>"$T/load"
	stop_netto
	conserved "tasks"
	rm -f "$T/$nasty"
	check "tasks: load has its 1009 sends" "$(task load send 8) == 1009 && $(task load send 6) > 0" "$(grep ,task, "$T/csv")"
	check "tasks: what any process did is what all events have" "$(awk -F, '
		$3 == "event" && $4 == "all" && ($5 == "send" || $5 == "recv" || $5 == "conn") { ns += $6; n += $8 }
		$3 == "task" { sum += $6; m += $8 }
		END { print (n == m && sum <= ns && sum > 0.98 * ns) }' "$T/csv")" "$(grep -e ,task, -e event,all "$T/csv")"
	check "tasks: a name with special characters is one field, escaped" \
		"$(grep -c ',task,all,a\\x2c\\x22\\x0a\\x1b\[2J:[0-9]*/send,[0-9]*,[0-9.]*,307,,,,traced$' "$T/csv") == 1" "$(grep ,task, "$T/csv")"
	check "tasks: 12 fields in each row, no control character" \
		"$(awk -F, 'NF != 12' "$T/csv" | wc -l) == 0 && $(tr -d '\n -~' <"$T/csv" | wc -c) == 0" "$(awk -F, 'NF != 12' "$T/csv")"
	start_netto -t 2 -F 0 600
	load udpflood 1 0 1 >/dev/null
	stop_netto
	check "tasks in text: two processes, of which one sends and one receives" \
		"$(awk '/task: /{ inside = 1; next } /^$/ { inside = 0 } inside && $7 ~ "^load:" { n++; recv += $2; send += $3 } END { print (n == 2 && recv > 0 && send > 0) }' "$T/csv")" \
		"$(cat "$T/csv")"
	# With room for 8 processes: what the others do is counted, but not for them
	NETTO_WITHOUT=room
	export NETTO_WITHOUT
	start_netto -c -t 100 600
	i=0
	while [ $i -lt 12 ]; do
		load sendto udp4 11 >/dev/null
		i=$((i + 1))
	done
	stop_netto
	unset NETTO_WITHOUT
	seen=$(awk -F, '$3 == "task" { n += $8 } END { print n + 0 }' "$T/csv")
	check "tasks: those without room are counted ($seen operations of $(run_row tasks 8), and $(run_row tasks_lost 8))" \
		"$(run_row tasks 8) == 8 && $(run_row tasks_lost 8) > 0 && $(run_row tasks_lost 6) > 0 &&
		 $seen + $(run_row tasks_lost 8) == $(count all send) + $(count all recv) + $(count all conn)" "$(grep -e ,task -e event,all "$T/csv")"
	# Those that do nothing for an interval make room
	NETTO_WITHOUT=room
	export NETTO_WITHOUT
	start_netto -c -t 100 -F 0 0.25 0
	i=0
	while [ $i -lt 12 ]; do
		load sendto udp4 11 >/dev/null
		sleep 0.6
		i=$((i + 1))
	done
	stop_netto
	unset NETTO_WITHOUT
	check "tasks: 12 processes one after the other, with room for 8: all are counted" \
		"$(awk -F, '$3 == "task" && $5 ~ "/send$" { n += $8 } $5 == "tasks_lost" { n += 1000 * $8 } END { print n + 0 }' "$T/csv") == 132" \
		"$(grep ,task "$T/csv")"
	measure load sendto udp4 100
	check "tasks: none unless asked for" "$(grep -c ,task "$T/csv") == 0" "$(grep ,task "$T/csv")"
}

operator_contexts() {
	HZ=2000 measure load udpflood 1.5 1 1
	check "a flood over loopback: NET_RX runs in the sender's local_bh_enable ($(context bh_enable 1) %)" \
		"$(context bh_enable 1) > 85" "$(grep -e ,context, "$T/csv")"
	check "contexts share out rx_softirq" "$(awk -F, '
		$3 == "event" && $4 == "all" && $5 == "rx_softirq" { ns = $6 }
		$3 == "context" && $4 == "all" && $5 ~ "^rx_softirq/" { sum += $6 }
		END { print (sum > 0.999 * ns && sum < 1.001 * ns) }' "$T/csv")" "$(grep -e ,context, "$T/csv")"
	# The others are host.sh's matter: an emulated CPU takes few samples where interrupts end.
}

# What each interval has, of packets, polls and calls, sums to what was there: nothing is lost between them.
operator_intervals() {
	: >"$T/err" # as in start_netto
	"$NETTO" -cv -t 100 -F 0 0.25 8 >"$T/csv" 2>"$T/err" &
	netto=$!
	wait_for is_measuring
	load sendto udp4 4001 >"$T/load" 2>&1
	wait $netto
	sum() { # RECORD NAME FIELD
		awk -F, -v record="$1" -v name="^$2\$" -v field="$3" '$3 == record && $4 == "all" && $5 ~ name { s += $field } END { print s + 0 }' "$T/csv"
	}
	check "8 intervals: the load was within them" "$(grep -c ,elapsed, "$T/csv") == 8 && $(load_value sends) == 4001" "$(cat "$T/load")"
	check "8 intervals: 4001 sends, of one process, packets that are processed, and polled" \
		"$(sum event send 8) == 4001 && $(sum task 'load:[0-9]*/send' 8) == 4001 && $(sum packet processed 8) == 4001 &&
		 $(sum packet 'polled/[(]backlog[)]' 8) == 4001" "$(grep -e send -e ,packet,all "$T/csv")"
	check "8 intervals: the time of the process is that of all sends" \
		"$(sum task 'load:[0-9]*/send' 6) == $(sum event send 6)" "$(grep -e send "$T/csv")"
	conserved "8 intervals"
}

trap net_down EXIT
ip link set lo up
names="packets busiest devices tasks contexts intervals"
! is_rt || names="packets devices contexts intervals" # there netto comes and goes slowly
shift
[ $# = 0 ] || names=$*
for name in $names; do
	operator_"$name"
done
