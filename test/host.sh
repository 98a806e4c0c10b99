# shellcheck shell=sh
# The tests of this machine as root: real traffic of iperf3 between network namespaces, and netto as a command.
# shellcheck disable=SC2034 # for lib.sh
part=host
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/samples.sh"
UNSEEN=1
LEAST_SAMPLES=0.85 # of those that the traced time gives: an emulated machine is late
export NETTO_WITHOUT=cycles # samples by time can be counted

A=netto-a B=netto-b

net_up() {
	net_down
	ip netns add $A
	ip netns add $B
	ip link add netto0 netns $A type veth peer name netto1 netns $B
	ip -n $A addr add 198.51.100.1/24 dev netto0
	ip -n $B addr add 198.51.100.2/24 dev netto1
	ip -n $A addr add 2001:db8::1/64 dev netto0 nodad
	ip -n $B addr add 2001:db8::2/64 dev netto1 nodad
	for n in "$A netto0" "$B netto1"; do
		ip -n "${n% *}" link set "${n#* }" up
		ip -n "${n% *}" link set lo up
	done
}

iperf() { # options of the client
	ip netns exec $B iperf3 -s -1 -D
	wait_for ip netns exec $B sh -c "ss -ltn | grep -q :5201"
	ip netns exec $A iperf3 "$@"
}

can_trace_operations() {
	grep -q 'send=fentry' "$T/csv"
}

test_traffic() {
	net_up
	for to in 198.51.100.2 2001:db8::2; do
		for udp in "" "-u -b 300M -l 512"; do
			# shellcheck disable=SC2086 # options
			measure iperf -t 2 -c $to $udp || continue
			what="iperf3 $to ${udp:-tcp}"
			check "$what: NET_RX is seen" "$(ns all rx_softirq) > 0.002 * $(wall all) && $(count all rx_softirq) > 1000" \
				"$(count all rx_softirq) softirqs, $(ns all rx_softirq) of $(wall all) ns"
			if can_trace_operations; then
				check "$what: sends and receives are seen" "$(count all send) > 100 && $(count all recv) > 100" \
					"$(grep event,all "$T/csv")"
			else
				check "$what: sends and receives are told from samples" \
					"$(grep -c -e 'event,all,send,.*,sampled$' -e 'event,all,recv,.*,sampled$' "$T/csv") == 2 &&
					 $(ns all send) > 0 && $(ns all recv) > 0" "$(grep event,all "$T/csv")"
			fi
		done
	done
	if ! can_trace_operations; then
		check "-v says why operations are not traced" "$(grep -c 'send: not fentry inet_sendmsg: .' "$T/err") == 1" \
			"$(cat "$T/err")"
		skip "counts of socket operations on this machine" "$(grep "not fentry inet_sendmsg" "$T/err")"
	fi

	measure load sendto udp4 1009
	check "counted sends: a NET_RX softirq each" "$(count all rx_softirq) >= 1000 && $(count all rx_softirq) < 1100" \
		"$(count all rx_softirq)"
}

# NET_TX comes of a shaper that lets packets go later. Its count, like that of NET_RX, is the kernel's.
test_softirq_counts() {
	ip netns exec $A tc qdisc add dev netto0 root tbf rate 20mbit burst 20kb latency 20ms 2>"$T/load" || {
		skip "NET_TX" "no tbf here: $(cat "$T/load")"
		return
	}
	ip netns exec $B iperf3 -s -1 -D
	sleep 0.5
	start_netto -c 600
	softirqs >"$T/before"
	ip netns exec $A iperf3 -t 2 -c 198.51.100.2 >"$T/load" 2>&1
	softirqs >"$T/after"
	stop_netto
	for event in rx tx; do
		kernel=$(($(grep $event "$T/after" | cut -d' ' -f2) - $(grep $event "$T/before" | cut -d' ' -f2)))
		check "as many $event softirqs as in /proc/softirqs" \
			"$(count all ${event}_softirq) >= 0.98 * $kernel && $(count all ${event}_softirq) <= 1.02 * $kernel + 20 &&
			 $kernel > 500" "$(count all ${event}_softirq), $kernel"
	done
	check "tx_softirq takes time" "$(ns all tx_softirq) > 500 * $(count all tx_softirq)" "$(ns all tx_softirq) ns"
}

