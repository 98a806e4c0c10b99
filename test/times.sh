# shellcheck shell=sh
# Are the times true? Each is held against a time that is known: a burn in the stack, the CPU time of the load, what the kernel
# or another tool accounts. $1 = the name of the test, $2... = some of the functions below, without their times_.
#
# burns-icount runs in a virtual machine whose clock counts instructions (test/vm -i): there all is exact however busy the host
# is, and it is one of the fast tests. burns-KERNEL, times-KERNEL and those of this machine depend on the machine, and are run
# by test/run --all: the median of three attempts must be within the bounds (lib.sh: check_median).
# shellcheck disable=SC2034,SC2086,SC2154 # for lib.sh, and from it; words
part=$1
. "$(dirname "$0")/lib.sh"
CPU=$(($(nproc) - 1)) # of the load
case $part in
*-icount) PACKETS=300 NS=200000 TOLERANCE=0.002 REPORT=100000 ;;
*-host) PACKETS=5000 NS=400000 TOLERANCE=0.02 UNSEEN=1 ;;
*) PACKETS=1300 NS=1500000 TOLERANCE=0.02 ;;
esac
FIRST='' SLEEP='' SECONDS_OF_LOAD=2
[ "$part" != burns-icount ] || SECONDS_OF_LOAD=0.3
if [ "$part" = burns-6.12-rt ] || [ "$part" = times-6.12-rt ]; then
	# On PREEMPT_RT netto rightly leaves out what preempts a softirq: the load is a real-time task there, and softirqs run at
	# its priority.
	echo -1 >/proc/sys/kernel/sched_rt_runtime_us # in a virtual machine
	FIRST="chrt -f 60"
fi

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
	77)
		skip "$1" "$(tail -n 1 "$T/burn")"
		return
		;;
	*)
		fail "$1" "$(tail -n 12 "$T/burn")"
		return
		;;
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

times_ingress() {
	burns ingress rx_softirq tc
}

times_egress() {
	HZ=0 measure true
	if [ "$(hooked send fentry)" = 0 ]; then
		skip "egress: send" "$(grep why/send= "$T/csv" | cut -d, -f5)"
	else
		burns egress send tc_egress
	fi
}

times_prerouting() {
	burns prerouting rx_softirq nf_prerouting_v4
}

