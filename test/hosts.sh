# shellcheck shell=sh
# What netto takes on hosts that lack something, and what it then says of the same traffic. For a virtual machine, in
# busybox's sh; $1 = the name of the test, $2 = the kernel's, $3 = the kind of operations' hooks there, $4... = what is
# special about this boot, and nothing else is tested then; without, all that can be set while it runs.
#
# A second netto, on which nothing is lost, traces by the best hooks all the while, an interval each half a second. For each
# constraint a line tells what was taken of each event, the percentage of `net` on the loaded CPU, and how far that is from
# what the other one traced in the same time:
#	row: KERNEL|ARCHITECTURE|CONSTRAINT|softirqs|operations|samples|net|deviation|tracing
# The last one is what of `net` its own samples found in the stage `tracing`.
# shellcheck disable=SC2034,SC2086,SC2154 # for lib.sh, and from it; words
part=$1 kernel=$2 best=$3
shift 3
. /lib.sh
case $kernel in # CONFIG_FPROBE
*-arm64 | 5.* | 6.1) next=kprobe ;;
*) next=kprobe.multi ;;
esac

# Tracing agrees within TRACED points: the intervals do not begin and end together. What kprobes themselves take is within the
# events of the one that has them, and before and behind those of the other: so as much more is right there. Samples agree within
# SAMPLED, since those by cpu-clock leave out what runs with interrupts off, as in blocking; and as much less is right as the
# tracing of the other one takes (on a busy emulated CPU 9 points), as far as samples do not find it below the function that is
# traced. That is 4 points for blocking, and 4 for chance: as many standard deviations of 2,500 samples. EACH: of rx, recv, send.
TRACED=4 SAMPLED=8 EACH=10

# Of two nettos that use fentry the later one's programs run first, at a function's entry and at its end: both see the same time.
# At a tracepoint the earlier one's program runs first. If operations ended at tracepoints, the earlier one's programs would be in
# the later one's operations: 4 to 5 points. So where operations begin by fentry, they also end by it in this test.
export NETTO_WITHOUT=ends

start_reference() {
	start_netto -c -m trace -F 0 0.5 0 # before the flood, in which it takes a minute to attach kprobes on arm64
	reference=${netto:?}
	load udpflood 3600 0 0 >"$T/flood" 2>&1 &
	flood=$!
	mv "$T/csv" "$T/reference" # it goes on writing there
}

# A line of the last measurement: of net, rx_softirq, recv and send how many percent of CPU 0 each took, and how many points more
# than by the reference meanwhile; then what of CPU 0 samples found in tracing. In one go, and of the reference the last minute:
# emulated, awk is slow.
compare() {
	sleep 1 # until the interval is written
	tail -n 8000 "$T/reference" >"$T/recent"
	awk -F, '
		FNR == NR {
			if ($5 == "elapsed") { end = $1; begin = end - $6 / 1e9 }
			if ($3 == "event" && $4 == 0) { percent[$5] = $7; if ($5 != "net") own_wall += $6 }
			if ($3 == "stage" && $4 == 0 && $5 ~ /\/tracing$/) tracing += $11
			next
		}
		$3 == "event" && $4 == 0 && $1 - 0.5 >= begin && $1 <= end {
			ns[$5] += $6
			if ($5 != "net") wall += $6
		}
		END {
			n = split("net rx_softirq recv send", event, " ")
			for (i = 1; i <= n; i++)
				printf "%.2f %.2f ", percent[event[i]], percent[event[i]] - (wall ? 100 * ns[event[i]] / wall : -1)
			printf "%.2f\n", 100 * tracing / own_wall
		}' "$T/csv" "$T/recent"
}

hook() { # EVENT: its kind
	sed -n "s/.*,hook\/$1=\([a-z_.]*\):.*/\1/p" "$T/csv"
}