softirqs() {
	awk '/NET_[RT]X/ { s = 0; for (i = 2; i <= NF; i++) s += $i; print tolower(substr($1, 5, 2)), s }' /proc/softirqs
}

test_two_at_once() {
	"$NETTO" -c 3 >"$T/csv1" 2>"$T/err1" &
	one=$!
	sleep 0.5
	"$NETTO" -c 1.5 >"$T/csv2" 2>"$T/err2"
	two=$?
	wait $one
	check "two at once: both measure" "$? == 0 && $two == 0" "$(cat "$T/err1" "$T/err2")"
	for n in 1 2; do
		cp "$T/csv$n" "$T/csv"
		conserved "two at once, $n"
	done
	check "two at once: each for its own time" \
		"$(awk -F, '$5 == "elapsed" { print $6 }' "$T/csv1") > 2.9e9 && $(run_row elapsed 6) < 1.7e9"
}

test_intervals() {
	"$NETTO" -c 0.4 5 >"$T/csv" 2>"$T/err"
	check "5 intervals: 5 reports, one header" \
		"$(grep -c ,elapsed, "$T/csv") == 5 && $(grep -c ^time, "$T/csv") == 1" "$(cat "$T/csv")"
	conserved "5 intervals"
	check "intervals join without a gap" \
		"$(awk -F, '$5 == "elapsed" { s += $6 } END { print s }' "$T/csv") > 1.98e9 &&
		 $(awk -F, '$5 == "elapsed" { s += $6 } END { print s }' "$T/csv") < 2.05e9" "$(grep elapsed "$T/csv")"
	check "12 fields in each row" "$(awk -F, 'NF != 12' "$T/csv" | wc -l) == 0" "$(awk -F, 'NF != 12' "$T/csv")"
	"$NETTO" 0.2 2 >"$T/text"
	check "text: the same number of fields in each row of the table" \
		"$(awk '/^ ?(CPU| all|[ 0-9]+[0-9]) / { n[NF] } END { for (i in n) c++; print c }' "$T/text") == 1" "$(cat "$T/text")"
}

test_signals() {
	for signal in INT TERM HUP; do
		start_netto 600
		sleep 0.3
		kill -$signal "$netto"
		wait "$netto"
		check "SIG$signal: a report of what was measured, exit status 0" "$? == 0 && $(grep -c '^ all' "$T/csv") == 1" \
			"$(cat "$T/csv" "$T/err")"
	done
	start_netto 0.3 0
	sleep 1
	stop_netto
	check "COUNT 0: until interrupted" "$? == 0 && $(grep -c '^ all' "$T/csv") >= 3" "$(cat "$T/csv")"
	sh -c "trap '' HUP; exec $NETTO -c 0.5" >"$T/csv" 2>"$T/err" &
	netto=$!
	sleep 0.3
	kill -HUP $netto
	wait $netto
	check "nohup is respected" "$? == 0 && $(run_row elapsed 6) > 450000000" "$(cat "$T/csv" "$T/err")"
}

# CPU time of CPU 1's ksoftirqd, ns.
ksoftirqd() {
	for t in /proc/[0-9]*; do
		[ "$(cat "$t/comm" 2>/dev/null)" != ksoftirqd/1 ] || cut -d ' ' -f 1 "$t/schedstat"
	done
}

