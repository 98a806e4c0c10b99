# shellcheck shell=sh
# Are the times true? Each is held against a time that is known: a burn in the stack, the CPU time of the load, what the kernel
# or another tool accounts. $1 = the name of the test, $2... = some of the names in judge(), below.
#
# burns-icount runs in a virtual machine whose clock counts instructions (test/vm -i): there all is exact however busy the host
# is, and it is one of the fast tests. burns-KERNEL, times-KERNEL and those of this machine depend on the machine, and are run
# by test/run --all: the median of three attempts must be within the bounds (lib.sh: check_median).
# shellcheck disable=SC2034,SC2086,SC2154 # for lib.sh, and from it; words
part=$1
. "$(dirname "$0")/lib.sh"
CPU=$(($(nproc) - 1)) # of the load
FIRST='' SLEEP='' SECONDS_OF_LOAD=2 TOLERANCE=0.02
case $part in
*-icount) PACKETS=300 NS=200000 TOLERANCE=0.002 REPORT=100000 SECONDS_OF_LOAD=0.3 ;;
*-host) PACKETS=5000 NS=400000 UNSEEN=1 ;;
*) PACKETS=1300 NS=1500000 ;;
esac
case $part in
*-6.12-rt)
	# On PREEMPT_RT netto rightly leaves out what preempts a softirq: the load is a real-time task there, and softirqs run at
	# its priority.
	echo -1 >/proc/sys/kernel/sched_rt_runtime_us # in a virtual machine
	FIRST="chrt -f 60"
	;;
esac

# judged WHAT LOW HIGH FUNCTION [ARGUMENT]...: what the function prints last lies between.
judged() {
	case $part in
	*-icount)
		what=$1 low=$2 high=$3
		shift 3
		seen=$(attempt "$@")
		check "$what: $seen" "$seen >= $low && $seen <= $high" "$(cat "$T/load"; tail -n 12 "$T/csv")"
		;;
	*) check_median "$@" ;;
	esac
}

# --- Burns: a place of the stack takes a time that is known, for each of a fixed number of packets ---
#
# Each load runs twice with the same eBPF program. The first time the program burns nothing, and the load waits in user space
# instead: so the program's own cost and netto's hooks cancel out, and caches are equally cold. Interruptions count in both
# numbers.

# PACKETS PAUSE: and so much time to pass after each. SLEEP: another thread does the work, and the load sleeps meanwhile.
packets() {
	[ -z "$SLEEP" ] || set -- "$1" $((NS * 13 / 10))
	$FIRST "$LOAD" udpsend $A $B $ADDRESS "$1" $CPU "$2" $SLEEP
}

# PLACE NS PAUSE: measures packets that burn; $burnt is how much. The program is there until netto has looked up its name.
burn() {
	start_burn "$1" "$2"
	measure packets $PACKETS "$3"
	stop_burn
	cat "$T/burn" >>"$T/load"
	burnt=$(load_value burnt_ns)
	[ "$(load_value packets)" = $PACKETS ] || fail "$1: all packets burn" "$(cat "$T/load")"
}

# What the devices polled on the load's CPU, or for send, what the load's own process called.
of_details() { # EVENT
	awk -F, -v cpu=$CPU -v event="$1" '
		event == "send" ? $3 == "task" && $5 ~ "^load:[0-9]*/send$" : $3 == "device" && $4 == cpu { s += $6 }
		END { printf "%.0f", s }' "$T/csv"
}

# What the event rises by, as a part of what is burnt; in $T/others and $T/details what all other network events and what the
# devices or tasks do.
rise() { # PLACE EVENT
	burn "$1" 0 $NS
	event_ns=$(ns $CPU "$2") net_ns=$(ns $CPU net) details_ns=$(of_details "$2")
	burn "$1" $NS 0
	event_ns=$(($(ns $CPU "$2") - event_ns)) net_ns=$(($(ns $CPU net) - net_ns))
	ratio $((net_ns - event_ns)) "$burnt" >>"$T/others"
	ratio $(($(of_details "$2") - details_ns)) "$burnt" >>"$T/details"
	ratio "$event_ns" "$burnt"
}

