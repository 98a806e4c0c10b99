# shellcheck shell=sh
# What the tests of this machine (host.sh) and of a virtual machine (guest.sh) share. POSIX sh: busybox runs it.
#
# NETTO_WITHOUT=WORDS makes netto act as if the host lacked something, so that all rungs are tested: tp_btf, raw_tp, fentry,
# kprobe (these kinds of hooks), btf, bpf, perf (no perf events), mmap (eBPF as it was before 5.5), storage (no task storage:
# the hash), room (hashes for 8 tasks, and few stacks), test_run (no BPF_PROG_TEST_RUN: marks by renaming itself), cycles
# (samples by cpu-clock), scan (stacks that cannot be unwound are not searched for a caller).

NETTO=${NETTO:-netto}
LOAD=${LOAD:-load}
T=${T:-/tmp/netto-test}
mkdir -p "$T"
part=${part:-test}

# Results: one line each, counted by test/run.
pass() {
	echo "pass: $part: $*"
}

skip() { # what, why
	echo "skip: $part: $1: $2"
}

fail() { # what, what was seen: 12 lines of it
	echo "FAIL: $part: $1: $2" | head -n 12
}

# check WHAT EXPRESSION [SEEN]: EXPRESSION is awk's, of plain numbers
check() {
	if awk "BEGIN { exit !($2) }"; then
		pass "$1"
	else
		fail "$1" "$2 does not hold${3:+; $3}"
	fi
}

# Waits until the command succeeds, 30 s at the most.
wait_for() {
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || return 1
		sleep 0.1
	done
}

is_measuring() {
	grep -q 'netto: measuring' "$T/err" || ! kill -0 "$netto" 2>/dev/null
}

start_netto() { # options
	: >"$T/err" # not by the child, which may be late: the last run's would be read
	"$NETTO" -v "$@" >"$T/csv" 2>"$T/err" &
	netto=$!
	wait_for is_measuring
	grep -q 'netto: measuring' "$T/err" || fail "netto $*" "did not start: $(cat "$T/err")"
}

stop_netto() {
	kill -INT "$netto"
	wait "$netto"
}

# measure COMMAND...: netto's CSV of the time in which it ran, in $T/csv; what it printed, in $T/load. HZ: samples a second;
# MODE: as -m has it; TASKS: as -t.
measure() {
	start_netto -c -F "${HZ:-997}" -m "${MODE:-auto}" -t "${TASKS:-0}" 600
	"$@" >"$T/load" 2>&1
	status=$?
	stop_netto || fail "netto while $*" "exit status $?: $(cat "$T/err")"
	if [ $status != 0 ]; then
		fail "$*" "exit status $status: $(cat "$T/load")"
		return 1
	fi
	conserved "$*"
}

# The events of each CPU sum to its wall time, and nothing was lost. UNSEEN=1: time may be unseen, on this machine,
# which hides some tasks from tracing, and where CPUs are plugged. Until 6.1 a kernel does not find the storage of a task while
# another one, preempted as it allocates its own, holds the CPU's lock of all: netto counts that as lost, of which it knows no more.
conserved() {
	case $(uname -r) in
	5.1[3-9].* | 6.[01].*) lost=2 ;;
	*) lost=0 ;;
	esac
	seen=$(awk -F, -v unseen="${UNSEEN:-0}" -v lost=$lost '
		$3 == "event" && $5 != "net" { percent[$1 " CPU " $4] += $7 }
		$3 == "event" && ($6 < 0 || $7 < 0 || $7 > 100.0001 || $6 > 1e15) { print "absurd: " $0 }
		$5 == "elapsed" { elapsed = $6 }
		$5 == "residual" && ($7 == "" || $7 > 0.01) { print "residual of " $7 " %" }
		$5 == "unseen" && $6 > 0 && !unseen { print $6 " ns unseen" }
		$5 == "operations_lost" && $8 > lost { print $8 " operations lost" }
		END {
			for (c in percent)
				if (percent[c] < 99.99 || percent[c] > 100.01)
					print c " sums to " percent[c] " %"
			if (!elapsed)
				print "no rows"
		}' "$T/csv")
	if [ -z "$seen" ]; then
		pass "events sum to wall time, residual $(run_row residual 6) ns: $1"
	else
		fail "events sum to wall time: $1" "$seen"
	fi
}