# What NET_RX runs in: known of the sender's, and made so by RPS to another CPU and a small budget.
test_contexts() {
	wait_for sh -c "! pgrep -x load >/dev/null"
	HZ=2000 measure load udpflood 1 0 0
	check "a flood over loopback: NET_RX runs in the sender's local_bh_enable ($(context bh_enable 0) %)" \
		"$(context bh_enable 0) > 90" "$(grep -e ,context, "$T/csv")"
	net_up
	ip netns exec $A sh -c 'echo 2 >/sys/class/net/lo/queues/rx-0/rps_cpus'
	load burn 60 1 >/dev/null &
	burner=$!
	HZ=2000 measure load udpsend $A $A 127.0.0.1 200000 0 10000
	kill $burner
	wait $burner 2>/dev/null
	check "RPS to a busy CPU: NET_RX runs where its interrupt ends ($(context irq_exit 1) % of $(ns 1 rx_softirq) ns)" \
		"$(context irq_exit 1) > 85 && $(ns 1 rx_softirq) > 10000000" "$(grep -e ,context, "$T/csv")"
	# Packets come evenly, so as many are not known to be over it as the CPU is not known to be idle: where tasks are hidden, their
	# switch to the idle task is too.
	HZ=0 measure ip netns exec $A "$LOAD" udpsend $A $A 127.0.0.1 20000 0 100000
	check "RPS to an idle CPU: it runs over the idle task ($(context idle 1) %), without samples too" \
		"$(context idle 1) > 95 * $(ns 1 idle) / $(run_row elapsed 6) && $(ns 1 idle) > 0.5 * $(run_row elapsed 6)" \
		"$(grep -e ,context, -e ,unseen, "$T/csv")"
	# With a budget of one packet NET_RX is not done while there are more, and is left to ksoftirqd: a flood that two CPUs' worth
	# of sending keeps up.
	sysctl -n net.core.netdev_budget net.core.dev_weight >"$T/budget"
	sysctl -q net.core.netdev_budget=1 net.core.dev_weight=1
	start_netto -c -F 2000 600
	before=$(ksoftirqd)
	ip netns exec $A "$LOAD" udpflood 2 0 0 64 >"$T/load" 2>&1
	took=$(($(ksoftirqd) - before))
	stop_netto
	sysctl -q net.core.netdev_budget="$(sed -n 1p "$T/budget")" net.core.dev_weight="$(sed -n 2p "$T/budget")"
	net_down
	conserved "ksoftirqd"
	told=$(awk -F, '$3 == "context" && $4 == 1 && $5 == "rx_softirq/ksoftirqd" { print $6 }' "$T/csv")
	# The kernel's figure is of all softirqs there, and of what comes between them: with one packet each that is a good part.
	check "a budget of one packet: ksoftirqd does much of it ($(context ksoftirqd 1) %), ${told:-0} ns of the $took that the kernel accounts to it" \
		"${told:-0} > 50000000 && $told < 1.02 * $took && $told > 0.5 * $took" "$(grep -e ,context, "$T/csv")"
}