# veth polls where there is XDP, and then in a thread if it is told so: on the load's CPU, as softirqs are.
times_threaded() {
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

times_sample() {
	judged "sample mode: rx_softirq is what is traced, in halves of the interval" -2 2 sample_mode_deviates
}

# --- CPU time of the load ---

# CPU time of the load whose line has the text (with -v: has it not), of two that ran at once.
cpu_of() {
	grep "$@" "$T/load" | sed -n 's/^cpu_ns=\([0-9]*\).*/\1/p; s/.* cpu_ns=\([0-9]*\).*/\1/p' | head -n 1
}

blocked() {
	measure "$LOAD" block_recv 1000
	ratio "$(ns all recv)" 1000
}

sends() {
	measure "$LOAD" sendloop $SECONDS_OF_LOAD $CPU
	ratio $(($(ns $CPU send) + $(ns $CPU rx_softirq))) "$(load_value cpu_ns)"
}

times_blocked() {
	judged "a task that blocks 1 s in recv: its time, us" 0.1 10000 blocked
}

times_sends() {
	judged "a send loop: sends and what they run, as a part of its CPU time" 0.5 1.02 sends
	check "a loopback send's NET_RX is rx_softirq, not send" \
		"$(count $CPU rx_softirq) > 0.9 * $(load_value sends) && $(ns $CPU rx_softirq) > 0.1 * $(ns $CPU send)" \
		"$(count $CPU rx_softirq) softirqs of $(ns $CPU rx_softirq) ns in sends of $(ns $CPU send) ns, $(cat "$T/load")"
}

preempted() {
	measure sh -c "\"$LOAD\" sendloop 3 1 & \"$LOAD\" burn 3 1; wait"
	ratio $(($(ns 1 send) + $(ns 1 rx_softirq))) "$(cpu_of sends=)"
}

busy_beside() {
	measure sh -c "\"$LOAD\" sendloop 3 1 & \"$LOAD\" burn 3 1; wait"
	ratio "$(ns 1 other)" "$(cpu_of -v sends=)"
}

times_preempted() {
	judged "a send loop that a busy task preempts is charged its CPU time" 0.5 1.02 preempted
	judged "the busy task is other" 0.98 100 busy_beside
}

migrated() { # CPU
	measure "$LOAD" bigsend 2 0 1
	ratio "$(ns "$1" send)" "$(load_value "cpu_$(echo "$1" | tr 01 ab)_ns")"
}

times_migrated() {
	for cpu in 0 1; do
		judged "a send that migrates: on CPU $cpu for what it ran there" 0.2 1.02 migrated $cpu
	done
}

others_of() { # PART-OF LOAD...: other's time
	of=$1
	shift
	measure "$LOAD" "$@"
	ratio "$(ns 1 other)" "$($of)"
}

cpu_ns() {
	load_value cpu_ns
}

wall_ns() {
	wall 1
}

times_not_network() {
	judged "an AF_UNIX flood is other" 0.9 100 others_of cpu_ns unixflood 2 1
	judged "a storm of context switches is other" 0.5 1 others_of wall_ns switches 2 1
}

# On PREEMPT_RT: a softirq that a FIFO thread preempts.
fifo() {
	measure sh -c "\"$LOAD\" udpflood 3 1 1 & \"$LOAD\" burn 3 1 fifo 50 40 1000; wait"
	ratio "$(ns 1 other)" "$(cpu_of -v sends=)"
}

times_fifo() {
	is_rt || return 0
	judged "a softirq that a FIFO thread preempts is not charged for it" 0.98 100 fifo
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
			print n == 50 && calls > 1000 ? off + 0 : 50
		}' "$T/csv"
}

times_intervals() {
	judged "an entry of rx_softirq costs the same in each interval of a flood: intervals that are off" 0 0 intervals_off
}

# 20 ms of polling each, in which nothing comes.
polled() {
	measure "$LOAD" busypoll $A $B $ADDRESS 20000 25
	ratio "$(ns all busy_poll)" "$(count all busy_poll) * 20000000"
}

times_busy_poll() {
	xdp_on
	judged "busy polling is the time polled" 0.97 1.2 polled
	xdp_off
}

# The kernel leaves interrupts out, which samples are; where a host stops an emulated CPU in one, up to 10 ms were seen.
io_worker() {
	HZ=0 measure "$LOAD" uring_work 240
	ratio "$(ns all io_worker)" "$(load_value worker_ns)"
}

times_io_worker() {
	case $part in
	*-5.10) return ;; # there they are no threads of the process
	esac
	judged "io_uring: io_worker is what the workers ran" 0.95 1.05 io_worker
}

# Events that are a good part of net.
part_of_net() { # EVENT
	measure "$LOAD" udppath $A $B "${TO:-$ADDRESS}" 1.5 0 1 64
	ratio "$(ns all "$1")" "$(ns all net)"
}

times_parts() {
	xdp_on
	if threaded 1; then
		judged "threaded NAPI is a good part of net" 0.1 1 part_of_net napi_thread
		threaded 0
	fi
	xdp_off
	if wireguard_up 2>/dev/null; then
		TO=198.18.2.2
		judged "WireGuard's workers are a good part of net" 0.1 1 part_of_net net_worker
		TO=
		ends_away
	fi
}

# --- What NET_RX runs in ---

context_of() { # NAME CPU LOAD...
	name=$1 cpu=$2
	shift 2
	HZ=2000 measure "$@"
	context "$name" "$cpu"
}

idle_known() {
	HZ=0 measure "$LOAD" udpsend $A $A 127.0.0.1 20000 0 100000
	ratio "$(context idle 1)" "100 * $(ns 1 idle) / $(run_row elapsed 6)"
}

