# shellcheck shell=sh
# What the tests of this machine (host.sh) and of a virtual machine (guest.sh) share. POSIX sh: busybox runs it.
#
# NETTO_WITHOUT=WORDS makes netto act as if the host lacked something, so that all rungs are tested: tp_btf, raw_tp, fentry,
# kprobe.multi, kprobe (these kinds of hooks; kprobe: both), ends (no tracepoint tells of them), btf, bpf, perf (no perf
# events), test_run (eBPF as it was before 5.10), storage (no task storage: the hash), room (hashes for 8 tasks, and few
# stacks), cycles (samples by cpu-clock), limit (of what samples take), memory (for a table of more than 64 stacks a CPU), scan
# (stacks that cannot be unwound are not searched for a caller); FUNCTION (it cannot be hooked), FUNCTION@btf (it is not in BTF).

NETTO=${NETTO:-netto}
LOAD=${LOAD:-load}
XDP=${XDP:-/xdp.o}
BURN=${BURN:-/burn}
T=${T:-/tmp/netto-test}
part=${part:-test}
A=netto-a B=netto-b R=netto-r ADDRESS=192.0.2.2
# shellcheck disable=SC2034
IP=$(which ip) TC=$(which tc) # not the shell's own, which busybox's prefers
session=
mkdir -p "$T"

# --- Results: one line each, counted by test/run ---

pass() { echo "pass: $part: $*"; }
skip() { echo "skip: $part: $1: $2"; } # what, why
fail() { echo "FAIL: $part: $1: $2" | head -n 100; } # what, what was seen: 100 lines of it
holds() { awk "BEGIN { exit !($1) }"; } # EXPRESSION: awk's, of plain numbers

check() { # WHAT EXPRESSION [SEEN: else what all CPUs have]
	if holds "$2"; then
		pass "$1"
	else
		fail "$1" "$2 does not hold; ${3-$(measured_rows)}"
	fi
}

# What the function prints last; its failures are results.
attempt() { # FUNCTION [ARGUMENT]...
	"$@" >"$T/attempt" || fail "$what" "$* did not run: $(tail -n 3 "$T/attempt")" >&2
	grep '^FAIL: ' "$T/attempt" >&2
	awk 'END { print }' "$T/attempt"
}

# exits STATUS PATTERN WHAT COMMAND: a shell's; one line on stderr that has the pattern, and a report only if all is well.
exits() {
	sh -c "$4" >"$T/out" 2>"$T/err" </dev/null
	check "$3" "$? == $1 && $(wc -l <"$T/err") == 1 && $(grep -c -e "^netto: .*$2" "$T/err") == 1 &&
		($(wc -c <"$T/out") > 0) == ($1 == 0)" "$(cat "$T/err" "$T/out")"
}

# For times and shares, which a busy machine disturbs: FUNCTION measures and prints a number, three times. The median must lie
# between LOW and HIGH. (The best of three would hide a fault that shows in six runs of ten.) Only for test/run --all.
check_median() { # WHAT LOW HIGH FUNCTION [ARGUMENT]...
	what=$1 low=$2 high=$3
	shift 3
	: >"$T/attempts"
	for _ in 1 2 3; do
		attempt "$@" >>"$T/attempts"
	done
	median=$(median "$T/attempts")
	check "$what: $median, the median of $(tr '\n' ' ' <"$T/attempts")" "$median >= $low && $median <= $high" \
		"$(tail -n 12 "$T/csv")"
}

median() { # FILE [COLUMN]
	awk -v c="${2:-1}" '{ print $c }' "$1" | sort -g | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'
}

ratio() { awk "BEGIN { printf \"%.4f\n\", $2 ? ($1) / ($2) : -1 }"; } # A B

# --- Running netto ---

# Waits until the command succeeds. The limit is only for what hangs.
wait_for() {
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 3000 ] || return 1
		sleep 0.1
	done
}

is_measuring() { grep -q 'netto: measuring' "$T/err" || ! kill -0 "$netto" 2>/dev/null; }

start_netto() { # options. OUTPUT: where its reports go
	: >"$T/err" # not by the child, which may be late: the last run's would be read
	"$NETTO" -v "$@" >"${OUTPUT:-$T/csv}" 2>"$T/err" &
	netto=$!
	wait_for is_measuring
	grep -q 'netto: measuring' "$T/err" || fail "netto $*" "did not start: $(cat "$T/err")"
}