# netto -- COMMAND: its status, its streams, its signals.
test_command() {
	"$NETTO" -c -F 0 -- sh -c 'sleep 0.3; echo of the command; cat; echo err >&2; exit 7' <<-END >"$T/out" 2>"$T/err"
		from stdin
	END
	check "-- COMMAND: its exit status is passed on" "$? == 7"
	check "-- COMMAND: its output comes first, then the report" \
		"$(sed -n 1p "$T/out" | grep -c '^of the command$') == 1 && $(sed -n 2p "$T/out" | grep -c '^from stdin$') == 1 &&
		 $(sed -n 3p "$T/out" | grep -c '^time,host,') == 1 && $(grep -c . "$T/err") == 1" "$(cat "$T/out" "$T/err")"
	sed 1,2d "$T/out" >"$T/csv"
	conserved "-- COMMAND"
	check "-- COMMAND: it is measured as long as it ran" "$(run_row elapsed 6) > 3e8 && $(run_row elapsed 6) < 6e8" \
		"$(run_row elapsed 6)"
	"$NETTO" -c -F 0 -o "$T/csv" -- echo of the command >"$T/out" 2>"$T/err"
	check "-o: the report goes to the file, the command's output does not" \
		"$? == 0 && $(wc -l <"$T/out") == 1 && $(grep -c ,elapsed, "$T/csv") == 1 && $(grep -c 'of the command' "$T/csv") == 0" \
		"$(cat "$T/out" "$T/err")"
	"$NETTO" -F 0 -o "$T" 0.1 >"$T/out" 2>"$T/err"
	check "-o: where nothing can be written: exit status 1" "$? == 1 && $(wc -l <"$T/err") == 1 && $(wc -c <"$T/out") == 0" \
		"$(cat "$T/err")"
	"$NETTO" -F 0 -o /dev/full 0.1 >"$T/out" 2>"$T/err"
	check "-o: a full disk: exit status 1" "$? == 1 && $(grep -c 'No space' "$T/err") == 1" "$(cat "$T/err")"
	"$NETTO" -F 0 -- "$T/none" >"$T/out" 2>"$T/err"
	check "-- COMMAND: one that is not there: 127, and no report" \
		"$? == 127 && $(wc -c <"$T/out") == 0 && $(grep -c '^netto: cannot run .*No such file' "$T/err") == 1" "$(cat "$T/out" "$T/err")"
	"$NETTO" -F 0 -- "$T" >"$T/out" 2>"$T/err"
	check "-- COMMAND: one that cannot be run: 126" "$? == 126 && $(grep -c '^netto: cannot run .*denied' "$T/err") == 1" "$(cat "$T/err")"
	"$NETTO" -F 0 -- sh -c 'kill -KILL $$' >"$T/out" 2>"$T/err"
	check "-- COMMAND: one that a signal kills: 128 and its number, with a report" "$? == 137 && $(grep -c '^ all' "$T/out") == 1" \
		"$(cat "$T/out" "$T/err")"
	"$NETTO" -F 0 -- sh -c 'trap "" INT TERM; exec sleep 0.2' >"$T/out" 2>"$T/err"
	check "-- COMMAND: 0" "$? == 0" "$(cat "$T/out" "$T/err")"
	# Signals are the command's, which may go on for a while.
	for signal in INT TERM HUP USR1; do
		: >"$T/err"
		# jobs in the background ignore SIGINT, and no trap helps
		env --default-signal=INT "$NETTO" -v -F 0 -- sh -c "trap 'echo got $signal; sleep 0.3; exit 5' $signal; sleep 60 & wait" >"$T/out" 2>"$T/err" &
		netto=$!
		wait_for is_measuring
		sleep 0.3
		kill -$signal "$netto"
		wait "$netto"
		check "-- COMMAND: SIG$signal is the command's, and what it did is reported" \
			"$? == 5 && $(grep -c "^got $signal" "$T/out") == 1 && $(grep -c '^ all' "$T/out") == 1" "$(cat "$T/out" "$T/err")"
	done
	pkill -f '^sleep 60$'
	# A second signal ends netto, and nothing that it started outlives it.
	for signal in INT KILL; do
		: >"$T/err"
		"$NETTO" -v -F 0 -- sh -c "trap '' INT; exec sleep 61" >"$T/out" 2>"$T/err" &
		netto=$!
		wait_for is_measuring
		sleep 0.3
		kill -$signal "$netto"
		sleep 0.3
		kill -$signal "$netto" 2>/dev/null
		wait "$netto" 2>/dev/null
		status=$?
		wait_for sh -c "! pgrep -f '^sleep 61$' >/dev/null"
		check "-- COMMAND: a second SIG$signal ends it at once, and the command with it" \
			"$status > 128 && $(pgrep -fc '^sleep 61$') == 0 && $(wc -c <"$T/out") == 0" "$status, $(cat "$T/out" "$T/err")"
	done
	NETTO_WITHOUT='bpf perf' "$NETTO" -- sh -c 'echo ran; exit 4' >"$T/out" 2>"$T/err"
	check "-- COMMAND: where nothing can be measured, its status all the same" "$? == 4 && $(grep -c '^ran' "$T/out") == 1" \
		"$(cat "$T/out" "$T/err")"
	setpriv --reuid 65534 --clear-groups "$NETTO" -- echo ran >"$T/out" 2>"$T/err"
	check "-- COMMAND: it is not run by a netto that fails" "$? == 1 && $(wc -c <"$T/out") == 0" "$(cat "$T/out" "$T/err")"
	caps=$(awk '/CapEff/ { print $2 }' /proc/self/status)
	"$NETTO" -F 0 -o "$T/text" -- grep -h -e CapEff -e SigBlk -e SigIgn /proc/self/status >"$T/out"
	grep -h -e CapEff -e SigBlk -e SigIgn /proc/self/status >"$T/own"
	check "-- COMMAND: it has all capabilities and signals that netto was given" "$(cmp "$T/out" "$T/own" && echo 1 || echo 0)" \
		"$(cat "$T/out" "$T/own")"
	for bad in "-- " "5 -- true" "-c -f -- true" "-t x -- true"; do
		# shellcheck disable=SC2086 # words
		"$NETTO" $bad >"$T/out" 2>"$T/err"
		check "bad usage ($bad): exit status 2, one line on stderr" "$? == 2 && $(wc -l <"$T/err") == 1 && $(wc -c <"$T/out") == 0" \
			"$(cat "$T/err" "$T/out")"
	done
}