# PLACE EVENT STAGE
burns() {
	start_burn "$1" 0
	packets $PACKETS 0 >"$T/load" 2>&1 # what is allocated for the first packets, and the neighbour's address
	stop_burn 2>/dev/null
	case $? in
	0) ;;
	77) skip "$1" "$(tail -n 1 "$T/burn")"; return ;;
	*) fail "$1" "$(tail -n 12 "$T/burn")"; return ;;
	esac
	: >"$T/others"
	: >"$T/details"
	HZ=0 TASKS=100 # samples make the caches colder, and net_other is told from them
	judged "$1: $2 rises by what is burnt" "1 - $TOLERANCE" "1 + $TOLERANCE" rise "$1" "$2"
	seen=$(median "$T/others")
	check "$1: other network events do not: $seen" "$seen > -$TOLERANCE && $seen < $TOLERANCE" "$(cat "$T/others")"
	seen=$(median "$T/details")
	check "$1: what was polled or called does: $seen" "$seen > 1 - $TOLERANCE && $seen < 1 + $TOLERANCE" "$(cat "$T/details")"
	[ "$part" != burns-icount ] || return 0 # with retpolines, from which the kernel cannot unwind
	HZ=997 TASKS=0
	judged "$1: stage $3 has what is burnt, in standard deviations" -5 5 stage_deviates "$1" "$2/$3"
}

# By how many standard deviations of its samples the stage's total is off. Without busybox's sqrt(), which Debian leaves out.
stage_deviates() { # PLACE EVENT/STAGE
	burn "$1" $NS 0
	awk -F, -v cpu=$CPU -v name="$2" -v burnt="$burnt" '
		BEGIN { event = name; sub("/.*", "", event) }
		$3 == "event" && $4 == cpu && $5 == event { ns += $6 }
		$3 == "stage" && $4 == cpu && index($5, event "/") == 1 { n += $8 }
		$3 == "stage" && $4 == cpu && $5 == name { total += $11 }
		END {
			deviation = variance = n ? total * (ns - total) / n : 0
			for (i = 0; i < 100 && deviation > 0; i++)
				deviation = (deviation + variance / deviation) / 2
			if (n < 50)
				print -99
			else # where all samples are in the stage, within one of them
				printf "%.2f\n", (total - burnt) / (deviation ? deviation : ns / n)
		}' "$T/csv"
}

egress() {
	HZ=0 measure true
	if [ "$(hooked send fentry)" = 0 ]; then
		skip "egress: send" "$(grep why/send= "$T/csv" | cut -d, -f5)"
	else
		burns egress send tc_egress
	fi
}

# veth polls where there is XDP, and then in a thread if it is told so: on the load's CPU, as softirqs are.
threaded_burns() {
	if xdp_on 2>"$T/try" && threaded 1; then
		for thread in /proc/[0-9]*; do
			case $(cat "$thread/comm" 2>/dev/null) in
			napi/b1*) taskset -pc "$CPU" "${thread#/proc/}" >/dev/null ;;
			esac
		done
		# The CPU is never idle: that it wakes up would be a part of what is not burnt.
		chrt -i 0 "$LOAD" burn 600 $CPU >/dev/null &
		filler=$!
		SLEEP='sleep'
		burns ingress napi_thread tc
		SLEEP=
		stop $filler
		filler=
		threaded 0
	else
		skip "threaded" "no threaded NAPI on veth here: $(head -n 1 "$T/try")"
	fi
	xdp_off 2>/dev/null
}

# Sample mode beside the traced time of the same packets, in halves of its 95 % interval. Another frequency: of two timers in
# step one would see what the other leaves behind.
sample_mode_deviates() {
	start_burn ingress $NS
	: >"$T/err2"
	"$NETTO" -cv -m sample -F 887 600 >"$T/csv2" 2>"$T/err2" &
	second=$!
	wait_for grep -q 'netto: measuring' "$T/err2"
	HZ=0 measure packets $PACKETS 0
	kill -INT $second
	wait $second
	stop_burn 2>/dev/null
	awk -F, -v cpu=$CPU -v traced="$(ns $CPU rx_softirq)" '$3 == "event" && $4 == cpu && $5 == "rx_softirq" {
		printf "%.2f\n", (traced - $6) / (traced > $6 ? $10 - $6 : $6 - $9) }' "$T/csv2"
}