says() { # TEXT: a line on stderr of the last row
	check "$what: it says '$1'" "$(grep -c -e "$1" "$T/err") == 1" "$(cat "$T/err")"
}

# CONSTRAINT KINDS SAYS [COMMAND...]: netto, run by the command. KINDS are those expected of softirqs, operations and samples; SAYS
# a line on stderr; "nothing": there is none. Three attempts, of which the medians count.
row() {
	what=$1 kinds=$2 line=$3
	shift 3
	: >"$T/three"
	for _ in 1 2 3; do
		"$@" netto -c $OPTIONS 2.5 >"$T/csv" 2>"$T/err"
		status=$?
		if [ $status != 0 ]; then
			echo "row: $kernel|$(uname -m)|$what|FAILED||||0|"
			fail "$what" "exit status $status: $(cat "$T/err")"
			return
		fi
		conserved "$what"
		seen="$(hook rx_softirq) $(hook send) $(hook samples)"
		compare >>"$T/three"
		[ "$seen" = "$kinds" ] || break
	done
	net=$(median "$T/three" 1) deviation=$(median "$T/three" 2) tracing=$(median "$T/three" 9)
	all_of_them="of $(awk '{ printf "%s ", $2 }' "$T/three")"
	echo "row: $kernel|$(uname -m)|$what|$(echo "$seen" | tr ' ' '|')|$net|$deviation|$tracing"
	[ "$seen" = "$kinds" ] || { fail "$what" "$seen, not $kinds; $(cat "$T/err")"; return; }
	pass "$what: $seen"
	# what the other one's tracing takes within events, by the first row, in which both trace; a kprobe takes it outside
	[ -n "${usual-}" ] || case $seen in
	*kprobe*) usual=0 ;;
	*) usual=$tracing ;;
	esac
	case $seen in
	*perf_event\ perf* | *perf_ring*)
		check "$what: net is $net % of the CPU, $deviation ($all_of_them) from what is traced, of which tracing $usual; seen of it $tracing" \
			"$net > 10 && $deviation + $usual - $tracing < $SAMPLED && $deviation + $usual - $tracing > -$SAMPLED" "$(cat "$T/three")"
		for event in rx_softirq:3 recv:5 send:7; do
			share=$(median "$T/three" ${event#*:}) off=$(median "$T/three" $((${event#*:} + 1)))
			check "$what: ${event%:*} is $share %, $off from what is traced" \
				"$share > 5 && $off < $EACH && $off > -$EACH" "$(cat "$T/three")"
		done
		;;
	*)
		more=0
		case $seen in *kprobe*) more=$tracing ;; esac
		check "$what: net is $net % of the CPU, $deviation ($all_of_them) from what is traced meanwhile (tracing itself is $tracing)" \
			"$net > 10 && $deviation - $more < $TRACED && $deviation > -$TRACED" "$(cat "$T/three")"
		;;
	esac
	unknown=$((2 + ${jumps:-0}))
	case $seen in
	*none) ;;
	*) check "$what: stages of less than $unknown % of the samples are unknown" \
		"$(run_row samples 8) > 100 && $(run_row samples_unknown 8) < 0.0$unknown * $(run_row samples 8)" "$(grep samples "$T/csv")" ;;
	esac
	case $line in
	'') ;;
	nothing) check "$what: stderr is empty, but for a host so slow that samples would take too much" \
		"$(grep -vc 'take over 10 % of a CPU$' "$T/err") == 0" "$(cat "$T/err")" ;;
	*) says "$line" ;;
	esac
}

forced() { # WORDS KINDS [OPTION...]: as if the host lacked them
	words=$1 kinds=$2
	shift 2
	OPTIONS=$*
	case $kinds in *fentry*) NETTO_WITHOUT="$words ends" ;; *) NETTO_WITHOUT=$words ;; esac
	row "${words:+without $words}${1:+${words:+, }$*}" "$kinds" ''
	OPTIONS='' NETTO_WITHOUT=ends
}