stop_netto() {
	kill -INT "$netto"
	wait "$netto" || fail "netto" "exit status $?: $(cat "$T/err")"
}

with_netto() { # what it printed in $T/csv and $T/err
	"$NETTO" "$@" >"$T/csv" 2>"$T/err" || fail "netto $*" "exit status $?: $(cat "$T/err")"
}

stop() { # PROCESS: its exit status
	kill "$1"
	wait "$1" 2>/dev/null
}

# A netto that reports every INTERVAL seconds, since to attach and detach takes several seconds on an emulated machine. There
# a report takes some 60 ms: at 0.1 s, two thirds of the machine.
begin_session() { # options
	OUTPUT=$T/reports start_netto -c "$@" "${INTERVAL:-0.4}" 0
	session=yes
	next_report
}

end_session() {
	session=
	stop_netto
}

# Only the end of the reports is read: awk is slow when emulated. REPORT is at least twice as many bytes as a report has.
REPORT=40000

last_report() { # the time of the last whole report, which ends with the hook of idle
	tail -c $REPORT "$T/reports" | awk -F, 'index($5, "hook/idle=") == 1 && NF == 13 { t = $1 } END { print t ? t : 0 }'
}

has_grown() { # SIZE: there is more, to the end of a report; or there will be none
	! kill -0 "$netto" 2>/dev/null ||
		{ [ "$(wc -c <"$T/reports")" -gt "$1" ] && tail -c 400 "$T/reports" | grep -q /idle=; }
}

next_report() {
	wait_for has_grown "$(wc -c <"$T/reports")"
	kill -0 "$netto" 2>/dev/null || fail "netto" "reports no longer: $(cat "$T/err")"
}

# Waits for a report of an interval that ends after now: netto notes a report's time before it reads what the report has.
report_of_now() {
	now=$("$LOAD" now)
	next_report
	while kill -0 "$netto" 2>/dev/null && ! holds "$(last_report) > $now"; do
		next_report
	done
}

# What the session has reported since $cut_from, when the file had $cut_size bytes.
end_cut() {
	report_of_now
	[ "$cut_size" -gt $REPORT ] || cut_size=$REPORT
	tail -c +$((cut_size - REPORT + 1)) "$T/reports" | awk -F, -v from="$cut_from" '
		$1 + 0 <= from || NF != 13 { next }
		{ rows[n++] = $0 }
		index($5, "hook/idle=") == 1 { whole = n }
		END { for (i = 0; i < whole; i++) print rows[i] }' >"$T/csv"
}

# measure COMMAND...: netto's CSV of the time in which it ran, in $T/csv; what it printed, in $T/load. Outside a session: HZ:
# samples a second; MODE: as -m has it; TASKS: as -t. COUNTER: a command that prints one line of what the kernel counts. It is
# read around the command ($T/inner: two lines), and around all that netto measured ($T/outer): netto's own count lies between.
measure() {
	${COUNTER:-:} >"$T/outer"
	if [ -n "$session" ]; then
		report_of_now # the cut begins after this reading
		cut_size=$(wc -c <"$T/reports") cut_from=$(last_report)
	else
		start_netto -c -F "${HZ:-997}" -m "${MODE:-auto}" -t "${TASKS:-0}" 600
	fi
	${COUNTER:-:} >"$T/inner"
	"$@" >"$T/load" 2>&1
	status=$?
	${COUNTER:-:} >>"$T/inner"
	if [ -n "$session" ]; then
		end_cut
	else
		stop_netto
	fi
	${COUNTER:-:} >>"$T/outer"
	if [ $status != 0 ]; then
		fail "$*" "exit status $status: $(cat "$T/load")"
		return 1
	fi
	conserved "$*"
}

# What COUNTER counted in a COLUMN: while the command ran, and in all the time of the measurement.
counted() { awk -v c="$1" '{ n = $c - n } END { printf NR == 2 ? "%d" : "nothing", n }' "$T/${2:-inner}"; }
counted_most() { counted "$1" outer; }

# check_counted COLUMN WHAT NETTO-HAS [MORE]
check_counted() {
	check "$2 ($(counted "$1"))" "$3 >= $(counted "$1") && $3 <= $(counted_most "$1")${4:+ && $4}" \
		"netto has $3, the kernel $(counted "$1") to $(counted_most "$1")"
}

