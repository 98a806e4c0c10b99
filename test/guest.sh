# shellcheck shell=sh
# The tests of a virtual machine, where nothing but the load uses the network: counts are exact. Nothing here depends on time.
# Runs as root in busybox's sh, with three CPUs and a virtio network card; $1 = guest-KERNEL, $2... = some of the groups
# below, without their group_; all of the kernel's without.
#
# One netto measures for most of them; what it reports is cut by time for each load (lib.sh: measure). It has the tasks (-t),
# so that the loads of a group are told apart by their process numbers.
# shellcheck disable=SC2034,SC2086,SC2154 # for lib.sh, and from it; words
part=$1
. /lib.sh
kernel=${part#*-}
TRACING=/sys/kernel/tracing
EVENTS="napi_thread busy_poll tcp_work net_worker hardirq io_worker" # of which plain traffic has none

# --- Counted operations ---

# Each process and event that a load must have: "PROCESS EVENT COUNT WHAT" in $T/expected.
expect_task() { echo "$@" >>"$T/expected"; }

# A load in a process of its own. What it printed is in $T/one.
process() { # LOAD [ARGUMENT]...
	"$LOAD" "$@" >"$T/one" 2>&1 &
	pid=$!
	wait $pid
	status=$?
	case $status in
	0) ;;
	77) echo "$*: $(tail -n 1 "$T/one")" >>"$T/skipped" ;;
	*) echo "$*: exit status $status: $(cat "$T/one")" >>"$T/failed" ;;
	esac
	return $status
}

# run OPERATION PROTO N: each load prints its sends and receives.
run() {
	process "$@" || return 0
	cat "$T/one"
	for event in send recv; do
		expect_task $pid $event "$(sed -n "s/.*${event}s=\([0-9]*\).*/\1/p" "$T/one")" "$@"
	done
	case $1 in # what the load must do, by its own account too
	*recv* | read | readv | splice_in) did=recvs ;;
	*) did=sends ;;
	esac
	grep -q "$did=$3 " "$T/one" || echo "$*: $(cat "$T/one")" >>"$T/failed"
}

# Each operation over each protocol: so often that no two have the same number, and that no number is one of whole batches, which
# are of 7. With EVERY=1 every other one is left out, to save time.
all_operations() {
	n=3 skip=$EVERY
	for op in send sendto sendmsg sendmmsg write writev sendfile splice_out uring_send uring_worker \
		recv recvfrom recvmsg recvmmsg read readv splice_in uring_recv; do
		for proto in udp4 udp6 tcp4 tcp6; do
			case $kernel,$op,$proto in
			5.10,uring_worker,*) continue ;; # there workers are of no process
			*,splice_in,udp*) continue ;; # it does not exist
			esac
			n=$((n + 7)) skip=$((!skip * EVERY))
			[ $skip = 1 ] || run $op $proto $n
		done
		skip=$((!skip * EVERY))
	done
}

few_operations() {
	run sendto udp4 1301
	run recv tcp6 409
	run write tcp4 211
	run recvmsg udp6 127
}

# Measures the function, whose loads say in $T/failed what went wrong.
loads() { # FUNCTION
	: >"$T/expected"
	: >"$T/skipped"
	: >"$T/failed"
	measure "$1"
	while read -r line; do
		skip "$1" "$line"
	done <"$T/skipped"
}

# What netto has otherwise than the function's loads, in $T/wrong.
expected_of() { # FUNCTION
	loads "$1"
	[ ! -s "$T/failed" ] || fail "$1: the loads did as told" "$(cat "$T/failed")"
	sum_up
	# "PROCESS EVENT COUNT" of each row of a task, whose name is NAME:PROCESS/EVENT
	sed -n 's/^,,task,all,.*:\([0-9]*\)\/\([a-z_]*\),[^,]*,[^,]*,\([0-9]*\).*/\1 \2 \3/p' "$T/sums" >"$T/seen"
	awk '
		NR == FNR {
			seen[$1, $2] = $3
			next
		}
		seen[$1, $2] + 0 != $3 { print $4, $5 ": " seen[$1, $2] + 0 " of " $3 " " $2 "s" }' "$T/seen" "$T/expected" >"$T/wrong"
}

# counts WHAT FUNCTION: netto has exactly what each process did, and what all did together.
counts() {
	expected_of "$2"
	check "$1: each of $(cut -d ' ' -f 1 "$T/expected" | sort -u | wc -l) processes has exactly its sends and receives" \
		"$(wc -l <"$T/wrong") == 0 && $(wc -l <"$T/expected") >= 6" "$(cat "$T/wrong")"
	for event in send recv; do
		want=$(awk -v event=$event '$2 == event { s += $3 } END { print s }' "$T/expected")
		check "$1: exactly $want ${event}s" "$(count all $event) == $want && $(ns all $event) > 0"
	done
}

# The backlog polls each packet once: by tp_btf or, where there is no BTF, by the tracepoint's record.
backlog_polls() { # WHAT [MORE-THAN]
	check "$1: they take packets, each processed once, by the backlog" \
		"$(packet processed) == $(packet 'polled/(backlog)') && $(packet processed) > ${2:-0} &&
		 $(rows -e hook/devices=tp_btf:napi_poll -e hook/devices=tracepoint:napi_poll) > 0"
}

group_counts() {
	case $kernel,${ALL-} in
	6.12-arm64,) least=1301 operations=few_operations ;; # slow, and in the fast suite
	*) least=2000 operations=all_operations ;;
	esac
	counts "operations" $operations
	check "operations: the time of all processes is in the events" \
		"$(of_tasks 8) == $(total event all '^(send|recv|conn)$' 8) && $(of_tasks 6) <= $(total event all '^(send|recv|conn)$' 6) &&
		 $(of_tasks 6) > 0"
	backlog_polls "operations" $least
}