# The memory of the netto that runs, at its peak, in kB.
peak() {
	awk '/VmHWM/ { print $2 }' "/proc/$netto/status"
}

# Of the last measurement: time and entries of an event; a value of a run row; a value that the load printed.
ns() { # CPU EVENT
	awk -F, -v cpu="$1" -v name="$2" '$3 == "event" && $4 == cpu && $5 == name { s += $6 } END { printf "%.0f", s }' "$T/csv"
}

count() { # CPU EVENT
	awk -F, -v cpu="$1" -v name="$2" '$3 == "event" && $4 == cpu && $5 == name { s += $8 } END { printf "%.0f", s }' "$T/csv"
}
stage_total() { # EVENT/STAGE: ns, of all CPUs
	awk -F, -v name="$1" '$3 == "stage" && $4 == "all" && $5 == name { s += $11 } END { printf "%.0f", s }' "$T/csv"
}

run_row() { # NAME FIELD
	awk -F, -v name="$1" -v field="$2" '$3 == "run" && $5 == name { print $field; exit }' "$T/csv"
}

wall() { # CPU
	awk -F, -v cpu="$1" '$3 == "event" && $4 == cpu && $5 != "net" { s += $6 } END { printf "%.0f", s }' "$T/csv"
}

load_value() { # KEY: summed over what was printed
	tr ' ' '\n' <"$T/load" | awk -F= -v key="$1" '$1 == key { s += $2 } END { printf "%.0f", s }'
}

context() { # NAME CPU: in percent of rx_softirq's time
	awk -F, -v name="rx_softirq/$1" -v cpu="$2" '
		$3 == "event" && $4 == cpu && $5 == "rx_softirq" { all = $6 }
		$3 == "context" && $4 == cpu && $5 == name { ns = $6 }
		END { printf "%.2f", all ? 100 * ns / all : -1 }' "$T/csv"
}

# Network: the namespaces $A and $B, joined by veth: a1 (192.0.2.1) and b1 ($ADDRESS). A test that needs others has its own.
# IP: not the shell's own, which busybox's prefers.
IP=$(which ip)

ip() {
	"$IP" "$@"
}

net_up() {
	net_down
	ip netns add "$A"
	ip netns add "$B"
	ip -n "$A" link add a1 type veth peer name b1 netns "$B"
	ip -n "$A" addr add 192.0.2.1/24 dev a1
	ip -n "$B" addr add "$ADDRESS/24" dev b1
	ip -n "$A" link set a1 up
	ip -n "$B" link set b1 up
}

net_down() {
	for ns in "$A" "$B"; do
		ip netns del "$ns" 2>/dev/null
	done
	return 0
}

# A virtio card, test/vm -n's.
card_up() {
	modprobe virtio_pci 2>/dev/null # or it is built in
	modprobe virtio_net
	wait_for test -e /sys/class/net/eth0
	ip addr replace 10.0.2.15/24 dev eth0
	ip link set eth0 up
	wait_for ping -q -c 1 -W 1 10.0.2.2 >/dev/null 2>&1
}

# The devices a2 and b2, on top of these: their addresses, and their end.
ends_up() {
	ip -n "$A" addr add 198.18.2.1/24 dev a2
	ip -n "$B" addr add 198.18.2.2/24 dev b2
	ip -n "$A" link set a2 up
	ip -n "$B" link set b2 up
}

ends_away() {
	ip -n "$A" link del a2
	ip -n "$B" link del b2
}

join_peers() { # ADDRESS of b1: a2 and b2 are WireGuard's
	(umask 077 && wg genkey >"$T/key_a" && wg genkey >"$T/key_b")
	ip netns exec "$A" wg set a2 private-key "$T/key_a" listen-port 51820 peer "$(wg pubkey <"$T/key_b")" \
		allowed-ips 198.18.2.0/24 endpoint "$1:51820"
	ip netns exec "$B" wg set b2 private-key "$T/key_b" listen-port 51820 peer "$(wg pubkey <"$T/key_a")" \
		allowed-ips 198.18.2.0/24 endpoint 192.0.2.1:51820
}
