# shellcheck shell=sh
# Are the times true? burn makes a place of the stack take a time that it knows, for each of a fixed number of packets: by so
# much must the time of the event rise, and so much must be in the stage. For a virtual machine, in busybox's sh, and for
# this machine. Runs as root; $1 = the name of the test, $2... = some of the functions below, without their truth_; all without.
#
# The same packets are measured twice, with the same program in the same place: it burns nothing the first time, so what
# it costs to run it is no part of the rise, nor are netto's own hooks; the load then passes as much time in user space, so
# that caches are as cold when the next packet comes. What interrupts a burn, a timer or the host, is in both, in the time
# burnt and in the event's, but on PREEMPT_RT: there netto rightly leaves out what preempts a softirq. So the load is a
# real-time task there, and softirqs run at its priority.
# shellcheck disable=SC2034 # for lib.sh
part=$1
. "$(dirname "$0")/lib.sh"
BURN=${BURN:-/burn} XDP=${XDP:-/xdp.o}
A=netto-ta B=netto-tb ADDRESS=192.0.2.2
CPU=$(($(nproc) - 1)) # of the load
PACKETS=1300 NS=1500000 TOLERANCE=0.02
if [ "$part" = truth-host ]; then
	UNSEEN=1
	PACKETS=5000 NS=400000 TOLERANCE=0.01
fi
FIRST=""
SLEEP=""
if grep -qs 1 /sys/kernel/realtime; then
	echo -1 >/proc/sys/kernel/sched_rt_runtime_us # in a virtual machine
	FIRST="chrt -f 60"
fi

is_burning() {
	grep -q "burn: burning" "$T/burn" || ! kill -0 "$burner" 2>/dev/null
}

# PLACE NS: from now on so much time is burnt for each packet.
start_burn() {
	case $1 in
	egress) netns=$A device=a1 ;;
	*) netns=$B device=b1 ;;
	esac
	: >"$T/burn"
	"$IP" netns exec $netns "$BURN" "$1" $device "$2" sleep 600 >"$T/burn" 2>&1 &
	burner=$!
	wait_for is_burning
}

stop_burn() {
	kill "$burner"
	wait "$burner"
}

# PACKETS PAUSE [COMMAND...]: the packets, and so much time to pass after each; the command runs it. SLEEP: another thread does
# the work, and the load sleeps meanwhile.
packets() {
	packets=$1 pause=$2
	shift 2
	[ -z "$SLEEP" ] || pause=$((NS * 13 / 10))
	# shellcheck disable=SC2086 # words
	"$@" $FIRST "$LOAD" udpsend $A $B $ADDRESS "$packets" $CPU "$pause" $SLEEP
}

# PLACE NS PAUSE: what is burnt, in $T/load too. The program is there until netto has looked up its name.
burn() {
	start_burn "$1" "$2"
	packets $PACKETS "$3" measure
	stop_burn
	cat "$T/burn" >>"$T/load"
	burnt=$(load_value burnt_ns)
}

# EVENT/STAGE: its total, that one's standard deviation, and how many samples the event has. Without busybox's sqrt(), which
# Debian leaves out.
stage() {
	awk -F, -v cpu=$CPU -v name="$1" '
		BEGIN { event = name; sub("/.*", "", event) }
		$3 == "event" && $4 == cpu && $5 == event { ns = $6 }
		$3 == "stage" && $4 == cpu && index($5, event "/") == 1 { n += $8 }
		$3 == "stage" && $4 == cpu && $5 == name { total = $11 }
		END {
			deviation = variance = n ? total * (ns - total) / n : 0
			for (i = 0; i < 100 && deviation > 0; i++)
				deviation = (deviation + variance / deviation) / 2
			printf "%.0f %.0f %d", total, deviation, n
		}' "$T/csv"
}

# What the event's time is in another view, ns: that of the devices that were polled, or of the load's calls. Empty where there
# is none.
in_detail() { # EVENT
	case $1 in
	send) awk -F, '$3 == "task" && $5 ~ "^load:[0-9]*/send$" { s += $6; n++ } END { if (n) printf "%.0f", s }' "$T/csv" ;;
	*) awk -F, -v cpu=$CPU '$3 == "device" && $4 == cpu { s += $6; n++ } END { if (n) printf "%.0f", s }' "$T/csv" ;;
	esac
}

of() { # NS: as a part of what was burnt
	awk "BEGIN { printf \"%.4f\", $1 / $burnt }"
}