of_tasks() { total task all '/(send|recv|conn)$' "$1"; } # FIELD

# family EVENTS N LOAD [ARGUMENT]...: N entries of each of the events.
family() {
	events=$1 n=$2
	shift 2
	process "$@"
	for event in $events; do
		expect_task $pid $event "$n" "$@"
	done
}

all_families() {
	family conn $((4 * 101 + 3)) connect tcp4 101 # connect, accept, and close on both sides; bind, listen and close of the listener
	family "send recv conn" 0 unix 1511
	family recv 61 rawv6_recv 61
	family send 83 packet_send 83
	family recv 89 packet_recv 89
	family send 97 xsk 97
	family recv 1 block_recv 300
	family send 1 bigsend 1 0 1
}

group_families() {
	expected_of all_families
	check "families: each operation of TCP, raw IPv6, AF_PACKET and AF_XDP; none of AF_UNIX; one of a task that blocks or migrates" \
		"$(wc -l <"$T/wrong") == 0 && $(wc -l <"$T/expected") == 10" "$(cat "$T/wrong")"
	check "families: a send that migrates has time on both CPUs" "$(ns 0 send) > 0 && $(ns 1 send) > 0" "$(grep ,send, "$T/csv")"
}

# --- What is neither NET_RX, NET_TX nor a socket operation ---

# The kernel's own counters of calls: kprobes, which count without eBPF, on each function that netto hooks for these events.
functions() { # EVENT
	sed -n "s/.*,hook\/$1=[a-z.]*:\([^,]*\),.*/\1/p" "$T/csv" | head -n 1 | tr '+' ' ' | sed 's/[a-z0-9_.]*://g'
}

count_calls() {
	[ ! -e $TRACING/events/calls ] || echo 0 >$TRACING/events/calls/enable
	echo >$TRACING/kprobe_events
	for event in recv busy_poll tcp_work net_worker; do
		for f in $(functions "$event"); do
			echo "p:calls/${event}__$f $f" >>$TRACING/kprobe_events || fail "calls of $event" "cannot count $f"
		done
	done
	echo 1 >$TRACING/events/calls/enable
}

# Two numbers: counted calls; and counted calls plus those that the kernel missed because another probe was running. netto's
# kprobes miss the same ones.
calls() { # EVENT, or EVENT__FUNCTION
	awk -v of="$1" 'index($1, of) == 1 { s += $2; m += $2 + $3 } END { print s + 0, m + 0 }' $TRACING/kprobe_profile
}

# called EVENT WHAT LEAST [OTHER]...: netto's count of the event is the kernel's, of the same time: the COUNTER began with `calls
# EVENT`. By kprobe.multi a call that comes while another eBPF program is under way on that CPU is not seen, but counted.
called() {
	n=$(count all "$1")
	check "$2: $1 has as many entries as its functions have calls ($(counted 1), at least $3)" \
		"$(counted 1) > 0 && $n >= $3 && $n + $(run_row recursion_misses 8) >= $(counted 1) && $n <= $(counted_most 2) &&
		 $(ns all "$1") > 0"
	none_but "$2" "$1" "${4-}" "${5-}"
}

# Of EVENTS all are there, and none has anything but those that are named.
none_but() { # WHAT EVENT...
	what=$1
	shift
	sum_up
	seen=$(awk -F, -v none=" $EVENTS " -v may=" $* " '
		$3 != "event" || $4 != "all" || !index(none, " " $5 " ") { next }
		{ rows++ }
		($6 > 0 || $8 > 0) && !index(may, " " $5 " ")
		END { if (rows != split(none, n, " ")) print rows + 0 " of these events have rows" }' "$T/sums")
	[ -z "$seen" ] || fail "$what: none but $*" "$seen"
}

udp() { "$LOAD" udpsend $A $B "${TO:-$ADDRESS}" "$1" 0 100000 sleep; } # N: packets of one byte from $A to $B

group_quiet() {
	measure udp 400
	none_but "plain UDP"
	check "plain UDP: a send for each packet" "$(count all send) == 400 && $(count all rx_softirq) > 0"
}

# The status files of the threads whose names begin so.
threads_of() { grep -l "^$1" /proc/[0-9]*/comm 2>/dev/null | sed 's/comm$/status/'; } # NAME

switches() { # STATUS...: how often these threads were switched from
	cat "$@" | awk '/ctxt_switches/ { s += $2 } END { print s + 0 }'
}

# Plain UDP, of which these threads have a part: as many entries as switches to them.
threads() { # WHAT NAME
	COUNTER="switches $(threads_of "$2" | tr '\n' ' ')" measure udp 200
	check_counted 1 "$1: napi_thread has as many entries as its threads were switched to" "$(count all napi_thread)" \
		"$(counted 1) > 0 && $(ns all napi_thread) > 0"
	none_but "$1" napi_thread
}

# The same packets, polled in a softirq and in a thread. The device's name is of another network namespace, and so is its number.
group_napi_thread() {
	xdp_on
	number=$(b readlink /proc/self/ns/net | tr -dc 0-9)
	for on in 0 1; do
		if ! threaded $on; then
			[ $on = 0 ] || skip napi_thread "no threaded NAPI in this kernel: $(cat "$T/try")"
			continue
		fi
		COUNTER="received b1 $B" measure udp 200
		check_counted 1 "veth, threaded: $on: b1@$number polled the packets that it counts" "$(packet "polled/b1@$number")" \
			"$(counted 1) >= 200 && $(field device all "b1@$number" 6) > 0"
		if [ $on = 0 ]; then
			none_but polled
		else
			threads threaded napi/b1
			check "threaded: the kernel accounts for its thread, too" "$(total thread '.*' ^napi/b1 6) > 0"
		fi
	done
	threaded 0
	xdp_off
}

# RPS to CPU 1 is the backlog thread's, where there is one (PREEMPT_RT from 6.10 on).
group_backlog() {
	if ! grep -q '^backlog_napi' /proc/[0-9]*/comm 2>/dev/null; then
		skip backlog "this kernel has no threads for its backlog: they are PREEMPT_RT's from 6.10 on"
		return
	fi
	steer 2
	threads backlog backlog_napi
	steer 0
}

# 5 ms of polling each, in which nothing comes.
group_busy_poll() {
	xdp_on
	for how in "" epoll; do
		[ -z "$how" ] || echo 5000 >/proc/sys/net/core/busy_poll
		COUNTER="calls busy_poll" measure "$LOAD" busypoll $A $B $ADDRESS 5000 25 $how
		called busy_poll "busy polling${how:+ in $how}" 25
		echo 0 >/proc/sys/net/core/busy_poll
	done
	xdp_off
}

# Bulk TCP that must wait: for a shaper, whose packets NET_TX sends, and for the pacing of a queue. Once more until it did.
bulk() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		"$LOAD" tcppath $A $B $ADDRESS 0.4 0 1 65000
		[ "$(calls tcp_work)" = "$calls" ] || break
	done
}

