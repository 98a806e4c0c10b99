# shellcheck shell=sh
# The tests of a virtual machine, where nothing but the load uses the network: counts are exact. Runs as root in
# busybox's sh, with netto and load in the PATH; $1 = the name of the test, $2... = some of
# the functions below, without their test_; all without.
# shellcheck disable=SC2034 # for lib.sh
part=$1
. /lib.sh
. /samples.sh

# Operations and primes: calls of each one over udp4, udp6, tcp4, tcp6. A dash: not in that protocol.
counts() { # RECORD OPERATION PRIMES...
	event=$1 op=$2
	shift 2
	: >"$T/loads"
	want=0
	status=0
	start_netto -c 600
	for proto in udp4 udp6 tcp4 tcp6; do
		if [ "$1" != - ]; then
			"$LOAD" "$op" $proto "$1" >>"$T/loads" 2>&1 || { status=$?; break; }
			want=$((want + $1))
		fi
		shift
	done
	stop_netto || fail "netto while $op" "exit status $?: $(cat "$T/err")"
	cp "$T/loads" "$T/load"
	if [ $status = 77 ]; then
		skip "$op" "$(tail -n 1 "$T/load")"
		return
	fi
	conserved "$op"
	[ $status = 0 ] || fail "$op" "exit status $status: $(cat "$T/load")"
	sends=$(load_value sends) recvs=$(load_value recvs)
	case $event in
	send) check "$op: the load did as told" "$sends == $want" "$(cat "$T/load")" ;;
	recv) check "$op: the load did as told" "$recvs == $want" "$(cat "$T/load")" ;;
	esac
	check "$op: exactly $want ${event}s" "$(count all "$event") == $want" "$(cat "$T/load")"
	check "$op: as many sends and receives as the load made" \
		"$(count all send) == $sends && $(count all recv) == $recvs" "$(cat "$T/load")"
}

test_counts() {
	counts send send 1009 503 211 307
	counts send sendto 101 103 107 109
	counts send sendmsg 127 131 137 139
	counts send sendmmsg 149 151 157 163
	counts send write 167 173 179 181
	counts send writev 191 193 197 199
	counts send sendfile 311 313 211 223
	counts send splice_out 317 331 227 229
	counts recv recv 1013 509 211 307
	counts recv recvfrom 101 103 107 109
	counts recv recvmsg 127 131 137 139
	counts recv recvmmsg 149 151 157 163
	counts recv read 167 173 179 181
	counts recv readv 191 193 197 199
	counts recv splice_in - - 211 223
	counts send uring_send 233 239 241 251
	counts recv uring_recv 257 263 269 271
}

test_other_families() {
	measure load connect tcp4 101
	check "connect tcp4: connects, accepts, closes, and the closing of the listener" \
		"$(count all conn) == $(load_value connects) + $(load_value accepts) + $(load_value closes) + 1" \
		"$(count all conn) of $(cat "$T/load")"
	measure load unix 1511
	check "AF_UNIX is no network" "$(count all net) == 0 && $(ns all net) == 0" "$(grep event,all "$T/csv")"
	measure load rawv6_recv 61
	check "raw IPv6: exactly 61 receives" "$(count all recv) == 61" "$(cat "$T/load")"
	measure load packet_send 83
	check "AF_PACKET: exactly 83 sends" "$(count all send) == 83" "$(cat "$T/load")"
	measure load packet_recv 89
	check "AF_PACKET: exactly 89 receives" "$(count all recv) == 89" "$(cat "$T/load")"
	measure load xsk 97
	check "AF_XDP: exactly 97 sends" "$(count all send) == 97" "$(cat "$T/load")"
}

# CPU time of the load whose line has the text (with -v: has it not), of two that ran at once.
cpu_of() {
	grep "$@" "$T/load" | sed -n 's/^cpu_ns=\([0-9]*\).*/\1/p; s/.* cpu_ns=\([0-9]*\).*/\1/p' | head -n 1
}