# The time left, on a terminal alone, and not in a short run or with a command.
test_progress() {
	on_terminal() { # COMMAND: what its stderr shows
		script -qec "$1" "$T/typescript" >/dev/null </dev/null
		grep -c 's left' "$T/typescript"
	}
	check "a run of 2.5 s tells on a terminal what is left" "$(on_terminal "$NETTO -F 0 2.5 >/dev/null") >= 1" "$(cat "$T/typescript")"
	check "it counts down, and clears the line" \
		"$(tr '\r' '\n' <"$T/typescript" | sed -n 's/^netto: \([0-9]*\) s left.*/\1/p' | tr -d '\n') == 321 &&
		 $(tr '\r' '\n' <"$T/typescript" | grep -c '^ \{30\}$') == 3" "$(od -c "$T/typescript")"
	check "none in a run of 1 s" "$(on_terminal "$NETTO -F 0 1 >/dev/null") == 0" "$(cat "$T/typescript")"
	check "none with a command" "$(on_terminal "$NETTO -F 0 -- sleep 2.5 >/dev/null") == 0" "$(cat "$T/typescript")"
	"$NETTO" -F 0 2.5 >"$T/out" 2>"$T/err"
	check "none where stderr is no terminal" "$(wc -c <"$T/err") == 0" "$(cat "$T/err")"
}