tcp_counts() { echo "$(calls tcp_work) $(softirqs NET_TX)"; }

group_tcp_work() {
	for qdisc in "tbf rate 20mbit burst 64kb latency 50ms" "fq maxrate 20mbit"; do
		a "$TC" qdisc add dev a1 root $qdisc
		calls=$(calls tcp_work)
		COUNTER=tcp_counts measure bulk
		called tcp_work "TCP through ${qdisc%% *}" 1 "$(is_rt && echo napi_thread)" # of the backlog
		check_counted 3 "TCP through ${qdisc%% *}: NET_TX softirqs are those of /proc/softirqs" "$(count all tx_softirq)" \
			"$(counted 3) > 0 && $(ns all tx_softirq) > 0"
		a "$TC" qdisc del dev a1 root
	done
}

# works WHAT COMMAND...: a load, within the measurement of all of them, that runs workers.
works() {
	what=$1
	shift
	before=$(calls net_worker)
	"$@" || echo "$what: exit status $?" >>"$T/failed"
	after=$(calls net_worker)
	[ $((${after% *} - ${before% *})) -ge "${LEAST:-1}" ] || echo "$what: workers were called ${before% *}, then ${after% *} times" >>"$T/failed"
}

# The kernel has it from now on.
algorithm() { # NAME
	: >"$T/algorithm"
	"$LOAD" algorithm aead "$1" >"$T/algorithm" 2>&1 &
	holders="$holders $!"
	wait_for grep -q . "$T/algorithm"
	grep -q held "$T/algorithm" || echo "$1: $(cat "$T/algorithm")" >>"$T/failed"
}

# IPsec, which queues what it has decrypted for a worker, with its encryption on cryptd's queue besides, or on padata's.
ipsec() { # TEMPLATE
	cipher="rfc4106(gcm(aes))"
	if [ "$1" != xfrm ]; then
		# The kernel finds such an instance only by the name of its driver.
		algorithm "$cipher"
		algorithm "$1($(awk -v name="$cipher" '
			/^name/ { found = $3 == name } found && /^driver/ { print $3 }' /proc/crypto | tail -n 1))"
	fi
	both_ends xfrm state add src 192.0.2.1 dst $ADDRESS proto esp spi 1 reqid 1 mode transport \
		aead "$cipher" 0x0102030405060708090a0b0c0d0e0f1011121314 128
	for end in "$A out" "$B in"; do
		ip -n "${end% *}" xfrm policy add src 192.0.2.1 dst $ADDRESS dir "${end#* }" \
			tmpl src 192.0.2.1 dst $ADDRESS proto esp reqid 1 mode transport
	done
	works "IPsec by $1" udp 200
	both_ends xfrm state flush
	both_ends xfrm policy flush
}

all_workers() {
	if wireguard_up; then
		TO=$OVER works WireGuard udp 200
		ends_away
	fi
	# Stable releases of 5.10 and 6.1 have templates that fail the kernel's own tests, and 7.3 needs none.
	case $kernel in
	6.12 | 6.12-full) set -- xfrm cryptd pcrypt ;;
	*) set -- xfrm ;;
	esac
	holders=
	for template in "$@"; do
		ipsec "$template"
	done
	[ -z "$holders" ] || kill $holders
	# vhost-net goes on to the next frames after 256 (VHOST_NET_PKT_WEIGHT in drivers/vhost/net.c).
	LEAST=10 works "vhost-net" "$LOAD" vhost 2560
	for protocol in "ktls 500" "connect mptcp 20"; do # which this kernel may not have
		if "$LOAD" ${protocol% *} 1 >"$T/try" 2>&1; then
			works "$protocol" "$LOAD" $protocol
		else
			echo "${protocol% *}: $(cat "$T/try")" >>"$T/skipped"
		fi
	done
}

group_workers() {
	COUNTER="calls net_worker" loads all_workers
	check "workers of WireGuard, IPsec, vhost-net, kTLS and MPTCP: each load runs its own" "$(wc -l <"$T/failed") == 0" "$(cat "$T/failed")"
	called net_worker "workers" 1 tcp_work napi_thread # WireGuard's NAPI is threaded in 7.3
}