# The events of each CPU sum to its wall time, and nothing was lost: a line only if not. UNSEEN=1: time may be unseen, on this
# machine, which hides some tasks from tracing, and where CPUs are plugged. Until 6.1 a kernel does not find the storage of a
# task while another one, preempted as it allocates its own, holds the CPU's lock of all: netto counts that as lost, of which
# it knows no more.
conserved() {
	case $(uname -r) in
	5.1[3-9].* | 6.[01].*) lost=2 ;;
	*) lost=0 ;;
	esac
	seen=$(awk -F, -v unseen="${UNSEEN:-0}" -v lost=$lost '
		$3 == "event" && $5 != "net" { percent["report " report + 1 ": CPU " $4] += $7 }
		$3 == "event" && ($6 < 0 || $7 < 0 || $7 > 100.0001 || $6 > 1e15) { print "absurd: " $0 }
		$5 == "elapsed" { report++ }
		$5 == "residual" && ($7 == "" || $7 > 0.01) { print "residual of " $7 " %" }
		$5 == "unseen" && $6 > 0 && !unseen { print $6 " ns unseen" }
		$5 == "operations_lost" && $8 > lost { print $8 " operations lost" }
		END {
			for (c in percent)
				if (percent[c] < 99.99 || percent[c] > 100.01)
					print c " sums to " percent[c] " %"
			if (!report)
				print "no rows"
		}' "$T/csv")
	[ -z "$seen" ] || fail "events sum to wall time: $1" "$seen"
}

# --- Of the last measurement ---

# $T/sums: each row once, its fields 6 to 11 summed up over the reports; of field 13 the largest.
sum_up() {
	# shellcheck disable=SC3013 # busybox and dash have -ot
	[ "$T/csv" -ot "$T/sums" ] || awk -F, '
		NF != 13 { next }
		{
			row = $3 "," $4 "," $5
			rows[row]
			for (i = 6; i <= 11; i++)
				sum[i, row] += $i
			if ($13 > most[row] + 0)
				most[row] = $13
		}
		END {
			for (row in rows) {
				printf ",,%s", row
				for (i = 6; i <= 11; i++)
					printf ",%.10f", sum[i, row]
				print ",," most[row]
			}
		}' "$T/csv" >"$T/sums"
}

# The FIELD summed over the rows of the RECORD: of one CPU and name, or of all that match.
field() { # RECORD CPU NAME FIELD
	sum_up
	awk -F, -v record="$1" -v cpu="$2" -v name="$3" -v field="$4" '
		$3 == record && $4 == cpu && $5 == name { s = $field } END { printf "%.0f", s }' "$T/sums"
}

total() { # RECORD PATTERN-OF-CPUS PATTERN FIELD
	sum_up
	awk -F, -v record="$1" -v cpus="^$2\$" -v pattern="$3" -v field="$4" '
		$3 == record && $4 ~ cpus && $5 ~ pattern { s += $field } END { printf "%.0f", s }' "$T/sums"
}

ns() { field event "$1" "$2" 6; } # CPU EVENT
count() { field event "$1" "$2" 8; } # CPU EVENT
packet() { field packet all "$1" 8; } # NAME
stage_total() { field stage all "$1" 11; } # EVENT/STAGE: ns, of all CPUs
run_row() { field run all "$1" "$2"; } # NAME FIELD
wall() { echo $(($(total event "$1" . 6) - $(ns "$1" net))); } # CPU: ns that are accounted for
hooked() { grep -c "hook/$1=$2:" "$T/csv"; } # EVENT KIND
rows() { grep -c "$@" "$T/csv"; } # PATTERN: how many have it
says() { grep -c "$@" "$T/err"; } # PATTERN: how many lines

measured_rows() { # time and count of what all CPUs have, and the hooks
	tail -n 12 "$T/err" "$T/load" 2>/dev/null
	sum_up
	awk -F, '$4 == "all" && $3 ~ /^(event|packet|run)$/ && ($6 > 0 || $8 > 0 || $5 ~ /^hook\//) {
		printf "%s: %.0f, %.0f\n", $5, $6, $8 }' "$T/sums" | sort
}

load_value() { # KEY: summed over what the load printed
	tr ' ' '\n' <"$T/load" | awk -F= -v key="$1" '$1 == key { s += $2 } END { printf "%.0f", s }'
}