# --- The time of events, as a part of a time that is known ---

part_of() { # NUMBER TOTAL COMMAND...: measures the last one; the others print what is divided then
	number=$1 total=$2
	shift 2
	measure "$@"
	ratio "$($number)" "$($total)"
}

sending() { # CPU: sends and the NET_RX that they run
	echo "$(ns "$1" send) + $(ns "$1" rx_softirq)"
}

# CPU time of the load whose line has the text (with -v: has it not), of two that ran at once.
cpu_of() {
	grep "$@" "$T/load" | sed -n 's/^cpu_ns=\([0-9]*\).*/\1/p; s/.* cpu_ns=\([0-9]*\).*/\1/p' | head -n 1
}

time_polled() { # 20 ms each, in which nothing comes
	echo "$(count all busy_poll) * 20000000"
}

idle_percent() {
	echo "100 * $(ns 1 idle) / $(run_row elapsed 6)"
}

netto_itself() {
	echo "$(run_row self_user 6) + $(run_row self_kernel 6)"
}

ksoftirqd() { # CPU time of CPU 1's, ns
	for t in /proc/[0-9]*; do
		[ "$(cat "$t/comm" 2>/dev/null)" != ksoftirqd/1 ] || cut -d ' ' -f 1 "$t/schedstat"
	done
}

# Marks that fall into whatever runs: each interval has its part. A mark that charges the wrong event is off by what all
# intervals before it had. How many of 50 intervals are off by a factor of 4 of the mean time of an entry.
intervals_off() {
	"$LOAD" udpflood 60 0 1 >"$T/load" 2>&1 &
	flood=$!
	sleep 1
	with_netto -c -F 0 0.1 50
	stop_flood
	conserved "50 intervals in a flood"
	awk -F, '
		$3 == "event" && $4 == 0 && $5 == "rx_softirq" { n++; ns[n] = $6; count[n] = $8; all += $6; calls += $8 }
		END {
			for (i = 1; i <= n; i++)
				if (count[i] >= calls / n / 2 && (ns[i] / count[i] < 0.25 * all / calls || ns[i] / count[i] > 4 * all / calls))
					off++
			print (n == 50 && calls > 1000 ? off + 0 : 50)
		}' "$T/csv"
}

# Events that are a good part of net.
parts_of_net() {
	xdp_on
	if threaded 1; then
		judged "threaded NAPI is a good part of net" 0.1 1 \
			part_of "ns all napi_thread" "ns all net" "$LOAD" udppath $A $B $ADDRESS 1.5 0 1 64
		threaded 0
	fi
	xdp_off
	if wireguard_up 2>/dev/null; then
		judged "WireGuard's workers are a good part of net" 0.1 1 \
			part_of "ns all net_worker" "ns all net" "$LOAD" udppath $A $B 198.18.2.2 1.5 0 1 64
		ends_away
	fi
}

# What NET_RX runs in.
contexts() {
	HZ=2000 judged "a flood over loopback: NET_RX runs in the sender's local_bh_enable, percent" 85 100 \
		part_of "context bh_enable 0" "echo 1" "$LOAD" udpflood $SECONDS_OF_LOAD 0 0
	[ "$part" = times-host ] || return 0 # an emulated CPU takes few samples where interrupts end
	a sh -c 'echo 2 >/sys/class/net/lo/queues/rx-0/rps_cpus'
	"$LOAD" burn 60 1 >/dev/null &
	burner=$!
	HZ=2000 judged "RPS to a busy CPU: NET_RX runs where its interrupt ends, percent" 85 100 \
		part_of "context irq_exit 1" "echo 1" "$LOAD" udpsend $A $A 127.0.0.1 200000 0 10000
	stop $burner
	# Packets come evenly, so as many are not known to be over it as the CPU is not known to be idle: where tasks are hidden,
	# their switch to the idle task is too.
	HZ=0 judged "RPS to an idle CPU: NET_RX is over the idle task as long as it is known" 0.95 2 \
		part_of "context idle 1" idle_percent "$LOAD" udpsend $A $A 127.0.0.1 20000 0 100000
	# With a budget of one packet NET_RX is not done while there are more, and is left to ksoftirqd. The kernel's figure is of
	# all softirqs there, and of what comes between them: with one packet each that is a good part.
	set_sysctl ../net/core/netdev_budget 1
	set_sysctl ../net/core/dev_weight 1
	COUNTER=ksoftirqd HZ=2000 \
		judged "a budget of one packet: ksoftirqd's part, of what the kernel accounts to it" 0.5 1.02 \
		part_of "field context 1 rx_softirq/ksoftirqd 6" "counted 1" a "$LOAD" udpflood 2 0 0 64
	restore_sysctls
}