counts_of() { # FILE PATTERN: what the kernel counts there on all CPUs
	awk -v pattern="$2" '$0 ~ pattern { for (i = 2; $i ~ /^[0-9]+$/; i++) s += $i } END { print s + 0 }' "/proc/$1"
}

# The kernel's own trace of top halves and of what schedules NAPI.
trace_top_halves() { # 0|1
	for e in irq/irq_handler_entry irq/irq_handler_exit prepared/prep; do
		echo "$1" >$TRACING/events/$e/enable
	done
}

pings() {
	echo first >$TRACING/trace_marker
	ping -q -c 60 -i 0.01 10.0.2.2
	echo last >$TRACING/trace_marker
}

# Top halves that scheduled NAPI in the kernel's own trace: while the command ran, and in all.
scheduled() {
	awk '
		{ match($0, /\[[0-9]*\]/); cpu = substr($0, RSTART, RLENGTH) }
		/ first$/ { inner = 1 }
		/ last$/ { inner = 0 }
		/irq_handler_entry/ { scheduled[cpu] = 0; inside[cpu] = 1 }
		/prep: .*ret=1/ && inside[cpu] { scheduled[cpu] = 1 }
		/irq_handler_exit/ { n += scheduled[cpu]; m += scheduled[cpu] * inner; scheduled[cpu] = inside[cpu] = 0 }
		END { print m + 0, n + 0 }' $TRACING/trace
}

card_counts() { echo "$(received eth0) $(counts_of interrupts 'virtio0-(in|out)put')"; } # packets, top halves

group_hardirq() {
	modprobe virtio_pci 2>/dev/null # test/vm -n's card; or it is built in
	modprobe virtio_net
	wait_for test -e /sys/class/net/eth0
	ip addr replace 10.0.2.15/24 dev eth0
	ip link set eth0 up
	wait_for ping -q -c 1 -W 1 10.0.2.2 >/dev/null 2>&1
	echo 'r:prepared/prep napi_schedule_prep ret=$retval:u8' >>$TRACING/kprobe_events
	trace_top_halves 1
	COUNTER=card_counts measure pings
	trace_top_halves 0
	scheduled=$(scheduled) n=$(count all hardirq)
	# Those that find no work, or the polling under way, do not. On PREEMPT_RT threads do it.
	check "virtio-net: of $(counted 2) top halves those that scheduled NAPI ($scheduled in the command, and in all)" \
		"$n >= ${scheduled% *} && $n <= ${scheduled#* } && $n <= $(counted_most 2) && ($n > 0) == ($(ns all hardirq) > 0) &&
		 ($n > 0) == ($(is_rt && echo 0 || echo 1))"
	none_but "virtio-net" hardirq
	# The two are read one after the other: a packet that comes between is in one of them.
	check_counted 1 "virtio-net: eth0 polled the packets that it counts" "$(packet polled/eth0)" "$(counted 1) >= 60"
	for column in 6 8; do # time, polls
		all=$(field device all eth0 $column)
		check "virtio-net: its queues on each CPU sum to it, and it to all: column $column" \
			"$all > 0 && $(total device '[0-9]*' '^eth0$' $column) == $all && $(total queue '.*' ^eth0/ $column) == $all" \
			"$(grep -e ,device, -e ,queue, "$T/csv")"
	done
	ip link set eth0 down
	COUNTER="counts_of interrupts ttyS" measure serial_lines
	check "a serial port's top halves are others ($(counted 1))" "$(counted 1) >= 1 && $(count all hardirq) == 0"
	none_but "a serial port"
}

serial_lines() {
	for _ in $(seq 300); do
		printf '\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r' # a line that is empty
	done >/dev/ttyS0
	sleep 0.2
}

group_io_worker() {
	measure "$LOAD" uring_work 1 # all in the first run of a worker, before it has its name
	none_but "io_uring" io_worker
	check "io_uring: its workers are io_worker from their first run on, and no part of net" \
		"$(ns all io_worker) > 0 && $(total event all '^(net|io_worker|softirq|other|idle)$' 6) == $(wall all)"
	measure "$LOAD" uring_work 100 sqpoll
	none_but "io_uring's SQPOLL"
}

read_counts() { echo "$(calls recv) $(calls recv__tcp_read_sock)"; }

# NVMe over TCP reads from its socket without a socket operation, in a worker.
group_read_sock() {
	if [ "$kernel" = 5.10 ]; then
		skip "NVMe over TCP" "the kernel's own nvmet may warn of itself here (check_flush_dependency), and a kernel's warnings fail"
		return
	fi
	mount -t configfs none /sys/kernel/config 2>/dev/null
	target=/sys/kernel/config/nvmet
	mkdir $target/subsystems/netto $target/ports/1
	echo 1 >$target/subsystems/netto/attr_allow_any_host
	echo tcp >$target/ports/1/addr_trtype
	echo ipv4 >$target/ports/1/addr_adrfam
	echo 127.0.0.1 >$target/ports/1/addr_traddr
	echo 4420 >$target/ports/1/addr_trsvcid
	ln -s $target/subsystems/netto $target/ports/1/subsystems/netto
	COUNTER=read_counts measure sh -c 'echo transport=tcp,traddr=127.0.0.1,trsvcid=4420,nqn=netto,hostnqn=nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001,hostid=00000000-0000-0000-0000-000000000001 >/dev/nvme-fabrics'
	called recv "NVMe over TCP" 1 tcp_work
	check "NVMe over TCP: some of it by tcp_read_sock" "$(counted 3) > 0"
	echo 1 >/sys/class/nvme/nvme0/delete_controller
}

# --- Packets, tasks and CPUs ---

softirqs() { counts_of softirqs "$1:"; } # NAME