# What must hold of time, and would not if it were charged otherwise.
test_truths() {
	start_netto -c 600
	check "memory: at most 16 MB at its peak ($(peak) kB)" "$(peak) <= 16384"
	stop_netto

	measure load block_recv 1000
	check "a task that blocks 1 s in recv costs < 1 % of it" \
		"$(count all recv) == 1 && $(ns all recv) > 0 && $(ns all recv) < 10000000" "$(ns all recv) ns"

	measure load sendloop 2 1
	check "a send loop: sends and what they run are its CPU time" \
		"$(ns 1 send) + $(ns 1 rx_softirq) > 0.5 * $(load_value cpu_ns) &&
		 $(ns 1 send) + $(ns 1 rx_softirq) < 1.02 * $(load_value cpu_ns)" \
		"send $(ns 1 send), rx $(ns 1 rx_softirq), $(cat "$T/load")"
	check "a loopback send's NET_RX is rx_softirq, not send" \
		"$(count 1 rx_softirq) > 0.9 * $(load_value sends) && $(ns 1 rx_softirq) > 0.1 * $(ns 1 send)" \
		"$(count 1 rx_softirq) softirqs of $(ns 1 rx_softirq) ns in sends of $(ns 1 send) ns, $(cat "$T/load")"

	measure sh -c "load sendloop 3 1 & load burn 3 1; wait"
	sender=$(cpu_of sends=) burner=$(cpu_of -v sends=)
	check "a send loop that a busy task preempts is charged its share, not wall time" \
		"$(ns 1 send) + $(ns 1 rx_softirq) < 1.02 * $sender && $(ns 1 send) + $(ns 1 rx_softirq) > 0.5 * $sender &&
		 $sender < 0.7 * $(wall 1)" "send $(ns 1 send), rx $(ns 1 rx_softirq), $(cat "$T/load")"
	check "the busy task is other" "$(ns 1 other) > 0.98 * $burner" "other $(ns 1 other), $(cat "$T/load")"

	measure load bigsend 2 0 1
	check "one send over two CPUs is one entry" "$(count all send) == 1" "$(count all send), $(cat "$T/load")"
	for cpu in 0 1; do
		ran=$(load_value "cpu_$(echo $cpu | tr 01 ab)_ns")
		check "a send that migrates is charged on CPU $cpu for what it ran there" \
			"$(ns $cpu send) > 0.2 * $ran && $(ns $cpu send) < 1.02 * $ran" \
			"send $(ns $cpu send), rx $(ns $cpu rx_softirq), $(cat "$T/load")"
	done

	measure load unixflood 2 1
	check "an AF_UNIX flood is other" "$(count all send) == 0 && $(ns 1 other) > 0.9 * $(load_value cpu_ns)" \
		"other $(ns 1 other), $(cat "$T/load")"

	measure load switches 2 1
	check "a storm of context switches is other" \
		"$(ns 1 other) > 0.5 * $(wall 1) && $(ns all net) < 0.01 * $(wall all)" "$(cat "$T/load")"

	measure load udpflood 3 0 1
	check "a flood is received" "$(count all recv) >= $(load_value recvs) && $(load_value recvs) > 100 && $(ns 1 recv) > 0" \
		"$(count all recv) receives, $(cat "$T/load")"
}

# The softirqs are as many as the kernel counts. (What runs between reading its counts and the marks is not much.)
test_softirq_counts() {
	start_netto -c 600
	before=$(awk '/NET_RX/ { s = $2 + $3 + $4 } END { print s }' /proc/softirqs)
	load sendto udp4 4001 >"$T/load" 2>&1
	after=$(awk '/NET_RX/ { s = $2 + $3 + $4 } END { print s }' /proc/softirqs)
	stop_netto
	check "as many NET_RX softirqs as in /proc/softirqs" \
		"$(count all rx_softirq) >= $after - $before && $(count all rx_softirq) <= $after - $before + 20 &&
		 $after - $before >= 4001" "$(count all rx_softirq), $after - $before"
}