# PLACE EVENT STAGE
truth() {
	start_burn "$1" 0
	packets 100 0 >"$T/load" 2>&1 # what is allocated for the first packets, and the neighbour's address
	stop_burn 2>/dev/null
	case $? in
	143) ;;
	77)
		skip "$1" "$(tail -n 1 "$T/burn")"
		return
		;;
	*)
		fail "$1" "$(tail -n 12 "$T/burn")"
		return
		;;
	esac
	# Once more, and once more, if a busy machine has held up the packets more than the burn, or the thread that polls until the
	# device's ring was full: what is wrong stays wrong.
	HZ=0 # samples make the caches colder
	TASKS=0
	[ "$2" != send ] || TASKS=100
	attempts=0 done=
	while [ -z "$done" ] && [ $attempts -lt 3 ]; do
		attempts=$((attempts + 1))
		burn "$1" 0 $NS
		if ! grep -q ",event,$CPU,$2," "$T/csv"; then
			skip "$1: $2" "$(grep "$2: not fentry" "$T/err" | head -n 1)"
			return
		fi
		before=$(ns $CPU "$2") others=$(ns $CPU net) detail=$(in_detail "$2")
		burn "$1" $NS 0
		rise=$(($(ns $CPU "$2") - before))
		others=$(($(ns $CPU net) - others - rise))
		[ -z "$detail" ] || detail=$(($(in_detail "$2") - detail))
		done=$(awk "BEGIN { if ($(load_value packets) == $PACKETS && $rise > (1 - $TOLERANCE) * $burnt && $rise < (1 + $TOLERANCE) * $burnt &&
			$others > -$TOLERANCE * $burnt && $others < $TOLERANCE * $burnt &&
			${detail:-$burnt} > (1 - $TOLERANCE) * $burnt && ${detail:-$burnt} < (1 + $TOLERANCE) * $burnt) print 1 }")
		[ -n "$done" ] || echo "note: $part: $1: $2 rose by $(of $rise), other network events by $(of $others) of what was burnt by $(load_value packets) packets${detail:+, devices or tasks by $(of "$detail")}"
	done
	check "$1: all packets burn, and the rest takes little ($(of "$before") of it)" \
		"$(load_value packets) == $PACKETS && $burnt >= 0.95 * $NS * $PACKETS && $before < 0.2 * $burnt" "$(cat "$T/load")"
	check "$1: $2 rose by $(of "$rise") of the $(awk "BEGIN { printf \"%.3f\", $burnt / 1e9 }") s burnt, other network events by $(
		of "$others")${detail:+, what devices polled or the load called by $(of "$detail")} (attempt $attempts)" "${done:-0}" "$before ns, then $(ns $CPU "$2") ns; $(cat "$T/load")"

	# Likewise: while a virtual machine is held up, time passes and no samples are taken.
	HZ=997
	attempts=0 done=
	while [ -z "$done" ] && [ $attempts -lt 3 ]; do
		attempts=$((attempts + 1))
		burn "$1" $NS 0
		seen=$(stage "$2/$3")
		total=${seen%% *} samples=${seen##* } deviation=${seen#* }
		deviation=${deviation% *}
		done=$(awk "BEGIN { if ($total - 4 * $deviation < $burnt && $total + 4 * $deviation > $burnt && $samples > 100) print 1 }")
	done
	check "$1: stage $3 has $(of "$total") +/- $(of $((4 * deviation))) of what was burnt ($samples samples, attempt $attempts)" \
		"${done:-0}" "$(grep "stage,$CPU" "$T/csv")"
	tracing=$(stage "$2/tracing")
	echo "note: $part: $1: $2 is $(of "$(ns $CPU "$2")") of it, stage tracing ${tracing%% *} ns; gap $(of "$(load_value gap_ns)"); send/softirq: $(stage send/softirq)"
}

truth_ingress() {
	truth ingress rx_softirq tc
}

truth_egress() {
	truth egress send tc_egress
}

truth_prerouting() {
	truth prerouting rx_softirq nf_prerouting_v4
}

# veth polls where there is XDP, and then in a thread if it is told so.
truth_threaded() {
	if "$IP" -n $B link set b1 xdpdrv obj "$XDP" sec xdp 2>"$T/try" &&
		"$IP" netns exec $B sh -c 'echo 1 >/sys/class/net/b1/threaded' 2>"$T/try"; then
		# On the load's CPU, as softirqs are
		for thread in /proc/[0-9]*; do
			case $(cat "$thread/comm" 2>/dev/null) in
			napi/b1*) taskset -pc "$CPU" "${thread#/proc/}" >/dev/null ;;
			esac
		done
		# The CPU is never idle: that it wakes up would be a part of what is not burnt.
		chrt -i 0 "$LOAD" burn 600 $CPU >/dev/null &
		filler=$!
		SLEEP="sleep"
		truth ingress napi_thread tc
		SLEEP=
		kill $filler
		wait $filler 2>/dev/null
		filler=
	else
		skip "threaded" "no threaded NAPI on veth here: $(head -n 1 "$T/try")"
	fi
	"$IP" -n $B link set b1 xdpdrv off 2>/dev/null
}

# Sample mode on the same packets, at the same time: the traced time lies in its interval. 95 % would fail one run in twenty: so
# in twice that, four standard deviations. Another frequency: of two timers in step one would see what the other leaves behind.
truth_sample() {
	attempts=0 done=
	while [ -z "$done" ] && [ $attempts -lt 3 ]; do
		attempts=$((attempts + 1))
		start_burn ingress $NS
		: >"$T/err2"
		"$NETTO" -cv -m sample -F 887 600 >"$T/csv2" 2>"$T/err2" &
		second=$!
		wait_for grep -q 'netto: measuring' "$T/err2"
		HZ=0
		packets $PACKETS 0 measure
		kill -INT $second
		wait $second
		stop_burn 2>/dev/null
		traced=$(ns $CPU rx_softirq)
		seen=$(grep ",event,$CPU,rx_softirq," "$T/csv2")
		low=$(echo "$seen" | cut -d, -f9) high=$(echo "$seen" | cut -d, -f10)
		done=$(awk "BEGIN { if (2 * $traced > 3 * $low - $high && 2 * $traced < 3 * $high - $low && $traced > 1e9) print 1 }")
	done
	check "sample mode: rx_softirq is $low to $high ns (95 %), traced at the same time $traced (attempt $attempts)" \
		"${done:-0}" "$seen; $(cat "$T/load")"
}

trap 'net_down; [ -z "$filler" ] || kill $filler' EXIT
filler=
net_up
shift
names="ingress egress prerouting sample threaded"
[ "$part" != truth-7 ] || names="ingress egress prerouting sample" # the threaded one as on 6.12
[ $# = 0 ] || names=$*
for name in $names; do
	truth_"$name"
done