# What /proc/net/softnet_stat counts on all CPUs: processed, dropped, squeezed, RPS. Hexadecimal is the shell's to read.
softnet() {
	processed=0 dropped=0 squeezed=0 rps=0
	while read -r a b c _ _ _ _ _ _ d _; do
		processed=$((processed + 0x$a)) dropped=$((dropped + 0x$b)) squeezed=$((squeezed + 0x$c)) rps=$((rps + 0x$d))
	done </proc/net/softnet_stat
	echo "$processed $dropped $squeezed $rps"
}

# packets WHAT COMMAND...: all counts of /proc in that time.
packets() {
	what=$1
	shift
	COUNTER=packet_counts measure "$@"
	check_counted 1 "$what: as many packets as in /proc/net/softnet_stat" "$(packet processed)"
	check_counted 2 "$what: as many drops" "$(packet dropped)"
	check_counted 3 "$what: as many squeezes" "$(packet squeezed)"
	check_counted 4 "$what: as many by RPS" "$(packet rps)"
	check_counted 5 "$what: as many NET_RX softirqs as in /proc/softirqs" "$(count all rx_softirq)"
	check_counted 5 "$what: the processes that they interrupt have all of them, and of their time" "$(tasks_of rx_softirq 8)" \
		"$(tasks_of rx_softirq 6) >= 0.98 * $(ns all rx_softirq) && $(tasks_of rx_softirq 6) <= $(ns all rx_softirq) &&
		 ($(ns all rx_softirq) > 0) == ($(count all rx_softirq) > 0) && $(run_row tasks_lost 8) == 0"
	check_counted 6 "$what: as many softirqs of the other vectors, the longest no shorter than the mean" "$(count all softirq)" \
		"$(longest softirq) * $(count all softirq) >= $(ns all softirq) && $(longest softirq) <= $(ns all softirq) &&
		 $(ns all softirq) > 0 && $(longest rx_softirq) <= $(ns all rx_softirq)"
	# In tenths of a nanosecond, as printed: what receiving took, shared among the packets of each report.
	check "$what: ns_per_packet is what receiving took, shared among the packets" "$(awk -F, '
		$3 == "event" && $5 ~ "^(rx_softirq|napi_thread|hardirq)$" { took[$1, $4] += $6 }
		$3 == "packet" && $5 == "ns_per_packet" {
			n++
			off = $6 * $8 - took[$1, $4]
			if (off > 0.06 * $8 || off < -0.06 * $8)
				bad++
		}
		END { print (n > 0 && !bad) }' "$T/csv")" "$(grep -e ns_per_packet -e ,rx_softirq, "$T/csv")"
}

packet_counts() { echo "$(softnet) $(softirqs NET_RX) $(($(softirqs '.*') - $(softirqs NET_RX) - $(softirqs NET_TX)))"; }
tasks_of() { total task all "/$1\$" "$2"; } # EVENT FIELD: of all processes
longest() { field event all "$1" 13; } # EVENT

until_dropped() {
	had=$(softnet | cut -d ' ' -f 2)
	for _ in $(seq 50); do
		"$LOAD" udpflood 0.3 0 1 64
		[ "$(softnet | cut -d ' ' -f 2)" = "$had" ] || break
	done
}

group_packets() {
	packets "loopback" "$LOAD" sendto udp4 3011
	[ -n "$MORE" ] || return 0
	# A backlog for one packet drops; a budget of one squeezes
	set_sysctl ../net/core/netdev_budget 1
	packets "squeezed" "$LOAD" udpflood 0.3 0 1 64
	check "squeezed: there are some" "$(packet squeezed) > 0"
	restore_sysctls
	set_sysctl ../net/core/netdev_max_backlog 2
	echo 2 >/sys/class/net/lo/queues/rx-0/rps_cpus
	packets "RPS" until_dropped
	echo 0 >/sys/class/net/lo/queues/rx-0/rps_cpus
	restore_sysctls
	# On PREEMPT_RT threads have the backlog, which need no interrupt.
	check "RPS: it sent packets, and some were dropped" \
		"($(packet rps) == 0) == ($(is_rt && echo 1 || echo 0)) && $(packet dropped) > 0"
}

# A name that would move the cursor, break a row and part its fields.
group_tasks() {
	nasty=$(printf 'a,"\n\033[2J')
	cp "$(which "$LOAD")" "$T/$nasty"
	measure "$T/$nasty" sendto udp4 307
	rm -f "$T/$nasty"
	check "tasks: a name with special characters is one field, escaped" \
		"$(awk -F, '$3 == "task" && $5 ~ /^a\\x2c\\x22\\x0a\\x1b\[2J:[0-9]*\/send$/ { n += $8 } END { print n + 0 }' "$T/csv") == 307" \
		"$(grep ,task, "$T/csv")"
	check "tasks: 13 fields in each row, no control character" \
		"$(awk -F, 'NF != 13' "$T/csv" | wc -l) == 0 && $(tr -d '\n -~' <"$T/csv" | wc -c) == 0" "$(awk -F, 'NF != 13' "$T/csv")"
}

# Another netto, that comes and goes meanwhile, attaches to the same functions.
both() {
	: >"$T/err2"
	"$NETTO" -cv -F 0 600 >"$T/csv2" 2>"$T/err2" &
	other=$!
	wait_for grep -q 'netto: measuring' "$T/err2"
	run sendto udp4 1009
	kill -INT $other
	run recv tcp6 503
	wait $other || echo "the other netto: exit status $?: $(cat "$T/err2")" >>"$T/failed"
	run send tcp4 307
}

group_two_at_once() {
	counts "two at once" both
	cp "$T/csv2" "$T/csv"
	conserved "two at once, the other"
	check "two at once: the other has what was there before it was told to end" \
		"$(count all send) >= 1009 && $(count all send) <= 1009 + 503 + 307"
}