# Another netto, that comes and goes meanwhile, attaches to the same functions.
test_two_at_once() {
	: >"$T/err2"
	"$NETTO" -cv 600 >"$T/csv2" 2>"$T/err2" &
	other=$!
	wait_for grep -q 'netto: measuring' "$T/err2"
	start_netto -c 600
	load sendto udp4 1009 >"$T/load" 2>&1
	kill -INT $other
	load recv tcp6 503 >>"$T/load" 2>&1
	wait $other
	load send tcp4 307 >>"$T/load" 2>&1
	stop_netto
	conserved "two at once"
	check "two at once: exact counts" "$(count all send) == $(load_value sends) && $(count all recv) == $(load_value recvs)" \
		"$(count all send) sends, $(count all recv) receives, $(cat "$T/load")"
	cp "$T/csv2" "$T/csv"
	conserved "two at once, the other"
	check "two at once: exact counts, the other" "$(count all send) >= 1009 && $(count all send) <= 1512" \
		"$(count all send) sends"
}

# Marks that fall into whatever runs: each interval has its part. A factor of 4, since emulation may hold up a CPU for a
# good part of an interval (for half of it or more, by the packets that got through: then the interval tells nothing, but 45
# must); a mark that charges the wrong event is off by what all intervals before it had. Without samples: to sort them takes
# as long as an interval there, and the next one would be too short to tell anything.
test_intervals() {
	load udpflood 60 0 1 >"$T/load" 2>&1 &
	flood=$!
	sleep 1
	"$NETTO" -c -F 0 0.1 50 >"$T/csv" 2>"$T/err"
	kill $flood
	wait $flood 2>/dev/null
	conserved "50 intervals in a flood"
	for event in rx_softirq send; do
		seen=$(awk -F, -v event=$event '
			$3 == "event" && $4 == 0 && $5 == event { n++; ns[n] = $6; count[n] = $8; all += $6; calls += $8 }
			END {
				for (i = 1; i <= n; i++) {
					if (count[i] < calls / n / 2)
						continue
					judged++
					if (ns[i] / (count[i] + 1) < 0.25 * all / calls || ns[i] / (count[i] + 1) > 4 * all / calls)
						print "interval " i ": " ns[i] " ns for " count[i]
				}
				if (n != 50 || judged < 45 || calls < 1000)
					print judged " of " n " intervals, " calls " entries"
			}' "$T/csv")
		check "$event costs the same in each interval of a flood" "$(echo "$seen" | grep -c .) == 0" \
			"$seen; $(ns 0 $event) ns for $(count 0 $event)"
	done
}

test_rt() {
	grep -q PREEMPT_RT /proc/version || return
	measure sh -c "load udpflood 3 1 1 & load burn 3 1 fifo 50 40 1000; wait"
	burner=$(cpu_of -v sends=)
	check "a softirq that a FIFO thread preempts is not charged for it" \
		"$(ns 1 other) > 0.98 * $burner && $(ns 1 rx_softirq) > 0.01 * $(wall 1)" \
		"other $(ns 1 other), rx $(ns 1 rx_softirq), $(cat "$T/load")"
}

online() { # CPU 0|1
	echo "$2" >"/sys/devices/system/cpu/cpu$1/online"
}

hotplug_in_run() {
	sleep 1
	online 1 0
	sleep 2
	online 1 1
	sleep 1
}

test_hotplug() {
	UNSEEN=1
	measure hotplug_in_run
	check "a CPU that is unplugged for a while is measured for the rest" \
		"$(wall 1) > 0.3 * $(wall 0) && $(wall 1) < 0.8 * $(wall 0)" "$(wall 1) of $(wall 0) ns"
	check "an unplugged CPU does nothing" "$(ns 1 other) < 0.2 * $(wall 0)" "other $(ns 1 other) ns"
	online 1 0
	measure sleep 1
	check "an offline CPU has no rows, those around it have" \
		"$(wall 1) == 0 && $(wall 0) > 900000000 && $(wall 2) > 900000000" "$(wall 0), $(wall 1), $(wall 2) ns"
	check "packets are known of CPUs that were there" \
		"$(grep -c packet,all,processed "$T/csv") == 1 && $(grep -c packet,1,processed "$T/csv") == 0" "$(grep packet "$T/csv")"
	start_netto -c 600
	sleep 1
	online 1 1
	sleep 1
	stop_netto
	conserved "a CPU is plugged in"
	check "a CPU that is plugged in: packets are not known, rather than all since the start" \
		"$(grep -c 'packet,.*,processed' "$T/csv") == 0" "$(grep packet "$T/csv")"
	check "a CPU that is plugged in is measured from then on" \
		"$(wall 1) > 0.25 * $(wall 0) && $(wall 1) < 0.75 * $(wall 0)" "$(wall 1) of $(wall 0) ns"
	start_netto -c 600
	sleep 1
	online 1 0
	sleep 1
	stop_netto
	conserved "a CPU is unplugged"
	check "a CPU that is unplugged: packets are not known" "$(grep -c 'packet,.*,processed' "$T/csv") == 0" "$(grep packet "$T/csv")"
	check "a CPU that stays unplugged is measured until then" \
		"$(wall 1) > 0.25 * $(wall 0) && $(wall 1) < 0.75 * $(wall 0)" "$(wall 1) of $(wall 0) ns"
	online 1 1
	# the perf event of a CPU that is unplugged is gone
	for without in "" bpf; do
		load burn 6 1 >"$T/load" 2>&1 &
		export NETTO_WITHOUT="$without"
		start_netto -c -m sample 0.5 0
		unset NETTO_WITHOUT
		sleep 1.3
		online 1 0
		sleep 1
		online 1 1
		sleep 1.2
		stop_netto
		mode="sample mode${without:+ without $without}"
		conserved "$mode: a CPU comes and goes"
		check "$mode: a CPU that was unplugged has rows until then, and a line says so" \
			"$(grep -c ',event,1,net,' "$T/csv") >= 1 && $(grep -c ',event,1,net,' "$T/csv") <= 3 &&
			 $(grep -c ',event,0,net,' "$T/csv") >= 6 && $(grep -c 'CPU 1 was unplugged' "$T/err") == 1 && $(ns 1 other) > 0.5 * $(wall 1)" \
			"$(cat "$T/err"; grep -e event,1 -e elapsed "$T/csv")"
		check "$mode: an interval stays an interval" \
			"$(awk -F, '$5 == "elapsed" && $6 > 1500000000' "$T/csv" | wc -l) == 0" "$(grep elapsed "$T/csv")"
		wait
	done
	UNSEEN=0
}

# Each fallback gives what the first choice gives.
test_fallbacks() {
	best=fentry
	[ "$part" != vm-6.1-arm64 ] || best=kprobe # from 6.4 on arm64 has fentry
	for without in storage test_run "storage test_run" tp_btf fentry btf; do
		export NETTO_WITHOUT="$without"
		measure sh -c "load sendto udp4 1301; load block_recv 300; load recv tcp6 409"
		check "without $without: exact counts" \
			"$(count all send) == $(load_value sends) && $(count all recv) == 410" "$(cat "$T/load")"
		check "without $without: blocking is free" "$(ns all recv) < 30000000" "$(ns all recv) ns"
		case $without in
		*test_run) check "without $without: marks by renaming agree in time" \
			"$(wall 1) > 0.97 * $(wall 0) && $(wall 1) < 1.03 * $(wall 0)" "$(wall 0) and $(wall 1) ns" ;;
		tp_btf) check "without $without: raw tracepoints" "$(hooked rx_softirq raw_tp) && $(hooked send $best)" ;;
		fentry) check "without $without: kprobes" "$(hooked rx_softirq tp_btf) && $(hooked send kprobe)" ;;
		btf) check "without $without: raw tracepoints and kprobes" "$(hooked idle raw_tp) && $(hooked recv kprobe)" ;;
		esac
	done
	NETTO_WITHOUT="fentry kprobe"
	expect 3 "lets send not be traced (inet_sendmsg: left out by NETTO_WITHOUT)" "-m trace without hooks of operations" \
		netto -m trace 1
	measure load sendto udp4 1301
	check "without fentry and kprobes: softirqs are traced, operations are told from samples" \
		"$(count all rx_softirq) > 1000 && $(hooked rx_softirq tp_btf) && $(hooked send perf_event) &&
		 $(grep -c 'event,all,send,.*,sampled$' "$T/csv") == 1" "$(cat "$T/csv")"
	unset NETTO_WITHOUT
}