# CPU time of CPU 1's ksoftirqd, ns.
ksoftirqd() {
	for t in /proc/[0-9]*; do
		[ "$(cat "$t/comm" 2>/dev/null)" != ksoftirqd/1 ] || cut -d ' ' -f 1 "$t/schedstat"
	done
}

in_ksoftirqd() {
	COUNTER=ksoftirqd HZ=2000 measure a "$LOAD" udpflood 2 0 0 64
	ratio "$(field context 1 rx_softirq/ksoftirqd 6)" "$(counted 1)"
}

times_contexts() {
	judged "a flood over loopback: NET_RX runs in the sender's local_bh_enable, percent" 85 100 context_of bh_enable 0 "$LOAD" udpflood $SECONDS_OF_LOAD 0 0
	[ "$part" = times-host ] || return 0 # an emulated CPU takes few samples where interrupts end
	a sh -c 'echo 2 >/sys/class/net/lo/queues/rx-0/rps_cpus'
	"$LOAD" burn 60 1 >/dev/null &
	burner=$!
	judged "RPS to a busy CPU: NET_RX runs where its interrupt ends, percent" 85 100 context_of irq_exit 1 "$LOAD" udpsend $A $A 127.0.0.1 200000 0 10000
	stop $burner
	# Packets come evenly, so as many are not known to be over it as the CPU is not known to be idle: where tasks are hidden,
	# their switch to the idle task is too.
	judged "RPS to an idle CPU: NET_RX is over the idle task as long as it is known" 0.95 2 idle_known
	# With a budget of one packet NET_RX is not done while there are more, and is left to ksoftirqd. The kernel's figure is of
	# all softirqs there, and of what comes between them: with one packet each that is a good part.
	cat /proc/sys/net/core/netdev_budget /proc/sys/net/core/dev_weight >"$T/budget"
	echo 1 >/proc/sys/net/core/netdev_budget
	echo 1 >/proc/sys/net/core/dev_weight
	judged "a budget of one packet: ksoftirqd's part, of what the kernel accounts to it" 0.5 1.02 in_ksoftirqd
	sed -n 1p "$T/budget" >/proc/sys/net/core/netdev_budget
	sed -n 2p "$T/budget" >/proc/sys/net/core/dev_weight
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

times_softirqs_tool() {
	judged "netto's time of a NET_RX softirq less that of softirqs, ns" -200 200 softirqs_tool
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
	mine=$(awk -F, '$3 == "stack" && $5 ~ "net_rx_action" { s += $8 } END { print s + 0 }' "$T/csv")
	awk "BEGIN {
		n = $(wall all) * 997e-9
		m = $(wall all) * 887e-9
		p = $mine / n
		q = $theirs / m
		print (p - q) / (1.96 * (sqrt(p * (1 - p) / n) + sqrt(q * (1 - q) / m)))
	}"
}

times_perf() {
	judged "as large a share of samples in net_rx_action as perf has, in halves of the intervals" -1 1 perf_deviates
}

# --- netto itself ---

ready() {
	start_netto -c 600
	stop_netto
	sed -n 's/.*ready after \([0-9.]*\) s/\1/p' "$T/err"
}

awake() {
	measure sleep 2
	ratio $(($(run_row self_user 6) + $(run_row self_kernel 6))) "$(run_row elapsed 6)"
}

samples_due() {
	start_flood
	NETTO_WITHOUT="cycles limit" with_netto -c 2
	stop_flood
	awk -F, -v n="$(run_row samples 8)" '$3 == "event" && $4 == "all" && $5 != "net" && $5 != "idle" { ns += $6 }
		END { print n / (ns * 997e-9) }' "$T/csv"
}

times_netto() {
	judged "start-up, s" 0 0.5 ready
	judged "it sleeps while measuring: its part of a CPU" 0 0.005 awake
	judged "samples, as a part of those that the traced time gives" 0.85 1.05 samples_due
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
case $part in
*-icount)
	INTERVAL=1 # so long that to report is no great part of it
	begin_session -F 0 -t 100 -s 0
	;;
esac
for name; do
	[ "$name" != contexts ] || [ -z "$session" ] || end_session
	times_"$name"
done