is_reported() { # YES|NO: the last report has rows of CPU 1
	tail -c $REPORT "$T/reports" | awk -F, -v yes="$1" '
		$3 == "event" && $4 == 1 { time = $1 }
		index($5, "hook/idle=") == 1 { last = $1 }
		END { exit !((time == last) == (yes == "yes")) }'
}

comes_and_goes() { # [YES|NO: whether it has rows again]
	echo 0 >/sys/devices/system/cpu/cpu1/online
	wait_for is_reported no || return
	"$LOAD" sendto udp4 211
	echo 1 >/sys/devices/system/cpu/cpu1/online
	wait_for is_reported "${1:-yes}" || return
	"$LOAD" sendto udp4 223
}

group_hotplug() {
	UNSEEN=1 measure comes_and_goes
	reports=$(rows event,all,net)
	check "hotplug: a CPU has no rows while it is unplugged, the CPUs around it have them all the time, and counts are exact" \
		"$(rows event,1,net) < $reports && $(rows event,1,net) > 0 && $(rows event,0,net) == $reports &&
		 $(rows event,2,net) == $reports && $(count all send) == 434" "$(grep ,net, "$T/csv")"
	check "hotplug: packets are not known of reports in which a CPU came or went, rather than all since the start" \
		"$(packet processed) < 1000 && $(rows packet,all,processed) < $reports"
}

# The perf event of a CPU that is unplugged is gone.
group_hotplug_samples() {
	REPORT=200000
	for without in "" bpf; do
		mode="sample mode${without:+ without $without}"
		NETTO_WITHOUT=$without INTERVAL=0.5 begin_session -m sample -s 0
		UNSEEN=1 measure comes_and_goes no
		check "$mode: a CPU that was unplugged has rows until then, and a line says so" \
			"$(rows ',event,1,net,') < $(rows ',event,0,net,') && $(says 'CPU 1 was unplugged') == 1" \
			"$(cat "$T/err"; grep -e event,1 -e elapsed "$T/csv")"
		end_session
	done
	REPORT=40000
}

# --- What a host may lack ---

# Each fallback gives what the first choice gives.
fallback() { # WITHOUT KIND-OF-SOFTIRQS KIND-OF-OPERATIONS [GROUP]...
	NETTO_WITHOUT=$1 begin_session -F 0 -t 100
	counts "without $1" few_operations
	check "without $1: softirqs by $2, operations by $3" "$(hooked rx_softirq "$2") > 0 && $(hooked send "$3") > 0"
	backlog_polls "without $1"
	shift 3
	for group in "$@"; do
		"$group"
	done
	end_session
}

# What is left of tracing without trampolines: also of what is no operation.
group_kprobes() {
	fallback "btf fentry kprobe.multi" raw_tp kprobe ${ALL:+count_calls group_busy_poll group_tcp_work group_hardirq}
}

group_fallbacks() { fallback "tp_btf storage" raw_tp fentry; }

# Many tasks that sleep in one function, more than kprobe.multi has room for until 6.14: fentry has it. A task that is preempted
# in the program at its end keeps others on that CPU from it (seen on 7.3), which the kernel counts.
group_sleepers() {
	case $kernel in
	6.*) kind=fentry ;;
	*) kind=kprobe.multi ;; # from 6.14 on it follows any number of calls to their returns
	esac
	measure sh -c "$LOAD accepts 600 0.5 0"
	check "600 tasks wait in accept: no return is missed but what the kernel skipped, and conn is no more than what they ran" \
		"$(count all conn) >= $(load_value connects) && $(ns all conn) <= $(load_value cpu_ns) &&
		 $(run_row returns_missed 8) <= $(run_row recursion_misses 8) && $(grep -c "conn: $kind:.* inet_accept" "$T/err") == 1"
}

# Where fentry is refused: all functions by one link; also of what is no operation.
group_multi() {
	fallback "btf fentry" raw_tp kprobe.multi
	fallback fentry tp_btf kprobe.multi count_calls group_tcp_work group_read_sock
}

# A function that exists and is not hooked: samples tell it, and its event is not called traced.
group_left_out() {
	start_flood
	for seconds in 1 2 4 8 16 32; do
		NETTO_WITHOUT=inet_sendmsg with_netto -cv $seconds
		[ "$(ns all send)" = 0 ] || break
	done
	stop_flood
	check "inet_sendmsg cannot be hooked: send is told from samples, which is said" \
		"$(ns all send) > 0 && $(rows 'event,all,send,.*,sampled,') == 1 && $(rows 'event,all,recv,.*,traced,') == 1 &&
		 $(rows 'hook/send=fentry:inet6_sendmsg') == 1 && $(says 'send: from samples: inet_sendmsg') == 1"
	conserved "inet_sendmsg cannot be hooked"
	NETTO_WITHOUT="inet_recvmsg@btf" begin_session -F 0 -t 100
	measure sh -c "$LOAD recv udp4 101"
	check "inet_recvmsg is not in BTF, but in kallsyms: it is traced by a kprobe" \
		"$(count all recv) == 101 && $(rows 'hook/recv=.*kprobe[.multi]*:inet_recvmsg') >= 1"
	end_session
}