context() { # NAME CPU: in percent of rx_softirq's time
	awk "BEGIN { printf \"%.2f\", $(ns "$2" rx_softirq) ? 100 * $(field context "$2" "rx_softirq/$1" 6) / $(ns "$2" rx_softirq) : -1 }"
}

# The stages of the last measurement, over all CPUs and events: "name samples ns", with what it calls, in $T/stages.
add_up_stages() {
	awk -F, '
		$3 == "stage" && $4 == "all" {
			split($5, n, "/")
			ns[n[1]] += $6
			samples[n[1]] += $8
			total[n[1], n[2]] += $11
		}
		END {
			for (i in total) {
				split(i, n, SUBSEP)
				sum[n[2]] += total[i]
				if (total[i])
					count[n[2]] += total[i] / ns[n[1]] * samples[n[1]]
			}
			for (stage in sum)
				printf "%s %.0f %.0f\n", stage, count[stage], sum[stage]
		}' "$T/csv" >"$T/stages"
}

# Of rows on standard input: the samples of net.
samples_of_net() {
	awk -F, '$3 == "stage" && $4 == "all" && $5 !~ "^(other|softirq|idle|io_worker)/" { n += $8 } END { print n + 0 }'
}

# --- Traffic that must show in stages, of $what ---
#
# A stage with the share p of net is missing in n samples with probability (1 - p)^n. Each that is looked for has p >= 0.02
# (twice that was seen on all kernels), and traffic goes on until there are 1,000 samples: 1.7e-9, and 1.4e-7 for 80 stages.
SAMPLES=1000

flood() { "$LOAD" udppath "$A" "$B" "${1:-$ADDRESS}" 0.5 0 1 64; } # [ADDRESS]

# In a session: the command again and again, until there are the samples; ENOUGH others, that COUNT counts.
repeated() { # COMMAND...
	for _ in $(seq 500); do
		"$@" || return
		[ "$(tail -c +$((cut_size + 1)) "$T/reports" | ${COUNT:-samples_of_net})" -lt "${ENOUGH:-$SAMPLES}" ] || break
	done
}

stage() { # NAME COLUMN: 2 samples, 3 ns
	awk -v name="$1" -v column="$2" '$1 == name { n = $column } END { printf "%.0f", n }' "$T/stages"
}

has_stages() { # STAGE...
	samples=$(samples_of_net <"$T/csv")
	for name; do
		check "$what: $name is there: $(stage "$name" 2) of $samples samples" "$(stage "$name" 2) > 0 && $samples >= $SAMPLES" \
			"$(cat "$T/stages")"
	done
}