# In new namespaces of all kinds, with its own /proc and /sys: as in a container that may do all.
in_container() {
	# shellcheck disable=SC2016
	unshare -m -u -i -n -p -f sh -c 'mount -t proc proc /proc && mount -t sysfs sys /sys && hostname box && exec "$@"' sh "$@"
}

# Settings, capabilities, what is mounted.
test_settings() {
	set_sysctl kptr_restrict 2
	row "kptr_restrict=2" "tp_btf $best none" "sysctl -w kernel.kptr_restrict=1"
	restore_sysctls
	# 5.10 counts locked memory by user
	[ "$kernel" != 5.10 ] ||
		row "no CAP_SYS_RESOURCE, ulimit -l 64" "$rings" "RLIMIT_MEMLOCK.*ulimit -l unlimited" load uncap 24
	# shellcheck disable=SC3045 # busybox has it
	ulimit -l unlimited
	row "no CAP_SYS_RESOURCE" "$all" '' load uncap 24
	set_sysctl perf_event_paranoid 3 # a level of Debian's own
	row "perf_event_paranoid=3" "$all" nothing
	row "perf_event_paranoid=3, CAP_BPF+CAP_PERFMON+CAP_SYSLOG" "tp_btf $best none" \
		"perf_event_paranoid is 3: set it to 2" load only 34,38,39
	echo 2 >/proc/sys/kernel/perf_event_paranoid
	row "CAP_BPF+CAP_PERFMON+CAP_SYSLOG" "$all" '' load only 34,38,39
	row "CAP_PERFMON+CAP_SYSLOG" "$rings" "not permitted to use eBPF.*all is told from samples" load only 34,38
	restore_sysctls
	row "container" "$all" '' in_container
	check "container: its host name" "$(cut -d, -f2 "$T/csv" | grep -c '^box$') > 10" "$(head -n 3 "$T/csv")"
	NETTO_WITHOUT=bpf row "container, without bpf" "$rings" '' in_container
	set_sysctl perf_event_max_stack 16
	row "perf_event_max_stack=16" "$all" ''
	echo 6 >/proc/sys/kernel/perf_event_max_stack
	netto -c -m sample 1 >"$T/csv" 2>"$T/err"
	what="perf_event_max_stack=6, -m sample"
	says "perf_event_max_stack is 6: $(run_row samples_cut 8) stacks were cut off"
	check "$what: stacks that are cut off are counted" "$(run_row samples_cut 8) > 100" "$(grep samples "$T/csv")"
	restore_sysctls
	mount -t tmpfs none /sys/kernel/btf
	row "no /sys/kernel/btf" "raw_tp $next perf_event" ''
	umount /sys/kernel/btf /sys/kernel/tracing /sys/kernel/debug
	row "no tracefs" "$all" ''
	if echo 0 >/proc/sys/net/core/bpf_jit_enable; then
		jumps=2 # the interpreter's, which are retpolines, from which the kernel cannot unwind: 2 % of the samples
		row "bpf_jit_enable=0" "$all" "run .sysctl -w net.core.bpf_jit_enable=1. first"
		jumps=0
		echo 1 >/proc/sys/net/core/bpf_jit_enable
	else
		skip "bpf_jit_enable=0" "this kernel has no other way to run eBPF"
	fi
}