# 20 tasks blocked at once, where there is room for 8: the rest is counted.
group_overflow() {
	NETTO_WITHOUT="storage room" begin_session -F 0 -t 100
	COUNTER="softirqs NET_RX" measure sh -c 'for i in $(seq 20); do load block_recv 1500 >/dev/null & done; wait'
	check "operations that do not fit into the hash are counted" \
		"$(run_row operations_lost 8) == 12 && $(count all recv) == 20"
	# With room for 8 processes: what the others do is counted, but not for them. Those that do nothing for an interval make room.
	check_counted 1 "tasks: those without room are counted, and so is what interrupts them" \
		"$(($(tasks_of '.*' 8) + $(run_row tasks_lost 8) - $(count all send) - $(count all recv) - $(count all conn)))" \
		"$(run_row tasks_lost 8) > 0"
	measure one_after_the_other
	check "tasks: 12 processes one after the other, with room for 8: all are counted" \
		"$(tasks_of send 8) == 132 && $(run_row tasks_lost 8) == 0" "$(grep ,task "$T/csv")"
	end_session
}

one_after_the_other() {
	for _ in $(seq 12); do
		"$LOAD" sendto udp4 11
		next_report
		next_report
	done
}

# However often samples are wanted: the machine goes on, and netto says how many it takes.
group_limits() {
	start_flood
	for _ in $(seq "$(nproc)"); do
		while :; do :; done &
		spinners="${spinners-} $!"
	done
	rate=$(for _ in 1 2 3; do
		"$NETTO" -v -c -m sample 0.1 2>&1 >/dev/null | sed -n 's/.*samples are taken at \([0-9]*\) Hz.*/\1/p'
	done | sort -n | head -n 1)
	kill $spinners
	check "busy CPUs are no slow ones: samples are taken at ${rate:-997} Hz at least" "${rate:-997} >= 20"
	with_netto -c -m sample -F 100000 1
	stop_flood
	check "samples at 100,000 Hz: fewer are taken, which is said" \
		"$(says 'samples are taken at .* not 100000') <= 1 && $(run_row samples 8) > 0 &&
		 $(says -e 'samples are taken at .* not 100000' -e 'one in [0-9]* samples is taken') >= 1"
	conserved "samples at 100,000 Hz"
}

# Neither eBPF nor perf events: what is missing, and what /proc has.
accounts() { # COMMAND...
	before=$(softnet)
	"$@" >"$T/load" 2>"$T/err"
	seen=$?
	before=$(($(softnet | cut -d ' ' -f 1) - ${before%% *}))
	check "only the kernel accounts: what is missing" \
		"$seen == 0 && $(wc -l <"$T/err") == 4 && $(says CONFIG_BPF_SYSCALL) == 1 &&
		 $(says CONFIG_PERF_EVENTS) == 1"
	check "only the kernel accounts: its counts" \
		"$(packet processed) >= 1009 && $(packet processed) <= $before && $(count all rx_softirq) > 0 &&
		 $(field packet 0 processed 8) + $(field packet 1 processed 8) + $(field packet 2 processed 8) == $(packet processed) &&
		 $(rows -e ,traced, -e ,sampled,) == 0 && $(rows ',net,.*,accounted,') >= 2"
}

group_refusals() {
	load only "" netto 0.1 >"$T/out" 2>"$T/err"
	check "no capabilities: the kernel's accounts, with a cure" "$? == 0 && $(says "run it as root, or with CAP_BPF and CAP_PERFMON") == 1"
	exits 3 CONFIG_BPF_SYSCALL "no bpf(), -m trace" "load nobpf 38 netto -m trace 0.1"
	exits 0 "refuses eBPF: " "bpf() is refused" "load nobpf 1 netto -F 100 0.1"
	accounts load nobpf 38 load noperf 38 netto -c -o "$T/csv" -- load sendto udp4 1009
	echo 0-2047 >"$T/possible"
	mount --bind "$T/possible" /sys/devices/system/cpu/possible
	exits 1 "raise MAX_CPUS" "too many CPUs" "netto 0.1"
	umount /sys/devices/system/cpu/possible
}

# 5.10 counts locked memory by user.
group_memlock() {
	exits 0 RLIMIT_MEMLOCK "no memory to lock" "load uncap 24 sh -c 'ulimit -l 64; exec netto -F 100 0.1'" # 24: CAP_SYS_RESOURCE
}

# More kprobes at once than the kernel has instances of.
group_returns() {
	NETTO_WITHOUT="fentry kprobe.multi ends" start_netto -c 600
	sh -c 'for i in $(seq 30); do load block_recv 1500 >/dev/null & done; wait'
	stop_netto
	check "more kprobes at once than the kernel has instances of: missed returns are counted" \
		"$(run_row returns_missed 8) >= 10 && $(run_row returns_missed 8) <= 27 && $(count all recv) == 30 &&
		 $(run_row returns_missed 6) > 0"
}

# A flood is measured until there are 100 samples.
sampled_flood() { # [OPTION...]
	what="a flood${1:+, $*}"
	for seconds in 5 10 20 40; do
		with_netto -cv "$@" $seconds
		[ "$(run_row samples 8)" -lt 100 ] || break
	done
	check "$what: sent, received, and in stages" "$(ns all send) > 0 && $(ns all rx_softirq) > 0 &&
		$(rows ',stage,all,send/udp_tx,') == 1 && $(rows ',stage,all,rx_softirq/') > 2"
	conserved "$what"
}

# As little as a host may have: what the kernel accounts.
accounted_flood() { # WORDS: what it lacks
	NETTO_WITHOUT=$1 with_netto -cv 5
	check "a flood, by the kernel's accounts: net, other and idle are all of the time" \
		"$(ns all net) > 0 && $(total event all . 7) == 100 && $(packet processed) > 0"
}

# Sampled softirqs in parts of those that the kernel counts by ticks in the same 10 s: some 200 of each.
sampled_softirqs() {
	"$NETTO" -c -m sample -F 200 -o "$T/csv" -- sh -c "$stat_twice" >"$T/stat" 2>"$T/err"
	ratio "$(field event all rx_softirq 7) + $(field event all softirq 7)" "$(softirq_percent "$T/stat")"
}