# Two packages of 20 and 30 W, one of whose counters wraps, and parts that do not count, in a /sys/class that this makes up.
test_energy() {
	cat >"$T/energy" <<-'END'
		mount -t tmpfs none /sys/class || exit 77
		zone() { # NUMBER NAME START
			mkdir -p "/sys/class/powercap/intel-rapl:$1"
			echo "$2" >"/sys/class/powercap/intel-rapl:$1/name"
			echo 262143328850 >"/sys/class/powercap/intel-rapl:$1/max_energy_range_uj"
			echo "$3" >"/sys/class/powercap/intel-rapl:$1/energy_uj"
		}
		zone 0 package-0 1000000
		zone 1 psys 5000000
		zone 2 package-1 262120000000
		i=0
		while sleep 0.1; do
			i=$((i + 1))
			zone 0 package-0 $((1000000 + i * 2000000))
			zone 1 psys $((5000000 + i * 90000000))
			zone 2 package-1 $(((262120000000 + i * 3000000) % 262143328850))
		done &
		"$1" -c -F 0 3 >"$2/csv"
		"$1" -F 0 0.5 >"$2/text"
		kill $!
	END
	start_flood
	unshare -m sh "$T/energy" "$NETTO" "$T" 2>"$T/err"
	status=$?
	stop_flood
	if [ $status = 77 ]; then
		skip "energy" "cannot mount anything here: $(cat "$T/err")"
		return
	fi
	joules=$(run_row package_energy_uj 8)
	share=$(awk -F, '$3 == "event" && $4 == "all" && $5 == "net" { print $7 }' "$T/csv")
	check "energy: the packages, of 20 and 30 W, less what a step of the loop takes, used $joules uJ in 3 s" \
		"$joules > 0.6 * 150e6 && $joules <= 1.05 * 150e6 && $joules % 1000000 == 0" "$(grep energy "$T/csv")"
	check "energy: $(run_row net_power_mw 8) mW are the share of net ($share %)" \
		"$(run_row net_power_mw 8) - $joules / 1e3 / ($(run_row elapsed 6) / 1e9) * $share / 100 < 2 &&
		 $joules / 1e3 / ($(run_row elapsed 6) / 1e9) * $share / 100 - $(run_row net_power_mw 8) < 2 && $share > 1" "$(cat "$T/csv")"
	check "energy: in the last line of the text" "$(tail -n 1 "$T/text" | grep -c "; power [0-9.]* W, net's share [0-9.]* W$") == 1" "$(tail -n 1 "$T/text")"
	"$NETTO" -c -F 0 0.1 >"$T/csv"
	if [ -e /sys/class/powercap/intel-rapl:0 ]; then
		skip "energy: none where it is not known" "this machine counts it"
	else
		check "energy: none where it is not known" "$(grep -c -e energy -e power "$T/csv") == 0" "$(grep -e energy -e power "$T/csv")"
	fi
}

test_nothing_stays() {
	start_netto 600
	check "its programs are recognised in bpftool" "$(bpftool prog | grep -c netto_) >= 4" "$(bpftool prog)"
	kill -KILL "$netto"
	wait "$netto" 2>/dev/null
	wait_for sh -c "! bpftool prog | grep -q netto_ && ! bpftool map | grep -q netto"
	check "SIGKILL: nothing stays loaded" "$(bpftool prog | grep -c netto_) + $(bpftool map | grep -c netto) == 0" \
		"$(bpftool prog | grep netto)"
}

test_output() {
	"$NETTO" 0.1 >/dev/full 2>"$T/err"
	check "a full disk is exit status 1" "$? == 1 && $(grep -c '^netto: cannot write the report: No space' "$T/err") == 1" \
		"$(cat "$T/err")"
	{ "$NETTO" 0.3 2>"$T/err"; echo $? >"$T/status"; } | true
	check "a closed pipe is exit status 1" "$(cat "$T/status") == 1 && $(grep -c 'Broken pipe' "$T/err") == 1" "$(cat "$T/err")"
	"$NETTO" --help >/dev/full 2>"$T/err"
	check "--help on a full disk is exit status 1" "$? == 1" "$(cat "$T/err")"
	"$NETTO" -c 0.1 >"$T/csv" 2>"$T/err"
	check "stderr is empty when nothing is wrong" "$(wc -c <"$T/err") == 0" "$(cat "$T/err")"
	for bad in "0" "-1" "1 x" "1 2 3" "--nope" "1e3"; do
		# shellcheck disable=SC2086 # words
		"$NETTO" $bad >"$T/out" 2>"$T/err"
		check "bad usage ($bad): exit status 2, one line on stderr" \
			"$? == 2 && $(wc -l <"$T/err") == 1 && $(grep -c '^netto: ' "$T/err") == 1 && $(wc -c <"$T/out") == 0" \
			"$(cat "$T/err" "$T/out")"
	done
	setpriv --reuid 65534 --clear-groups "$NETTO" 1 >"$T/out" 2>"$T/err"
	check "not root: exit status 1, with a cure" "$? == 1 && $(grep -c 'run it as root' "$T/err") == 1" "$(cat "$T/err")"
}