# As if something were not there. Kprobes take minutes to go on PREEMPT_RT, where test_settings has seen them, and a minute to
# come on arm64, where 6.1 has nothing else.
test_rungs() {
	case $kernel in *-rt | *-arm64) slow=yes ;; *) slow= ;; esac
	forced tp_btf "raw_tp $best perf_event"
	[ "$slow" ] || forced fentry "tp_btf $next perf_event"
	[ "$slow" ] || [ "$next" = kprobe ] || forced "fentry kprobe.multi" "tp_btf kprobe perf_event"
	forced "fentry kprobe" "tp_btf perf_event perf_event"
	forced "btf kprobe" "raw_tp perf_event perf_event"
	[ "$slow" ] || forced storage "$all"
	[ "$slow" ] || forced test_run "$rings"
	forced bpf "$rings"
	forced "" "perf_event perf_event perf_event" -m sample
	NETTO_WITHOUT="bpf perf" netto -c 0.1 >"$T/csv" 2>"$T/err"
	check "without bpf perf: the kernel's accounts" "$? == 0 && $(grep -c ',event,[0-9a-z]*,net,.*,accounted,' "$T/csv") >= 2" "$(cat "$T/csv")"
	echo "row: $kernel|$(uname -m)|without bpf perf|accounted|accounted|none|||"
}

# Without eBPF, all that is done with samples.
test_rings() {
	NETTO_WITHOUT=bpf
	with_netto -c 0.5 5
	shared_out "without bpf: intervals"
	conserved "without bpf: intervals"
	check "without bpf: each interval has samples of its own" \
		"$(rows_with '$5 == "samples" && $8 > 200 && $8 < 1200') == 5 && $(run_row samples_lost 8) == 0" "$(grep samples "$T/csv")"
	# 2 ms a second on a real machine
	check "without bpf: it takes less than a tenth of an emulated CPU" \
		"$(run_row self_user 6) + $(run_row self_kernel 6) < 0.1 * $(run_row elapsed 6)" "$(grep -e self -e elapsed "$T/csv")"
	with_netto -f 1
	check "without bpf: folded stacks" \
		"$(grep -c '^rx_softirq;net_rx_action;.*[0-9]$' "$T/csv") > 5 && $(grep -c '^send;[a-z0-9]*_sendmsg.*[0-9]$' "$T/csv") > 5" "$(cat "$T/csv")"
	with_netto -l 1
	check "without bpf: text" "$(head -n 1 "$T/csv" | grep -c 'sampled without eBPF') == 1 && $(grep -c '^ all *~' "$T/csv") == 1" "$(cat "$T/csv")"
	check_peak "without bpf" -c 1
	NETTO_WITHOUT="bpf room"
	with_netto -c 1
	check "without bpf: a full table is counted" "$(run_row samples_lost 8) > 10" "$(grep samples "$T/csv")"
	NETTO_WITHOUT=ends
}

# What is special about this boot.
test_boot() {
	# no program may look at a stack from which the kernel cannot unwind: up to 4 % of the samples
	case $1 in *lockdown*) jumps=2 ;; esac
	row "$1" "$all" ''
	case $1 in
	*lockdown*)
		check "$what: no program is called refused" "$(grep -c 'refuses a program' "$T/err") == 0" "$(cat "$T/err")"
		mount -t securityfs security /sys/kernel/security
		what="$1, bpf() refused"
		load nobpf 1 netto 0.1 >"$T/csv" 2>"$T/err"
		says "lockdown is confidentiality"
		# lockdown forbids kprobes, but not kprobe.multi
		case $next in kprobe) operations=perf_event ;; *) operations=$next ;; esac
		NETTO_WITHOUT=fentry row "$1, without fentry" "tp_btf $operations perf_event" ''
		;;
	*MB*) check "$1 are less for all programs ($(grep MemTotal /proc/meminfo))" "$(awk '/MemTotal/ { print $2 }' /proc/meminfo) < 65536" ;;
	esac
	NETTO_WITHOUT=bpf row "$1, without bpf" "$rings" ''
}

OPTIONS='' all="tp_btf $best perf_event" rings="perf_ring perf_ring perf_ring"
start_reference
if [ $# != 0 ]; then
	test_boot "$*"
else
	row "none" "$all" nothing
	[ "$(uname -m)" = aarch64 ] || test_settings # what is set is no matter of the architecture
	test_rungs
	[ "$(uname -m)" = aarch64 ] || test_rings
fi
kill -INT "$reference"
wait "$reference"
stop $flood || :