# Softirqs in percent of all CPUs' time, as the kernel accounts it: by ticks, or exactly where it has IRQ_TIME_ACCOUNTING.
stat_twice='head -n 1 /proc/stat; sleep 10; head -n 1 /proc/stat'
softirq_percent() { # what stat_twice prints
	awk '{ for (i = 2; i <= 9; i++) all[NR] += $i; soft[NR] = $8 }
		END { print 100 * (soft[2] - soft[1]) / (all[2] - all[1]) }' "$1"
}

# Other architectures: idle is idle, counts are exact, and so is what comes from samples and from /proc.
group_word() {
	with_netto -c -F 0 3
	check "an idle guest is idle" "$(ns all idle) > 0.5 * $(run_row elapsed 6) && $(ns all other) < $(ns all idle)"
	begin_session -F 0 -t 100
	case $kernel in
	*-mips*)
		packets "operations" few_operations
		check "no kprobes, which kill processes there" "$(rows '=kprobe:') == 0 && $(hooked rx_softirq raw_tp) > 0"
		;;
	*) counts "operations" few_operations ;;
	esac
	backlog_polls "operations"
	end_session
	start_flood
	for options in "" "-m sample"; do
		[ "$kernel$options,${ALL-}" = "6.1-arm-m sample," ] || sampled_flood $options # slow, and in the fast suite
	done
	if echo 0 >/proc/sys/net/core/bpf_jit_enable; then
		with_netto -c -F 0 0.5
		check "eBPF is interpreted: it says so" "$(says bpf_jit_enable=1) == 1"
	fi
	accounted_flood "bpf perf"
	case $kernel,${ALL-} in
	6.1-arm,) ;; # slow, and in the fast suite
	*) check_median "a flood: sampled softirqs are /proc/stat's" 0.75 1.25 sampled_softirqs ;;
	esac
	stop_flood
}

# A kernel as OpenWrt ships it has perf events, but no eBPF for tracing: stages by samples, and else what the kernel accounts.
group_box() {
	start_flood
	sh -c "$stat_twice" >"$T/stat"
	truth=$(softirq_percent "$T/stat")
	sampled_flood
	check "a flood, from samples: the message names OpenWrt's option" \
		"$(hooked send perf_ring) > 0 && $(says CONFIG_KERNEL_BPF_EVENTS=y) == 1"
	sampled=$(field event all rx_softirq 7)
	accounted_flood perf
	check "a flood, by the kernel's accounts: exact, since it has IRQ_TIME_ACCOUNTING" \
		"$(field event all net 9) == $(field event all net 10)"
	check "the softirqs' time: $truth % by /proc/stat, $(field event all net 7) % accounted, $sampled % sampled" \
		"$sampled > 0.8 * $truth && $sampled < 1.2 * $truth && $(field event all net 7) > 0.8 * $truth && $(field event all net 7) < 1.2 * $truth"
	stop_flood
	with_netto -c 3
	check "an idle box is idle, and what is not is no network" \
		"$(ns all idle) > $(run_row elapsed 6) && $(ns all net) < 0.1 * $(ns all idle)"
}

# --- All in their order ---

# The netto of most groups.
begin_all() {
	[ "$(uname -m)" != x86_64 ] || net_up
	note netto
	begin_session -F 0 -t 100
	measure true
	[ "$(uname -m)" != x86_64 ] || count_calls
}

for module in wireguard esp4 xfrm_user algif_aead gcm seqiv tun vhost_net tls virtio_net sch_tbf sch_fq cryptd pcrypt \
	nvmet_tcp nvme_tcp; do
	modprobe $module 2>/dev/null # or it is built in, or of another kernel
done
mount -t tracefs none $TRACING 2>/dev/null
trap net_down EXIT
note() { echo "note: $part: $* at $(cut -d ' ' -f 1 /proc/uptime) s"; }

# Every kernel runs what differs most between kernels; 6.12 runs all events. ALL=1: every group on this kernel. MORE: of each
# group all; EVERY=0: of the operations too.
few="counts families packets tasks" EVERY=1 MORE=''
groups=$few
all="counts families quiet napi_thread backlog busy_poll tcp_work workers hardirq io_worker read_sock packets tasks hotplug"
case $kernel,${ALL-} in
*-arm64,1) groups="limits $few" ;;
*-arm,*) groups="${ALL:+limits} word" ;;
*-mips*,* | *-riscv64,*) groups="limits word" ;;
*-openwrt,*) groups=box ;;
*,1)
	groups="limits $all two_at_once kprobes overflow fallbacks refusals left_out hotplug_samples returns multi" EVERY=0 MORE=1
	;;
5.10,) groups="limits $few tcp_work workers hotplug memlock" ;;
6.1,) groups="$few hotplug kprobes" ;;
6.12,) groups="limits $all sleepers refusals" EVERY=0 MORE=1 ;;
*-rt,) groups="$few napi_thread backlog hotplug" MORE=1 ;;
7,) groups="$few napi_thread tcp_work sleepers two_at_once fallbacks" ;;
esac
shift
[ $# = 0 ] || groups=$*
# The last netto measures until the machine is switched off: to take off probes takes up to 20 s on an emulated machine.
for group in $groups; do
	case $group in
	limits | kprobes | word | box | left_out | multi | memlock | hotplug_samples | overflow | fallbacks | refusals | returns)
		[ -z "$session" ] || end_session
		;;
	*)
		[ -n "$session" ] || begin_all
		;;
	esac
	note "$group"
	group_"$group"
done
note end