# --- Other tools, on this machine ---

# libbpf-tools' softirqs adds up each softirq between the same two tracepoints. Of two programs at a tracepoint the one that was
# attached first runs first, so each tool has some of the other's programs in its time: some ns for each softirq.
softirqs_tool() { # how many ns more netto has in each NET_RX softirq
	softirqs -N 600 1 >"$T/softirqs" 2>&1 &
	tool=$!
	wait_for sh -c 'bpftool prog | grep -q softirq_exit' # it says nothing into a file before its end
	start_netto -c -F 0 600
	"$LOAD" udppath $A $B $ADDRESS 4 0 1 >"$T/load" 2>&1
	sleep 0.2
	kill -INT $tool
	wait $tool
	stop_netto
	conserved "a flood beside softirqs"
	ratio "$(ns all rx_softirq) - $(awk '$1 == "net_rx" { print $2 }' "$T/softirqs")" "$(count all rx_softirq)"
}

# The same load seen by perf at the same time: as large a share of all CPU time lies below net_rx_action, in 95 % intervals.
# perf's frequency is another one: of two timers in step one would see what the other's interrupt leaves behind.
perf_deviates() {
	start_flood
	# -m: with less room perf loses samples on busy CPUs
	NETTO_WITHOUT=cycles perf record -q -a -g -m 4096 -e cpu-clock -F 887 -k CLOCK_REALTIME -o "$T/perf" -- \
		"$NETTO" -c -s 1000000 8 >"$T/csv" 2>"$T/load"
	stop_flood
	theirs=$(perf script -i "$T/perf" -F time,ip,sym 2>>"$T/load" |
		awk -v end="$(tail -n 1 "$T/csv" | cut -d, -f1)" -v elapsed="$(run_row elapsed 6)" '
			$1 ~ /^[0-9]+[.][0-9]+:$/ { count = $1 + 0 >= end - elapsed / 1e9 && $1 + 0 <= end }
			/net_rx_action/ && count { n++; count = 0 }
			END { print n + 0 }')
	rm -f "$T/perf"
	awk "BEGIN {
		n = $(wall all) * 997e-9
		m = $(wall all) * 887e-9
		p = $(sum_of 8 '$3 == "stack" && $5 ~ "net_rx_action"') / n
		q = $theirs / m
		print (p - q) / (1.96 * (sqrt(p * (1 - p) / n) + sqrt(q * (1 - q) / m)))
	}"
}

# --- netto itself ---

ready() {
	start_netto -c 600
	stop_netto
	sed -n 's/.*ready after \([0-9.]*\) s/\1/p' "$T/err"
}

samples_due() {
	start_flood
	NETTO_WITHOUT="cycles limit" with_netto -c 2
	stop_flood
	ratio "$(run_row samples 8)" "997e-9 * $(sum_of 6 '$3 == "event" && $4 == "all" && $5 != "net" && $5 != "idle"')"
}

# --- All of them ---