# What the README and DESIGN promise of cost.
test_costs() {
	start_netto -c 600
	peak=$(peak)
	caps=$(awk '/CapEff/ { print $2 }' "/proc/$netto/status")
	ready=$(sed -n 's/.*ready after \([0-9.]*\) s/\1/p' "$T/err")
	sleep 2
	stop_netto
	check "memory: at most 16 MB at its peak ($peak kB)" "$peak <= 16384"
	check "start-up: at most 0.2 s ($ready s)" "$ready <= 0.2"
	check "it sleeps while measuring" "$(run_row self_user 6) + $(run_row self_kernel 6) < 10000000" \
		"$(run_row self_user 6) ns user, $(run_row self_kernel 6) ns kernel"
	check "capabilities are dropped but CAP_BPF ($caps)" "$((0x$caps)) == $((1 << 39))"
}

# The same load seen by perf at the same time, in the same window: as large a share of all CPU time lies below
# net_rx_action. netto takes the samples that are due while rx_softirq owns a CPU. (Not every kernel takes samples of idle
# CPUs: so the share is of those that were due.) The 95 % intervals of both must overlap. perf's frequency is another one:
# of two timers in step one would see what the other's interrupt leaves behind.
test_perf() {
	command -v perf >/dev/null || {
		skip "samples against those of perf" "there is no perf here"
		return
	}
	start_flood
	# -m: with less room perf loses samples on busy CPUs
	perf record -q -a -g -m 4096 -e cpu-clock -F 887 -k CLOCK_REALTIME -o "$T/perf" -- \
		"$NETTO" -c -s 1000000 8 >"$T/csv" 2>"$T/load"
	stop_flood
	theirs=$(perf script -i "$T/perf" -F time,ip,sym 2>>"$T/load" |
		awk -v end="$(tail -n 1 "$T/csv" | cut -d, -f1)" -v elapsed="$(run_row elapsed 6)" '
			$1 ~ /^[0-9]+[.][0-9]+:$/ { count = $1 + 0 >= end - elapsed / 1e9 && $1 + 0 <= end }
			/net_rx_action/ && count { n++; count = 0 }
			END { print n + 0 }')
	mine=$(awk -F, '$3 == "stack" && $5 ~ "net_rx_action" { s += $8 } END { print s + 0 }' "$T/csv")
	seen=$(awk "BEGIN {
		n = $(wall all) * 997e-9
		m = $(wall all) * 887e-9
		p = $mine / n
		q = $theirs / m
		print p, q, 1.96 * (sqrt(p * (1 - p) / n) + sqrt(q * (1 - q) / m))
	}")
	check "as large a share of samples in net_rx_action as perf has: $seen" \
		"$(echo "$seen" | awk '{ print ($1 > $2 ? $1 - $2 : $2 - $1) " < " $3 " && " $1 " > 0.05" }')" "$(cat "$T/load")"
	rm -f "$T/perf"
}

# The report opens in a browser: flamegraph.pl takes it, and makes a picture of it.
test_flamegraph() {
	flamegraph=/usr/share/perl5/Devel/NYTProf/flamegraph.pl
	[ -e $flamegraph ] || {
		skip "flame graph" "there is no $flamegraph here"
		return
	}
	start_flood
	"$NETTO" -f 1 2>"$T/err" | perl $flamegraph >"$T/svg" 2>"$T/load"
	stop_flood
	check "flamegraph.pl makes a picture of it" \
		"$(grep -c '</svg>' "$T/svg") == 1 && $(grep -c 'rx_softirq (' "$T/svg") >= 1 && $(wc -c <"$T/load") == 0" \
		"$(cat "$T/err" "$T/load")"
}

trap 'net_down; restore_sysctls' EXIT
start_flood
NETTO_WITHOUT='' with_netto -c 0.5
stop_flood
check "samples by the clock that this machine has" "$(run_row samples 8) > 20" "$(grep samples "$T/csv")"
test_samples
test_sample_options
test_perf
test_flamegraph
test_traffic
test_softirq_counts
test_two_at_once
test_intervals
test_signals
test_contexts
test_command
test_progress
test_energy
test_nothing_stays
test_output
test_costs