hooked() { # EVENT KIND
	grep -c "hook/$1=$2:" "$T/csv"
}

# 20 tasks blocked at once, where there is room for 8: the rest is counted.
test_overflow() {
	export NETTO_WITHOUT="storage room"
	start_netto -c 600
	sh -c 'for i in $(seq 20); do load block_recv 1500 >/dev/null & done; wait'
	stop_netto
	check "operations that do not fit into the hash are counted" \
		"$(run_row operations_lost 8) == 12 && $(count all recv) == 20" "$(grep run,all "$T/csv")"
	NETTO_WITHOUT=fentry
	start_netto -c 600
	sh -c 'for i in $(seq 30); do load block_recv 1500 >/dev/null & done; wait'
	stop_netto
	check "more kprobes at once than the kernel has instances of: missed returns are counted" \
		"$(run_row returns_missed 8) >= 10 && $(run_row returns_missed 8) <= 27 && $(count all recv) == 30" \
		"$(grep run,all "$T/csv")"
	unset NETTO_WITHOUT
}

# expect STATUS TEXT WHAT COMMAND...: the exit status, and one line on stderr that has TEXT in it
expect() {
	want=$1 text=$2 what=$3
	shift 3
	"$@" >"$T/out" 2>"$T/err" </dev/null
	seen=$?
	if [ $seen = "$want" ] && [ "$(wc -l <"$T/err")" = 1 ] && grep -q "^netto: .*$text" "$T/err"; then
		pass "$what"
	else
		fail "$what" "exit status $seen, $(cat "$T/err")"
	fi
}