# Of each CPU and event: the stages' own time and samples sum to those of the event, and intervals hold what they are about.
# Contexts share out NET_RX within what they are rounded to. A line only if not.
shared_out() { # WHAT
	seen=$(awk -F, '
		$5 == "elapsed" { report++ }
		$3 == "event" { ns[report, $4, $5] = $6; most[report, $4, $5] = $10 != "" ? $10 : $6; next }
		$3 == "context" && $4 == "all" && $5 ~ "^rx_softirq/" { contexts[report] += $6; parts[report]++ }
		$3 != "stage" && $3 != "activity" && $3 != "stack" { next }
		{
			event = $5
			sub("[/;].*", "", event)
			if ($9 > $6 || $10 < $6 || $10 > most[report, $4, event] + 1 || $12 != "sampled")
				print "absurd: " $0
		}
		$3 == "stage" {
			self[report, $4, event] += $6
			stages[report, $4, event]++
			n[report, $4 == "all"] += $8
			if ($11 < $6 - 1 || $11 > ns[report, $4, event] + 1)
				print "absurd total: " $0
		}
		END {
			for (i in self) {
				off = self[i] - ns[i]
				if (off * off > stages[i] * stages[i])
					print i ": stages sum to " self[i] " of " ns[i] " ns"
			}
			for (i in n) {
				split(i, t, SUBSEP)
				if (n[t[1], 0] != n[t[1], 1])
					print t[1] ": the CPUs sum to " n[t[1], 0] + 0 " of " n[t[1], 1] + 0 " samples"
			}
			for (i in contexts) {
				rx = ns[i, "all", "rx_softirq"]
				off = contexts[i] - rx
				slack = parts[i] + 0.001 * rx
				if (off > slack || off < -slack)
					print "contexts sum to " contexts[i] " of " rx " ns"
			}
		}' "$T/csv")
	[ -z "$seen" ] || fail "stages and contexts share out each event: $1" "$seen"
}

# --- Settings of the machine, restored by a trap too ---

set_sysctl() { # NAME VALUE: of /proc/sys/kernel
	echo "$1 $(cat "/proc/sys/kernel/$1")" >>"$T/sysctls"
	echo "$2" >"/proc/sys/kernel/$1"
}

restore_sysctls() {
	[ -e "$T/sysctls" ] || return 0
	while read -r name value; do
		echo "$value" >"/proc/sys/kernel/$name"
	done <"$T/sysctls"
	rm "$T/sysctls"
}

is_rt() { grep -q PREEMPT_RT /proc/version; }

# --- Network: the namespaces $A and $B, joined by veth: a1 (192.0.2.1) and b1 ($ADDRESS) ---

ip() { "$IP" "$@"; }
a() { ip netns exec $A "$@"; } # COMMAND...: there
b() { ip netns exec $B "$@"; }
router() { ip netns exec $R "$@"; }

# The ip command for both ends, with the end's letter for each @: `both_ends link del @2` is of a2 and b2.
both_ends() { # WORD...
	for end in a b; do
		# shellcheck disable=SC2046 # words
		ip -n netto-$end $(echo "$*" | sed "s/@/$end/g") || return
	done
}

device_up() { # NAMESPACE DEVICE [ADDRESS/BITS]...
	namespace=$1 device=$2
	shift 2
	for address; do
		# shellcheck disable=SC2086 # words: an address and its flags
		ip -n "$namespace" addr add $address dev "$device"
	done
	ip -n "$namespace" link set "$device" up
}

# Packets that came to a rule with a counter.
nft_counter() { # b|router
	"$1" nft list ruleset 2>/dev/null | sed -n 's/.*counter packets \([0-9]*\).*/\1/p' | awk '{ s += $1 } END { print s + 0 }'
}

net_up() {
	net_down
	for ns in $A $B; do
		ip netns add "$ns"
		# IPv6 would look for routers again and again: softirqs that no load makes.
		ip netns exec "$ns" sh -c 'echo 0 >/proc/sys/net/ipv6/conf/default/router_solicitations' 2>/dev/null
	done
	ip -n $A link add a1 type veth peer name b1 netns $B
	device_up $A a1 192.0.2.1/24
	device_up $B b1 $ADDRESS/24
	both_ends link set lo up
}

# Another way besides, through $R: a0 (198.51.100.1) - ra, rb - b0 ($ROUTED).
ROUTED=203.0.113.1 ROUTED6=2001:db8:b::1
router_up() {
	ip netns add $R
	ip link add a0 netns $A type veth peer name ra netns $R
	ip link add b0 netns $B type veth peer name rb netns $R
	device_up $A a0 198.51.100.1/24 "2001:db8:a::1/64 nodad"
	device_up $R ra 198.51.100.254/24 "2001:db8:a::ff/64 nodad"
	device_up $R rb 203.0.113.254/24 "2001:db8:b::ff/64 nodad"
	device_up $B b0 $ROUTED/24 "$ROUTED6/64 nodad"
	ip -n $A route add $ROUTED via 198.51.100.254
	ip -n $A route add $ROUTED6 via 2001:db8:a::ff
	ip -n $B route add 198.51.100.0/24 via 203.0.113.254
	ip -n $B route add 2001:db8:a::/64 via 2001:db8:b::ff
	router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
}

# Without IPv6, and with a neighbour that has not to be asked for, nor verified: nothing but the load sends.
neighbour() { # NAMESPACE DEVICE ADDRESS ITS-NAMESPACE ITS-DEVICE
	ip netns exec "$1" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6' 2>/dev/null
	ip -n "$1" neigh replace "$3" dev "$2" nud permanent lladdr "$(ip netns exec "$4" cat "/sys/class/net/$5/address")"
}

net_down() {
	for ns in $A $B $R; do
		ip netns del "$ns" 2>/dev/null
	done
	return 0
}

received() { ${2:+"$IP" netns exec "$2"} cat "/sys/class/net/$1/statistics/rx_packets"; } # DEVICE [NAMESPACE]

# veth polls where there is XDP, and then in a thread if it is told so (from 5.12 on).
xdp_on() { ip -n $B link set b1 xdpdrv obj "$XDP" sec xdp; }
xdp_off() { ip -n $B link set b1 xdpdrv off; }
threaded() { b sh -c "echo $1 >/sys/class/net/b1/threaded" 2>"$T/try"; } # 0|1

# RPS: what comes to b1 goes to the backlog of other CPUs.
steer() { b sh -c "echo $1 >/sys/class/net/b1/queues/rx-0/rps_cpus"; } # MASK OF CPUS, or 0: to none

# The devices a2 and b2, on top of these: their addresses, and their end.
OVER=198.18.2.2
ends_up() {
	device_up $A a2 198.18.2.1/24
	device_up $B b2 $OVER/24
}

ends_away() { both_ends link del @2; }

wireguard_up() {
	both_ends link add @2 type wireguard || return
	(umask 077 && wg genkey >"$T/key_a" && wg genkey >"$T/key_b")
	for ends in "a b $ADDRESS" "b a 192.0.2.1"; do
		# shellcheck disable=SC2086 # words
		set -- $ends
		"$1" wg set "${1}2" private-key "$T/key_$1" listen-port 51820 peer "$(wg pubkey <"$T/key_$2")" \
			allowed-ips 198.18.2.0/24 endpoint "$3:51820"
	done
	ends_up
}

# 1,000 rules are one chain of 20, jumped to again and again, so that they stay in the cache. They are about no packet of a load.
rules() { # HOOK RULE...: a table of nft; `thousand` stands for so many rules. At its end all packets are dropped.
	echo "table ip netto {"
	echo "chain twenty {"
	seq 20 | sed 's/.*/udp dport 100 drop/'
	echo "}"
	echo "chain rules { type filter hook $1 priority 0;"
	shift
	for rule; do
		case $rule in
		thousand) seq 50 | sed 's/.*/jump twenty/' ;;
		*) echo "$rule" ;;
		esac
	done
	printf '%s\n' "counter drop" "}" "}"
}