judge() { # NAME
	beside="\"$LOAD\" sendloop 3 1 & \"$LOAD\" burn 3 1"
	case $1 in
	ingress) burns ingress rx_softirq tc ;;
	prerouting) burns prerouting rx_softirq nf_prerouting_v4 ;;
	egress) egress ;;
	threaded) threaded_burns ;;
	sample) judged "sample mode: rx_softirq is what is traced, in halves of the interval" -2 2 sample_mode_deviates ;;
	blocked)
		judged "a task that blocks 1 s in recv: its time, us" 0.1 10000 \
			part_of "ns all recv" "echo 1000" "$LOAD" block_recv 1000
		;;
	sends)
		judged "a send loop: sends and what they run, as a part of its CPU time" 0.5 1.02 \
			part_of "sending $CPU" "load_value cpu_ns" "$LOAD" sendloop $SECONDS_OF_LOAD $CPU
		check "a loopback send's NET_RX is rx_softirq, not send" \
			"$(count $CPU rx_softirq) > 0.9 * $(load_value sends) && $(ns $CPU rx_softirq) > 0.1 * $(ns $CPU send)" \
			"$(count $CPU rx_softirq) softirqs of $(ns $CPU rx_softirq) ns in sends of $(ns $CPU send) ns, $(cat "$T/load")"
		;;
	preempted)
		judged "a send loop that a busy task preempts is charged its CPU time" 0.5 1.02 \
			part_of "sending 1" "cpu_of sends=" sh -c "$beside; wait"
		judged "the busy task is other" 0.98 100 part_of "ns 1 other" "cpu_of -v sends=" sh -c "$beside; wait"
		;;
	migrated)
		for cpu in 0:a 1:b; do
			judged "a send that migrates: on CPU ${cpu%:*} for what it ran there" 0.2 1.02 \
				part_of "ns ${cpu%:*} send" "load_value cpu_${cpu#*:}_ns" "$LOAD" bigsend 2 0 1
		done
		;;
	not_network)
		judged "an AF_UNIX flood is other" 0.9 100 part_of "ns 1 other" "load_value cpu_ns" "$LOAD" unixflood 2 1
		judged "a storm of context switches is other" 0.5 1 part_of "ns 1 other" "wall 1" "$LOAD" switches 2 1
		;;
	fifo)
		! is_rt || judged "a softirq that a FIFO thread preempts is not charged for it" 0.98 100 part_of "ns 1 other" \
			"cpu_of -v sends=" sh -c "\"$LOAD\" udpflood 3 1 1 & \"$LOAD\" burn 3 1 fifo 50 40 1000; wait"
		;;
	intervals)
		judged "an entry of rx_softirq costs the same in each interval of a flood: intervals that are off" 0 0 intervals_off
		;;
	busy_poll)
		xdp_on
		judged "busy polling is the time polled" 0.97 1.2 \
			part_of "ns all busy_poll" time_polled "$LOAD" busypoll $A $B $ADDRESS 20000 25
		xdp_off
		;;
	io_worker)
		# The kernel leaves interrupts out, which samples are; where a host stops an emulated CPU in one, up to 10 ms were
		# seen. On 5.10 the workers are no threads of the process.
		[ "$part" = times-5.10 ] || HZ=0 judged "io_uring: io_worker is what the workers ran" 0.95 1.05 \
			part_of "ns all io_worker" "load_value worker_ns" "$LOAD" uring_work 240
		;;
	parts) parts_of_net ;;
	contexts) contexts ;;
	softirqs_tool) judged "netto's time of a NET_RX softirq less that of softirqs, ns" -200 200 softirqs_tool ;;
	perf)
		judged "as large a share of samples in net_rx_action as perf has, in halves of the intervals" -1 1 perf_deviates
		;;
	netto)
		judged "start-up, s" 0 0.5 ready
		judged "it sleeps while measuring: its part of a CPU" 0 0.005 part_of netto_itself "run_row elapsed 6" sleep 2
		judged "samples, as a part of those that the traced time gives" 0.85 1.05 samples_due
		;;
	esac
}

mount -t tracefs none /sys/kernel/tracing 2>/dev/null
trap 'net_down; [ -z "$filler" ] || kill $filler 2>/dev/null' EXIT
filler=
net_up
neighbour $A a1 $ADDRESS $B b1
neighbour $B b1 192.0.2.1 $A a1
case $part in
burns-icount) names="ingress egress blocked sends contexts" ;;
burns-*) names="ingress egress prerouting sample threaded" ;;
times-host) names="ingress egress prerouting sample contexts softirqs_tool perf netto" ;;
times-*) names="blocked sends preempted migrated not_network fifo intervals busy_poll io_worker parts contexts" ;;
esac
shift
[ $# -gt 0 ] || set -- $names
# To attach and detach takes most of the time there. Without samples, whose own time falls into what they interrupt.
if [ "$part" = burns-icount ]; then
	INTERVAL=1 # so long that to report is no great part of it
	begin_session -F 0 -t 100 -s 0
fi
for name; do
	[ "$name" != contexts ] || [ -z "$session" ] || end_session
	judge "$name"
done