packets_of() { # CPU
	awk -F, -v cpu="$1" '$3 == "packet" && $4 == cpu && $5 == "processed" { print $8 }' "$T/csv"
}

# Neither eBPF nor perf events: what is missing, what /proc counts, and exit status 3.
blind() { # COMMAND...
	"$@" >"$T/load" 2>"$T/err"
	seen=$?
	check "nothing can be measured: exit status 3, and what is missing" \
		"$seen == 3 && $(wc -l <"$T/err") == 3 && $(grep -c CONFIG_BPF_SYSCALL "$T/err") == 1 &&
		 $(grep -c CONFIG_PERF_EVENTS "$T/err") == 1" "$seen, $(cat "$T/err")"
	check "nothing can be measured: what /proc counts" \
		"$(packets_of all) >= 1009 && $(packets_of all) < 1100 && $(count all rx_softirq) >= 1000 && $(count all rx_softirq) < 1100 &&
		 $(packets_of 0) + $(packets_of 1) + $(packets_of 2) == $(packets_of all) &&
		 $(grep -c ',[a-z]*ed$' "$T/csv") == 0 && $(ns all net) == 0" "$(cat "$T/csv")"
}

test_refusals() {
	expect 1 "run it as root, or with CAP_BPF and CAP_PERFMON" "no capabilities" load uncap all netto 1
	measure load uncap 24 load sendto udp4 107 # 24: CAP_SYS_RESOURCE
	mount -t tmpfs none /sys/kernel/btf
	measure load sendto udp4 107
	umount /sys/kernel/btf
	check "no BTF: exact counts by other hooks" "$(count all send) == 107 && $(hooked idle raw_tp) && $(hooked send kprobe)" \
		"$(cat "$T/err")"
	expect 0 "CONFIG_BPF_SYSCALL: all is told from samples" "no bpf()" load nobpf 38 netto 1
	expect 3 "CONFIG_BPF_SYSCALL" "no bpf(), -m trace" load nobpf 38 netto -m trace 1
	expect 0 "refuses eBPF: lockdown is " "bpf() is refused" load nobpf 1 netto 1
	blind load nobpf 38 load noperf 38 netto -c -o "$T/csv" -- load sendto udp4 1009
	echo 0-2047 >"$T/possible"
	mount --bind "$T/possible" /sys/devices/system/cpu/possible
	expect 1 "raise MAX_CPUS" "too many CPUs" netto 1
	umount /sys/devices/system/cpu/possible
	if [ "$part" = vm-5.10 ]; then
		expect 0 "RLIMIT_MEMLOCK" "no memory to lock" load uncap 24 sh -c "ulimit -l 64; exec netto 1"
	fi
}

names="counts other_families truths samples softirq_counts intervals two_at_once rt fallbacks overflow refusals hotplug"
shift
[ $# = 0 ] || names=$*
for name in $names; do
	test_"$name"
done