# Sender and receiver on one CPU, which is never idle: an idle CPU of an emulated machine is run when its timer wakes it,
# and the sampling timer is one, so what wakes up there is sampled from 0.3 to 1.7 times as often as it should.
start_flood() {
	"$LOAD" udpflood 600 0 0 >"$T/load" 2>&1 &
	flood=$!
}

stop_flood() { stop "$flood"; }

# --- Programs of the tests' own (test/burn.c): from now on each packet takes so much time in that place ---

start_burn() { # ingress|egress|prerouting NS; or hooks
	case $1 in
	hooks) set -- "$BURN" hooks ;;
	egress) set -- "$IP" netns exec $A "$BURN" egress a1 "$2" ;;
	*) set -- "$IP" netns exec $B "$BURN" "$1" b1 "$2" ;;
	esac
	: >"$T/burn"
	"$@" >"$T/burn" 2>&1 &
	burner=$!
	wait_for is_burning
}

is_burning() { grep -q "burn: burning" "$T/burn" || ! kill -0 "$burner" 2>/dev/null; }
stop_burn() { stop "$burner"; }

# --- Of the CSV of the last netto: awk's conditions ---

rows_with() { # CONDITION: how many rows
	awk -F, "$1 { n++ } END { print n + 0 }" "$T/csv"
}

sum_of() { # FIELD CONDITION: of the rows
	awk -F, "$2 { s += \$$1 } END { printf \"%.0f\", s }" "$T/csv"
}

# --- Memory ---

peak_kb() { # COMMAND...: at the peak of the whole process; its output goes to $T/csv
	"$LOAD" peak "$@" >"$T/csv" 2>"$T/err"
	sed -n 's/^peak_kb=//p' "$T/err"
}

# At most 16 MB, and 1 MB a CPU for the stacks: with the report.
check_peak() { # WHAT OPTION...: netto's
	what=$1
	shift
	peak=$(peak_kb "$NETTO" "$@")
	check "$what: at most 16 MB at the peak, and 1 MB a CPU for stacks ($peak kB)" \
		"${peak:-0} > 0 && ${peak:-0} <= 16384 + 1024 * $(nproc)" "$(cat "$T/err")"
}
